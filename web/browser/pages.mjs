/**
 * Every page, in light and dark, on a desk and in a hand: what axe-core finds, and pictures to look at.
 *
 *   node pages.mjs BASE EMAIL PASSWORD [server|library] [OUT]
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { DESKTOP, PHONE, atRest, require as must, run, say, signIn, visit } from './harness.mjs';

const [base, email, password, which = 'library', out] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Name, address, and what a person does there before looking. */
export const PAGES = [
  ['timeline', '/', async (page) => page.getByLabel('Photo 1 of', { exact: false }).first().waitFor()],
  ['photo', '/', async (page) => {
    await page.getByLabel('Photo 2 of', { exact: false }).first().click();
    await page.getByRole('dialog', { name: 'Viewer' }).waitFor();
  }],
  ['details', '/', async (page) => {
    await page.getByLabel('Photo 2 of', { exact: false }).first().click();
    await page.getByRole('button', { name: 'Details' }).first().click();
    await page.getByText('SHA-256', { exact: false }).first().waitFor();
  }],
  ['albums', '/albums'],
  ['favourites', '/favourites'],
  ['videos', '/videos'],
  ['map', '/map'],
  ['duplicates', '/duplicates'],
  ['look-alike', '/duplicates?kind=similar'],
  ['archive', '/archive'],
  ['trash', '/trash'],
  ['search', '/search?q=a'],
  ['devices', '/devices'],
  ['pair', '/pair'],
  ['account', '/account'],
  ['nowhere', '/there-is-no-such-page']
];

/** What is about the server, for its administrator, and the forms of the own account. */
export const SERVER_PAGES = [
  ['password', '/account', async (page) => page.getByRole('button', { name: 'Change password' }).click()],
  ['elsewhere', '/account', async (page) => page.getByRole('button', { name: 'Sign out everywhere else' }).click()],
  ['people', '/admin', async (page) => page.getByRole('heading', { name: 'Ben', exact: false }).waitFor()],
  ['person-menu', '/admin', async (page) => page.getByRole('button', { name: 'What to do with ben' }).click()],
  ['invite', '/admin', async (page) => page.getByRole('button', { name: 'Invite' }).click()],
  ['link', '/admin', async (page) => {
    await page.getByRole('button', { name: 'What to do with ben' }).click();
    // To sign in; or to choose a password, for somebody who has none.
    await page.getByRole('menuitem', { name: 'Link to' }).last().click();
    await page.getByRole('button', { name: 'Copy link' }).waitFor();
  }],
  ['storage', '/admin/storage', async (page) => page.getByRole('table').waitFor()],
  ['jobs', '/admin/jobs', async (page) => page.getByRole('heading', { name: 'Previews' }).waitFor()],
  ['health', '/admin/health', async (page) => page.getByRole('button', { name: 'Look again' }).waitFor()],
  ['updates', '/admin/updates', async (page) => page.getByRole('heading', { name: 'Version' }).waitFor()],
  ['settings', '/admin/settings', async (page) => page.getByText('server.name').waitFor()]
];

const EVERYWHERE = [
  ['desk', DESKTOP, 'light'],
  ['desk', DESKTOP, 'dark'],
  ['hand', PHONE, 'light'],
  ['hand', PHONE, 'dark']
];
/** Both sizes and both themes once, for pages made of parts that others have in all four. */
const CROSSWISE = [EVERYWHERE[0], EVERYWHERE[3]];

async function look(page, name) {
  await page.waitForLoadState('load');
  // Every page has both, once it is more than a wheel that turns.
  await page.locator('main').first().waitFor({ state: 'attached' });
  await page.locator('h1').first().waitFor({ state: 'attached' });
  await atRest(page);
  if (out) await page.screenshot({ path: path.join(out, `${name}.png`) });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, impact, nodes } of violations) {
    for (const node of nodes) say({ violation: id, impact, page: name, element: node.html.slice(0, 200) });
  }
  return violations.length;
}

async function everyPage(browser) {
  let found = 0;
  const [pages, profiles] = which === 'server' ? [SERVER_PAGES, CROSSWISE] : [PAGES, EVERYWHERE];
  for (const [size, profile, colorScheme] of profiles) {
    const { context, page, wrong } = await visit(browser, base, { ...profile, colorScheme, reducedMotion: 'reduce' });
    await page.goto('/sign-in');
    await page.getByLabel('E-mail').waitFor();
    found += await look(page, `sign-in-${size}-${colorScheme}`);
    await signIn(page, email, password);
    for (const [name, address, prepare] of pages) {
      await page.goto(address);
      if (prepare) await prepare(page);
      found += await look(page, `${name}-${size}-${colorScheme}`);
    }
    must(wrong.length === 0, wrong.join('\n'));
    await context.close();
    say({ progress: `${size} ${colorScheme}` });
  }
  say({ step: 'looked', violations: found });
}

// Others take the list of pages from here.
if (process.argv[1] === fileURLToPath(import.meta.url)) await run(everyPage);

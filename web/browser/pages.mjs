/**
 * Every page, in light and dark, on a desk and in a hand: what axe-core finds, what sticks out or is cut from 320 to 3840 pixels and
 * read from the right, what moves although nothing should, and pictures to look at.
 *
 *   node pages.mjs BASE EMAIL PASSWORD [OUT]
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { DESKTOP, PHONE, require as must, run, say, signIn, visit } from './harness.mjs';
import { flawsOf, movements } from './layout.mjs';

const [base, email, password, out] = process.argv.slice(2);
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
  ['archive', '/archive'],
  ['trash', '/trash'],
  ['search', '/search?q=a'],
  ['devices', '/devices'],
  ['pair', '/pair'],
  ['account', '/account'],
  ['nowhere', '/there-is-no-such-page']
];

async function look(page, name) {
  await page.waitForLoadState('load');
  // Whatever still moves has come to rest.
  await page.waitForTimeout(500);
  if (out) await page.screenshot({ path: path.join(out, `${name}.png`) });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, impact, nodes } of violations) {
    for (const node of nodes) say({ violation: id, impact, page: name, element: node.html.slice(0, 200) });
  }
  return violations.length;
}

/** Windows that a page must fit: a small phone, a wide screen, and both ways of reading. */
const WINDOWS = [[320, 568, 'ltr'], [320, 568, 'rtl'], [1280, 800, 'rtl'], [3840, 2160, 'ltr']];

/** Every page in every window; answers how much is wrong. */
async function measure(browser) {
  const { context, page } = await visit(browser, base, { ...DESKTOP, reducedMotion: 'reduce' });
  // A measure that finds nothing anywhere would say the same as a page without a flaw.
  await page.setContent('<p style="width:5000px">far</p><button style="width:20px;overflow:hidden;white-space:nowrap">cut off</button>');
  const known = await flawsOf(page, 320, 568);
  must(['wide', 'sticks out', 'is cut'].every((flaw) => known.some((one) => one.includes(flaw))), `only ${known}`);
  let found = 0;
  const tell = (name, flaws) => {
    for (const flaw of flaws) say({ violation: 'layout', page: name, element: flaw });
    found += flaws.length;
  };
  const look = async (name) => {
    await page.waitForLoadState('load');
    for (const [width, height, direction] of WINDOWS) tell(name, await flawsOf(page, width, height, direction));
    tell(name, await movements(page));
  };
  await page.goto('/sign-in');
  await page.getByLabel('E-mail').waitFor();
  await look('sign-in');
  await page.setViewportSize(DESKTOP.viewport);
  await signIn(page, email, password);
  for (const [name, address, prepare] of PAGES) {
    await page.setViewportSize(DESKTOP.viewport);
    await page.goto(address);
    if (prepare) await prepare(page);
    await look(name);
  }
  await context.close();
  return found;
}

async function everyPage(browser) {
  let found = await measure(browser);
  for (const [size, profile] of [['desk', DESKTOP], ['hand', PHONE]]) {
    for (const colorScheme of ['light', 'dark']) {
      const { context, page, wrong } = await visit(browser, base, { ...profile, colorScheme, reducedMotion: 'reduce' });
      await page.goto('/sign-in');
      await page.getByLabel('E-mail').waitFor();
      found += await look(page, `sign-in-${size}-${colorScheme}`);
      await signIn(page, email, password);
      for (const [name, address, prepare] of PAGES) {
        await page.goto(address);
        if (prepare) await prepare(page);
        found += await look(page, `${name}-${size}-${colorScheme}`);
      }
      must(wrong.length === 0, wrong.join('\n'));
      await context.close();
    }
  }
  say({ step: 'looked', violations: found });
}

// Others take the list of pages from here.
if (process.argv[1] === fileURLToPath(import.meta.url)) await run(everyPage);

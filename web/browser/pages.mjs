/**
 * Every page, in light and dark, on a desk and in a hand: what axe-core finds, and pictures to look at.
 *
 *   node pages.mjs BASE EMAIL PASSWORD [OUT]
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { DESKTOP, PHONE, atRest, require as must, run, say, signIn, visit } from './harness.mjs';

const [base, email, password, out] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Name, address, and what a person does there before looking. */
const PAGES = [
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

async function look(page, name) {
  await page.waitForLoadState('load');
  await atRest(page);
  if (out) await page.screenshot({ path: path.join(out, `${name}.png`) });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, impact, nodes } of violations) {
    for (const node of nodes) say({ violation: id, impact, page: name, element: node.html.slice(0, 200) });
  }
  return violations.length;
}

await run(async (browser) => {
  let found = 0;
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
});

/**
 * A person's first evening: sets the server up, sends a folder of photos over a network that is lost twice and a page that is
 * loaded again, looks, searches, makes an album, deletes, takes it back, and downloads everything.
 *
 *   node flow.mjs BASE EMAIL PASSWORD FOLDER OUT
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';

import { choose, require, run, say, setUp, told, visit } from './harness.mjs';

const [base, email, password, folder, out] = process.argv.slice(2);
const paths = readdirSync(folder).map((name) => path.join(folder, name));

const tiles = (page) => page.locator('[data-index] a, a[data-index]');

async function send(context, page) {
  await choose(page, paths);
  const tray = page.locator('[data-tray]');
  await tray.waitFor();
  for (let cut = 0; cut < 2; cut += 1) {
    // While files are on their way, and until one of them has felt it; all may have arrived before the second time.
    const soon = { timeout: 2000 };
    await page.waitForRequest((request) => request.url().includes('/tus'), soon).catch(() => undefined);
    const felt = page.waitForEvent('requestfailed', soon).catch(() => undefined);
    await context.setOffline(true);
    await felt;
    await context.setOffline(false);
  }
  await page.reload();
  // The page may have sent everything before it was loaded again.
  const again = page.locator('[data-tray]').getByText('Choose them again');
  await again.waitFor({ timeout: 3000 }).catch(() => undefined);
  await choose(page, paths);
  await page.locator('[data-tray]').getByText(/files? (is|are) safe/).waitFor({ timeout: 90_000 });
}

/** Selects the first pictures of the grid, as a pointer does. */
async function pick(page, count) {
  await page.getByLabel('Photo 1 of', { exact: false }).first().waitFor();
  for (let at = 0; at < count; at += 1) {
    await page.locator(`[data-index="${at}"]`).first().hover();
    await page.locator(`[data-check]`).nth(at).click();
  }
  await page.getByText(`${count} selected`).first().waitFor();
}

await run(async (browser) => {
  const { context, page, wrong } = await visit(browser, base);
  await setUp(page, email, password);
  say({ step: 'set up' });
  await send(context, page);
  await page.getByLabel(`Photo 1 of ${paths.length}`, { exact: false }).first().waitFor();
  say({ step: 'sent', tiles: await tiles(page).count() });

  await page.getByLabel('Photo 2 of', { exact: false }).first().click();
  const viewer = page.getByRole('dialog', { name: 'Viewer' });
  await viewer.waitFor();
  require(/\/photo\//.test(page.url()), `a photo has an address of its own: ${page.url()}`);
  await page.keyboard.press('ArrowRight');
  await viewer.getByText(`3 of ${paths.length}`).first().waitFor();
  await page.goBack();
  await viewer.waitFor({ state: 'hidden' });
  say({ step: 'viewed' });

  await page.getByRole('search').getByRole('searchbox').fill(`IMG_${paths.length - 1}`);
  await page.keyboard.press('Enter');
  await page.getByLabel('Photo 1 of 1,', { exact: false }).waitFor();
  say({ step: 'found by name' });

  await page.goto('/');
  await pick(page, 3);
  await page.getByRole('button', { name: 'Add to album' }).first().click();
  await page.getByLabel('Name of the album').fill('Summer 🏖');
  await page.getByRole('button', { name: 'Create' }).click();
  await page.getByText('3 photos added to Summer 🏖').first().waitFor();
  await page.getByRole('link', { name: 'Albums' }).first().click();
  await page.getByRole('link', { name: /Summer/ }).first().click();
  await page.getByLabel('Photo 3 of 3,', { exact: false }).waitFor();
  say({ step: 'made an album' });

  await page.goto('/');
  await pick(page, 2);
  await page.getByRole('button', { name: 'Move to trash' }).first().click();
  await page.getByLabel(`of ${paths.length - 2},`, { exact: false }).first().waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByLabel(`of ${paths.length},`, { exact: false }).first().waitFor();
  say({ step: 'took the deletion back' });

  await choose(page, [paths[1]]);
  await page.locator('[data-tray]').getByText('Was already there', { exact: false }).waitFor();
  await page.locator('[data-tray]').getByRole('button', { name: path.basename(paths[1]) }).click();
  await viewer.waitFor();
  const { name } = await page.evaluate(async (id) => (await fetch(`/api/v2/library/assets/${id}`)).json(), page.url().split('/').at(-1));
  require(name === path.basename(paths[1]), `${paths[1]} led to ${name}`);
  say({ step: 'was led to a photo that was there already' });

  await page.goto('/account');
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download everything' }).click();
  const download = await coming;
  await download.saveAs(path.join(out, 'everything.zip'));
  say({ step: 'downloaded' });

  await page.goto('/');
  await page.getByLabel(`of ${paths.length},`, { exact: false }).first().waitFor();
  say({ step: 'wants another photo' });
  await told();
  await page.getByLabel(`of ${paths.length + 1},`, { exact: false }).first().waitFor();
  say({ step: 'saw it arrive' });

  require(wrong.length === 0, wrong.join('\n'));
  say({ step: 'nothing went wrong' });
});

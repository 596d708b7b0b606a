/**
 * From another machine of the network, over plain HTTP: browsers withhold half of their interfaces there, and everything works all
 * the same. Run where the address is not the machine's own.
 *
 *   node plain.mjs BASE EMAIL PASSWORD PHOTO...
 */
import { choose, require, run, say, signIn, visit } from './harness.mjs';

const [base, email, password, ...photos] = process.argv.slice(2);

await run(async (browser) => {
  const { page, wrong } = await visit(browser, base);
  await page.goto('/sign-in');
  const withheld = await page.evaluate(() => ({
    secure: isSecureContext,
    subtle: Boolean(crypto.subtle),
    worker: 'serviceWorker' in navigator,
    clipboard: 'clipboard' in navigator
  }));
  require(!Object.values(withheld).some(Boolean), `the browser withholds them: ${JSON.stringify(withheld)}`);
  const line = page.getByText('This page came over plain HTTP.', { exact: false });
  await line.waitFor();
  require((await line.count()) === 1, 'it says so once');
  say({ step: 'says that it is plain' });

  await signIn(page, email, password);
  await choose(page, photos);
  await page.locator('[data-tray]').getByText(`${photos.length} files are safe`).waitFor();
  await choose(page, photos);
  await page.getByLabel(`Photo 1 of ${photos.length},`, { exact: false }).first().waitFor();
  await page.locator('[data-tray]').getByRole('button', { name: 'Close' }).click();
  say({ step: 'sent' });

  await page.getByLabel('Photo 2 of', { exact: false }).first().click();
  const viewer = page.getByRole('dialog', { name: 'Viewer' });
  await viewer.waitFor();
  await page.keyboard.press('Delete');
  await page.getByLabel(`of ${photos.length - 1},`, { exact: false }).first().waitFor();
  await page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByLabel(`of ${photos.length},`, { exact: false }).first().waitFor();
  await page.goto('/account');
  await page.getByText('This page came over plain HTTP.', { exact: false }).waitFor();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByLabel('E-mail').waitFor();
  require(wrong.length === 0, wrong.join('\n'));
  say({ step: 'nothing is missing' });
});

/**
 * In a hand: 390 × 844, fingers only. Tap, rest to choose, swipe and pull in the viewer, the bar at the lower edge, sending.
 *
 *   node phone.mjs BASE EMAIL PASSWORD PHOTO
 */
import { PHONE, atRest, choose, middleOf, require, run, say, touch, visit } from './harness.mjs';

const [base, email, password, photo] = process.argv.slice(2);

const tile = (page, at) => page.locator(`a[data-index="${at}"]`).first();

/** Nothing sticks out at the side: a phone would scroll to and fro. */
async function fits(page, where) {
  const [has, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  require(has <= shown, `${where} is ${has} wide on a screen of ${shown}`);
}

await run(async (browser) => {
  const { page, wrong } = await visit(browser, base, PHONE);
  await page.goto('/');
  await page.getByLabel('E-mail').tap();
  await page.keyboard.type(email);
  await page.getByLabel('Password', { exact: true }).tap();
  await page.keyboard.type(password);
  await page.getByRole('button', { name: 'Sign in' }).tap();
  await page.getByLabel('Photo 1 of', { exact: false }).first().waitFor();
  await fits(page, 'the timeline');
  say({ step: 'signed in' });

  await touch(page, await middleOf(tile(page, 0)), undefined, { hold: 700 });
  await page.getByText('1 selected').first().waitFor();
  await tile(page, 1).tap();
  await page.getByText('2 selected').first().waitFor();
  await fits(page, 'choosing');
  require(page.url() === `${base}/`, `a resting finger opens nothing: ${page.url()}`);
  await page.getByRole('toolbar').getByRole('button').first().tap();
  await page.getByText('2 selected').first().waitFor({ state: 'hidden' });
  // From one picture to another without lifting: everything between.
  await touch(page, await middleOf(tile(page, 0)), await middleOf(tile(page, 2)), { hold: 700 });
  await page.getByText('3 selected').first().waitFor();
  await page.getByRole('toolbar').getByRole('button').first().tap();
  say({ step: 'chose by resting' });

  await tile(page, 1).tap();
  const viewer = page.getByRole('dialog', { name: 'Viewer' });
  await viewer.getByText(/^2 of/).first().waitFor();
  await atRest(page);
  const { width, height } = PHONE.viewport;
  await touch(page, { x: width * 0.85, y: height / 2 }, { x: width * 0.1, y: height / 2 });
  await viewer.getByText(/^3 of/).first().waitFor();
  await touch(page, { x: width * 0.15, y: height / 2 }, { x: width * 0.9, y: height / 2 });
  await viewer.getByText(/^2 of/).first().waitFor();
  await fits(page, 'the viewer');
  await atRest(page);
  await touch(page, { x: width / 2, y: height * 0.4 }, { x: width / 2, y: height * 0.85 });
  await viewer.waitFor({ state: 'hidden' });
  await page.waitForURL(`${base}/`);
  say({ step: 'swiped and pulled' });

  await choose(page, [photo]);
  await page.locator('[data-tray]').getByText('1 file is safe').waitFor();
  await fits(page, 'the tray');
  await page.locator('[data-tray]').getByRole('button', { name: 'Close' }).tap();
  for (const [name, address] of [['Albums', '/albums'], ['Favourites', '/favourites'], ['More', '/more']]) {
    await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name }).tap();
    await page.waitForURL(base + address);
    await fits(page, address);
  }
  say({ step: 'went about' });
  require(wrong.length === 0, wrong.join('\n'));
});

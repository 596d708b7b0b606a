/**
 * An evening without a mouse: in, look, choose, make an album, open, read the details, delete, take it back. After every key there
 * is an element that has the focus, and it shows.
 *
 *   node keyboard.mjs BASE EMAIL PASSWORD
 */
import { require, run, say, visit } from './harness.mjs';

const [base, email, password] = process.argv.slice(2);

/** What has the focus, and whether that is to be seen. */
const focused = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return { lost: true, name: 'nothing' };
    const name = element.getAttribute('aria-label') ?? element.textContent?.trim().slice(0, 60) ?? '';
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    // A field shows it on its frame; the page's own frame (`main`), dialogs and the stage of the viewer need none.
    const around = element.parentElement ? getComputedStyle(element.parentElement) : style;
    const shows =
      style.outlineStyle !== 'none' ||
      style.boxShadow !== 'none' ||
      element.matches('main, dialog, [aria-roledescription]') ||
      (element.matches('input') && around.borderStyle !== 'none');
    const inView = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    return { lost: false, name, index: element.getAttribute('data-index'), shows, inView, html: element.outerHTML.slice(0, 160) };
  });

/** Presses a key; the focus is somewhere to be seen afterwards, at the latest within a second. */
async function press(page, key) {
  await page.keyboard.press(key);
  const until = Date.now() + 1000;
  let now;
  do {
    now = await focused(page);
    if (!now.lost && now.shows && now.inView) return now;
    await page.evaluate(() => new Promise(requestAnimationFrame));
  } while (Date.now() < until);
  require(!now.lost, `after ${key} nothing has the focus`);
  require(now.shows, `after ${key} the focus does not show on ${now.html}`);
  require(now.inView, `after ${key} the focus is out of sight, on ${now.html}`);
  return now;
}

/** Presses Tab until something of that name has the focus, unless it has it already. */
async function reach(page, wanted, key = 'Tab', most = 40) {
  const passed = [];
  const here = await focused(page);
  if (!here.lost && wanted(here)) return here;
  for (let at = 0; at < most; at += 1) {
    const now = await press(page, key);
    passed.push(now.name);
    if (wanted(now)) return now;
  }
  throw new Error(`not reached by ${most} times ${key}: ${passed.join(' → ')}`);
}

const named = (text) => ({ name }) => name.includes(text);
const aPicture = ({ index }) => index !== null && index !== undefined;

await run(async (browser) => {
  const { page, wrong } = await visit(browser, base);
  await page.goto('/');
  await page.getByLabel('E-mail').waitFor();
  await page.keyboard.type(email);
  await press(page, 'Tab');
  await page.keyboard.type(password);
  await page.keyboard.press('Enter');
  await page.getByLabel('Photo 1 of', { exact: false }).first().waitFor();
  say({ step: 'signed in' });

  await press(page, 'Tab');
  await reach(page, aPicture);
  await press(page, 'Space');
  await page.getByText('1 selected').first().waitFor();
  const second = await press(page, 'ArrowRight');
  require(second.index === '1', `the arrow went to ${second.index}`);
  await press(page, 'Space');
  await page.getByText('2 selected').first().waitFor();
  await reach(page, named('Add to album'));
  await press(page, 'Enter');
  await page.getByLabel('Name of the album').waitFor();
  if (!(await page.getByLabel('Name of the album').evaluate((field) => field === document.activeElement))) {
    await reach(page, ({ html }) => html.startsWith('<input'), 'Tab', 6);
  }
  await page.keyboard.type('By hand');
  await press(page, 'Enter');
  await page.getByText('2 photos added to By hand').first().waitFor();
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await press(page, 'Shift');
  say({ step: 'made an album' });

  await reach(page, aPicture);
  await press(page, 'Enter');
  const viewer = page.getByRole('dialog', { name: 'Viewer' });
  await viewer.waitFor();
  await press(page, 'ArrowRight');
  await press(page, 'i');
  await page.getByText('SHA-256', { exact: false }).first().waitFor();
  await press(page, 'i');
  await page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'hidden' });
  const back = await press(page, 'Shift');
  require(aPicture(back), `the picture that was seen has the focus again, not ${back.html}`);
  say({ step: 'looked at the details' });

  const count = Number(/of (\d+)/.exec(back.name)[1]);
  await press(page, 'x');
  await page.getByText('1 selected').first().waitFor();
  await reach(page, named('Move to trash'));
  await press(page, 'Enter');
  await page.getByLabel(`of ${count - 1},`, { exact: false }).first().waitFor();
  await press(page, 'Shift');
  await reach(page, named('Undo'));
  await press(page, 'Enter');
  await page.getByLabel(`of ${count},`, { exact: false }).first().waitFor();
  await press(page, 'Shift');
  say({ step: 'took the deletion back' });

  await page.keyboard.press('/');
  await page.keyboard.type('IMG');
  await press(page, 'Enter');
  await page.getByLabel(`Photo 1 of ${count},`, { exact: false }).waitFor();
  await press(page, 'Shift');
  say({ step: 'searched' });
  require(wrong.length === 0, wrong.join('\n'));
});

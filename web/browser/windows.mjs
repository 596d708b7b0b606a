/**
 * Every page in windows from 320 to 3840 pixels, read from either side: what sticks out, what is cut, and what moves although a
 * person asked for stillness.
 *
 *   node windows.mjs BASE EMAIL PASSWORD
 */
import { DESKTOP, require as must, run, say, signIn, visit } from './harness.mjs';
import { flawsOf, movements } from './layout.mjs';
import { PAGES } from './pages.mjs';

const [base, email, password] = process.argv.slice(2);

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
    await page.locator('h1').first().waitFor({ state: 'attached' });
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
    say({ progress: name });
  }
  await context.close();
  return found;
}

await run(async (browser) => say({ step: 'looked', violations: await measure(browser) }));

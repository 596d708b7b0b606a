/**
 * What every browser test begins with: Chromium of the system, a page that fails on what must never happen (a broken policy, a
 * request to anybody else, an error nobody caught), and one JSON object per line for whoever runs the script.
 */
import { execFileSync } from 'node:child_process';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
];

export const DESKTOP = { viewport: { width: 1440, height: 900 }, locale: 'en-GB', timezoneId: 'Europe/Lisbon' };
export const PHONE = { ...DESKTOP, viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** Tells one fact to whoever runs the script. */
export function say(fact) {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

/** Waits for a line on standard input. */
export function told() {
  return new Promise((resolve) => process.stdin.once('data', resolve));
}

/** A browser. `close` ends it. */
export async function launch() {
  const executablePath = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim();
  return chromium.launch({ executablePath, args: FLAGS });
}

/** A page of a new visitor, and the list of what went wrong on it. */
export async function visit(browser, base, options = DESKTOP) {
  const context = await browser.newContext({ ...options, baseURL: base, acceptDownloads: true });
  const wrong = [];
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && message.text().startsWith('policy:')) wrong.push(message.text());
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== new URL(base).origin) {
      wrong.push(`request to ${url.origin}`);
    }
  });
  return { context, page, wrong };
}

/** Waits until nothing loads or moves any more: no request for a moment, no animation that ends, every picture there. */
export async function atRest(page) {
  await page.waitForLoadState('load');
  await page.waitForFunction(
    () => {
      const moves = document.getAnimations().some((each) => {
        const { iterations = 1 } = each.effect?.getTiming() ?? {};
        return each.playState === 'running' && iterations !== Infinity;
      });
      const loads = [...document.images].some((image) => !image.complete && image.loading !== 'lazy');
      const now = performance.now();
      const requests = performance.getEntriesByType('resource').length;
      const rest = (globalThis.restSince ??= { requests, since: now });
      if (moves || loads || requests !== rest.requests || document.querySelector('.busy'))
        Object.assign(rest, { requests, since: now });
      return now - rest.since > 250;
    },
    undefined,
    { polling: 50 }
  );
  await page.evaluate(() => delete globalThis.restSince);
}

/** Fails the script with a sentence. */
export function require(truth, sentence) {
  if (!truth) throw new Error(sentence);
}

/** Runs the script: an error becomes a line, with a picture of the page if there is one. */
export async function run(main) {
  const browser = await launch();
  try {
    await main(browser);
    say({ done: true });
  } catch (error) {
    const picture = process.env.PHOTOSYNC_TEST_PICTURES;
    for (const [at, context] of browser.contexts().entries()) {
      for (const page of context.pages()) {
        if (picture) await page.screenshot({ path: `${picture}/failed-${at}.png` }).catch(() => undefined);
      }
    }
    say({ failed: String(error.stack ?? error) });
  } finally {
    await browser.close();
  }
}

/** Makes the first account of a server in the browser, on its own machine. */
export async function setUp(page, email, password) {
  await page.goto('/');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByRole('navigation', { name: 'Main' }).first().waitFor();
}

/** Signs in on the page for it. */
export async function signIn(page, email, password) {
  await page.goto('/sign-in');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Main' }).first().waitFor();
}

/** Names files for the picker of the page, as a person would choose them. */
export async function choose(page, paths) {
  const input = page.locator('input[type=file]:not([webkitdirectory]):not([capture])').first();
  await input.setInputFiles(paths);
}

/**
 * What every browser test begins with: Chromium of the system, a page that fails on what must never happen (a broken policy, a
 * request to anybody else, an error nobody caught), and one JSON object per line for whoever runs the script.
 */
import { execFileSync } from 'node:child_process';
import http from 'node:http';
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
export const PHONE = {
  ...DESKTOP,
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
  userAgent:
    'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36'
};

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

/**
 * Stands between browser and server, under an address of its own that stays while the server comes and goes: can be away, hold
 * back what is sent, refuse files by name, and give out another version of the service worker.
 */
export async function between(base) {
  const server = new URL(base);
  const sockets = new Set();
  const middle = { base: '', newer: false, refuses: undefined, held: undefined, let: () => undefined, away, back, hold };
  const listener = http.createServer(async (request, answer) => {
    const told = String(request.headers['upload-metadata'] ?? '');
    const called = Buffer.from(/filename (\S+?)(,|$)/.exec(told)?.[1] ?? '', 'base64').toString();
    if (called && middle.refuses?.test(called)) {
      answer.writeHead(400, { 'content-type': 'application/json' });
      answer.end(JSON.stringify({ error: 'the name holds a character that no disk takes', code: 'bad_name' }));
      return;
    }
    if (request.method === 'PATCH') await middle.held;
    const { method, url: path } = request;
    const headers = { ...request.headers };
    const altered = middle.newer && path === '/service-worker.js';
    if (altered) {
      delete headers['accept-encoding'];
      delete headers['if-none-match'];
    }
    const onward = http.request({ host: server.hostname, port: server.port, method, path, headers }, (came) => {
      if (!altered) {
        answer.writeHead(came.statusCode, came.rawHeaders);
        came.pipe(answer);
        return;
      }
      const pieces = [];
      came.on('data', (piece) => pieces.push(piece));
      came.on('end', () => {
        const text = Buffer.concat(pieces).toString();
        answer.writeHead(200, { 'content-type': 'text/javascript', 'cache-control': 'no-cache' });
        answer.end(text.replaceAll(versionIn(text), 'a-newer-version'));
      });
    });
    onward.on('error', () => answer.destroy());
    request.on('error', () => onward.destroy());
    answer.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  listener.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  // A script that failed ends all the same.
  listener.unref();
  let port = 0;
  async function back() {
    await new Promise((resolve) => listener.listen(port, '127.0.0.1', resolve));
    port = listener.address().port;
    middle.base = `http://127.0.0.1:${port}`;
  }
  async function away() {
    const closed = new Promise((resolve) => listener.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }
  /** Keeps the bytes of uploads back until `let` is called. */
  function hold() {
    middle.held = new Promise((resolve) => (middle.let = resolve));
  }
  await back();
  return middle;
}

/** The version that the build wrote into the service worker. */
function versionIn(text) {
  const found = /["'`]([0-9a-f]{16})["'`]/.exec(text);
  require(found, 'the service worker names no version');
  return found[1];
}

/** Waits until the service worker runs and holds the page. */
export async function worker(page) {
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    if (navigator.serviceWorker.controller) return;
    await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
  });
}

/** Sends a form with photos to where shared ones come in, by leaving the page: as a phone does, and as a hostile page would. */
export async function submitShare(page, action, files) {
  await page.evaluate(
    ([target, contents]) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', enctype: 'multipart/form-data', action: target });
      const input = Object.assign(document.createElement('input'), { type: 'file', name: 'files', multiple: true });
      const transfer = new DataTransfer();
      for (const [name, bytes] of contents) {
        const whole = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([whole], name, { type: 'image/jpeg' }));
      }
      input.files = transfer.files;
      form.append(input);
      document.body.append(form);
      form.submit();
    },
    [action, files]
  );
}

/** A finger: where it goes, step by step. `hold` keeps it still first. */
export async function touch(page, from, to = from, { hold = 0, steps = 8 } = {}) {
  const session = await page.context().newCDPSession(page);
  const send = (type, points) => session.send('Input.dispatchTouchEvent', { type, touchPoints: points });
  await send('touchStart', [from]);
  if (hold) await page.waitForTimeout(hold);
  for (let step = 1; step <= steps && to !== from; step += 1) {
    const part = step / steps;
    await send('touchMove', [{ x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part }]);
    await page.waitForTimeout(16);
  }
  await send('touchEnd', []);
  await session.detach();
}

/** The middle of an element on the screen. */
export async function middleOf(locator) {
  const box = await locator.boundingBox();
  require(box, 'an element that is not on the screen');
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/**
 * Photographs every page and every state of it, in light and dark, on a desk and in a hand, against a real server with a library
 * drawn by code. For looking at, by people.
 *
 *   node screenshots.mjs BASE EMAIL PASSWORD OUT FRESH-BASE
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { landscape, library } from './draw.mjs';
import { DESKTOP, PHONE, between, choose, require, run, signIn, submitShare, visit, worker } from './harness.mjs';
import { PAGES, SERVER_PAGES } from './pages.mjs';

const [base, email, password, out, fresh] = process.argv.slice(2);
const COUNT = 60;
const taken = new Map();

/** A request as a page of the server makes it. */
async function asPerson() {
  const headers = { origin: base, 'content-type': 'application/json' };
  const entered = await fetch(`${base}/api/v2/web/session`, { method: 'POST', headers, body: JSON.stringify({ email, password }) });
  const cookie = entered.headers.get('set-cookie').split(';')[0];
  const { csrf } = await entered.json();
  return async (method, address, body, more = {}) => {
    const all = { ...headers, cookie, 'x-photosync-csrf': csrf, ...more };
    const answer = await fetch(base + address, { method, headers: all, body });
    require(answer.ok, `${method} ${address}: ${answer.status} ${await answer.clone().text()}`);
    return answer.status === 204 ? undefined : answer.json();
  };
}

const CAPTIONS = ['The first morning, before anybody was up', 'Where the path ends', 'It rained an hour later'];

/** Pictures of two years, some with a caption, some marked, three albums, something in the archive and in the trash. */
async function furnish(page) {
  const ask = await asPerson();
  const json = (method, address, body) => ask(method, address, JSON.stringify(body));
  const ids = [];
  for (const { name, captured, bytes } of await library(page, COUNT)) {
    const more = {
      'content-type': 'application/octet-stream',
      'photosync-name': name,
      'photosync-captured': captured,
      'photosync-captured-source': 'library'
    };
    ids.push((await ask('PUT', '/api/v2/library/assets', bytes, more)).id);
  }
  for (const [at, caption] of CAPTIONS.entries()) await json('PATCH', '/api/v2/library/assets', { ids: [ids[at * 3 + 1]], caption });
  await json('PATCH', '/api/v2/library/assets', { ids: ids.filter((_, at) => at % 7 === 2), favourite: true });
  for (const [name, from, to] of [['Coast and islands', 0, 24], ['Mountains in March', 24, 40], ['An album with a name that is much longer than the others', 40, 47]]) {
    await json('POST', '/api/v2/albums', { name, ids: ids.slice(from, to) });
  }
  await json('PATCH', '/api/v2/library/assets', { ids: ids.slice(48, 52), archived: true });
  await json('POST', '/api/v2/admin/users', { email: 'ben@example.org', name: 'Ben', role: 'member', quota_bytes: 50e9 });
  const end = Date.now() + 240_000;
  while ((await ask('GET', '/api/v2/me')).media_waiting > 0) {
    require(Date.now() < end, 'thumbnails are not ready after four minutes');
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  // Only now: nothing in the trash gets a thumbnail any more.
  await json('POST', '/api/v2/library/trash', { ids: ids.slice(53, 57) });
}

/** What a person does before each state that is no page of its own. */
const STATES = [
  ['selection', '/', async (page) => {
    await first(page).focus();
    for (const key of ['x', 'ArrowRight', 'x', 'ArrowRight', 'x']) await page.keyboard.press(key);
    await page.getByText('3 selected').first().waitFor();
  }],
  ['add-to-album', '/', async (page) => {
    await first(page).focus();
    await page.keyboard.press('x');
    await page.getByRole('button', { name: 'Add to album' }).first().click();
    await page.getByLabel('Name of the album').waitFor();
  }],
  ['trashed-undo', '/favourites', async (page) => {
    await first(page).focus();
    await page.keyboard.press('x');
    await page.getByRole('button', { name: 'Move to trash' }).first().click();
    await page.getByRole('button', { name: 'Undo' }).waitFor();
  }, async (page) => {
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByRole('button', { name: 'Undo' }).waitFor({ state: 'hidden' });
  }],
  ['empty-trash', '/trash', async (page) => {
    await page.getByRole('button', { name: 'Empty' }).first().click();
    await page.getByRole('dialog').waitFor();
  }],
  ['album', '/albums', async (page) => page.getByRole('link', { name: /Coast/ }).first().click()],
  ['map-place', '/map', async (page) => {
    await page.getByRole('list', { name: 'Places' }).getByRole('button').first().click();
    await page.getByRole('region', { name: 'Photos here' }).locator('img.loaded').first().waitFor();
  }],
  ['search-found', '/search?q=IMG_41', async (page) => first(page).waitFor()],
  ['search-nothing', '/search?q=a+word+that+nobody+used'],
  ['menu', '/', async (page) => page.getByRole('button', { name: 'Add photos' }).click()],
  ['more', '/more'],
  ['link-used', '/link#psl_used-before'],
  ['offline', '/', undefined, undefined, 'away']
];

const first = (page) => page.locator('a[data-index="0"]').first();

async function shoot(page, name, look) {
  await page.waitForLoadState('load');
  await page.evaluate(() => Promise.all([...document.images].filter(({ src }) => src).map((picture) => picture.decode().catch(() => 0))));
  await page.waitForTimeout(450);
  const file = `${name}-${look}.png`;
  await page.screenshot({ path: path.join(out, file) });
  taken.set(name, [...(taken.get(name) ?? []), file]);
}

/** The tray with every state at once: the first is refused, two are held back, one is known, the others wait. */
async function tray(page, middle, files, look) {
  await page.goto('/');
  await first(page).waitFor();
  middle.hold();
  middle.refuses = /broken/;
  await choose(page, files);
  await page.locator('[data-tray]').getByText('Not stored', { exact: false }).or(page.locator('[data-tray] .bad')).first().waitFor();
  await shoot(page, 'uploads', look);
  await page.locator('[data-tray]').getByRole('button', { name: 'Pause' }).click();
  await shoot(page, 'uploads-paused', look);
  await page.locator('[data-tray]').getByRole('button', { name: 'Close' }).click();
  await page.getByRole('dialog').waitFor();
  await shoot(page, 'uploads-stop', look);
  await page.getByRole('button', { name: 'Stop uploading' }).click();
  middle.refuses = undefined;
  middle.let();
  middle.held = undefined;
}

async function everything(browser, look, options) {
  const middle = await between(base);
  const { context, page } = await visit(browser, middle.base, options);
  await page.goto('/sign-in');
  await page.getByLabel('E-mail').waitFor();
  await shoot(page, 'sign-in', look);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await shoot(page, 'sign-in-refused', look);
  await signIn(page, email, password);
  await worker(page);
  for (const [name, address, prepare] of [...PAGES, ...SERVER_PAGES]) {
    await page.goto(address);
    if (prepare) await prepare(page);
    await shoot(page, name, look);
  }
  for (const [name, address, prepare, after, server] of STATES) {
    if (server === 'away') await middle.away();
    await page.goto(address);
    if (prepare) await prepare(page);
    await shoot(page, name, look);
    if (after) await after(page);
    if (server === 'away') await middle.back();
  }
  await page.goto('/');
  await first(page).waitFor();
  const drawn = [];
  for (const [at, name] of ['broken.jpg', 'one.jpg', 'two.jpg', 'a name that is far too long to be shown in one line of the tray.jpg', 'five.jpg'].entries()) {
    drawn.push({ name, mimeType: 'image/jpeg', buffer: Buffer.from(await landscape(page, 500 + at, 1200, 800), 'base64') });
  }
  await submitShare(page, '/share-target', drawn.slice(0, 3).map(({ name, buffer }) => [name, buffer.toString('base64')]));
  await page.getByRole('dialog').getByRole('button', { name: 'Discard' }).waitFor();
  await shoot(page, 'shared', look);
  await page.getByRole('button', { name: 'Discard' }).click();
  const known = { name: 'known.jpg', mimeType: 'image/jpeg', buffer: Buffer.from(await landscape(page, 1, 1600, 1067), 'base64') };
  await tray(page, middle, [...drawn, known], look);
  middle.newer = true;
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  await page.locator('[data-new-version]').waitFor();
  await shoot(page, 'new-version', look);
  await context.close();
  await middle.away();
}

/** A server nobody has used: its first page, then what there is to see without a single photo. */
async function empty(browser, look, options, setUpNow) {
  const { context, page } = await visit(browser, fresh, options);
  if (setUpNow) {
    await page.goto('/setup');
    await page.getByRole('button', { name: 'Create account' }).waitFor();
    await shoot(page, 'setup', look);
  }
  return { context, page };
}

function index() {
  const rows = [...taken].map(
    ([name, files]) =>
      `<h2>${name}</h2><p>${files.map((file) => `<a href="${file}"><img loading="lazy" alt="${file}" src="${file}"></a>`).join('')}</p>`
  );
  const style = 'body{font:15px system-ui;margin:2rem;background:#888}p{display:flex;gap:1rem;align-items:start}img{max-height:26rem;box-shadow:0 2px 12px #0006}';
  writeFileSync(path.join(out, 'index.html'), `<!doctype html><meta charset="utf-8"><title>Screenshots</title><style>${style}</style>${rows.join('')}`);
}

const LOOKS = [['desk', DESKTOP], ['hand', PHONE]].flatMap(([size, profile]) =>
  ['light', 'dark'].map((colorScheme) => [`${size}-${colorScheme}`, { ...profile, colorScheme, reducedMotion: 'reduce' }])
);

await run(async (browser) => {
  mkdirSync(out, { recursive: true });
  const studio = await browser.newPage();
  await furnish(studio);
  await studio.close();
  for (const [look, options] of LOOKS) {
    const { context } = await empty(browser, look, options, true);
    await context.close();
  }
  const { context, page } = await visit(browser, fresh);
  await page.goto('/setup');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByRole('navigation', { name: 'Main' }).first().waitFor();
  await context.close();
  for (const [look, options] of LOOKS) {
    const own = await empty(browser, look, options, false);
    await signIn(own.page, email, password);
    for (const place of ['', 'albums', 'favourites', 'videos', 'archive', 'trash', 'devices']) {
      await own.page.goto(`/${place}`);
      await shoot(own.page, `empty-${place || 'timeline'}`, look);
    }
    await own.context.close();
    await everything(browser, look, options);
  }
  index();
});

/**
 * The app as a browser keeps it: opens while the server is away and comes back by itself, tells of a new version and takes it when
 * nothing is sent any more, shows how far uploads are outside of the page, and keeps nothing of who signed out.
 *
 *   node pwa.mjs BASE EMAIL PASSWORD PHOTO
 */
import { readFileSync } from 'node:fs';

import { between, choose, require, run, say, signIn, visit, worker } from './harness.mjs';

const [base, email, password, photo] = process.argv.slice(2);

const shells = (page) => page.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith('photosync-shell-')));
const seen = (page) =>
  page.evaluate(async () => {
    const kept = (await caches.has('photosync-seen')) ? await (await caches.open('photosync-seen')).keys() : [];
    return kept.map(({ url }) => new URL(url).pathname);
  });

async function manifest(page) {
  const told = await page.evaluate(async () => {
    const link = document.querySelector('link[rel=manifest]').href;
    const answer = await fetch(link);
    const own = await answer.json();
    const icons = await Promise.all(
      own.icons.map(async ({ src, sizes, type, purpose }) => {
        const picture = await createImageBitmap(await (await fetch(src)).blob()).catch(() => undefined);
        return { sizes, type, purpose, drawn: picture && `${picture.width}x${picture.height}` };
      })
    );
    return { kind: answer.headers.get('content-type'), own, icons };
  });
  require(told.kind.startsWith('application/manifest+json'), `type of the manifest: ${told.kind}`);
  for (const { sizes, type, drawn } of told.icons) {
    require(type === 'image/svg+xml' || drawn === sizes, `an icon of ${sizes} is ${drawn}`);
  }
  require(told.icons.filter(({ purpose }) => purpose === 'maskable').length === 2, 'maskable icons');
  require(told.own.share_target.action === '/share-target', 'the share target');
  const session = await page.context().newCDPSession(page);
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  const wrong = installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito');
  require(wrong.length === 0, `it cannot be installed: ${wrong.join(', ')}`);
}

async function away(page, middle) {
  await middle.away();
  await page.goto('/albums');
  await page.locator('[data-offline]').getByRole('heading', { name: 'The server cannot be reached' }).waitFor();
  await page.reload();
  await page.locator('[data-offline]').waitFor();
  say({ step: 'opened without a server' });
  await page.evaluate(() => (globalThis.sameDocument = true));
  await middle.back();
  await page.getByRole('navigation', { name: 'Main' }).first().waitFor();
  require(await page.evaluate(() => globalThis.sameDocument === true), 'it came back by itself, not by a reload');
  say({ step: 'came back by itself' });
}

async function newVersion(page, middle) {
  await page.goto('/');
  const before = await shells(page);
  require(before.length === 1, `one shell is kept: ${before}`);
  middle.hold();
  await choose(page, [photo]);
  await page.waitForFunction(() => /^\d+ % · /.test(document.title));
  require((await page.evaluate(() => globalThis.badges.at(-1))) === 1, 'the icon says that one file is left');
  middle.newer = true;
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
  const note = page.locator('[data-new-version]');
  await note.getByText('A new version of PhotoSync is here.').waitFor();
  await page.evaluate(() => (globalThis.sameDocument = true));
  await note.getByRole('button', { name: 'Reload' }).click();
  await note.getByText('as soon as the uploads are done').waitFor();
  require(await page.evaluate(() => globalThis.sameDocument === true), 'nothing is reloaded while something is sent');
  middle.let();
  await page.waitForFunction(() => globalThis.sameDocument === undefined, undefined, { polling: 100 });
  await page.getByRole('navigation', { name: 'Main' }).first().waitFor();
  await page.waitForFunction(() => !document.title.includes('%'));
  await page.waitForFunction(async () => (await caches.keys()).includes('photosync-shell-a-newer-version'));
  const after = await shells(page);
  require(after.length === 1, `the old version is gone: ${after}`);
  say({ step: 'took the new version when all was sent' });
}

/** Signs out while a file waits to be sent: only after a question. */
async function signOutAmid(page, middle) {
  middle.hold();
  await choose(page, { name: 'late.jpg', mimeType: 'image/jpeg', buffer: Buffer.concat([readFileSync(photo), Buffer.from('!')]) });
  await page.waitForFunction(() => /^\d+ % · /.test(document.title));
  await page.getByRole('link', { name: 'Account' }).first().click();
  const leave = page.getByRole('button', { name: 'Sign out', exact: true });
  await leave.first().click();
  const question = page.getByRole('dialog', { name: 'Sign out and stop uploading?' });
  await question.getByText('1 file has not arrived yet.', { exact: false }).waitFor();
  await question.getByRole('button', { name: 'Cancel' }).click();
  await question.waitFor({ state: 'hidden' });
  await leave.first().click();
  await question.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('E-mail').waitFor();
  require(!(await page.title()).includes('%'), 'nothing is sent any more');
  middle.let();
  say({ step: 'was asked before what is unfinished is given up' });
}

await run(async (browser) => {
  const middle = await between(base);
  const { context, page, wrong } = await visit(browser, middle.base);
  await context.addInitScript(() => {
    globalThis.badges = [];
    navigator.setAppBadge = async (count) => void globalThis.badges.push(count);
    navigator.clearAppBadge = async () => void globalThis.badges.push(0);
  });
  await signIn(page, email, password);
  await worker(page);
  await manifest(page);
  say({ step: 'can be installed' });
  await page.reload();
  await page.locator('a[data-index="0"] img.loaded').first().waitFor();
  const kept = await seen(page);
  require(kept.length > 0 && kept.every((path) => path.endsWith('/renditions/thumb')), `thumbnails, nothing else: ${kept}`);
  await away(page, middle);
  await newVersion(page, middle);

  await signOutAmid(page, middle);
  await page.waitForFunction(async () => !(await caches.has('photosync-seen')));
  say({ step: 'kept nothing of who signed out' });
  await middle.away();
  require(wrong.length === 0, wrong.join('\n'));
});

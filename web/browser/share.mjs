/**
 * Photos shared from elsewhere on the device: by the service worker, which asks first; by the server where none runs; and from a
 * page elsewhere, which must not get anything in.
 *
 *   node share.mjs BASE EMAIL PASSWORD PHOTO PHOTO PHOTO
 */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { DESKTOP, require, run, say, signIn, submitShare, visit, worker } from './harness.mjs';

const [base, email, password, ...paths] = process.argv.slice(2);
const photos = paths.map((file) => [path.basename(file), readFileSync(file).toString('base64')]);
const target = `${base}/share-target`;

/** A page of somebody else: another site to the browser. */
async function elsewhere() {
  const server = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end('<!doctype html><title>elsewhere</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://localhost:${server.address().port}/`, close: () => server.close() };
}

async function byWorker(browser, hostile) {
  const { context, page, wrong } = await visit(browser, base);
  await signIn(page, email, password);
  await worker(page);
  await submitShare(page, '/share-target', photos.slice(0, 2));
  const question = page.getByRole('dialog', { name: 'Add 2 shared photos?' });
  await question.getByText(photos[1][0]).waitFor();
  await question.getByRole('button', { name: 'Add', exact: true }).click();
  await page.locator('[data-tray]').getByText('2 files are safe').waitFor();
  require(!page.url().includes('shared'), `the address is plain again: ${page.url()}`);
  say({ step: 'shared with a service worker' });

  // Anybody can send the form there; nothing of it leaves the browser before a person agrees.
  const other = await context.newPage();
  await other.goto(hostile.address);
  await submitShare(other, target, photos.slice(2));
  const forged = other.getByRole('dialog', { name: 'Add 1 shared photo?' });
  await forged.getByRole('button', { name: 'Discard' }).click();
  await forged.waitFor({ state: 'hidden' });
  await other.reload();
  await other.getByLabel('Photo 1 of 2', { exact: false }).first().waitFor();
  require((await other.getByRole('dialog').count()) === 0, 'what was discarded is gone');
  say({ step: 'a page elsewhere had to ask' });
  require(wrong.length === 0, wrong.join('\n'));
  await context.close();
}

async function byServer(browser, hostile) {
  const { context, page, wrong } = await visit(browser, base, { ...DESKTOP, serviceWorkers: 'block' });
  await page.goto('/sign-in');
  await submitShare(page, '/share-target', photos.slice(2));
  await page.getByRole('alert').getByText('could not tell whose they are').waitFor();
  await signIn(page, email, password);
  await submitShare(page, '/share-target', photos.slice(1));
  const news = page.getByRole('status');
  await news.getByText('1 shared photo is safe').waitFor();
  await news.getByText('1 shared photo was there already').waitFor();
  await page.getByLabel('Photo 1 of 3', { exact: false }).first().waitFor();
  require(!page.url().includes('shared'), `the address is plain again: ${page.url()}`);
  say({ step: 'shared with the server alone' });

  const other = await context.newPage();
  await other.goto(hostile.address);
  const answer = other.waitForResponse((response) => response.url() === target);
  await submitShare(other, target, [['forged.jpg', Buffer.from('forged').toString('base64')]]);
  require((await answer).status() === 403, `a page elsewhere was answered ${(await answer).status()}`);
  say({ step: 'a page elsewhere was refused' });
  require(wrong.length === 0, wrong.join('\n'));
}

await run(async (browser) => {
  const hostile = await elsewhere();
  try {
    await byWorker(browser, hostile);
    await byServer(browser, hostile);
  } finally {
    hostile.close();
  }
});

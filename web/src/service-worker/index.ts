/**
 * What runs in the browser beside the pages, over HTTPS only: opens the app while the server cannot be reached, keeps thumbnails
 * seen lately, and takes photos that other apps share. It answers no question of the API, and keeps no original.
 */

import { build, files, prerendered, version } from '$service-worker';

import { SEEN, SEEN_COUNT, SHARE_FIELD, SHARE_PATH, SHELL, isPage, isThumbnail, type Word } from '../lib/pwa/caches';
import { forgetShared, keepShared } from '../lib/pwa/shared';

const worker = globalThis as unknown as ServiceWorkerGlobalScope;

const SHELL_NOW = SHELL + version;
/** The page of every address. */
const PAGE = '/';
const OWN = new Set([...build, ...files, ...prerendered]);
/** A server that has not answered a page for so long is out of reach for now. */
const PATIENCE_MS = 5000;
/** What proxies say whose server is away. */
const AWAY = new Set([502, 503, 504]);
/** Thumbnails are counted after this many new ones. */
const COUNT_EVERY = 50;

/** Changes when somebody signs out: what was asked for before is no longer kept. */
let era = 0;
let added = 0;

worker.addEventListener('install', (event) => event.waitUntil(fill()));
worker.addEventListener('activate', (event) => event.waitUntil(tidy()));

/** Everything of this version, or nothing: an installation that fails is tried again later. */
async function fill(): Promise<void> {
  const shell = await caches.open(SHELL_NOW);
  await shell.addAll([...OWN]);
  const page = await fetch(PAGE, { cache: 'reload' });
  // The server may have been replaced a moment ago: a page of another version would name files that are not here.
  const named = await page.clone().text();
  const belongs = build.some((path) => path.includes('/entry/start') && named.includes(path));
  if (!page.ok || !belongs) throw new Error('the page belongs to another version');
  await shell.put(PAGE, page);
}

async function tidy(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(SHELL) && name !== SHELL_NOW) await caches.delete(name);
  }
  await worker.clients.claim();
}

worker.addEventListener('message', (event) => {
  const word = event.data as Word;
  if (word === 'take-over') void worker.skipWaiting();
  else if (word === 'version') event.ports[0]?.postMessage(version);
  else if (word === 'forget') event.waitUntil(forget());
});

async function forget(): Promise<void> {
  era += 1;
  await caches.delete(SEEN);
  await forgetShared();
}

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== worker.location.origin) return;
  if (request.method === 'POST' && url.pathname === SHARE_PATH) event.respondWith(takeShared(request));
  else if (request.method !== 'GET') return;
  else if (request.mode === 'navigate') {
    if (isPage(url)) event.respondWith(openPage(request));
  } else if (OWN.has(url.pathname)) event.respondWith(ownFile(url.pathname, request));
  else if (isThumbnail(url)) event.respondWith(thumbnail(event, request));
});

/** The page as the server has it now; the kept one when it does not answer. */
async function openPage(request: Request): Promise<Response> {
  const kept = await (await caches.open(SHELL_NOW)).match(PAGE);
  if (!kept) return fetch(request);
  const answer = fetch(request).catch(() => undefined);
  const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MS));
  const first = await Promise.race([answer, late]);
  return first && !AWAY.has(first.status) ? first : kept;
}

async function ownFile(path: string, request: Request): Promise<Response> {
  const kept = await (await caches.open(SHELL_NOW)).match(path);
  return kept ?? fetch(request);
}

async function thumbnail(event: FetchEvent, request: Request): Promise<Response> {
  const seen = await caches.open(SEEN);
  const kept = await seen.match(request);
  if (kept) return kept;
  const now = era;
  const answer = await fetch(request);
  if (answer.status === 200) {
    const copy = answer.clone();
    event.waitUntil(
      (async () => {
        // No room is no reason to say anything: the picture is shown all the same.
        if (now === era) await seen.put(request, copy).catch(() => undefined);
        added += 1;
        if (added % COUNT_EVERY === 1) await bound(seen);
      })()
    );
  }
  return answer;
}

/** Forgets the oldest beyond the bound: caches list in order of arrival. */
async function bound(seen: Cache): Promise<void> {
  const all = await seen.keys();
  for (const old of all.slice(0, Math.max(0, all.length - SEEN_COUNT))) await seen.delete(old);
}

/**
 * Keeps what another app shares, and opens the page that asks. It is never handed on to the server from here: a page elsewhere may
 * have sent it, and the server could no longer tell.
 */
async function takeShared(request: Request): Promise<Response> {
  let outcome = 'here';
  try {
    const form = await request.formData();
    const shared = form.getAll(SHARE_FIELD).filter((part) => part instanceof File);
    await keepShared(shared, Date.now());
    if (shared.length === 0) outcome = '0';
  } catch {
    outcome = 'lost';
  }
  return Response.redirect(`/?shared=${outcome}`, 303);
}

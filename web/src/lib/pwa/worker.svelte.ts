/**
 * The page's side of the service worker: starts it where browsers have one (never over plain HTTP), tells of a new version, and
 * empties what is kept when somebody signs out.
 */

import { dev, version } from '$app/environment';

import { SEEN, type Word } from './caches';
import { forgetShared } from './shared';

/** How often a page that stays open asks whether there is a new version. */
const LOOK_EVERY_MS = 3_600_000;
/** A new service worker asks for every file of the app: that waits until nobody has touched the page for so long. */
const REST_MS = 4000;
/** What a person does. */
const TOUCHES = ['scroll', 'keydown', 'pointerdown'] as const;

let waiting = $state.raw<ServiceWorker>();
let replaced = $state(false);
let wished = false;

export const update = {
  /** Whether a newer version is here than the page shows. */
  get there(): boolean {
    return waiting !== undefined || replaced;
  }
};

/** Shows the new version. Whoever calls looks first that nothing is lost by that. */
export function useNewVersion(): void {
  wished = true;
  if (waiting) say(waiting, 'take-over');
  else location.reload();
}

function say(to: ServiceWorker, word: Word, ports: MessagePort[] = []): void {
  to.postMessage(word, ports);
}

function versionOf(other: ServiceWorker): Promise<string> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (event) => resolve(String(event.data));
    say(other, 'version', [port2]);
  });
}

/** A new service worker that waits: if the page is of its version already, it may begin; else a person is told. */
async function meet(other: ServiceWorker | null): Promise<void> {
  if (!other) return;
  if ((await versionOf(other)) === version) say(other, 'take-over');
  else waiting = other;
}

/** Starts it, once for each page. Does nothing where there is none. */
export async function startWorker(): Promise<void> {
  if (!isSecureContext || !('serviceWorker' in navigator)) return;
  const workers = navigator.serviceWorker;
  const had = workers.controller !== null;
  workers.addEventListener('controllerchange', () => {
    if (wished) location.reload();
    // Another page asked for it; this one may be in the middle of something.
    else if (had) void checkController();
  });
  await rested();
  try {
    const registration = await workers.register('/service-worker.js', {
      type: dev ? 'module' : 'classic',
      updateViaCache: 'none'
    });
    if (had) void meet(registration.waiting);
    registration.addEventListener('updatefound', () => {
      const coming = registration.installing;
      coming?.addEventListener('statechange', () => {
        // The very first one replaces nothing.
        if (coming.state === 'installed' && workers.controller) void meet(coming);
      });
    });
    let looked = Date.now();
    const look = () => {
      if (document.hidden || Date.now() - looked < LOOK_EVERY_MS) return;
      looked = Date.now();
      registration.update().catch(() => undefined);
    };
    document.addEventListener('visibilitychange', look);
    setInterval(look, LOOK_EVERY_MS / 4);
  } catch {
    // Refused by the browser (a private window, no room): the app works without it.
  }
}

function rested(): Promise<void> {
  return new Promise((resolve) => {
    const rest = () => {
      for (const touch of TOUCHES) removeEventListener(touch, touched, true);
      resolve();
    };
    let timer = setTimeout(rest, REST_MS);
    const touched = () => {
      clearTimeout(timer);
      timer = setTimeout(rest, REST_MS);
    };
    for (const touch of TOUCHES) addEventListener(touch, touched, { capture: true, passive: true });
  });
}

async function checkController(): Promise<void> {
  waiting = undefined;
  const now = navigator.serviceWorker.controller;
  if (now && (await versionOf(now)) !== version) replaced = true;
}

/** Nothing of the person who was signed in stays in this browser. */
export async function forgetPerson(): Promise<void> {
  try {
    const worker = navigator.serviceWorker?.controller;
    if (worker) say(worker, 'forget');
    // Also by the page itself: there may be no worker any more that once was.
    if ('caches' in globalThis) await caches.delete(SEEN);
    await forgetShared();
  } catch {
    // Where nothing can be kept, nothing was.
  }
}

interface InstallEvent extends Event {
  prompt: () => Promise<unknown>;
}

let offer = $state.raw<InstallEvent>();

export const install = {
  /** Whether the browser would install the app when asked to. */
  get possible(): boolean {
    return offer !== undefined;
  },
  async ask(): Promise<void> {
    const own = offer;
    offer = undefined;
    await own?.prompt();
  }
};

/** Listens for the browser's offer to install the app, so that it can be taken where a person looks for it. */
export function awaitOffer(): void {
  addEventListener('beforeinstallprompt', (event) => {
    event.preventDefault();
    offer = event as InstallEvent;
  });
  addEventListener('appinstalled', () => (offer = undefined));
}

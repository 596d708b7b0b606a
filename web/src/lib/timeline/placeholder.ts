/** ThumbHashes become small pictures, a few in every frame, and only those that are still wanted by then. */

import { thumbHashToAverageRGBA, thumbHashToDataURL } from 'thumbhash';

const CACHE_MOST = 2000;
/** Milliseconds of a frame that may go into this. */
const BUDGET_MS = 4;

const cache = new Map<string, string>();
const waiting = new Map<symbol, { hash: string; ready: (url: string) => void }>();
let scheduled = false;

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The one colour of a placeholder, at once. */
export function averageColour(hash: string): string | undefined {
  try {
    const { r, g, b } = thumbHashToAverageRGBA(bytesOf(hash));
    return `rgb(${Math.round(r * 255)} ${Math.round(g * 255)} ${Math.round(b * 255)})`;
  } catch {
    return undefined;
  }
}

/** The picture, if it was made before. */
export function knownPlaceholder(hash: string): string | undefined {
  return cache.get(hash);
}

/** Calls back with the picture in one of the next frames; the answer takes the wish back. */
export function wishPlaceholder(hash: string, ready: (url: string) => void): () => void {
  const key = Symbol();
  waiting.set(key, { hash, ready });
  if (!scheduled) {
    scheduled = true;
    requestAnimationFrame(work);
  }
  return () => waiting.delete(key);
}

function work(): void {
  const end = performance.now() + BUDGET_MS;
  for (const [key, { hash, ready }] of waiting) {
    if (performance.now() > end) break;
    waiting.delete(key);
    let url = cache.get(hash);
    if (!url) {
      try {
        url = thumbHashToDataURL(bytesOf(hash));
      } catch {
        continue;
      }
      if (cache.size >= CACHE_MOST) cache.delete(cache.keys().next().value ?? '');
      cache.set(hash, url);
    }
    ready(url);
  }
  scheduled = waiting.size > 0;
  if (scheduled) requestAnimationFrame(work);
}

/** Asks the worker for digests, one file after the other. */

import type { HashAnswer, HashRequest } from './hashing.worker';

let worker: Worker | undefined;
let last = 0;
const waiting = new Map<
  number,
  { resolve: (digest: Uint8Array) => void; reject: (error: Error) => void; progress: (bytes: number) => void }
>();

function start(): Worker {
  const made = new Worker(new URL('./hashing.worker.ts', import.meta.url), { type: 'module' });
  made.onmessage = (event: MessageEvent<HashAnswer>) => {
    const answer = event.data;
    const asked = waiting.get(answer.id);
    if (!asked) return;
    if ('done' in answer) {
      asked.progress(answer.done);
      return;
    }
    waiting.delete(answer.id);
    if ('digest' in answer) asked.resolve(answer.digest);
    else asked.reject(new Error(answer.failed));
  };
  made.onerror = () => {
    for (const { reject } of waiting.values()) reject(new Error('the worker that hashes stopped'));
    waiting.clear();
    worker = undefined;
  };
  return made;
}

/** SHA-256 of a file. Fails if the file can no longer be read. */
export function hashFile(file: Blob, progress: (bytes: number) => void): Promise<Uint8Array> {
  worker ??= start();
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, progress });
    worker?.postMessage({ id, file } satisfies HashRequest);
  });
}

export function hexOf(digest: Uint8Array): string {
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

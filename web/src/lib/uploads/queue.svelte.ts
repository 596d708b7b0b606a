/**
 * The upload tray's queue: hash, ask the server which are missing, send those. Two files are sent at a time; a broken connection is
 * waited out; what a reload interrupts goes on (kept.ts).
 */

import { ApiError, library } from '$lib/api';
import { loadAccount } from '$lib/shell/account.svelte';
import { session } from '$lib/session/session.svelte';
import { errorText } from '$lib/ui/toasts.svelte';

import { hashFile, hexOf } from './hashing';
import { forget, keep, listKept } from './kept';
import { sendFile } from './tus';

export type UploadState =
  | 'queued'
  | 'hashing'
  | 'asking'
  | 'uploading'
  | 'waiting'
  | 'done'
  | 'duplicate'
  | 'failed'
  /** Left by a reload, and its bytes are not here: the person chooses the file again. */
  | 'absent';

export class Upload {
  state = $state<UploadState>('queued');
  sentBytes = $state(0);
  reason = $state('');
  asset = $state<string>();
  digest: Uint8Array | undefined;
  abort: AbortController | undefined;
  attempts = 0;

  constructor(
    readonly key: string,
    readonly name: string,
    readonly size: number,
    readonly modifiedMs: number,
    readonly folder: string,
    public file: File | undefined
  ) {}

  get finished(): boolean {
    return this.state === 'done' || this.state === 'duplicate';
  }

  get active(): boolean {
    return ['hashing', 'asking', 'uploading', 'waiting'].includes(this.state);
  }
}

const SENT_AT_ONCE = 2;
/** Digests asked for together, at most. */
const ASKED_TOGETHER = 500;
/** Bytes of files that are kept over a reload. */
const KEPT_BYTES = 256 * 1024 * 1024;
const WAITS_MS = [1000, 2000, 4000, 8000, 15_000];

const HELD = 0;

class Queue {
  items = $state.raw<Upload[]>([]);
  paused = $state(false);
  open = $state(false);
  /** Bytes a second, smoothed. */
  speed = $state(0);

  readonly totals = $derived.by(() => {
    let [bytes, sent, finished, failed, absent] = [0, 0, 0, 0, 0];
    for (const item of this.items) {
      if (item.state === 'absent') absent++;
      else bytes += item.size;
      if (item.finished) {
        finished++;
        sent += item.size;
      } else {
        if (item.state === 'failed') failed++;
        if (item.state !== 'absent') sent += item.sentBytes;
      }
    }
    const count = this.items.length;
    return { count, bytes, sent, finished, failed, absent, running: count - finished - failed - absent };
  });

  /** Files that have not arrived, and would be given up. */
  get unfinished(): number {
    return this.totals.running + this.totals.absent;
  }

  #hashing = false;
  #asking = false;
  #keptBytes = 0;
  #restored = '';
  #measured = { time: 0, sent: 0 };
  #lock: WakeLockSentinel | undefined;

  /** Adds files; those that are in the queue already are not added twice, and those a reload left go on. */
  add(files: readonly { file: File; folder: string }[]): void {
    const known = new Map(this.items.map((item) => [item.key, item]));
    const added: Upload[] = [];
    for (const { file, folder } of files) {
      if (file.size === 0) continue;
      const key = keyOf(file, folder);
      const before = known.get(key) ?? known.get(keyOf(file, ''));
      if (before) {
        if (before.state === 'absent' || before.state === 'failed') {
          before.file = file;
          this.retry(before);
        }
        continue;
      }
      const item = new Upload(key, file.name, file.size, file.lastModified, folder, file);
      known.set(key, item);
      added.push(item);
    }
    this.items = [...this.items, ...added];
    this.open = true;
    void this.#keep(added);
    this.#next();
  }

  /** Takes up what a reload interrupted. May be called often. */
  async restore(): Promise<void> {
    const account = session.current?.account_uuid;
    if (!account || this.#restored === account) return;
    this.#restored = account;
    const left = await listKept(account);
    const known = new Set(this.items.map((item) => item.key));
    const items = left
      .filter(({ key }) => !known.has(key))
      .map((kept) => {
        const item = new Upload(kept.key, kept.name, kept.size, kept.modifiedMs, kept.folder, kept.file);
        if (!kept.file) item.state = 'absent';
        return item;
      });
    if (items.length === 0) return;
    this.items = [...this.items, ...items];
    this.open = true;
    this.#next();
  }

  pause(): void {
    this.paused = true;
    for (const item of this.items) item.abort?.abort();
  }

  resume(): void {
    this.paused = false;
    this.#next();
  }

  retry(item: Upload): void {
    item.state = 'queued';
    item.reason = '';
    item.attempts = 0;
    this.items = [...this.items];
    this.#next();
  }

  retryAll(): void {
    for (const item of this.items) if (item.state === 'failed') this.retry(item);
  }

  remove(item: Upload): void {
    item.abort?.abort();
    this.items = this.items.filter((each) => each !== item);
    void forget(item.key);
  }

  /** Closes the tray; what is not finished is given up only after a question. */
  clear(): void {
    for (const item of this.items) {
      item.abort?.abort();
      void forget(item.key);
    }
    this.items = [];
    this.open = false;
    this.paused = false;
  }

  async #keep(items: readonly Upload[]): Promise<void> {
    const account = session.current?.account_uuid;
    if (!account) return;
    for (const item of items) {
      const fits = this.#keptBytes + item.size <= KEPT_BYTES;
      if (fits) this.#keptBytes += item.size;
      const { key, name, size, modifiedMs, folder } = item;
      const file = fits ? item.file : undefined;
      if (item.finished) continue;
      await keep({ key, account, name, size, modifiedMs, folder, digest: '', file });
      if (item.finished) await forget(key);
    }
  }

  #next(): void {
    if (this.paused) return;
    void this.#hash();
    void this.#ask();
    this.#send();
    void this.#stayAwake();
  }

  async #hash(): Promise<void> {
    if (this.#hashing) return;
    this.#hashing = true;
    for (;;) {
      const item = this.paused ? undefined : this.items.find((each) => each.state === 'queued' && !each.digest);
      if (!item?.file) break;
      item.state = 'hashing';
      try {
        item.digest = await hashFile(item.file, () => undefined);
        item.state = 'asking';
      } catch {
        this.#fail(item, new ApiError(400, 'unreadable', 'the file can no longer be read'));
      }
      void this.#ask();
    }
    this.#hashing = false;
  }

  async #ask(): Promise<void> {
    if (this.#asking || this.paused) return;
    this.#asking = true;
    for (;;) {
      for (const item of this.items) if (item.state === 'queued' && item.digest) item.state = 'asking';
      const batch = this.items.filter((item) => item.state === 'asking').slice(0, ASKED_TOGETHER);
      if (batch.length === 0 || this.paused) break;
      const digests = new Uint8Array(batch.length * 32);
      batch.forEach((item, at) => digests.set(item.digest ?? new Uint8Array(32), at * 32));
      try {
        const answers = await library.missing(digests);
        const seen = new Set<string>();
        batch.forEach((item, at) => {
          const digest = hexOf(item.digest ?? new Uint8Array());
          // The same bytes twice in one choice are one original.
          const twice = seen.has(digest) || this.items.some((each) => each !== item && twin(each, digest));
          seen.add(digest);
          if (answers[at] === HELD || twice) this.#finish(item, 'duplicate');
          // Also what a person deleted once: to choose it again now is a wish.
          else item.state = 'waiting';
        });
        this.#send();
      } catch (error) {
        if (!(await this.#patience(batch, error))) break;
      }
    }
    this.#asking = false;
  }

  #send(): void {
    let free = SENT_AT_ONCE - this.items.filter((item) => item.state === 'uploading').length;
    for (const item of this.items) {
      if (free <= 0 || this.paused) return;
      if (item.state !== 'waiting' || item.abort) continue;
      free--;
      void this.#sendOne(item);
    }
  }

  async #sendOne(item: Upload): Promise<void> {
    if (!item.file || !item.digest) return;
    item.state = 'uploading';
    item.abort = new AbortController();
    try {
      const sent = await sendFile(
        {
          file: item.file,
          name: item.name,
          digest: hexOf(item.digest),
          modifiedMs: item.modifiedMs,
          folder: item.folder
        },
        item.abort.signal,
        (bytes) => {
          item.sentBytes = bytes;
          this.#measure();
        }
      );
      item.asset = sent.asset;
      this.#finish(item, 'done');
    } catch (error) {
      if (error instanceof DOMException && error.name === 'AbortError') item.state = 'waiting';
      else await this.#patience([item], error);
    } finally {
      item.abort = undefined;
    }
    this.#next();
  }

  /** Waits before another attempt if that may help; answers whether it may. */
  async #patience(items: readonly Upload[], error: unknown): Promise<boolean> {
    const passing = error instanceof ApiError && error.passing;
    const attempts = Math.max(...items.map((item) => ++item.attempts));
    const offline = error instanceof ApiError && error.status === 0;
    if (!passing || (!offline && attempts > WAITS_MS.length)) {
      for (const item of items) this.#fail(item, error);
      return false;
    }
    for (const item of items) {
      item.reason = errorText(error);
      if (item.state === 'uploading') item.state = 'waiting';
    }
    const wait = WAITS_MS[Math.min(attempts, WAITS_MS.length) - 1] ?? 1000;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, wait);
      function done() {
        clearTimeout(timer);
        removeEventListener('online', done);
        resolve();
      }
      addEventListener('online', done);
    });
    for (const item of items) item.reason = '';
    return true;
  }

  #fail(item: Upload, error: unknown): void {
    item.state = 'failed';
    item.reason = errorText(error);
  }

  #finish(item: Upload, state: 'done' | 'duplicate'): void {
    item.state = state;
    item.sentBytes = item.size;
    item.file = undefined;
    item.reason = '';
    void forget(item.key);
    if (this.totals.running === 0) void loadAccount();
  }

  #measure(): void {
    const now = performance.now();
    const { sent } = this.totals;
    if (now - this.#measured.time < 500) return;
    const passed = (now - this.#measured.time) / 1000;
    const own = Math.max(0, sent - this.#measured.sent) / passed;
    // The first measure after a pause would count the pause.
    this.speed = passed > 3 ? 0 : this.speed === 0 ? own : this.speed * 0.7 + own * 0.3;
    this.#measured = { time: now, sent };
  }

  /** Phones do not fall asleep while something is sent (only where the browser offers that: over HTTPS). */
  async #stayAwake(): Promise<void> {
    const wanted = this.totals.running > 0 && !this.paused;
    try {
      if (wanted && !this.#lock && 'wakeLock' in navigator) {
        this.#lock = await navigator.wakeLock.request('screen');
        this.#lock.addEventListener('release', () => (this.#lock = undefined));
      } else if (!wanted) {
        await this.#lock?.release();
      }
    } catch {
      // A wish that may be refused.
    }
  }
}

function twin(item: Upload, digest: string): boolean {
  const same = item.digest !== undefined && hexOf(item.digest) === digest;
  return same && ['waiting', 'uploading', 'done'].includes(item.state);
}

function keyOf(file: File, folder: string): string {
  return `${folder}/${file.name}|${file.size}|${file.lastModified}`;
}

export const queue = new Queue();

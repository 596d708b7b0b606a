/**
 * What of the queue survives a reload: in IndexedDB, with the files themselves as long as they are small enough together. For the
 * rest the page remembers name, size and time, and asks for the same files again; the server still has what it got.
 */

export interface Kept {
  key: string;
  account: string;
  name: string;
  size: number;
  modifiedMs: number;
  folder: string;
  digest: string;
  file: File | undefined;
}

const DATABASE = 'photosync-uploads';
const STORE = 'files';

function open(): Promise<IDBDatabase | undefined> {
  return new Promise((resolve) => {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'key' });
      request.onsuccess = () => resolve(request.result);
      // Private windows and full disks: nothing is kept, everything else works.
      request.onerror = () => resolve(undefined);
      request.onblocked = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
}

let database: Promise<IDBDatabase | undefined> | undefined;

async function run<Result>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<Result>
): Promise<Result | undefined> {
  const own = await (database ??= open());
  if (!own) return undefined;
  return new Promise((resolve) => {
    try {
      const request = work(own.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
}

export async function keep(item: Kept): Promise<void> {
  await run('readwrite', (store) => store.put(item));
}

export async function forget(key: string): Promise<void> {
  await run('readwrite', (store) => store.delete(key));
}

/** Files that wait here to be sent, whosever they are. */
export async function countKept(): Promise<number> {
  return (await run<number>('readonly', (store) => store.count())) ?? 0;
}

/** What an account left unfinished here. */
export async function listKept(account: string): Promise<Kept[]> {
  const all = (await run<Kept[]>('readonly', (store) => store.getAll())) ?? [];
  return all.filter((item) => item.account === account);
}

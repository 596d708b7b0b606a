/**
 * Photos that another app shared, between the service worker that took them and the page that asks what to do with them. Nothing
 * of it is sent before a person agrees: any page may send a form to the address where they come in.
 */

const DATABASE = 'photosync-shared';
const STORE = 'files';
/** What nobody asked for is forgotten: a day. */
const LIFE_MS = 24 * 3_600_000;

interface Row {
  /** Unix milliseconds. */
  at: number;
  file: File;
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('IndexedDB cannot be opened'));
  });
}

/** Runs one transaction to its end; what it did is on the disk then. */
async function run<Result>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<Result> | undefined
): Promise<Result | undefined> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: 'strict' });
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request?.result);
      transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB gave up'));
    });
  } finally {
    database.close();
  }
}

/** Keeps all of them, or throws and keeps none. */
export async function keepShared(files: readonly File[], now: number): Promise<void> {
  await run('readwrite', (store) => {
    for (const file of files) store.add({ at: now, file } satisfies Row);
    return undefined;
  });
}

/** What waits, oldest first. */
export async function listShared(now: number): Promise<File[]> {
  const rows = (await run<Row[]>('readonly', (store) => store.getAll())) ?? [];
  const fresh = rows.filter(({ at }) => now - at < LIFE_MS);
  if (fresh.length === 0 && rows.length > 0) await forgetShared();
  return fresh.map(({ file }) => file);
}

export async function forgetShared(): Promise<void> {
  await run('readwrite', (store) => store.clear());
}

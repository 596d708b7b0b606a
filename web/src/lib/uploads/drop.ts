/** Files out of what is dropped, pasted or chosen, with the folders they lay in. */

export interface Found {
  file: File;
  folder: string;
}

/** Files of an input; with `webkitdirectory` their paths are known. */
export function filesOf(list: FileList | readonly File[] | null): Found[] {
  return Array.from(list ?? []).map((file) => ({
    file,
    folder: file.webkitRelativePath.split('/').slice(0, -1).join('/')
  }));
}

/** Everything that was dropped, folders opened. The entries must be taken while the event runs; this does. */
export async function filesDropped(transfer: DataTransfer): Promise<Found[]> {
  const entries = Array.from(transfer.items).flatMap((item) => item.webkitGetAsEntry() ?? []);
  if (entries.length === 0) return filesOf(transfer.files);
  const found: Found[] = [];
  for (const entry of entries) await walk(entry, '', found);
  return found;
}

async function walk(entry: FileSystemEntry, folder: string, found: Found[]): Promise<void> {
  if (entry.isFile) {
    const file = await new Promise<File | undefined>((resolve) =>
      (entry as FileSystemFileEntry).file(resolve, () => resolve(undefined))
    );
    if (file && !file.name.startsWith('.')) found.push({ file, folder });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const own = folder ? `${folder}/${entry.name}` : entry.name;
  for (;;) {
    // A reader gives at most 100 entries at a time, and none at the end.
    const batch = await new Promise<FileSystemEntry[]>((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (batch.length === 0) return;
    for (const each of batch) await walk(each, own, found);
  }
}

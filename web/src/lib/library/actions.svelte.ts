/**
 * What a person does with pictures, wherever they are shown: the grid shows it at once, the server does it, and what can be taken
 * back says how.
 */

import { MAX_CHOSEN, albums, library, type Album, type Edit, type Tile } from '$lib/api';
import { t } from '$lib/text/index.svelte';
import type { Source } from '$lib/timeline/source';
import { ask } from '$lib/ui/confirm.svelte';
import { tell, tellError } from '$lib/ui/toasts.svelte';
import { forgetDetails } from '$lib/viewer/details.svelte';
import { sizeText } from '$lib/text/format';

/** Below this a download begins without a question. */
const LARGE_BYTES = 2_000_000_000;

function idsOf(tiles: readonly Tile[]): string[] {
  return tiles.slice(0, MAX_CHOSEN).map((tile) => tile.id);
}

/** Does it, and shows everything as the server has it if that fails. */
async function attempt(source: Source, tiles: readonly Tile[], change: () => Promise<unknown>): Promise<boolean> {
  try {
    await change();
    forgetDetails(idsOf(tiles));
    return true;
  } catch (error) {
    tellError(error);
    await source.refresh();
    return false;
  }
}

/** Changes one picture; answers whether the server took it. */
export async function editOne(id: string, edit: Omit<Edit, 'ids'>): Promise<boolean> {
  try {
    await library.edit({ ids: [id], ...edit });
    forgetDetails([id]);
    return true;
  } catch (error) {
    tellError(error);
    return false;
  }
}

/** Marks all, or takes the mark away if all have it. `leaves`: the list shows favourites only. */
export async function favourite(source: Source, tiles: readonly Tile[], leaves = false): Promise<void> {
  const mark = !tiles.every((tile) => tile.favourite);
  const ids = idsOf(tiles);
  if (leaves && !mark) source.remove(new Set(ids));
  else source.patch(new Set(ids), { favourite: mark });
  await attempt(source, tiles, () => library.edit({ ids, favourite: mark }));
}

/** Takes them out of the timeline, or back into it. */
export async function archive(source: Source, tiles: readonly Tile[], archived: boolean, leaves = true): Promise<void> {
  const ids = idsOf(tiles);
  if (leaves) source.remove(new Set(ids));
  if (!(await attempt(source, tiles, () => library.edit({ ids, archived })))) return;
  tell(t(archived ? 'done.archived' : 'done.unarchived', { n: ids.length }), {
    label: t('action.undo'),
    run: () => void library.edit({ ids, archived: !archived }).then(() => source.refresh(), tellError)
  });
}

/** Puts them into the trash, with a way back. */
export async function trash(source: Source, tiles: readonly Tile[]): Promise<void> {
  const ids = idsOf(tiles);
  source.remove(new Set(ids));
  if (!(await attempt(source, tiles, () => library.trash(ids)))) return;
  tell(t('done.trashed', { n: ids.length }), {
    label: t('action.undo'),
    run: () => void library.restore(ids).then(() => source.refresh(), tellError)
  });
}

/** Takes them out of the trash. */
export async function restore(source: Source, tiles: readonly Tile[]): Promise<void> {
  const ids = idsOf(tiles);
  source.remove(new Set(ids));
  if (await attempt(source, tiles, () => library.restore(ids))) tell(t('done.restored', { n: ids.length }));
}

/** Lets the server remove everything in the trash for good, after a question. */
export async function emptyTrash(source: Source): Promise<void> {
  const sure = await ask({
    title: t('trash.empty_title'),
    text: t('trash.empty_text'),
    confirm: t('trash.empty')
  });
  if (!sure) return;
  try {
    const { changed } = await library.emptyTrash();
    tell(t('done.emptied', { n: changed }));
  } catch (error) {
    tellError(error);
  }
  await source.refresh();
}

/** One original as it is; more as an archive whose length is known before. */
export async function download(what: { tiles: readonly Tile[] } | { album: string } | 'everything'): Promise<void> {
  try {
    if (typeof what === 'object' && 'tiles' in what && what.tiles.length === 1 && !what.tiles[0]?.live) {
      const [tile] = what.tiles;
      if (!tile) return;
      const details = await library.details(tile.id);
      save(`/api/v2/library/assets/${tile.id}/original`, details.name);
      return;
    }
    const answer = await library.download(
      what === 'everything' ? { everything: true } : 'album' in what ? { album: what.album } : { ids: idsOf(what.tiles) }
    );
    const size = sizeText(answer.size_bytes);
    if (answer.size_bytes > LARGE_BYTES) {
      const sure = await ask({
        title: t('download.large_title', { size }),
        text: t('download.large_text', { n: answer.files }),
        confirm: t('action.download'),
        danger: false
      });
      if (!sure) return;
    } else tell(t('download.begins', { n: answer.files, size }));
    save(answer.path, '');
  } catch (error) {
    tellError(error);
  }
}

function save(path: string, name: string): void {
  const link = document.createElement('a');
  link.href = path;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

/** Puts pictures into an album that there is. */
export async function addToAlbum(album: Album, tiles: readonly Tile[]): Promise<void> {
  try {
    const { changed } = await albums.add(album.id, idsOf(tiles));
    forgetDetails(idsOf(tiles));
    tell(t('done.added', { n: changed, name: album.name }));
  } catch (error) {
    tellError(error);
  }
}

/** Makes an album of pictures. */
export async function newAlbum(name: string, tiles: readonly Tile[]): Promise<Album | undefined> {
  try {
    const album = await albums.create(name, idsOf(tiles));
    forgetDetails(idsOf(tiles));
    return album;
  } catch (error) {
    tellError(error);
    return undefined;
  }
}

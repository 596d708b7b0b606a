/** Groups of pictures that are alike, page by page, and what a person decides of them. Nothing is gone for good by any of it. */

import { albums, library, type Details, type DuplicateGroup, type SameKind } from '$lib/api';
import { t } from '$lib/text/index.svelte';
import { tell, tellError } from '$lib/ui/toasts.svelte';
import { forgetDetails } from '$lib/viewer/details.svelte';

export class Duplicates {
  groups = $state.raw<DuplicateGroup[]>([]);
  state = $state<'loading' | 'ready' | 'failed'>('loading');
  error = $state.raw<unknown>();
  more = $state(true);

  #next: string | undefined;
  #running: Promise<void> | undefined;

  constructor(readonly kind: SameKind) {}

  /** The next page that holds a group. */
  load(): Promise<void> {
    this.#running ??= this.#load().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #load(): Promise<void> {
    try {
      // A page may be empty and not be the last.
      for (let found = 0; found === 0 && this.more; ) {
        const page = await library.duplicates(this.kind, this.#next);
        this.#next = page.next;
        this.more = page.next !== undefined;
        found = page.groups.length;
        this.groups = [...this.groups, ...page.groups];
      }
      this.state = 'ready';
      this.error = undefined;
    } catch (error) {
      this.error = error;
      if (this.groups.length === 0) this.state = 'failed';
      else tellError(error);
    }
  }

  /** Takes a group out of the list; the answer puts it back to its place. */
  #without(group: DuplicateGroup): () => void {
    const at = this.groups.indexOf(group);
    this.groups = this.groups.filter((each) => each !== group);
    return () => {
      this.groups = [...this.groups.slice(0, at), group, ...this.groups.slice(at)];
    };
  }

  /**
   * Keeps one and puts the others into the trash. What a person said of the others, their albums and the mark, goes over to the
   * one that stays; taking it back takes that back too.
   */
  async keep(group: DuplicateGroup, keptId: string, all: readonly Details[]): Promise<void> {
    const kept = all.find((each) => each.tile.id === keptId);
    const others = all.filter((each) => each.tile.id !== keptId);
    if (!kept || others.length === 0) return;
    const ids = others.map((each) => each.tile.id);
    const own = new Set(kept.albums.map((album) => album.id));
    const joins = [...new Set(others.flatMap((each) => each.albums.map((album) => album.id)))].filter((id) => !own.has(id));
    const marks = !kept.tile.favourite && others.some((each) => each.tile.favourite);
    const putBack = this.#without(group);
    try {
      for (const album of joins) await albums.add(album, [keptId]);
      if (marks) await library.edit({ ids: [keptId], favourite: true });
      await library.trash(ids);
    } catch (error) {
      putBack();
      tellError(error);
      return;
    } finally {
      forgetDetails([keptId, ...ids]);
    }
    const undo = async () => {
      await library.restore(ids);
      putBack();
      for (const album of joins) await albums.takeOut(album, [keptId]);
      if (marks) await library.edit({ ids: [keptId], favourite: false });
      forgetDetails([keptId, ...ids]);
    };
    tell(t('done.trashed', { n: ids.length }), { label: t('action.undo'), run: () => void undo().catch(tellError) });
  }

  /** They are no duplicates: the server does not suggest them together again. */
  async differ(group: DuplicateGroup): Promise<void> {
    const ids = group.tiles.map((tile) => tile.id);
    const putBack = this.#without(group);
    try {
      await library.differ(ids, true);
    } catch (error) {
      putBack();
      tellError(error);
      return;
    }
    const undo = () => void library.differ(ids, false).then(putBack, tellError);
    tell(t('duplicates.remembered'), { label: t('action.undo'), run: undo });
  }
}

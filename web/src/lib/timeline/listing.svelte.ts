/** A list that grows page by page: favourites, videos, the archive, the trash, an album, a search. */

import type { Tile, TilePage } from '$lib/api';

import { byteOf } from './shape';
import type { Section, Source, SourceState } from './source';

const PAGE = 200;
/** Pictures before the end at which the next page is asked for. */
const AHEAD = 120;

export class ListingSource implements Source {
  state = $state<SourceState>('loading');
  error = $state.raw<unknown>();
  sections = $state.raw<Section[]>([]);
  total = $state(0);
  more = $state(true);

  #tiles = $state.raw<Tile[]>([]);
  #next: string | undefined;
  #loading: Promise<void> | undefined;

  /**
   * @param page asks the server for a page
   * @param byDay whether days get headings
   */
  constructor(
    private readonly page: (after: string | undefined, limit: number) => Promise<TilePage>,
    private readonly byDay: boolean
  ) {}

  tile(index: number): Tile | undefined {
    return this.#tiles[index];
  }

  find(id: string): number | undefined {
    const at = this.#tiles.findIndex((tile) => tile.id === id);
    return at < 0 ? undefined : at;
  }

  async load(): Promise<void> {
    this.state = 'loading';
    await this.#grow(true);
  }

  /** Begins again, and keeps showing what was there until the answer comes. */
  async refresh(): Promise<void> {
    await this.#loading?.catch(() => undefined);
    await this.#grow(true);
  }

  want(_first: number, last: number): void {
    if (this.more && this.state === 'ready' && last >= this.#tiles.length - AHEAD) void this.#grow(false);
  }

  async ensure(first: number, last: number): Promise<Tile[]> {
    while (this.more && this.#tiles.length <= last && this.state === 'ready') {
      const before = this.#tiles.length;
      await this.#grow(false);
      if (this.#tiles.length === before) break;
    }
    return this.#tiles.slice(first, last + 1);
  }

  patch(ids: ReadonlySet<string>, change: Partial<Tile>): void {
    this.#settle(this.#tiles.map((tile) => (ids.has(tile.id) ? { ...tile, ...change } : tile)));
  }

  remove(ids: ReadonlySet<string>): void {
    this.#settle(this.#tiles.filter((tile) => !ids.has(tile.id)));
    this.want(0, this.#tiles.length);
  }

  #grow(anew: boolean): Promise<void> {
    this.#loading ??= this.#ask(anew).finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  async #ask(anew: boolean): Promise<void> {
    try {
      const limit = anew ? Math.min(500, Math.max(PAGE, this.#tiles.length)) : PAGE;
      const page = await this.page(anew ? undefined : this.#next, limit);
      this.#next = page.next;
      this.more = page.next !== undefined;
      this.#settle(anew ? page.tiles : [...this.#tiles, ...page.tiles]);
      this.state = 'ready';
      this.error = undefined;
    } catch (error) {
      this.error = error;
      if (this.#tiles.length === 0) this.state = 'failed';
    }
  }

  #settle(tiles: Tile[]): void {
    const sections: Section[] = [];
    let run: number[] = [];
    let day: string | undefined;
    const end = () => {
      if (run.length === 0) return;
      sections.push({ id: day ?? 'all', ...(day === undefined ? {} : { day }), shape: Uint8Array.from(run) });
      run = [];
    };
    for (const tile of tiles) {
      const own = this.byDay ? tile.taken.slice(0, 10) : undefined;
      if (own !== day) end();
      day = own;
      run.push(byteOf(tile.width, tile.height));
    }
    end();
    this.#tiles = tiles;
    this.sections = sections;
    this.total = tiles.length;
  }
}

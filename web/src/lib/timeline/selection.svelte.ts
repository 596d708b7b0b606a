/** What is chosen in a grid: ids, and from where a range goes on. */

import { SvelteMap } from 'svelte/reactivity';

import { MAX_CHOSEN, type Tile } from '$lib/api';

import type { Source } from './source';

export class Selection {
  readonly #chosen = new SvelteMap<string, Tile>();
  /** Where the last choice was made: shift goes from here. */
  #anchor = 0;

  get size(): number {
    return this.#chosen.size;
  }

  get ids(): string[] {
    return [...this.#chosen.keys()];
  }

  get tiles(): Tile[] {
    return [...this.#chosen.values()];
  }

  has(id: string): boolean {
    return this.#chosen.has(id);
  }

  toggle(tile: Tile, index: number): void {
    this.#anchor = index;
    if (!this.#chosen.delete(tile.id)) this.add([tile]);
  }

  add(tiles: readonly Tile[]): void {
    for (const tile of tiles) if (this.#chosen.size < MAX_CHOSEN) this.#chosen.set(tile.id, tile);
  }

  /** Exactly these, and no others. */
  replace(tiles: readonly Tile[]): void {
    const kept = new Set(tiles.map((tile) => tile.id));
    for (const id of [...this.#chosen.keys()]) if (!kept.has(id)) this.#chosen.delete(id);
    this.add(tiles);
  }

  /** Everything from the last choice to here. */
  async extend(source: Source, index: number): Promise<void> {
    const [first, last] = this.#anchor < index ? [this.#anchor, index] : [index, this.#anchor];
    this.add(await source.ensure(first, Math.min(last, first + MAX_CHOSEN - 1)));
  }

  /** Everything there is, up to what one request can change. */
  async all(source: Source): Promise<void> {
    this.add(await source.ensure(0, Math.min(source.total, MAX_CHOSEN) - 1));
  }

  remove(ids: ReadonlySet<string>): void {
    for (const id of ids) this.#chosen.delete(id);
  }

  clear(): void {
    this.#chosen.clear();
  }
}

/**
 * The timeline: all days with all shapes at once (decision 0027), tiles by cursors for what is in sight, changes by day.
 * Tiles are put in place by their day, so that a page that was cut at a moment of change never shifts another day.
 */

import { MAX_TILES, library, type Day, type Tile } from '$lib/api';

import { readShape } from './shape';
import type { Section, Source, SourceState } from './source';

/** Pictures between two cursors of `Day.starts` (`SECTION_TILES` of the protocol). */
const STARTS_EVERY = 500;
/** Pages that are asked for at the same time. */
const PAGES_AT_ONCE = 3;
/** Tiles that are asked for at least. */
const PAGE_TILES = 60;

class DaySection implements Section {
  readonly id: string;
  readonly day: string;
  shape: Uint8Array;
  tiles: (Tile | undefined)[];
  /** 1: asked for. */
  asked: Uint8Array;
  /** Where a page may begin, by the number of pictures before it. */
  readonly cursors = new Map<number, string>();

  constructor(day: Day) {
    this.id = day.day;
    this.day = day.day;
    this.shape = readShape(day.shape);
    this.tiles = new Array<Tile | undefined>(this.shape.length);
    this.asked = new Uint8Array(this.shape.length);
    this.cursors.set(0, day.day);
    day.starts?.forEach((start, at) => this.cursors.set((at + 1) * STARTS_EVERY, start));
  }

  /** The nearest place at or before `offset` where a page can begin. */
  startBefore(offset: number): [number, string] {
    let best: [number, string] = [0, this.day];
    for (const [at, cursor] of this.cursors) if (at <= offset && at >= best[0]) best = [at, cursor];
    return best;
  }
}

interface Slot {
  section: number;
  offset: number;
}

export class TimelineSource implements Source {
  state = $state<SourceState>('loading');
  error = $state.raw<unknown>();
  sections = $state.raw<DaySection[]>([]);
  total = $state(0);
  readonly more = false;
  /** Moves when tiles came or went: what makes visible tiles look again. */
  #revision = $state(0);

  #version = 0;
  /** Pictures before each section. */
  #starts: number[] = [];
  #places = new Map<string, DaySection>();
  #wanted: [number, number] = [0, -1];
  #running = 0;
  #refreshing: Promise<void> | undefined;
  #again = false;

  async load(): Promise<void> {
    if (this.state === 'failed') this.state = 'loading';
    try {
      const timeline = await library.timeline();
      this.#version = timeline.version;
      this.#places.clear();
      this.#settle(timeline.days.filter((day) => day.count > 0).map((day) => new DaySection(day)));
      // The newest, before the grid has been laid out and knows what is in sight.
      this.want(0, PAGE_TILES - 1);
      this.state = 'ready';
      this.error = undefined;
    } catch (error) {
      this.error = error;
      if (this.sections.length === 0) this.state = 'failed';
    }
  }

  tile(index: number): Tile | undefined {
    void this.#revision;
    const slot = this.#slot(index);
    return slot && this.sections[slot.section]?.tiles[slot.offset];
  }

  find(id: string): number | undefined {
    void this.#revision;
    const section = this.#places.get(id);
    if (!section) return undefined;
    const offset = section.tiles.findIndex((tile) => tile?.id === id);
    const number = this.sections.indexOf(section);
    return offset < 0 || number < 0 ? undefined : (this.#starts[number] ?? 0) + offset;
  }

  /** The first place of a day, or of the next older day that there is. */
  indexOfDay(day: string): number {
    const number = this.sections.findIndex((section) => section.day <= day);
    return number < 0 ? this.total : (this.#starts[number] ?? 0);
  }

  want(first: number, last: number): void {
    this.#wanted = [Math.max(0, first), Math.min(this.total - 1, last)];
    this.#next();
  }

  async ensure(first: number, last: number): Promise<Tile[]> {
    for (let at = first; at <= last; ) {
      const slot = this.#slot(at);
      if (!slot) break;
      const section = this.sections[slot.section];
      if (!section?.tiles[slot.offset]) {
        const got = await this.#page(slot, Math.min(MAX_TILES, last - at + 1 + 20));
        if (got === 0) break;
      }
      at++;
    }
    const tiles: Tile[] = [];
    for (let at = first; at <= last; at++) {
      const tile = this.tile(at);
      if (tile) tiles.push(tile);
    }
    return tiles;
  }

  patch(ids: ReadonlySet<string>, change: Partial<Tile>): void {
    for (const id of ids) {
      const section = this.#places.get(id);
      const offset = section?.tiles.findIndex((tile) => tile?.id === id) ?? -1;
      const tile = section?.tiles[offset];
      if (section && tile) section.tiles[offset] = { ...tile, ...change };
    }
    this.#revision++;
  }

  remove(ids: ReadonlySet<string>): void {
    const touched = new Set<DaySection>();
    for (const id of ids) {
      const section = this.#places.get(id);
      if (section) touched.add(section);
      this.#places.delete(id);
    }
    for (const section of touched) {
      const kept: number[] = [];
      section.tiles.forEach((tile, at) => {
        if (!tile || !ids.has(tile.id)) kept.push(at);
      });
      // Holes of the sparse array are not visited by forEach.
      for (let at = 0; at < section.shape.length; at++) if (!(at in section.tiles)) kept.push(at);
      kept.sort((a, b) => a - b);
      section.shape = Uint8Array.from(kept, (at) => section.shape[at] ?? 128);
      section.tiles = kept.map((at) => section.tiles[at]);
      section.asked = Uint8Array.from(section.tiles, (tile) => (tile ? 1 : 0));
      section.cursors.clear();
      section.cursors.set(0, section.day);
    }
    this.#settle(this.sections.filter((section) => section.shape.length > 0));
  }

  refresh(): Promise<void> {
    if (this.#refreshing) {
      this.#again = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#refresh().finally(() => {
      this.#refreshing = undefined;
      if (this.#again) {
        this.#again = false;
        void this.refresh();
      }
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    if (this.state !== 'ready') return this.load();
    try {
      const change = await library.timeline(this.#version);
      if (change.days.length === 0) {
        this.#version = change.version;
        return;
      }
      const days = new Map(this.sections.map((section) => [section.day, section]));
      for (const day of change.days) {
        const before = days.get(day.day);
        if (day.count === 0) {
          days.delete(day.day);
          continue;
        }
        const after = new DaySection(day);
        // A day whose pictures are shown is swapped when its tiles are here: nothing flickers.
        if (before?.tiles.some(Boolean)) await this.#fillDay(after);
        days.set(day.day, after);
      }
      this.#version = change.version;
      const sections = [...days.values()].sort((a, b) => (a.day < b.day ? 1 : -1));
      this.#places = new Map();
      for (const section of sections)
        for (const tile of section.tiles) if (tile) this.#places.set(tile.id, section);
      this.#settle(sections);
      this.#next();
    } catch {
      // The next event, or the next look, tries again.
    }
  }

  async #fillDay(section: DaySection): Promise<void> {
    const page = await library.timelineTiles(section.day, Math.min(MAX_TILES, section.shape.length));
    page.tiles.forEach((tile, at) => {
      if (tile.taken.startsWith(section.day) && at < section.shape.length) {
        section.tiles[at] = tile;
        section.asked[at] = 1;
      }
    });
  }

  #settle(sections: DaySection[]): void {
    let total = 0;
    this.#starts = sections.map((section) => {
      const start = total;
      total += section.shape.length;
      return start;
    });
    this.sections = sections;
    this.total = total;
    this.#revision++;
  }

  #slot(index: number): Slot | undefined {
    if (index < 0 || index >= this.total) return undefined;
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= index) low = middle;
      else high = middle - 1;
    }
    return { section: low, offset: index - (this.#starts[low] ?? 0) };
  }

  /** Asks for the next page of what is wanted, if one may. */
  #next(): void {
    const [first, last] = this.#wanted;
    for (let at = first; at <= last && this.#running < PAGES_AT_ONCE; at++) {
      const slot = this.#slot(at);
      if (!slot || this.sections[slot.section]?.asked[slot.offset]) continue;
      this.#running++;
      void this.#page(slot, Math.min(MAX_TILES, Math.max(PAGE_TILES, last - at + 1)))
        .catch(() => 0)
        .finally(() => {
          this.#running--;
          this.#next();
        });
    }
  }

  /** Gets the page that holds a slot; answers how many tiles came. */
  async #page(slot: Slot, least: number): Promise<number> {
    const section = this.sections[slot.section];
    if (!section) return 0;
    const [offset, cursor] = section.startBefore(slot.offset);
    const limit = Math.min(MAX_TILES, slot.offset - offset + least);
    const asked: [DaySection, number][] = [];
    for (let left = limit, number = slot.section, from = offset; left > 0; number++, from = 0) {
      const day = this.sections[number];
      if (!day) break;
      const end = Math.min(day.shape.length, from + left);
      for (let at = from; at < end; at++) {
        if (!day.asked[at]) asked.push([day, at]);
        day.asked[at] = 1;
      }
      left -= end - from;
    }
    try {
      const page = await library.timelineTiles(cursor, limit);
      const byDay = new Map(this.sections.map((each) => [each.day, each]));
      let day: DaySection | undefined;
      let at = 0;
      for (const tile of page.tiles) {
        const own = byDay.get(tile.taken.slice(0, 10));
        if (own !== day) {
          day = own;
          at = own?.day === section.day ? offset : 0;
        }
        if (!day || at >= day.shape.length) {
          // The server knows of more than the list of days does: it changed meanwhile.
          void this.refresh();
          continue;
        }
        day.tiles[at] = tile;
        day.asked[at] = 1;
        this.#places.set(tile.id, day);
        at++;
      }
      if (page.next && day && at < day.shape.length) day.cursors.set(at, page.next);
      this.#revision++;
      return page.tiles.length;
    } catch (error) {
      // Free to be asked for again.
      for (const [day, at] of asked) if (!day.tiles[at]) day.asked[at] = 0;
      throw error;
    }
  }
}

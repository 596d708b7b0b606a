/**
 * What a grid shows, whatever it comes from: sections of shapes first, tiles for what is in sight.
 * The timeline knows every shape at once; a listing grows page by page. Grid, selection and viewer know only this.
 */

import type { Tile } from '$lib/api';

export interface Section {
  /** Stable as long as it is the same section. */
  id: string;
  /** `2024-05-12`; absent: no heading. */
  day?: string;
  /** A byte for each picture: see shape.ts. */
  shape: Uint8Array;
}

export type SourceState = 'loading' | 'ready' | 'failed';

export interface Source {
  readonly state: SourceState;
  readonly error: unknown;
  readonly sections: readonly Section[];
  /** Pictures that are known of. */
  readonly total: number;
  /** More may follow at the end. */
  readonly more: boolean;
  /** The picture at a place, if its tile has come. Reading it inside an effect follows changes. */
  tile(index: number): Tile | undefined;
  /** Makes tiles come for these places; may be called with every move of the scroll bar. */
  want(first: number, last: number): void;
  /** The tiles of these places, loaded now if need be. */
  ensure(first: number, last: number): Promise<Tile[]>;
  /** Where a picture is, if its tile has come. */
  find(id: string): number | undefined;
  /** Loads anew after a failure, or the first time. */
  load(): Promise<void>;
  /** Shows a change before the server has confirmed it. */
  patch(ids: ReadonlySet<string>, change: Partial<Tile>): void;
  /** Takes pictures out before the server has confirmed it. */
  remove(ids: ReadonlySet<string>): void;
  /** Asks the server what changed. */
  refresh(): Promise<void>;
}

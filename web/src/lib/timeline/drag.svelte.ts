/** Choosing by dragging: a mouse draws a lasso; a finger that rests first chooses from there to where it goes. */

import type { Tile } from '$lib/api';

import { indexAt, indexesIn } from './find';
import type { Layout, Rect } from './layout';
import type { Selection } from './selection.svelte';
import type { Source } from './source';

/** Milliseconds that a finger rests before it chooses. */
const HOLD_MS = 420;
/** Pixels that a mouse moves before it draws. */
const LASSO_PX = 7;

/** What the grid knows of itself at this moment. */
export interface Ground {
  scroller: () => HTMLElement | undefined;
  /** Pixels left of the pictures, and above them. */
  left: () => number;
  above: () => number;
  layout: () => Layout;
  source: () => Source;
  selection: () => Selection;
}

/** The number at an element or at what it stands in. */
export function indexOf(target: EventTarget | null, attribute: 'index' | 'check'): number | undefined {
  const found = target instanceof Element ? target.closest<HTMLElement>(`[data-${attribute}]`) : null;
  return found ? Number(found.dataset[attribute]) : undefined;
}

export class Drag {
  lasso = $state.raw<Rect>();

  #mode: 'none' | 'lasso' | 'range' = 'none';
  #dragged = false;
  #press: { x: number; y: number; index: number | undefined; touch: boolean } | undefined;
  #before: Tile[] = [];
  #holding: ReturnType<typeof setTimeout> | undefined;
  #pointer = { x: 0, y: 0 };

  constructor(private readonly ground: Ground) {}

  /** A finger chooses: it must not scroll. */
  get isRange(): boolean {
    return this.#mode === 'range';
  }

  /** A finger is down: no menu of the browser comes up. */
  get isTouch(): boolean {
    return this.isRange || this.#press?.touch === true;
  }

  /** Whether a click is only the end of a drag. Asked once for each click. */
  tookClick(): boolean {
    const took = this.#dragged;
    this.#dragged = false;
    return took;
  }

  readonly down = (event: PointerEvent): void => {
    this.#dragged = false;
    if (event.button !== 0 || (event.target as Element).closest('[data-scrubber], button, input')) return;
    this.#pointer = { x: event.clientX, y: event.clientY };
    const touch = event.pointerType === 'touch';
    this.#press = { ...this.#placeOf(this.#pointer), index: indexOf(event.target, 'index'), touch };
    this.#before = this.ground.selection().tiles;
    const { index } = this.#press;
    if (touch && index !== undefined) this.#holding = setTimeout(() => this.#hold(index), HOLD_MS);
  };

  readonly moved = (event: PointerEvent): void => {
    if (!this.#press) return;
    if (this.#mode === 'none') {
      if (Math.hypot(event.clientX - this.#pointer.x, event.clientY - this.#pointer.y) < LASSO_PX) return;
      // A finger that did not rest scrolls.
      if (this.#press.touch) return this.release();
      this.#mode = 'lasso';
      this.#dragged = true;
      this.ground.scroller()?.setPointerCapture(event.pointerId);
    }
    this.#pointer = { x: event.clientX, y: event.clientY };
    this.#reach();
  };

  readonly release = (): void => {
    clearTimeout(this.#holding);
    this.#press = undefined;
    this.#mode = 'none';
    this.lasso = undefined;
  };

  #hold(index: number): void {
    this.#mode = 'range';
    this.#dragged = true;
    navigator.vibrate?.(12);
    const selection = this.ground.selection();
    const tile = this.ground.source().tile(index);
    if (tile && !selection.has(tile.id)) selection.toggle(tile, index);
    this.#before = selection.tiles;
  }

  #placeOf(point: { x: number; y: number }): { x: number; y: number } {
    const scroller = this.ground.scroller();
    const bounds = scroller?.getBoundingClientRect();
    return {
      x: point.x - (bounds?.left ?? 0) - this.ground.left(),
      y: point.y - (bounds?.top ?? 0) + (scroller?.scrollTop ?? 0) - this.ground.above()
    };
  }

  readonly #reach = (): void => {
    const press = this.#press;
    const scroller = this.ground.scroller();
    if (!press || this.#mode === 'none' || !scroller) return;
    const end = this.#placeOf(this.#pointer);
    if (this.#mode === 'lasso') this.#surround(press, end);
    else if (press.index !== undefined) this.#extend(press.index, end);
    // At an edge the grid goes on by itself.
    const bounds = scroller.getBoundingClientRect();
    const past = Math.max(0, this.#pointer.y - bounds.bottom + 60) - Math.max(0, bounds.top + 90 - this.#pointer.y);
    if (past !== 0) {
      scroller.scrollTop += past / 4;
      requestAnimationFrame(this.#reach);
    }
  };

  #surround(from: { x: number; y: number }, to: { x: number; y: number }): void {
    const lasso = {
      x: Math.min(from.x, to.x),
      y: Math.min(from.y, to.y),
      width: Math.abs(to.x - from.x),
      height: Math.abs(to.y - from.y)
    };
    this.lasso = lasso;
    const source = this.ground.source();
    const inside = indexesIn(this.ground.layout(), source.sections, lasso).flatMap((at) => source.tile(at) ?? []);
    this.ground.selection().replace([...this.#before, ...inside]);
  }

  #extend(from: number, to: { x: number; y: number }): void {
    const source = this.ground.source();
    const index = indexAt(this.ground.layout(), source.sections, to.x, to.y);
    if (index === undefined) return;
    const range: Tile[] = [];
    for (let at = Math.min(index, from); at <= Math.max(index, from); at++) range.push(...[source.tile(at)].flatMap((tile) => tile ?? []));
    this.ground.selection().replace([...this.#before, ...range]);
  }
}

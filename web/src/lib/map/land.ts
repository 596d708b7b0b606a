/** The outline of the land, as `scripts/make-land.mjs` wrote it: loaded when a map is first shown, and never again. */

import landUrl from './land.bin?url';
import { yOf, type Box } from './view';

/** A line: x and y in turns, as Mercator has them. */
export type Line = Float64Array;

export interface Ring {
  /** Numbers of lines; `~number`: backwards. */
  lines: Int32Array;
  /** Turns round the earth by which each line is moved, so that it begins where the one before it ends. */
  turns: Int8Array;
  /** Ends a turn from where it began: it goes round a pole. */
  isRound: boolean;
}

export interface Polygon {
  /** May reach beyond 0 and 1 where the land lies on both sides of 180°. */
  box: Box;
  rings: Ring[];
}

export interface Country {
  /** `PT`; empty where nobody agreed on one. */
  code: string;
  polygons: Polygon[];
}

export interface Land {
  lines: Line[];
  boxes: Box[];
  /** Lines with the same land on both sides of them, which is a border, and not a coast. */
  borders: number[];
  coasts: number[];
  countries: Country[];
}

const GRID = 65_536;

let loading: Promise<Land> | undefined;

/** Loads it, once. */
export function loadLand(): Promise<Land> {
  loading ??= fetch(landUrl)
    .then(async (answer) => {
      if (!answer.ok) throw new Error(`the outline of the land: HTTP ${answer.status}`);
      return readLand(new Uint8Array(await answer.arrayBuffer()));
    })
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}

/** Reads the bytes. */
export function readLand(bytes: Uint8Array): Land {
  let at = 0;
  const number = () => {
    let [value, place] = [0, 1];
    for (;;) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error('the outline of the land ends too early');
      value += (byte & 127) * place;
      if (byte < 128) return value;
      place *= 128;
    }
  };
  const signed = () => {
    const value = number();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  };
  const times = <Item>(count: number, make: () => Item) => Array.from({ length: count }, make);

  const lines = times(number(), () => {
    const line = new Float64Array(number() * 2);
    let [x, y] = [0, 0];
    for (let each = 0; each < line.length; each += 2) {
      x += signed();
      y += signed();
      line[each] = x / GRID;
      line[each + 1] = yOf(90 - (y * 360) / GRID);
    }
    return line;
  });
  const uses = new Uint8Array(lines.length);
  const boxes = lines.map(boxAround);
  const countries = times(number(), () => {
    const code = regionOf(number());
    const polygons = times(number(), () => {
      const rings = times(number(), () => ringOf(lines, Int32Array.from(times(number(), signed))));
      const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
      for (const ring of rings) {
        ring.lines.forEach((each, place) => {
          const line = each < 0 ? ~each : each;
          uses[line] = (uses[line] ?? 0) + 1;
          const own = boxes[line] as Box;
          const turn = ring.turns[place] ?? 0;
          box.left = Math.min(box.left, own.left + turn);
          box.right = Math.max(box.right, own.right + turn);
          box.top = Math.min(box.top, own.top);
          box.bottom = ring.isRound ? 1 : Math.max(box.bottom, own.bottom);
        });
      }
      return { box, rings };
    });
    return { code, polygons };
  });
  const indexes = lines.map((_, each) => each);
  return {
    lines,
    boxes,
    borders: indexes.filter((each) => (uses[each] ?? 0) > 1),
    coasts: indexes.filter((each) => uses[each] === 1),
    countries
  };
}

/** Puts lines end to end, wherever on the turns round the earth each of them was written down. */
function ringOf(all: readonly Line[], numbers: Int32Array): Ring {
  const turns = new Int8Array(numbers.length);
  const [endOf, startOf] = [
    (each: number) => (each < 0 ? (all[~each] as Line)[0] : (all[each] as Line).at(-2)) ?? 0,
    (each: number) => (each < 0 ? (all[~each] as Line).at(-2) : (all[each] as Line)[0]) ?? 0
  ];
  for (let at = 1; at < numbers.length; at++) {
    const before = endOf(numbers[at - 1] as number) + (turns[at - 1] as number);
    turns[at] = Math.round(before - startOf(numbers[at] as number));
  }
  const last = numbers.length - 1;
  const gap = endOf(numbers[last] as number) + (turns[last] as number) - startOf(numbers[0] as number);
  return { lines: numbers, turns, isRound: Math.abs(gap) > 0.5 };
}

function boxAround(line: Line): Box {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let each = 0; each < line.length; each += 2) {
    const [x, y] = [line[each] as number, line[each + 1] as number];
    if (x < box.left) box.left = x;
    if (x > box.right) box.right = x;
    if (y < box.top) box.top = y;
    if (y > box.bottom) box.bottom = y;
  }
  return box;
}

/** The letters of a country by its ISO number: browsers know them, because a language tag may name a region by either. */
function regionOf(iso: number): string {
  if (iso === 0) return '';
  try {
    const region = new Intl.Locale(`und-${String(iso).padStart(3, '0')}`).region ?? '';
    return /^[A-Z]{2}$/.test(region) ? region : '';
  } catch {
    return '';
  }
}

/** The country at a place, x from 0 to 1; `undefined` at sea. */
export function countryAt(land: Land, x: number, y: number): string | undefined {
  for (const country of land.countries) {
    for (const polygon of country.polygons) {
      const { left, right, top, bottom } = polygon.box;
      if (y < top || y > bottom) continue;
      for (let turn = -1; turn <= 1; turn++) {
        const own = x + turn;
        if (own >= left && own <= right && isWithin(land, polygon, own, y)) return country.code || undefined;
      }
    }
  }
  return undefined;
}

/** Counts how often a ray to the pole in the south meets the outline: an odd number is inside. */
function isWithin(land: Land, polygon: Polygon, x: number, y: number): boolean {
  let inside = false;
  for (const ring of polygon.rings) {
    // What goes round the pole has its inside below it, where nothing is left to be met.
    if (ring.isRound) inside = !inside;
    ring.lines.forEach((each, place) => {
      const number = each < 0 ? ~each : each;
      const [line, box] = [land.lines[number] as Line, land.boxes[number] as Box];
      const own = x - (ring.turns[place] ?? 0);
      // Most lines meet no ray, and are not walked along.
      if (own < box.left || own > box.right || y > box.bottom) return;
      for (let at = 2; at < line.length; at += 2) {
        const [ax, ay] = [line[at - 2] as number, line[at - 1] as number];
        const [bx, by] = [line[at] as number, line[at + 1] as number];
        if (ax > own !== bx > own && y < ((by - ay) * (own - ax)) / (bx - ax) + ay) inside = !inside;
      }
    });
  }
  return inside;
}

/**
 * Justified rows from bytes of shape: pure, exact, and quick enough to lay out a hundred thousand pictures at every change of width.
 *
 * Sections (days) stand below each other. Sections whose pictures fill less than a row stand beside each other as long as they
 * fit, so that a quiet month does not become a column of single pictures.
 */

import { ratioOf } from './shape';

export interface Metrics {
  /** Width that rows fill, in CSS pixels. */
  width: number;
  /** Height that rows aim at. */
  rowHeight: number;
  /** Space between pictures, in both directions. */
  gap: number;
  /** Height of a section's heading; 0: none. */
  heading: number;
  /** Space below a section. */
  spacing: number;
}

/** A run of pictures in one row. `first` counts from the start of the section. */
export interface Row {
  first: number;
  count: number;
  /** From the top of the section, below its heading included. */
  y: number;
  height: number;
}

/** Where a section stands. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Pictures before it. */
  start: number;
  count: number;
}

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  metrics: Metrics;
  boxes: Box[];
  /** Height of everything. */
  height: number;
  total: number;
}

/** Shapes beyond these are cut to them when shown in a grid: a panorama would leave no room for anything else. */
const NARROWEST = 0.5;
const WIDEST = 3;
/** A section that stands beside another is not narrower than this: its heading must be read. */
const LEAST_SECTION_WIDTH = 132;

function shown(byte: number): number {
  return Math.min(WIDEST, Math.max(NARROWEST, ratioOf(byte)));
}

/** Calls back with every row: where it begins, how many, how high. The one place where rows are broken. */
function breakRows(
  shape: Uint8Array,
  metrics: Metrics,
  width: number,
  row: (first: number, count: number, height: number) => void
): void {
  const { rowHeight, gap } = metrics;
  let first = 0;
  let ratios = 0;
  for (let at = 0; at < shape.length; at++) {
    const ratio = shown(shape[at] ?? 128);
    const count = at - first + 1;
    const room = width - gap * (count - 1);
    if ((ratios + ratio) * rowHeight < room) {
      ratios += ratio;
      continue;
    }
    // The row is full with this picture in it. Without it, it would be higher: take what is nearer to the wish.
    const withIt = room / (ratios + ratio);
    const without = count > 1 ? (room + gap) / ratios : Infinity;
    if (without / rowHeight < rowHeight / withIt) {
      row(first, count - 1, without);
      first = at;
      ratios = ratio;
      if (ratio * rowHeight >= width) {
        row(first, 1, width / ratio);
        first = at + 1;
        ratios = 0;
      }
    } else {
      row(first, count, withIt);
      first = at + 1;
      ratios = 0;
    }
  }
  if (first < shape.length) {
    // The last row keeps its height and ends early, unless it is nearly full.
    const count = shape.length - first;
    const full = (width - gap * (count - 1)) / ratios;
    row(first, count, full < rowHeight * 1.12 ? full : rowHeight);
  }
}

/** Lays out sections by their shapes. */
export function layOut(shapes: readonly Uint8Array[], metrics: Metrics): Layout {
  const boxes: Box[] = [];
  const { width, rowHeight, gap, heading, spacing } = metrics;
  let start = 0;
  let y = 0;
  // The row of short sections that is being filled.
  let beside = 0;
  let besideHeight = 0;
  const endBeside = () => {
    if (beside > 0) y += besideHeight;
    beside = 0;
    besideHeight = 0;
  };
  for (const shape of shapes) {
    const count = shape.length;
    let natural = gap * (count - 1);
    for (let at = 0; at < count && natural < width; at++) natural += shown(shape[at] ?? 128) * rowHeight;
    const short = heading > 0 && natural < width * 0.72;
    if (short) {
      const own = Math.max(natural, Math.min(LEAST_SECTION_WIDTH, width));
      const between = gap * 6;
      if (beside > 0 && beside + between + own > width) endBeside();
      const x = beside > 0 ? beside + between : 0;
      const height = heading + rowHeight + spacing;
      boxes.push({ x, y, width: own, height, start, count });
      beside = x + own;
      besideHeight = height;
    } else {
      endBeside();
      let height = heading;
      breakRows(shape, metrics, width, (_first, _count, rowOwn) => {
        height += rowOwn + gap;
      });
      height += spacing - (count > 0 ? gap : 0);
      boxes.push({ x: 0, y, width, height, start, count });
      y += height;
    }
    start += count;
  }
  endBeside();
  return { metrics, boxes, height: y, total: start };
}

/** Rows that were made, by shape: a day of fifty thousand pictures is not broken into rows at every move. */
const made = new WeakMap<Uint8Array, { metrics: Metrics; rows: Row[] }>();

/** Rows of one section. */
export function rowsOf(box: Box, shape: Uint8Array, metrics: Metrics): Row[] {
  const known = made.get(shape);
  if (known?.metrics === metrics) return known.rows;
  const rows = makeRows(box, shape, metrics);
  made.set(shape, { metrics, rows });
  return rows;
}

function makeRows(box: Box, shape: Uint8Array, metrics: Metrics): Row[] {
  const rows: Row[] = [];
  if (box.width < metrics.width) {
    return [{ first: 0, count: box.count, y: metrics.heading, height: metrics.rowHeight }];
  }
  let y = metrics.heading;
  breakRows(shape, metrics, metrics.width, (first, count, height) => {
    rows.push({ first, count, y, height });
    y += height + metrics.gap;
  });
  return rows;
}

/** Rectangles of a row's pictures, from the section's corner. */
export function rectsOf(row: Row, shape: Uint8Array, metrics: Metrics): Rect[] {
  const rects: Rect[] = [];
  let x = 0;
  for (let at = row.first; at < row.first + row.count; at++) {
    const width = shown(shape[at] ?? 128) * row.height;
    rects.push({ x, y: row.y, width, height: row.height });
    x += width + metrics.gap;
  }
  return rects;
}

/** Number of the first section that ends below `y` (the one at `y`); boxes.length if none. */
export function sectionAt(boxes: readonly Box[], y: number): number {
  let low = 0;
  let high = boxes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const box = boxes[middle] as Box;
    if (box.y + box.height <= y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Number of the section that holds picture `index`. */
export function sectionOf(boxes: readonly Box[], index: number): number {
  let low = 0;
  let high = boxes.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((boxes[middle] as Box).start <= index) low = middle;
    else high = middle - 1;
  }
  return low;
}

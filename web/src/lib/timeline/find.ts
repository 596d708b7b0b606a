/** Which picture lies where in a layout: for keys, the lasso, and for bringing a picture into view. Pure. */

import { rectsOf, rowsOf, sectionAt, sectionOf, type Layout, type Rect, type Row } from './layout';
import type { Section } from './source';

/** The rectangle of a picture, from the corner of the whole. */
export function rectOf(layout: Layout, sections: readonly Section[], index: number): Rect | undefined {
  if (index < 0 || index >= layout.total) return undefined;
  const number = sectionOf(layout.boxes, index);
  const box = layout.boxes[number];
  const shape = sections[number]?.shape;
  if (!box || !shape) return undefined;
  const offset = index - box.start;
  const row = rowsOf(box, shape, layout.metrics).find((each) => offset < each.first + each.count);
  const rect = row && rectsOf(row, shape, layout.metrics)[offset - row.first];
  return rect && { ...rect, x: box.x + rect.x, y: box.y + rect.y };
}

/** The picture at a point, or the nearest in its row or above. */
export function indexAt(layout: Layout, sections: readonly Section[], x: number, y: number): number | undefined {
  let best: { index: number; distance: number } | undefined;
  eachRow(layout, sections, y - 400, y + 400, (box, row, shape) => {
    rectsOf(row, shape, layout.metrics).forEach((rect, at) => {
      const left = box.x + rect.x;
      const top = box.y + rect.y;
      const distance = Math.hypot(
        Math.max(0, left - x, x - left - rect.width),
        Math.max(0, top - y, y - top - rect.height) * 4
      );
      if (!best || distance < best.distance) best = { index: box.start + row.first + at, distance };
    });
  });
  return best?.index;
}

/** All pictures that a rectangle touches. */
export function indexesIn(layout: Layout, sections: readonly Section[], area: Rect): number[] {
  const found: number[] = [];
  eachRow(layout, sections, area.y, area.y + area.height, (box, row, shape) => {
    rectsOf(row, shape, layout.metrics).forEach((rect, at) => {
      const left = box.x + rect.x;
      if (left < area.x + area.width && left + rect.width > area.x) found.push(box.start + row.first + at);
    });
  });
  return found;
}

/** The picture above (`-1`) or below (`1`) one: the nearest by its middle in the next row of pictures. */
export function indexBeside(
  layout: Layout,
  sections: readonly Section[],
  index: number,
  direction: 1 | -1
): number | undefined {
  const own = rectOf(layout, sections, index);
  if (!own) return undefined;
  const middle = own.x + own.width / 2;
  const edge = direction > 0 ? own.y + own.height : own.y;
  let best: { index: number; y: number; distance: number } | undefined;
  eachRow(layout, sections, direction > 0 ? edge : edge - 1200, direction > 0 ? edge + 1200 : edge, (box, row, shape) => {
    const top = box.y + row.y;
    if (direction > 0 ? top < edge : top + row.height > edge) return;
    rectsOf(row, shape, layout.metrics).forEach((rect, at) => {
      const y = Math.abs(top - own.y);
      const distance = Math.abs(box.x + rect.x + rect.width / 2 - middle);
      const nearer = !best || y < best.y - 1 || (Math.abs(y - best.y) <= 1 && distance < best.distance);
      if (nearer) best = { index: box.start + row.first + at, y, distance };
    });
  });
  return best?.index;
}

function eachRow(
  layout: Layout,
  sections: readonly Section[],
  top: number,
  bottom: number,
  visit: (box: Layout['boxes'][number], row: Row, shape: Uint8Array) => void
): void {
  for (let at = sectionAt(layout.boxes, top); at < layout.boxes.length; at++) {
    const box = layout.boxes[at];
    const shape = sections[at]?.shape;
    if (!box || !shape || box.y > bottom) return;
    for (const row of rowsOf(box, shape, layout.metrics)) {
      const y = box.y + row.y;
      if (y + row.height > top && y < bottom) visit(box, row, shape);
    }
  }
}

/** Draws the land on a canvas. Only what is in sight, and no point that would lie on the one before it. */

import type { Land, Line, Ring } from './land';
import { boxOf, worldPx, type Box, type Size, type View } from './view';

export interface Colours {
  sea: string;
  land: string;
  coast: string;
  border: string;
}

/** Pixels that two points of a line are apart at least. */
const LEAST_PX = 0.8;

/** The colours of the page's theme at this moment. */
export function coloursOf(element: Element): Colours {
  const style = getComputedStyle(element);
  const value = (name: string) => style.getPropertyValue(name).trim();
  return {
    sea: value('--map-sea'),
    land: value('--map-land'),
    coast: value('--map-coast'),
    border: value('--map-border')
  };
}

/** Draws everything; `ratio` device pixels for each pixel of the page. */
export function drawLand(
  context: CanvasRenderingContext2D,
  land: Land,
  view: View,
  size: Size,
  ratio: number,
  colours: Colours
): void {
  const px = worldPx(view.zoom);
  const seen = boxOf(view, size);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = colours.sea;
  context.fillRect(0, 0, size.width, size.height);
  context.lineJoin = 'round';
  // Where the earth goes round, it is seen more than once.
  for (let turn = Math.floor(seen.left) - 1; turn <= Math.floor(seen.right) + 1; turn++) {
    const own: Box = { ...seen, left: seen.left - turn, right: seen.right - turn };
    const place = { x: size.width / 2 - (view.x - turn) * px, y: size.height / 2 - view.y * px, px };
    context.beginPath();
    for (const country of land.countries) {
      for (const polygon of country.polygons) {
        if (!meet(polygon.box, own)) continue;
        for (const ring of polygon.rings) {
          fillRing(context, land, ring, place, px);
        }
      }
    }
    context.fillStyle = colours.land;
    context.fill();
    outline(context, land, land.borders, own, place, colours.border, 0.8);
    outline(context, land, land.coasts, own, place, colours.coast, 1);
  }
}

interface Placing {
  x: number;
  y: number;
  px: number;
}

function meet(a: Box, b: Box): boolean {
  return a.left <= b.right && a.right >= b.left && a.top <= b.bottom && a.bottom >= b.top;
}

function fillRing(context: CanvasRenderingContext2D, land: Land, ring: Ring, place: Placing, px: number): void {
  ring.lines.forEach((each, at) => {
    const own = { ...place, x: place.x + (ring.turns[at] ?? 0) * px };
    trace(context, land.lines[each < 0 ? ~each : each] as Line, each < 0, own, at === 0);
  });
  if (ring.isRound) {
    // Down to the pole, and back below where it began.
    const first = ring.lines[0] ?? 0;
    const last = ring.lines.at(-1) ?? 0;
    const start = (first < 0 ? land.lines[~first]?.at(-2) : land.lines[first]?.[0]) ?? 0;
    const end = ((last < 0 ? land.lines[~last]?.[0] : land.lines[last]?.at(-2)) ?? 0) + (ring.turns.at(-1) ?? 0);
    context.lineTo(end * px + place.x, px + place.y);
    context.lineTo(start * px + place.x, px + place.y);
  }
  context.closePath();
}

function outline(
  context: CanvasRenderingContext2D,
  land: Land,
  lines: readonly number[],
  seen: Box,
  place: Placing,
  colour: string,
  width: number
): void {
  context.beginPath();
  for (const each of lines) {
    if (meet(land.boxes[each] as Box, seen)) trace(context, land.lines[each] as Line, false, place, true);
  }
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

function trace(context: CanvasRenderingContext2D, line: Line, backwards: boolean, place: Placing, begins: boolean): void {
  const last = line.length - 2;
  let [beforeX, beforeY] = [Infinity, Infinity];
  for (let step = 0; step <= last; step += 2) {
    const at = backwards ? last - step : step;
    const x = (line[at] as number) * place.px + place.x;
    const y = (line[at + 1] as number) * place.px + place.y;
    if (step === 0 && begins) context.moveTo(x, y);
    else if (step < last && Math.abs(x - beforeX) + Math.abs(y - beforeY) < LEAST_PX) continue;
    else context.lineTo(x, y);
    [beforeX, beforeY] = [x, y];
  }
}

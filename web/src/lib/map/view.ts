/**
 * Where a map looks: Mercator's projection as a square from 0/0 (180° W, far north) to 1/1. Pure.
 * `zoom` is what everybody means by it: the whole square is 256 · 2^zoom pixels wide.
 */

export interface View {
  /** What is in the middle; x goes round the earth, y is cut at 85°. */
  x: number;
  y: number;
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const SQUARE_PX = 256;
export const MOST_ZOOM = 17;
/** Metres round the equator. */
const GIRTH_M = 40_075_017;

export function xOf(longitude: number): number {
  return longitude / 360 + 0.5;
}

export function yOf(latitude: number): number {
  const sine = Math.sin((Math.min(85.0511, Math.max(-85.0511, latitude)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export function longitudeOf(x: number): number {
  return (x - Math.floor(x)) * 360 - 180;
}

export function latitudeOf(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
}

/** Pixels of the whole square. */
export function worldPx(zoom: number): number {
  return SQUARE_PX * 2 ** zoom;
}

/** The nearest view that shows no more than the earth from north to south, and goes no deeper than there is a reason. */
export function bounded(view: View, size: Size): View {
  const least = Math.log2(Math.max(size.height, size.width * 0.5, SQUARE_PX) / SQUARE_PX);
  const zoom = Math.min(MOST_ZOOM, Math.max(least, view.zoom));
  const half = size.height / 2 / worldPx(zoom);
  return { x: view.x - Math.floor(view.x), y: Math.min(1 - half, Math.max(half, view.y)), zoom };
}

/** Zooms so that what is `at` pixels from the middle stays there. */
export function zoomedAt(view: View, zoom: number, at: { x: number; y: number }, size: Size): View {
  const target = bounded({ ...view, zoom }, size).zoom;
  const [before, after] = [worldPx(view.zoom), worldPx(target)];
  return bounded(
    { x: view.x + at.x / before - at.x / after, y: view.y + at.y / before - at.y / after, zoom: target },
    size
  );
}

/** A view of all of a box, with room around it. */
export function fitted(box: Box, size: Size, deepest = 14): View {
  const room = 0.78;
  const scale = Math.min(
    (size.width * room) / Math.max(1e-9, box.right - box.left),
    (size.height * room) / Math.max(1e-9, box.bottom - box.top)
  );
  const zoom = Math.min(deepest, Math.log2(scale / SQUARE_PX));
  return bounded({ x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, zoom }, size);
}

/** What a view shows; left may be below 0 and right above 1 where it goes round. */
export function boxOf(view: View, size: Size): Box {
  const px = worldPx(view.zoom);
  return {
    left: view.x - size.width / 2 / px,
    right: view.x + size.width / 2 / px,
    top: view.y - size.height / 2 / px,
    bottom: view.y + size.height / 2 / px
  };
}

/** Where a place is seen: pixels from the corner. Of its places round the earth, that which is nearest to the middle. */
export function pixelOf(x: number, y: number, view: View, size: Size): { x: number; y: number } {
  const px = worldPx(view.zoom);
  const round = x - view.x - Math.round(x - view.x);
  return { x: round * px + size.width / 2, y: (y - view.y) * px + size.height / 2 };
}

/** A round length that is at most so many pixels long in the middle of the view: metres, and its pixels. */
export function scaleBar(view: View, mostPx: number): { metres: number; px: number } {
  const metresPerPx = (GIRTH_M * Math.cos((latitudeOf(view.y) * Math.PI) / 180)) / worldPx(view.zoom);
  const most = mostPx * metresPerPx;
  const power = 10 ** Math.floor(Math.log10(most));
  const metres = [5, 2, 1].map((times) => times * power).find((length) => length <= most) ?? power;
  return { metres, px: metres / metresPerPx };
}

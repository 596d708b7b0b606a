/** Where a picture lies in the viewer: fitting, zooming to a point, and how far it may be moved. Pure. */

export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** How a picture is moved: scaled around its middle, then shifted, in CSS pixels from where it fits. */
export interface Pose extends Point {
  scale: number;
}

export const REST: Pose = { scale: 1, x: 0, y: 0 };

/** Size of a picture that fits into a view, never larger than it is (unless nobody knows how large it is). */
export function fit(picture: Size, view: Size): Size {
  const factor = Math.min(view.width / picture.width, view.height / picture.height);
  return { width: picture.width * factor, height: picture.height * factor };
}

/** Largest scale: four screen pixels for a pixel, and at least four times the fitting size. */
export function largestScale(picture: Size, fitted: Size, pixelRatio: number): number {
  return Math.max(4, (picture.width * 4) / (fitted.width * pixelRatio));
}

/** Another scale, with the point of the picture under `at` (from the middle of the view) staying under it. */
export function zoomAt(pose: Pose, scale: number, at: Point): Pose {
  const factor = scale / pose.scale;
  return { scale, x: at.x - (at.x - pose.x) * factor, y: at.y - (at.y - pose.y) * factor };
}

/** Moves a picture back so that no empty space is seen beside it that need not be. */
export function settle(pose: Pose, fitted: Size, view: Size, largest: number): Pose {
  const scale = Math.min(Math.max(pose.scale, 1), largest);
  const held = scale === pose.scale ? pose : zoomAt(pose, scale, { x: 0, y: 0 });
  const room = (length: number, within: number) => Math.max(0, (length * scale - within) / 2);
  const [x, y] = [room(fitted.width, view.width), room(fitted.height, view.height)];
  return { scale, x: Math.min(x, Math.max(-x, held.x)), y: Math.min(y, Math.max(-y, held.y)) };
}

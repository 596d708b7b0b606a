/** Where the picture that is looked at stands: how it is zoomed, and how far the strip of pictures has been pulled. */

import type { Tile } from '$lib/api';

import { REST, fit, largestScale, settle, zoomAt, type Point, type Pose, type Size } from './geometry';
import type { Gestures } from './gestures';

export class Motion {
  pose = $state.raw<Pose>(REST);
  /** Whether changes of the pose are drawn out. */
  smooth = $state(false);
  dx = $state(0);
  dy = $state(0);
  /** Whether the strip moves by itself. */
  sliding = $state(false);

  constructor(
    private readonly view: () => Size,
    private readonly tile: () => Tile | undefined
  ) {}

  get zoomed(): boolean {
    return this.pose.scale > 1.001;
  }

  get size(): Size {
    return this.view();
  }

  /** The next picture begins as it is. */
  reset(): void {
    this.pose = REST;
    this.smooth = false;
  }

  /** The strip goes back to where it was. */
  back(): void {
    this.sliding = true;
    this.dx = 0;
    this.dy = 0;
  }

  /** The strip goes to a neighbour, and is there when the answer comes. */
  async away(direction: 1 | -1, distance: number, ms: number): Promise<void> {
    this.sliding = true;
    this.dx = -direction * distance;
    await new Promise((done) => setTimeout(done, ms));
    this.sliding = false;
    this.dx = 0;
  }

  bounded(next: Pose): Pose {
    const tile = this.tile();
    if (!tile) return REST;
    const picture = tile.width > 0 ? { width: tile.width, height: tile.height } : { width: 1200, height: 1200 };
    const fitted = fit(picture, this.view());
    return settle(next, fitted, this.view(), largestScale(picture, fitted, devicePixelRatio));
  }

  zoomTo(scale: number, at: Point): void {
    this.smooth = true;
    this.pose = this.bounded(zoomAt(this.pose, scale, at));
  }
}

/** What gestures ask of the viewer. */
export interface Wishes {
  /** Whether there is nothing further in this direction. */
  atEdge: (direction: 1 | -1) => boolean;
  step: (direction: 1 | -1) => void;
  close: () => void;
  toggleControls: () => void;
}

/** Gestures as moves of the picture and the strip. */
export function gesturesOf(motion: Motion, wishes: Wishes): Gestures {
  return {
    zoomed: () => motion.zoomed,
    swipe: (by) => {
      motion.sliding = false;
      motion.dx = wishes.atEdge(by > 0 ? -1 : 1) ? by / 3 : by;
    },
    swipeEnd: (by, velocity) => {
      const far = Math.abs(by) > motion.size.width * 0.35 || Math.abs(velocity) > 0.45;
      if (far && Math.sign(velocity || by) === Math.sign(by)) wishes.step(by < 0 ? 1 : -1);
      else motion.back();
    },
    pull: (by) => {
      motion.sliding = false;
      motion.dy = by;
    },
    pullEnd: (by, velocity) => {
      if (Math.abs(by) > motion.size.height * 0.18 || Math.abs(velocity) > 0.7) wishes.close();
      else motion.back();
    },
    pan: (x, y) => {
      motion.smooth = false;
      motion.pose = { ...motion.pose, x: motion.pose.x + x, y: motion.pose.y + y };
    },
    panEnd: (velocity) => {
      motion.smooth = true;
      const { pose } = motion;
      motion.pose = motion.bounded({ ...pose, x: pose.x + velocity.x * 180, y: pose.y + velocity.y * 180 });
    },
    pinch: (factor, at, moved) => {
      motion.smooth = false;
      const next = zoomAt(motion.pose, Math.max(0.4, motion.pose.scale * factor), at);
      motion.pose = { ...next, x: next.x + moved.x, y: next.y + moved.y };
    },
    pinchEnd: () => {
      if (motion.pose.scale < 0.72) wishes.close();
      else {
        motion.smooth = true;
        motion.pose = motion.bounded(motion.pose);
      }
    },
    tap: (touch, target) => {
      if (touch) wishes.toggleControls();
      else if (target instanceof Element && !target.closest('[data-picture]')) wishes.close();
    },
    doubleTap: (at) => motion.zoomTo(motion.zoomed ? 1 : 2.5, at),
    wheel: (factor, at) => {
      motion.smooth = false;
      motion.pose = motion.bounded(zoomAt(motion.pose, motion.pose.scale * factor, at));
    },
    flick: (direction) => wishes.step(direction)
  };
}

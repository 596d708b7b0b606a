/**
 * Fingers, mouse and wheel on the viewer, as what they mean: swipe, drag down, pan, pinch, tap, double tap. Knows no picture:
 * the viewer says whether it is zoomed, and gets told.
 */

import type { Point } from './geometry';

export interface Gestures {
  /** Whether the picture is larger than the view: one finger moves it then. */
  zoomed: () => boolean;
  /** Sideways, in pixels since the start. */
  swipe: (dx: number) => void;
  swipeEnd: (dx: number, velocity: number) => void;
  /** Up or down, in pixels since the start. */
  pull: (dy: number) => void;
  pullEnd: (dy: number, velocity: number) => void;
  pan: (dx: number, dy: number) => void;
  panEnd: (velocity: Point) => void;
  /** Two fingers: factor since the last call, around a point from the middle of the view, moved by so much. */
  pinch: (factor: number, at: Point, moved: Point) => void;
  pinchEnd: () => void;
  tap: (touch: boolean, target: EventTarget | null) => void;
  doubleTap: (at: Point) => void;
  wheel: (factor: number, at: Point) => void;
  flick: (direction: 1 | -1) => void;
}

const LOCK_PX = 8;
const DOUBLE_TAP_MS = 280;
/** A press that rests longer is none: it holds a Live Photo. */
const TAP_MS = 290;

type Mode = 'none' | 'swipe' | 'pull' | 'pan' | 'pinch';

/** Listens on an element until the answer is called. */
export function listen(element: HTMLElement, gestures: Gestures): () => void {
  const pointers = new Map<number, Point>();
  let mode: Mode = 'none';
  let start: Point = { x: 0, y: 0 };
  let last: Point = start;
  let velocity: Point = { x: 0, y: 0 };
  let lastTime = 0;
  let spread = 0;
  let middle: Point = start;
  let lastTap = { time: 0, x: 0, y: 0 };
  let singleTap: ReturnType<typeof setTimeout> | undefined;
  let flicked = 0;
  /** Where the first finger came down, and when: what is captured has no other target than the whole. */
  let pressed: { target: EventTarget | null; time: number } = { target: null, time: 0 };

  const fromMiddle = (point: Point): Point => {
    const bounds = element.getBoundingClientRect();
    return { x: point.x - bounds.left - bounds.width / 2, y: point.y - bounds.top - bounds.height / 2 };
  };

  const measure = () => {
    const [a, b] = [...pointers.values()];
    if (!a || !b) return;
    spread = Math.hypot(a.x - b.x, a.y - b.y);
    middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };

  const ignored = (event: Event) => (event.target as Element).closest('button, a, input, video, [data-still]') !== null;

  const end = () => {
    const [dx, dy] = [last.x - start.x, last.y - start.y];
    if (mode === 'swipe') gestures.swipeEnd(dx, velocity.x);
    else if (mode === 'pull') gestures.pullEnd(dy, velocity.y);
    else if (mode === 'pan') gestures.panEnd(velocity);
    else if (mode === 'pinch') gestures.pinchEnd();
    mode = 'none';
  };

  const down = (event: PointerEvent) => {
    if (ignored(event) || (event.pointerType === 'mouse' && event.button !== 0)) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size === 1) {
      start = last = { x: event.clientX, y: event.clientY };
      velocity = { x: 0, y: 0 };
      lastTime = event.timeStamp;
      mode = 'none';
      pressed = { target: event.target, time: event.timeStamp };
    } else if (pointers.size === 2) {
      if (mode !== 'none') end();
      mode = 'pinch';
      measure();
    }
  };

  const move = (event: PointerEvent) => {
    if (!pointers.has(event.pointerId)) return;
    const now = { x: event.clientX, y: event.clientY };
    pointers.set(event.pointerId, now);
    if (mode === 'pinch') {
      const [oldSpread, oldMiddle] = [spread, middle];
      measure();
      gestures.pinch(spread / Math.max(1, oldSpread), fromMiddle(middle), {
        x: middle.x - oldMiddle.x,
        y: middle.y - oldMiddle.y
      });
      return;
    }
    if (pointers.size !== 1) return;
    const [dx, dy] = [now.x - start.x, now.y - start.y];
    if (mode === 'none') {
      if (Math.hypot(dx, dy) < LOCK_PX) return;
      mode = gestures.zoomed() ? 'pan' : Math.abs(dx) > Math.abs(dy) ? 'swipe' : 'pull';
    }
    const passed = Math.max(1, event.timeStamp - lastTime);
    const blend = (old: number, moved: number) => old * 0.4 + (moved / passed) * 0.6;
    velocity = { x: blend(velocity.x, now.x - last.x), y: blend(velocity.y, now.y - last.y) };
    if (mode === 'pan') gestures.pan(now.x - last.x, now.y - last.y);
    last = now;
    lastTime = event.timeStamp;
    if (mode === 'swipe') gestures.swipe(dx);
    else if (mode === 'pull') gestures.pull(dy);
  };

  const up = (event: PointerEvent) => {
    if (!pointers.delete(event.pointerId)) return;
    if (mode !== 'none') {
      if (pointers.size === 0 || mode === 'pinch') end();
      // A finger that stays after a pinch begins nothing.
      if (pointers.size > 0) pointers.clear();
      return;
    }
    if (event.type === 'pointercancel' || event.timeStamp - pressed.time > TAP_MS) return;
    const touch = event.pointerType === 'touch';
    const near = Math.hypot(event.clientX - lastTap.x, event.clientY - lastTap.y) < 30;
    if (near && event.timeStamp - lastTap.time < DOUBLE_TAP_MS) {
      clearTimeout(singleTap);
      lastTap.time = 0;
      gestures.doubleTap(fromMiddle({ x: event.clientX, y: event.clientY }));
      return;
    }
    lastTap = { time: event.timeStamp, x: event.clientX, y: event.clientY };
    const { target } = pressed;
    clearTimeout(singleTap);
    singleTap = setTimeout(() => gestures.tap(touch, target), DOUBLE_TAP_MS);
  };

  const wheel = (event: WheelEvent) => {
    if ((event.target as Element).closest('[data-still]')) return;
    event.preventDefault();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) * 1.5;
    if (sideways && !gestures.zoomed()) {
      if (Math.abs(event.deltaX) > 12 && event.timeStamp - flicked > 450) {
        flicked = event.timeStamp;
        gestures.flick(event.deltaX > 0 ? 1 : -1);
      }
      return;
    }
    if (sideways) {
      gestures.pan(-event.deltaX, -event.deltaY);
      return;
    }
    const strength = event.ctrlKey ? 0.012 : event.deltaMode === 1 ? 0.05 : 0.0022;
    gestures.wheel(Math.exp(-event.deltaY * strength), fromMiddle({ x: event.clientX, y: event.clientY }));
  };

  element.addEventListener('pointerdown', down);
  element.addEventListener('pointermove', move);
  element.addEventListener('pointerup', up);
  element.addEventListener('pointercancel', up);
  element.addEventListener('wheel', wheel, { passive: false });
  return () => {
    clearTimeout(singleTap);
    element.removeEventListener('pointerdown', down);
    element.removeEventListener('pointermove', move);
    element.removeEventListener('pointerup', up);
    element.removeEventListener('pointercancel', up);
    element.removeEventListener('wheel', wheel);
  };
}

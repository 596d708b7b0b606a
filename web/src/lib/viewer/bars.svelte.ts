/** What lies over a picture: it goes when nothing moves. Fingers switch it by a tap instead. */

const IDLE_MS = 3200;

export class Bars {
  shown = $state(true);

  #idle: ReturnType<typeof setTimeout> | undefined;

  /** @param mayGo whether nothing else wants it to stay */
  constructor(private readonly mayGo: () => boolean) {}

  readonly awake = (event: PointerEvent): void => {
    if (event.pointerType === 'touch') return;
    this.shown = true;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      // Nobody loses what has the focus.
      if (this.mayGo() && !document.activeElement?.closest('[data-bar]')) this.shown = false;
    }, IDLE_MS);
  };
}

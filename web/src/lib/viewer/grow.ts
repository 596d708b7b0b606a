/** A picture grows out of its thumbnail, and goes back into it. */

interface Growing {
  back: boolean;
  /** Of the view. */
  height: number;
  /** How much of the dark behind is left. */
  fade: number;
}

/** Plays it; a thumbnail that is not on the screen makes it a fade. */
export async function grow(dialog: HTMLElement, from: DOMRect | undefined, { back, height, fade }: Growing): Promise<void> {
  const picture = dialog.querySelector<HTMLElement>('[data-current] [data-picture]');
  if (!picture || !from || from.bottom < 0 || from.top > height) {
    await dialog.animate({ opacity: back ? [1, 0] : [0, 1] }, { duration: 140, easing: 'ease-out' }).finished;
    return;
  }
  const to = picture.getBoundingClientRect();
  // The thumbnail is cut to its tile: it covers, so the larger factor is the one that looks right.
  const scale = Math.max(from.width / to.width, from.height / to.height);
  const x = from.left + from.width / 2 - to.left - to.width / 2;
  const y = from.top + from.height / 2 - to.top - to.height / 2;
  const small = `translate(${x}px, ${y}px) scale(${scale})`;
  const now = getComputedStyle(picture).transform;
  const there = now === 'none' ? 'none' : now;
  const timing = { duration: back ? 200 : 240, easing: 'cubic-bezier(0.2, 0.7, 0.2, 1)' } as const;
  const backdrop = dialog.querySelector('[data-backdrop]');
  backdrop?.animate({ opacity: back ? [fade, 0] : [0, 1] }, { ...timing, fill: back ? 'forwards' : 'none' });
  await picture.animate(
    { transform: back ? [there, small] : [small, there], opacity: back ? [1, 0.6] : [1, 1] },
    { ...timing, fill: back ? 'forwards' : 'none' }
  ).finished;
}

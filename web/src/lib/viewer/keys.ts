/** Keys of the viewer, as what they mean. */

export interface KeyWishes {
  step: (by: 1 | -1) => void;
  first: () => void;
  last: () => void;
  /** Times the size of now; 0: as large as it fits. */
  zoom: (factor: number) => void;
  fullScreen: () => void;
  info: () => void;
  favourite: () => void;
  trash: () => void;
  play: () => void;
}

/** Does what a key means; leaves it alone where it means something to what has the focus. */
export function pressed(event: KeyboardEvent, wishes: KeyWishes): void {
  const typing = event.target instanceof Element && event.target.closest('input, textarea, [role=menu]');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onward = document.documentElement.dir === 'rtl' ? -1 : 1;
  const keys: Record<string, () => void> = {
    ArrowRight: () => wishes.step(onward),
    ArrowLeft: () => wishes.step(onward === 1 ? -1 : 1),
    Home: wishes.first,
    End: wishes.last,
    '+': () => wishes.zoom(1.5),
    '=': () => wishes.zoom(1.5),
    '-': () => wishes.zoom(1 / 1.5),
    '0': () => wishes.zoom(0),
    f: wishes.fullScreen,
    i: wishes.info,
    l: wishes.favourite,
    Delete: wishes.trash
  };
  const inVideo = event.target instanceof HTMLVideoElement;
  if (inVideo && event.key.startsWith('Arrow')) return;
  const onButton = event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const run = event.key === ' ' && !onButton && !inVideo ? wishes.play : keys[name];
  if (!run) return;
  event.preventDefault();
  event.stopPropagation();
  run();
}

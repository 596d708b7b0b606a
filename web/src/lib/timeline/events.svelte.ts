/** Tells when the library changed, by the server's events; looks by itself when the page comes back to the front. */

import { address } from '$lib/api';

/** Milliseconds within which several changes become one look: an import of thousands must not make a look each. */
const GATHER_MS = 700;

/** Calls back after changes until the answer is called. */
export function followLibrary(changed: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const soon = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      changed();
    }, GATHER_MS);
  };
  const events = new EventSource(address.events);
  let opened = false;
  events.addEventListener('open', () => {
    // What happened while the line was cut is not told again.
    if (opened) soon();
    opened = true;
  });
  events.addEventListener('message', soon);
  const seen = () => {
    if (document.visibilityState === 'visible') soon();
  };
  document.addEventListener('visibilitychange', seen);
  return () => {
    clearTimeout(timer);
    events.close();
    document.removeEventListener('visibilitychange', seen);
  };
}

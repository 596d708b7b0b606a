/**
 * Where a film comes from: its original, if this browser plays it; otherwise the version that the server makes for those that do
 * not. What the browser says of a codec is a guess, so an original that fails to play goes the same way.
 */

import { ApiError, address, library, type Playable, type Plays } from '$lib/api';

/** Milliseconds between two looks at how far the server is. */
const LOOK_MS = 1000;

export interface Film {
  /** The asset that the server makes a playable version of. */
  id: string;
  /** Where the original's bytes are. */
  original: string;
  mediaType: string;
  codecs: string | undefined;
  plays: Plays | undefined;
}

/** Whether it is worth trying the original. */
export function mayPlay(film: Film, canPlayType: (type: string) => string): boolean {
  if (film.plays === 'nowhere') return false;
  if (film.plays !== 'some' || !film.codecs) return true;
  // QuickTime files are the same container by another name, of which browsers know nothing.
  const container = film.mediaType === 'video/quicktime' ? 'video/mp4' : film.mediaType;
  return canPlayType(`${container}; codecs="${film.codecs}"`) !== '';
}

export class FilmSource {
  src = $state<string>();
  /** What the server is doing; absent while the original is tried. */
  state = $state<Playable['state']>();
  progress = $state<number>();

  #film: Film | undefined;
  #abort = new AbortController();

  /** Begins with a film; the answer ends it. */
  begin(film: Film): () => void {
    this.#abort.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#film = film;
    this.state = undefined;
    this.progress = undefined;
    this.src = undefined;
    const probe = document.createElement('video');
    if (mayPlay(film, (type) => probe.canPlayType(type))) this.src = film.original;
    else void this.#make(abort.signal);
    return () => abort.abort();
  }

  /** What was shown did not play. */
  failed(): void {
    const own = this.#film;
    if (!own) return;
    if (this.src === own.original) {
      this.src = undefined;
      void this.#make(this.#abort.signal);
    } else if (this.src) {
      this.src = undefined;
      this.state = 'failed';
    }
  }

  async #make(signal: AbortSignal): Promise<void> {
    const { id } = this.#film as Film;
    this.state = 'waiting';
    try {
      for (let wanted = true; ; wanted = false) {
        const { state, progress } = await library.playable(id, wanted, signal);
        if (signal.aborted) return;
        this.state = state;
        this.progress = progress;
        if (state === 'ready') this.src = address.playable(id);
        if (state !== 'waiting' && state !== 'making') return;
        await new Promise((done) => setTimeout(done, LOOK_MS));
        if (signal.aborted) return;
      }
    } catch (error) {
      // A server that makes none says that there is no such address.
      if (!signal.aborted) this.state = error instanceof ApiError && error.status === 404 ? 'off' : 'failed';
    }
  }
}

/** Plays with sound, or without where the browser wants a click first. */
export function playing(node: HTMLVideoElement): void {
  node.play().catch(() => {
    node.muted = true;
    return node.play().catch(() => undefined);
  });
}

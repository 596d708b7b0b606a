/** Where all pictures of the library were taken: page by page, shown as they come. */

import { library } from '$lib/api';

import type { Points } from './cluster';
import { xOf, yOf } from './view';

const E7 = 1e7;

export class LibraryPoints {
  /** Replaced as a whole, so that who reads it follows it. */
  all = $state.raw<Points>({ ids: [], xs: new Float64Array(), ys: new Float64Array(), days: new Int32Array() });
  state = $state<'loading' | 'ready' | 'failed'>('loading');
  error = $state.raw<unknown>();

  #running: Promise<void> | undefined;

  /** Asks for everything; what was there stays until the new is whole. */
  load(): Promise<void> {
    this.#running ??= this.#load().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #load(): Promise<void> {
    const first = this.all.ids.length === 0;
    const found: [string, number, number, number][] = [];
    try {
      for (let after: string | undefined; ; ) {
        const page = await library.map(after);
        for (const point of page.points) found.push(point);
        after = page.next;
        if (first || !after) this.#show(found);
        if (!after) break;
      }
      this.state = 'ready';
      this.error = undefined;
    } catch (error) {
      this.error = error;
      if (this.all.ids.length === 0) this.state = 'failed';
    }
  }

  #show(found: readonly [string, number, number, number][]): void {
    const points: Points = {
      ids: new Array<string>(found.length),
      xs: new Float64Array(found.length),
      ys: new Float64Array(found.length),
      days: new Int32Array(found.length)
    };
    found.forEach(([id, latitude, longitude, day], at) => {
      points.ids[at] = id;
      points.xs[at] = xOf(longitude / E7);
      points.ys[at] = yOf(latitude / E7);
      points.days[at] = day;
    });
    this.all = points;
  }
}

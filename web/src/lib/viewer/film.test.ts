import { describe, expect, it } from 'vitest';

import { mayPlay, type Film } from './film.svelte';

const film: Film = { id: 'a', original: '/a', mediaType: 'video/quicktime', codecs: 'hvc1.2.4.L120.90', plays: 'some' };
const knows = (word: string) => (type: string) => (type.includes(word) ? 'probably' : '');

describe('the original of a film', () => {
  it('is tried if the browser knows the codec, whatever the container is called', () => {
    expect(mayPlay(film, knows('video/mp4; codecs="hvc1'))).toBe(true);
    expect(mayPlay(film, knows('avc1'))).toBe(false);
  });

  it('is tried where nothing is known against it, and never where no browser plays it', () => {
    expect(mayPlay({ ...film, plays: undefined }, () => '')).toBe(true);
    expect(mayPlay({ ...film, codecs: undefined }, () => '')).toBe(true);
    expect(mayPlay({ ...film, plays: 'everywhere' }, () => '')).toBe(true);
    expect(mayPlay({ ...film, plays: 'nowhere' }, () => 'probably')).toBe(false);
  });
});

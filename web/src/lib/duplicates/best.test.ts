import { describe, expect, it } from 'vitest';

import type { Details, Tile } from '$lib/api';

import { best } from './best';

function details(id: string, change: Partial<Details> = {}, tile: Partial<Tile> = {}): Details {
  return {
    tile: { id, kind: 'photo', taken: '2024-05-12T18:30:05', width: 4000, height: 3000, media: 'done', favourite: false, live: false, ...tile },
    name: `${id}.jpg`,
    digest: '',
    size_bytes: 1000,
    media_type: 'image/jpeg',
    arrived_at_ms: 10,
    taken_source: 'exif',
    safety: 'verified',
    archived: false,
    rating: 0,
    facts: {},
    albums: [],
    claims: {},
    ...change
  };
}

describe('the proposed one', () => {
  it('has more pixels before it has anything else', () => {
    const small = details('small', { size_bytes: 9000, arrived_at_ms: 1 }, { width: 400, height: 300, favourite: true });
    expect(best([small, details('large')])).toEqual({ id: 'large', reason: 'pixels' });
  });

  it('is the one a person marked, of the same size', () => {
    const marked = details('marked', { size_bytes: 1, albums: [{ id: 'a', name: 'Summer' }] });
    expect(best([details('plain'), marked])).toEqual({ id: 'marked', reason: 'marked' });
  });

  it('has the date of the camera, then a place, then more bytes', () => {
    expect(best([details('copy', { taken_source: 'file_time' }), details('camera')])?.reason).toBe('date');
    const place = { latitude: 1, longitude: 2 };
    expect(best([details('a'), details('b', { place })])).toEqual({ id: 'b', reason: 'place' });
    expect(best([details('a'), details('b', { size_bytes: 2000 })])).toEqual({ id: 'b', reason: 'bytes' });
  });

  it('is the first to arrive if nothing else tells them apart', () => {
    expect(best([details('later'), details('first', { arrived_at_ms: 5 })])).toEqual({ id: 'first', reason: 'first' });
    expect(best([])).toBeUndefined();
  });

  it('names the rule that decided first', () => {
    const all = [details('a', { size_bytes: 5 }), details('b', { size_bytes: 9 }), details('c', { taken_source: 'name' })];
    expect(best(all)).toEqual({ id: 'b', reason: 'date' });
  });
});

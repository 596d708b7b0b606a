import { describe, expect, it } from 'vitest';

import { moved, placeAt } from './order';

describe('the order of an album', () => {
  it('loses and doubles nothing, wherever a picture goes', () => {
    const items = ['a', 'b', 'c', 'd'];
    for (let from = 0; from < 4; from++) {
      for (let to = -1; to < 6; to++) {
        const after = moved(items, from, to);
        expect([...after].sort()).toEqual(items);
        expect(after.indexOf(items[from] ?? '')).toBe(Math.max(0, Math.min(3, to)));
      }
    }
    expect(moved(items, 9, 0)).toEqual(items);
  });

  it('finds the place in the row that is pointed at', () => {
    const spots = [0, 1, 2, 3, 4].map((at) => ({ left: (at % 3) * 110, top: Math.floor(at / 3) * 110, width: 100, height: 100 }));
    expect(placeAt(spots, 50, 50)).toBe(0);
    expect(placeAt(spots, 400, 20)).toBe(2);
    expect(placeAt(spots, 400, 150)).toBe(4);
    expect(placeAt([], 1, 1)).toBeUndefined();
  });
});

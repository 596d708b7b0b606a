/** Which one of several alike is worth keeping, and why. Pure: a person decides, this only proposes. */

import type { Details } from '$lib/api';

/** Why one is proposed; also the last part of its text's key. */
export type Reason = 'pixels' | 'marked' | 'date' | 'place' | 'bytes' | 'first';

/** Sources of a time that a camera or a person stands behind. */
const SURE = ['exif', 'gps', 'library', 'person'];

/** What decides, the most important first: more is better. */
const RULES: readonly [Reason, (details: Details) => number][] = [
  ['pixels', ({ tile }) => tile.width * tile.height],
  [
    'marked',
    ({ tile, rating, albums }) => Number(tile.favourite) + Number(rating > 0) + Number(Boolean(tile.caption)) + albums.length
  ],
  ['date', ({ taken_source }) => Number(SURE.includes(taken_source))],
  ['place', ({ place }) => Number(place !== undefined)],
  ['bytes', ({ size_bytes }) => size_bytes],
  ['first', ({ arrived_at_ms }) => -arrived_at_ms]
];

/** The best of them, and the first rule by which it is better than any other. */
export function best(all: readonly Details[]): { id: string; reason: Reason } | undefined {
  let left = [...all];
  let reason: Reason = 'first';
  let decided = false;
  for (const [rule, value] of RULES) {
    const most = Math.max(...left.map(value));
    const kept = left.filter((each) => value(each) === most);
    if (kept.length < left.length && !decided) {
      reason = rule;
      decided = true;
    }
    left = kept;
  }
  const [one] = left;
  return one && { id: one.tile.id, reason };
}

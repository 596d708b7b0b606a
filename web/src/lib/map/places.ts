/** Places as people say them: the country, if there is one, and where it lies. */

import { coordinatesText, regionName } from '$lib/text/format';

import { countryAt, type Land } from './land';
import { latitudeOf, longitudeOf } from './view';

/** Beside the coast, as far as the outline of the land is off, and then as far as a harbour: shares of the earth's girth. */
const BESIDE = [0.0003, 0.0008];

/** The letters of the country at a place; of one that is only just at sea, that of the coast. */
export function nearestCountry(land: Land, x: number, y: number): string | undefined {
  const own = x - Math.floor(x);
  const found = countryAt(land, own, y);
  if (found) return found;
  for (const far of BESIDE) {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1], [0.7, 0.7], [-0.7, 0.7], [0.7, -0.7], [-0.7, -0.7]] as const) {
      const near = countryAt(land, own + dx * far, y + dy * far);
      if (near) return near;
    }
  }
  return undefined;
}

/** “Portugal, 38.7° N, 9.1° W”. */
export function placeText(land: Land | undefined, x: number, y: number): string {
  const code = land && nearestCountry(land, x, y);
  const where = coordinatesText(latitudeOf(y), longitudeOf(x));
  const country = code ? regionName(code) : '';
  return country ? `${country}, ${where}` : where;
}

/** The country alone, else where it lies. */
export function shortPlaceText(land: Land | undefined, x: number, y: number): string {
  const code = land && nearestCountry(land, x, y);
  return (code ? regionName(code) : '') || coordinatesText(latitudeOf(y), longitudeOf(x));
}

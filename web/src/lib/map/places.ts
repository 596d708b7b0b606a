/** Places as people say them: the country, if there is one, and where it lies. */

import { coordinatesText, regionName } from '$lib/text/format';

import { countryAt, type Land } from './land';
import { latitudeOf, longitudeOf } from './view';

/** “Portugal, 38.7° N, 9.1° W”. */
export function placeText(land: Land | undefined, x: number, y: number): string {
  const code = land ? countryAt(land, x - Math.floor(x), y) : undefined;
  const where = coordinatesText(latitudeOf(y), longitudeOf(x));
  const country = code ? regionName(code) : '';
  return country ? `${country}, ${where}` : where;
}

/** The country alone, else where it lies. */
export function shortPlaceText(land: Land | undefined, x: number, y: number): string {
  const code = land ? countryAt(land, x - Math.floor(x), y) : undefined;
  return (code ? regionName(code) : '') || coordinatesText(latitudeOf(y), longitudeOf(x));
}

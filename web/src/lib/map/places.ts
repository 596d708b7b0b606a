/** Places as people say them: the country, if there is one, and where it lies. */

import { coordinatesText, listText, regionName } from '$lib/text/format';
import { t } from '$lib/text/index.svelte';

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

/** Places whose countries are looked up to name many of them, spread evenly: more would be felt. */
const ASKED = 200;
/** Countries that are named one by one. */
const NAMED = 3;

/** “Portugal and Spain”, that of most places first, or that there are several; empty at sea. */
export function countriesText(land: Land, places: readonly (readonly [x: number, y: number])[]): string {
  const counts = new Map<string, number>();
  const step = Math.max(1, places.length / ASKED);
  for (let at = 0; at < places.length; at += step) {
    const [x, y] = places[Math.floor(at)] as readonly [number, number];
    const name = regionName(nearestCountry(land, x, y) ?? '');
    if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const found = [...counts].sort(([, a], [, b]) => b - a).map(([name]) => name);
  return found.length > NAMED ? t('map.countries') : listText(found);
}

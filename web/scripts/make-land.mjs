/**
 * Makes the outline of the land that the map draws: Natural Earth, 1:50m (public domain), from the package world-atlas, made
 * simpler and small. Run before every build; `src/lib/map/land.ts` reads what comes out.
 *
 * All numbers are variable-length integers (7 bits a byte, lowest first; signed ones as zigzag). Arcs: how many, and for each
 * how many points, then the way from the point before (the first from 0/0) east and south. Countries: how many, and for each
 * its ISO number (0: none), how many polygons; for each how many rings; for each how many arcs, and their numbers, `~number`
 * backwards. Points count in 65,536ths of the earth's girth, from 180° W and 90° N; an arc that crosses 180° goes on beyond it.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const OUT = 'src/lib/map/land.bin';
const GRID = 65_536 / 360;
/** What a simpler line may be off, in grid steps: 0.011°, a kilometre. */
const TOLERANCE = 2;

const world = JSON.parse(readFileSync(createRequire(import.meta.url).resolve('world-atlas/countries-50m.json'), 'utf8'));
const { scale, translate } = world.transform;

/** The points of an arc on the grid, no two alike beside each other. */
function pointsOf(arc) {
  let [x, y] = [0, 0];
  let turns = 0;
  let before;
  const points = [];
  for (const [dx, dy] of arc) {
    x += dx;
    y += dy;
    const found = x * scale[0] + translate[0];
    if (before !== undefined && Math.abs(found - before) > 180) turns += found < before ? 1 : -1;
    before = found;
    const longitude = found + turns * 360;
    const latitude = y * scale[1] + translate[1];
    const point = [Math.round((longitude + 180) * GRID), Math.round((90 - latitude) * GRID)];
    const last = points.at(-1);
    if (!last || last[0] !== point[0] || last[1] !== point[1]) points.push(point);
  }
  if (points.length === 1) points.push(points[0]);
  return points;
}

/** Leaves out points that lie nearly on the line between others (Douglas and Peucker); the ends stay. */
function simpler(points) {
  const kept = new Uint8Array(points.length);
  kept[0] = kept[points.length - 1] = 1;
  const spans = [[0, points.length - 1]];
  while (spans.length > 0) {
    const [first, last] = spans.pop();
    const [a, b] = [points[first], points[last]];
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const length = Math.hypot(dx, dy);
    let [worst, at] = [TOLERANCE, -1];
    for (let each = first + 1; each < last; each++) {
      const [x, y] = [points[each][0] - a[0], points[each][1] - a[1]];
      // A ring begins where it ends: there the distance from the point counts.
      const off = length === 0 ? Math.hypot(x, y) : Math.abs(x * dy - y * dx) / length;
      if (off > worst) [worst, at] = [off, each];
    }
    if (at < 0) continue;
    kept[at] = 1;
    spans.push([first, at], [at, last]);
  }
  return points.filter((_, each) => kept[each]);
}

const bytes = [];
function put(number) {
  let left = number;
  while (left > 127) {
    bytes.push((left & 127) | 128);
    left = Math.floor(left / 128);
  }
  bytes.push(left);
}
const putSigned = (number) => put(number < 0 ? -number * 2 - 1 : number * 2);

let count = 0;
put(world.arcs.length);
for (const arc of world.arcs) {
  const points = simpler(pointsOf(arc));
  count += points.length;
  put(points.length);
  let [x, y] = [0, 0];
  for (const [nextX, nextY] of points) {
    putSigned(nextX - x);
    putSigned(nextY - y);
    [x, y] = [nextX, nextY];
  }
}
const countries = world.objects.countries.geometries.filter(({ type }) => type === 'Polygon' || type === 'MultiPolygon');
put(countries.length);
for (const { type, id, arcs } of countries) {
  put(Number(id ?? 0));
  const polygons = type === 'Polygon' ? [arcs] : arcs;
  put(polygons.length);
  for (const rings of polygons) {
    put(rings.length);
    for (const ring of rings) {
      put(ring.length);
      ring.forEach(putSigned);
    }
  }
}

const made = Uint8Array.from(bytes);
// Written only when it changed: whoever looks at times sees no new file.
if (!existsSync(OUT) || Buffer.compare(readFileSync(OUT), made) !== 0) writeFileSync(OUT, made);
console.log(`land: ${count} points, ${(made.length / 1000).toFixed(0)} kB`);

import { describe, expect, it, vi } from 'vitest';

import { areaAround, boundsOf, group, membersOf, type Points } from './cluster';
import { countryAt, readLand } from './land';
import { countriesText, nearestCountry } from './places';
import { bounded, boxOf, fitted, latitudeOf, longitudeOf, pixelOf, scaleBar, xOf, yOf, zoomedAt } from './view';

/** The app itself has no types of Node. */
const { process } = globalThis as unknown as {
  process: { getBuiltinModule: (name: string) => { readFileSync: (path: string) => Uint8Array } };
};
const files = process.getBuiltinModule('node:fs');

const size = { width: 1200, height: 800 };

describe('a view', () => {
  it('finds a place again where it put it', () => {
    for (const [latitude, longitude] of [[38.72, -9.14], [-33.9, 151.2], [0, 0], [84, 179.9]] as const) {
      expect(latitudeOf(yOf(latitude))).toBeCloseTo(latitude, 9);
      expect(longitudeOf(xOf(longitude))).toBeCloseTo(longitude, 9);
    }
  });

  it('keeps what is under the pointer there while it zooms', () => {
    const view = bounded({ x: 0.47, y: 0.38, zoom: 6 }, size);
    const at = { x: 200, y: -120 };
    const place = { x: view.x + at.x / (256 * 2 ** 6), y: view.y + at.y / (256 * 2 ** 6) };
    const after = pixelOf(place.x, place.y, zoomedAt(view, 8.3, at, size), size);
    expect(after.x).toBeCloseTo(800, 6);
    expect(after.y).toBeCloseTo(280, 6);
  });

  it('shows all of a box, and never more than the earth from north to south', () => {
    const box = { left: 0.4, right: 0.42, top: 0.3, bottom: 0.33 };
    const seen = boxOf(fitted(box, size), size);
    expect(seen.left < box.left && seen.right > box.right && seen.top < box.top && seen.bottom > box.bottom).toBe(true);
    const all = boxOf(bounded({ x: 0.2, y: 0, zoom: -3 }, size), size);
    expect(all.top).toBeGreaterThanOrEqual(0);
    expect(all.bottom).toBeLessThanOrEqual(1);
  });

  it('measures with a round length that fits', () => {
    for (const zoom of [2, 5.5, 11, 16]) {
      const { metres, px } = scaleBar({ x: 0.5, y: yOf(52), zoom }, 120);
      expect(px).toBeLessThanOrEqual(120);
      expect(px).toBeGreaterThan(40);
      expect([1, 2, 5]).toContain(Number(String(metres)[0]));
    }
  });
});

/** Points that are the same in every run. */
function scattered(count: number): Points {
  let seed = 7;
  const next = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const points: Points = {
    ids: Array.from({ length: count }, (_, at) => String(at)),
    xs: new Float64Array(count),
    ys: new Float64Array(count),
    days: new Int32Array(count)
  };
  for (let at = 0; at < count; at++) {
    points.xs[at] = next();
    points.ys[at] = 0.2 + next() * 0.5;
    points.days[at] = Math.floor(next() * 9000);
  }
  return points;
}

describe('clusters', () => {
  it('hold every point in sight once, and the newest stands for all', () => {
    const points = scattered(5000);
    const level = group(points, 3, { left: 0, right: 1, top: 0, bottom: 1 });
    const members = level.clusters.map((cluster) => membersOf(points, level, cluster));
    expect(members.flat().sort((a, b) => a - b)).toEqual(points.ids.map(Number));
    level.clusters.forEach((cluster, at) => {
      expect(cluster.count).toBe(members[at]?.length);
      expect(points.days[cluster.newest]).toBe(points.days[members[at]?.[0] ?? -1]);
    });
  });

  it('do not change while the map is moved', () => {
    const points = scattered(5000);
    const keys = (x: number) => {
      const area = areaAround(boxOf({ x, y: 0.4, zoom: 6 }, size), 6);
      const level = group(points, 6, area);
      return new Map(level.clusters.map((cluster) => [cluster.key, cluster.count]));
    };
    const [before, after] = [keys(0.5), keys(0.502)];
    const middle = group(points, 6, { left: 0.49, right: 0.51, top: 0.39, bottom: 0.41 }).clusters;
    expect(middle.length).toBeGreaterThan(0);
    expect([...before].filter(([key]) => after.has(key)).every(([key, count]) => after.get(key) === count)).toBe(true);
  });

  it('go round the earth with the view', () => {
    const points = { ...scattered(1), xs: Float64Array.of(0.999), ys: Float64Array.of(0.4) };
    expect(group(points, 4, areaAround({ left: -0.05, right: 0.05, top: 0.3, bottom: 0.5 }, 4)).clusters).toHaveLength(1);
    expect(boundsOf(points)).toEqual({ left: 0.999, right: 0.999, top: 0.4, bottom: 0.4 });
    expect(boundsOf(points, [])).toBeUndefined();
  });
});

describe('the land', () => {
  const land = readLand(files.readFileSync('src/lib/map/land.bin'));
  const at = (latitude: number, longitude: number) => countryAt(land, xOf(longitude), yOf(latitude));

  it('says in which country a place is, also on both sides of 180° and round the pole', () => {
    const known = { PT: [38.9, -9.0], DE: [52.5, 13.4], LS: [-29.6, 28.2], ZA: [-26.2, 28.0], AQ: [-82, 40], JP: [35.7, 139.5] };
    for (const [code, [latitude, longitude]] of Object.entries(known)) expect(at(latitude ?? 0, longitude ?? 0)).toBe(code);
    expect([at(66.5, -172.5), at(66.5, 178)]).toEqual(['RU', 'RU']);
    expect(at(40, -40)).toBeUndefined();
    // In the harbour of Lisbon, which so small a map does not know.
    expect(nearestCountry(land, xOf(-9.14), yOf(38.7))).toBe('PT');
    expect(nearestCountry(land, xOf(-12), yOf(38.7))).toBeUndefined();
  });

  it('names the countries of pictures, not that of the middle between them', () => {
    vi.stubGlobal('navigator', { languages: ['en-GB'] });
    const place = (latitude: number, longitude: number) => [xOf(longitude), yOf(latitude)] as const;
    const [lisbon, paris, rome, berlin] = [place(38.7, -9.14), place(48.86, 2.35), place(41.9, 12.5), place(52.5, 13.4)];
    expect(countriesText(land, [paris, lisbon, lisbon])).toBe('Portugal and France');
    expect(countriesText(land, [place(38.7, -30)])).toBe('');
    expect(countriesText(land, [paris, lisbon, rome, berlin])).toBe('Several countries');
    // Of many some are asked, from first to last.
    const many = [...new Array<typeof rome>(9999).fill(rome), ...new Array<typeof lisbon>(9000).fill(lisbon)];
    expect(countriesText(land, many)).toBe('Italy and Portugal');
  });

  it('has no line that crosses the whole map', () => {
    for (const line of land.lines) {
      for (let each = 2; each < line.length; each += 2) {
        // The edge of the map in the south is one, and is not seen.
        const crosses = Math.abs((line[each] ?? 0) - (line[each - 2] ?? 0)) > 0.2 && (line[each + 1] ?? 0) < 0.9999;
        expect(crosses).toBe(false);
      }
    }
  });

  it('refuses bytes that end too early', () => {
    expect(() => readLand(Uint8Array.of(3, 200))).toThrow('ends too early');
  });
});

/**
 * Points that would lie on each other become one: by the cells of a grid that belongs to the zoom, and then with a neighbour that
 * is too near. The grid is fixed to the earth, so that nothing regroups while the map is moved. Pure; 100,000 points take a few
 * milliseconds, because only those in sight are looked at.
 */

import { worldPx, type Box } from './view';

/** Pixels between two clusters. */
const CELL_PX = 72;
/** Nearer than this share of a cell, two become one. */
const NEAR = 0.8;

/** Where pictures were taken, as columns: objects for each would be ten times as large. */
export interface Points {
  ids: string[];
  xs: Float64Array;
  ys: Float64Array;
  /** Days since 1970. */
  days: Int32Array;
}

export interface Cluster {
  /** The same as long as it is the same place at the same zoom. */
  key: number;
  x: number;
  y: number;
  count: number;
  /** Index of the newest picture: it stands for all. */
  newest: number;
  /** Cells that make it. */
  cells: number[];
}

export interface Level {
  zoom: number;
  area: Box;
  clusters: Cluster[];
}

function cellsOf(zoom: number): number {
  return Math.max(1, Math.round(worldPx(zoom) / CELL_PX));
}

/** The part of the earth that is worth grouping for a view: larger than the view, in steps, so that a small move asks nothing. */
export function areaAround(box: Box, zoom: number): Box {
  const step = 8 / cellsOf(zoom);
  return {
    left: (Math.floor(box.left / step) - 1) * step,
    right: (Math.ceil(box.right / step) + 1) * step,
    top: (Math.floor(box.top / step) - 1) * step,
    bottom: (Math.ceil(box.bottom / step) + 1) * step
  };
}

/** Whether a place is inside an area that may go round the earth. */
function isInside(area: Box, x: number, y: number): boolean {
  if (y < area.top || y > area.bottom) return false;
  return (x >= area.left && x <= area.right) || x - 1 >= area.left || x + 1 <= area.right;
}

function cellAt(x: number, y: number, cells: number): number {
  return Math.floor(y * cells) * cells + Math.min(cells - 1, Math.floor(x * cells));
}

/** Groups the points of an area. `zoom` comes in steps, or everything regroups at every move. */
export function group(points: Points, zoom: number, area: Box): Level {
  const cells = cellsOf(zoom);
  const byCell = new Map<number, Cluster>();
  const { xs, ys, days } = points;
  for (let at = 0; at < xs.length; at++) {
    const [x, y] = [xs[at] as number, ys[at] as number];
    if (!isInside(area, x, y)) continue;
    const key = cellAt(x, y, cells);
    const own = byCell.get(key);
    if (!own) {
      byCell.set(key, { key, x, y, count: 1, newest: at, cells: [key] });
      continue;
    }
    // The mean, kept as a sum until all are in.
    own.x += x;
    own.y += y;
    own.count++;
    if ((days[at] as number) > (days[own.newest] as number)) own.newest = at;
  }
  for (const cluster of byCell.values()) {
    cluster.x /= cluster.count;
    cluster.y /= cluster.count;
  }
  return { zoom, area, clusters: joined(byCell, points, cells) };
}

/** The larger one takes those that are too near into itself. */
function joined(byCell: Map<number, Cluster>, points: Points, cells: number): Cluster[] {
  const near = NEAR / cells;
  const all = [...byCell.values()].sort((a, b) => b.count - a.count || a.key - b.key);
  const taken = new Set<number>();
  const left: Cluster[] = [];
  for (const cluster of all) {
    if (taken.has(cluster.key)) continue;
    taken.add(cluster.key);
    const [centreX, centreY] = [cluster.x, cluster.y];
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        const other = byCell.get(cluster.key + dy * cells + dx);
        if (!other || taken.has(other.key) || Math.hypot(other.x - centreX, other.y - centreY) > near) continue;
        taken.add(other.key);
        const count = cluster.count + other.count;
        cluster.x = (cluster.x * cluster.count + other.x * other.count) / count;
        cluster.y = (cluster.y * cluster.count + other.y * other.count) / count;
        cluster.count = count;
        cluster.cells.push(other.key);
        if ((points.days[other.newest] as number) > (points.days[cluster.newest] as number)) cluster.newest = other.newest;
      }
    }
    left.push(cluster);
  }
  return left;
}

/** Indexes of a cluster's points, newest day first. */
export function membersOf(points: Points, level: Level, cluster: Cluster): number[] {
  const cells = cellsOf(level.zoom);
  const own = new Set(cluster.cells);
  const found: number[] = [];
  for (let at = 0; at < points.xs.length; at++) {
    const [x, y] = [points.xs[at] as number, points.ys[at] as number];
    if (isInside(level.area, x, y) && own.has(cellAt(x, y, cells))) found.push(at);
  }
  return found.sort((a, b) => (points.days[b] as number) - (points.days[a] as number));
}

/** The smallest box around points; `undefined` for none. */
export function boundsOf(points: Points, indexes?: readonly number[]): Box | undefined {
  const count = indexes?.length ?? points.xs.length;
  if (count === 0) return undefined;
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let each = 0; each < count; each++) {
    const at = indexes?.[each] ?? each;
    const [x, y] = [points.xs[at] as number, points.ys[at] as number];
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  return box;
}

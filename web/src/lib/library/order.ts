/** The order of an album as a list that one picture is moved in. Pure. */

/** The list with the item at `from` standing at `to`. */
export function moved<Item>(items: readonly Item[], from: number, to: number): Item[] {
  const [item] = items.slice(from, from + 1);
  if (item === undefined) return [...items];
  const left = [...items.slice(0, from), ...items.slice(from + 1)];
  const place = Math.max(0, Math.min(left.length, to));
  return [...left.slice(0, place), item, ...left.slice(place)];
}

export interface Spot {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The place of a list in rows at which a point is: the number of the spot it is over, or that is nearest. */
export function placeAt(spots: readonly Spot[], x: number, y: number): number | undefined {
  let best: { at: number; distance: number } | undefined;
  spots.forEach((spot, at) => {
    const dx = Math.max(spot.left - x, 0, x - spot.left - spot.width);
    const dy = Math.max(spot.top - y, 0, y - spot.top - spot.height);
    // Rows come first: beside the end of a row is still in that row.
    const distance = dy * 1000 + dx;
    if (!best || distance < best.distance) best = { at, distance };
  });
  return best?.at;
}

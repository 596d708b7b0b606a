/** Details of the last pictures that were looked at: going back and forth asks nothing twice. */

import { library, type Details } from '$lib/api';

const KEPT = 30;
const known = new Map<string, Details>();

/** The details, from before if there is no `forget` in between. */
export async function detailsOf(id: string, signal?: AbortSignal): Promise<Details> {
  const before = known.get(id);
  if (before) return before;
  const answer = await library.details(id, signal);
  known.set(id, answer);
  if (known.size > KEPT) known.delete(known.keys().next().value ?? '');
  return answer;
}

/** After a change: what was known of them is old. */
export function forgetDetails(ids: Iterable<string>): void {
  for (const id of ids) known.delete(id);
}

/** How much the account holds, shown beside the navigation. */

import { web, type Me } from '$lib/api';

let me = $state.raw<Me>();

export function account(): Me | undefined {
  return me;
}

/** Asks anew; an old answer stays if none comes. */
export async function loadAccount(): Promise<void> {
  try {
    me = await web.me();
  } catch {
    // A meter is not worth a message.
  }
}

/** Who is signed in here, and what the server said of itself. */

import { onSignedOut, setCsrf, web, type WebSession, type WebState } from '$lib/api';

let state = $state.raw<WebState | undefined>();

export const session = {
  /** Absent until the server has answered once. */
  get server(): WebState | undefined {
    return state;
  },
  get current(): WebSession | undefined {
    return state?.session;
  }
};

/** Asks the server who this browser is. */
export async function loadSession(): Promise<WebState> {
  const answer = await web.state();
  take(answer.session);
  state = answer;
  return answer;
}

/** Takes over a session that was just made. */
export function signedIn(made: WebSession): void {
  take(made);
  if (state) state = { ...state, needs_setup: false, session: made };
}

/** Ends the session here and on the server. */
export async function signOut(): Promise<void> {
  await web.signOut();
  forget();
}

function take(made: WebSession | undefined): void {
  setCsrf(made?.csrf ?? '');
}

function forget(): void {
  take(undefined);
  if (!state) return;
  const rest = { ...state };
  delete rest.session;
  state = rest;
}

onSignedOut(forget);

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

let left: () => void = () => undefined;

/** Calls back when a person signed out here, or somebody else signed in: nothing of the one before may stay. */
export function onLeft(listener: () => void): void {
  left = listener;
}

/** Ends the session here and on the server. */
export async function signOut(): Promise<void> {
  await web.signOut();
  forget();
  left();
}

const STORED = 'photosync-account';

function take(made: WebSession | undefined): void {
  setCsrf(made?.csrf ?? '');
  if (!made) return;
  try {
    const before = localStorage.getItem(STORED);
    if (before && before !== made.account_uuid) left();
    localStorage.setItem(STORED, made.account_uuid);
  } catch {
    // Where storage is refused, nothing was kept either.
  }
}

function forget(): void {
  take(undefined);
  if (!state) return;
  const rest = { ...state };
  delete rest.session;
  state = rest;
}

onSignedOut(forget);

/**
 * The one road to the server: JSON in and out, the cookie of this browser, the CSRF word on everything that changes something,
 * and errors as {@link ApiError}. A 401 tells whoever listens by {@link onSignedOut}; it is still thrown.
 */

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: no answer came. */
    readonly status: number,
    /** Stable word of the error table in docs/API.md; `offline` if no answer came. */
    readonly code: string,
    message: string,
    readonly requestId: string = '',
    readonly details: Record<string, unknown> = {}
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** Whether the same request may work a little later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

let csrf = '';
let signedOut: () => void = () => undefined;

/** The word that goes with every request that changes something; comes with the session. */
export function setCsrf(word: string): void {
  csrf = word;
}

/** Headers of an unsafe request, for the few that are not sent by {@link call}. */
export function unsafeHeaders(): Record<string, string> {
  return csrf ? { 'x-photosync-csrf': csrf } : {};
}

/** Calls back when the server no longer knows this browser. */
export function onSignedOut(listener: () => void): void {
  signedOut = listener;
}

/** Makes an {@link ApiError} of the body of a refusal, whatever it is. */
export function errorOf(status: number, text: string): ApiError {
  let body: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) body = parsed as Record<string, unknown>;
  } catch {
    // A proxy in between answers in HTML; the status says enough.
  }
  const word = (key: string, otherwise: string) => (typeof body[key] === 'string' ? (body[key] as string) : otherwise);
  const details = typeof body['details'] === 'object' && body['details'] !== null ? body['details'] : {};
  return new ApiError(
    status,
    word('code', 'unknown'),
    word('error', `HTTP ${status}`),
    word('request_id', ''),
    details as Record<string, unknown>
  );
}

export interface CallOptions {
  query?: Record<string, string | number | boolean | undefined>;
  json?: unknown;
  bytes?: Uint8Array<ArrayBuffer>;
  signal?: AbortSignal | undefined;
}

/** Sends one request and answers its response, or throws {@link ApiError}. */
export async function send(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined && value !== '') query.set(key, String(value));
  }
  const address = query.size > 0 ? `${path}?${query}` : path;
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method !== 'GET') Object.assign(headers, unsafeHeaders());
  let body: BodyInit | null = null;
  if (options.json !== undefined) {
    headers['content-type'] = 'application/json';
    body = JSON.stringify(options.json);
  } else if (options.bytes) {
    headers['content-type'] = 'application/octet-stream';
    body = options.bytes;
  }
  let response: Response;
  try {
    response = await fetch(address, {
      method,
      headers,
      body,
      credentials: 'same-origin',
      signal: options.signal ?? null
    });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError(0, 'offline', 'the server did not answer');
  }
  if (!response.ok) {
    const refusal = errorOf(response.status, await response.text().catch(() => ''));
    if (response.status === 401 && !path.startsWith('/api/v2/web')) signedOut();
    throw refusal;
  }
  return response;
}

/** Sends one request and reads its JSON; `undefined` for an answer without a body. */
export async function call<Answer>(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const response = await send(method, path, options);
  if (response.status === 204) return undefined as Answer;
  return (await response.json()) as Answer;
}

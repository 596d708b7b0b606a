/**
 * One file to the server by tus 1.0.0, as docs/API.md has it: with the digest, creating it again finds what was begun, and says how
 * far. The offset is asked for after every break, and nothing counts as sent but what the server says it has.
 */

import { ApiError, errorOf, unsafeHeaders } from '$lib/api/client';
import { address } from '$lib/api';

export interface TusFile {
  file: Blob;
  name: string;
  digest: string;
  /** Last change of the file, Unix milliseconds. */
  modifiedMs: number;
  folder: string;
}

export interface Sent {
  /** Id of the asset, if the server told it. */
  asset: string | undefined;
}

const VERSION = { 'tus-resumable': '1.0.0' };

/** tus metadata: keys and base64 of UTF-8. */
export function metadataOf(pairs: Record<string, string>): string {
  return Object.entries(pairs)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => {
      const bytes = new TextEncoder().encode(value);
      let text = '';
      for (const byte of bytes) text += String.fromCharCode(byte);
      return `${key} ${btoa(text)}`;
    })
    .join(',');
}

interface Answer {
  status: number;
  header: (name: string) => string | null;
  text: string;
}

/** XMLHttpRequest, because fetch tells nothing of how far a body has gone. */
function request(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Blob | null,
  signal: AbortSignal,
  progress: (bytes: number) => void
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open(method, path);
    for (const [name, value] of Object.entries({ ...VERSION, ...unsafeHeaders(), ...headers })) {
      call.setRequestHeader(name, value);
    }
    const stop = () => call.abort();
    const end = () => signal.removeEventListener('abort', stop);
    call.upload.onprogress = (event) => progress(event.loaded);
    call.onload = () => {
      end();
      resolve({ status: call.status, header: (name) => call.getResponseHeader(name), text: call.responseText });
    };
    call.onerror = () => {
      end();
      reject(new ApiError(0, 'offline', 'the connection broke'));
    };
    call.onabort = () => {
      end();
      reject(new DOMException('paused', 'AbortError'));
    };
    if (signal.aborted) return call.onabort(new ProgressEvent('abort'));
    signal.addEventListener('abort', stop);
    call.send(body);
  });
}

function offsetOf(answer: Answer): number {
  return Number(answer.header('upload-offset') ?? '0');
}

/** Sends a file, from where the server has it. Throws {@link ApiError}, or an AbortError when paused. */
export async function sendFile(what: TusFile, signal: AbortSignal, progress: (bytes: number) => void): Promise<Sent> {
  const size = what.file.size;
  const nothing = () => undefined;
  const created = await request(
    'POST',
    address.uploads,
    {
      'upload-length': String(size),
      'upload-metadata': metadataOf({
        filename: what.name,
        digest: what.digest,
        folder: what.folder,
        modified_ms: what.modifiedMs > 0 ? String(Math.round(what.modifiedMs)) : ''
      })
    },
    null,
    signal,
    nothing
  );
  if (created.status !== 201) throw errorOf(created.status, created.text);
  const location = created.header('location');
  if (!location) throw new ApiError(created.status, 'unknown', 'the server named no place for the upload');
  const path = new URL(location, document.baseURI);
  const target = path.pathname + path.search;

  let answer = created;
  let offset = offsetOf(created);
  let pieceBytes = Infinity;
  while (offset < size) {
    progress(offset);
    const from = offset;
    answer = await request(
      'PATCH',
      target,
      { 'upload-offset': String(from), 'content-type': 'application/offset+octet-stream' },
      what.file.slice(from, Math.min(size, from + pieceBytes)),
      signal,
      (bytes) => progress(Math.min(size, from + bytes))
    );
    if (answer.status === 204 || answer.status === 200) {
      offset = offsetOf(answer);
      if (offset <= from) throw new ApiError(answer.status, 'unknown', 'the upload does not go on');
    } else if (answer.status === 409) {
      // Somebody else sends the same, or an answer was lost: the server says how far it is.
      answer = await request('HEAD', target, {}, null, signal, nothing);
      if (answer.status !== 200 && answer.status !== 204) throw errorOf(answer.status, answer.text);
      offset = offsetOf(answer);
    } else if (answer.status === 413 && limitOf(answer) !== undefined && pieceBytes === Infinity) {
      pieceBytes = limitOf(answer) ?? Infinity;
    } else {
      throw errorOf(answer.status, answer.text);
    }
  }
  progress(size);
  return { asset: answer.header('photosync-asset') ?? undefined };
}

/** Most bytes of one request, where a limit is set. */
function limitOf(answer: Answer): number | undefined {
  const found = /max-append-size=(\d+)/.exec(answer.header('upload-limit') ?? '');
  return found ? Number(found[1]) : undefined;
}

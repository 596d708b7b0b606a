// The JSON documents of version 2. Keys that are not known are passed over; a known one has its type or the document
// is refused. A key that may be absent may also be null.
import { type Json } from "./json.js";
import { Refused } from "./refused.js";
import { type Epoch } from "./format.js";

export type Fields = Map<string, Json>;

export interface Manifest {
  digest: string;
  sizeBytes: bigint;
  name: string;
  claims: Record<string, Json>;
  chunks: string[];
}
export interface Head { writer: string; sequence: bigint; id: string }
export interface Entry { id: string; manifest?: Manifest }
export interface Segment {
  writer: string;
  sequence: bigint;
  previous?: string;
  writtenAtMs: bigint;
  seen: Head[];
  live: string;
  entries: Entry[];
}

const CHUNK_BYTES = 4n * 1024n * 1024n;
const MAX_SIZE_BYTES = 1n << 40n;
const bad = (): never => {
  throw new Refused("BadContents");
};

export function fieldsOf(value: Json | undefined): Fields {
  return value instanceof Map ? value : bad();
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : bad();
}

function whole(value: Json | undefined, least: bigint, most: bigint): bigint {
  return typeof value === "bigint" && value >= least && value <= most ? value : bad();
}

function unsigned(value: Json | undefined): bigint {
  return whole(value, 0n, 2n ** 64n - 1n);
}

function milliseconds(value: Json | undefined): bigint {
  return whole(value, -(2n ** 63n), 2n ** 63n - 1n);
}

function digits(value: Json | undefined, count: number): string {
  const found = text(value).toLowerCase();
  return found.length === count && /^[0-9a-f]*$/.test(found) ? found : bad();
}

function list<T>(value: Json | undefined, read: (item: Json) => T): T[] {
  return Array.isArray(value) ? value.map(read) : bad();
}

function optional<T>(value: Json | undefined, read: (value: Json) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

const captured = (value: Json): Json => {
  const fields = fieldsOf(value);
  const offset = optional(fields.get("offset_minutes"), (minutes) => whole(minutes, -32_768n, 32_767n));
  const source = text(fields.get("source"));
  if (!["library", "sidecar", "unknown", "file_time"].includes(source)) bad();
  return made({ local: text(fields.get("local")), offset_minutes: offset, source });
};

const pairing = (value: Json): Json => {
  const fields = fieldsOf(value);
  const role = text(fields.get("role"));
  if (!["still", "motion"].includes(role)) bad();
  const source = fields.has("source") ? text(fields.get("source")) : "library";
  if (!["library", "name"].includes(source)) bad();
  return made({ id: text(fields.get("id")), role, source: source === "library" ? undefined : source });
};

/** A claim made in words that this reader does not know is left out: a newer writer must not cost a photo. */
function known(read: (value: Json) => Json): (value: Json) => Json | undefined {
  return (value) => {
    try {
      return read(value);
    } catch {
      return undefined;
    }
  };
}

/** Another place of the same bytes. */
const place = (value: Json): Json => {
  const fields = fieldsOf(value);
  return made({
    device_asset_id: optional(fields.get("device_asset_id"), text),
    folder: optional(fields.get("folder"), text),
    modified_ms: optional(fields.get("modified_ms"), milliseconds),
  });
};

/** A map of what is there. */
function made(fields: Record<string, Json | undefined>): Fields {
  return new Map(Object.entries(fields).filter((entry): entry is [string, Json] => entry[1] !== undefined));
}

function claimsOf(value: Json | undefined): Record<string, Json> {
  if (value === undefined) return {};
  const fields = fieldsOf(value);
  const truth = (claim: Json): Json => (typeof claim === "boolean" ? claim : bad());
  const albums = fields.has("albums") ? list(fields.get("albums"), text) : [];
  const copies = fields.has("copies") ? list(fields.get("copies"), place) : [];
  const claims = made({
    captured: optional(fields.get("captured"), known(captured)),
    device_asset_id: optional(fields.get("device_asset_id"), text),
    folder: optional(fields.get("folder"), text),
    favourite: optional(fields.get("favourite"), truth),
    albums: albums.length === 0 ? undefined : albums,
    pair: optional(fields.get("pair"), known(pairing)),
    modified_ms: optional(fields.get("modified_ms"), milliseconds),
    copies: copies.length === 0 ? undefined : copies,
  });
  return Object.fromEntries(claims);
}

export function manifestOf(fields: Fields): Manifest {
  const manifest = {
    digest: digits(fields.get("digest"), 64),
    sizeBytes: unsigned(fields.get("size_bytes")),
    name: text(fields.get("name")),
    claims: claimsOf(fields.get("claims")),
    chunks: list(fields.get("chunks"), (id) => digits(id, 64)),
  };
  const nameBytes = new TextEncoder().encode(manifest.name).length;
  const chunkCount = (manifest.sizeBytes + CHUNK_BYTES - 1n) / CHUNK_BYTES;
  const right = nameBytes >= 1 && nameBytes <= 1024 && manifest.sizeBytes <= MAX_SIZE_BYTES;
  return right && chunkCount === BigInt(manifest.chunks.length) ? manifest : bad();
}

export function headOf(value: Json): Head {
  const fields = fieldsOf(value);
  return {
    writer: digits(fields.get("writer"), 32),
    sequence: unsigned(fields.get("sequence")),
    id: digits(fields.get("id"), 64),
  };
}

export function segmentOf(fields: Fields): Segment {
  const previous = optional(fields.get("previous"), (id) => digits(id, 64));
  const entry = (value: Json): Entry => {
    const parts = fieldsOf(value);
    const manifest = optional(parts.get("manifest"), (inner) => manifestOf(fieldsOf(inner)));
    return { id: digits(parts.get("id"), 64), ...(manifest && { manifest }) };
  };
  const segment: Segment = {
    writer: digits(fields.get("writer"), 32),
    sequence: unsigned(fields.get("sequence")),
    ...(previous !== undefined && { previous }),
    writtenAtMs: milliseconds(fields.get("written_at_ms")),
    seen: fields.has("seen") ? list(fields.get("seen"), headOf) : [],
    live: digits(fields.get("live"), 64),
    entries: list(fields.get("entries"), entry),
  };
  const starts = (segment.sequence === 1n) === (previous === undefined);
  const bounded = segment.entries.length <= 10_000 && segment.seen.length <= 1000;
  return starts && bounded && segment.sequence > 0n ? segment : bad();
}

export function epochsOf(fields: Fields): Epoch[] {
  return list(fields.get("epochs"), (value) => {
    const epoch = fieldsOf(value);
    return {
      epoch: Number(whole(epoch.get("epoch"), 0n, 2n ** 32n - 1n)),
      beganAtMs: milliseconds(epoch.get("began_at_ms")),
      closed: epoch.has("closed") ? list(epoch.get("closed"), headOf) : [],
    };
  });
}

// Version 2 of the format: what its objects are, and why one is refused.
import { wordlist } from "@scure/bip39/wordlists/english.js";
import {
  NONCE_BYTES, TAG_BYTES, concat, derive, equal, hex, keyedHash, openBox, sealBox, sha256, stretch,
} from "./crypto.js";
import { type Fields, type Head, epochsOf, fieldsOf, manifestOf, segmentOf } from "./documents.js";
import { parse } from "./json.js";
import { type Manifest, type Segment } from "./documents.js";
import { Refused } from "./refused.js";

export const CHUNK_BYTES = 4 * 1024 * 1024;
const HEAD_BYTES = 12;
const LENGTH_BYTES = 4;
const WRAP_BYTES = 72;
const KEYRING_CLEAR_BYTES = 188;
const MAX_BYTES: Record<string, number> = {
  C: HEAD_BYTES + NONCE_BYTES + TAG_BYTES + LENGTH_BYTES + CHUNK_BYTES,
  M: 24 << 20,
  S: 24 << 20,
  K: 4 << 20,
};

export interface Pair { boxKey: Uint8Array; nonceKey: Uint8Array }

function pair(key: Uint8Array, context: string, kind: number): Pair {
  return { boxKey: derive(key, context, 2 * kind), nonceKey: derive(key, context, 2 * kind + 1) };
}

export function epochKey(master: Uint8Array, epoch: number): Uint8Array {
  return derive(master, "psync2ep", epoch);
}

/** The keys of a kind of object in an epoch. */
export function pairOf(master: Uint8Array, letter: string, epoch: number): Pair {
  if (letter === "K") return pair(master, "psync2kr", 1);
  return pair(epochKey(master, epoch), "psync2ob", { C: 1, M: 2, S: 3 }[letter] ?? 0);
}

/** The smallest length that hides this one (Padmé, from 1 KiB on). */
export function bucket(length: number): number {
  const atLeast = Math.max(length, 1024);
  const log = 31 - Math.clz32(atLeast);
  const step = 2 ** (log - (32 - Math.clz32(log)));
  return Math.ceil(atLeast / step) * step;
}

function chunkBucket(length: number): number {
  return Math.min(bucket(length), CHUNK_BYTES);
}

/** What an object says it is. */
export function kindOf(object: Uint8Array): string {
  if (object.length < 8) throw new Refused("Truncated");
  const begins = Buffer.from(object.subarray(0, 8)).toString("latin1");
  const letter = begins[6] ?? "";
  const most = MAX_BYTES[letter];
  if (!begins.startsWith("PSYNC2") || begins[7] !== "\n" || most === undefined) throw new Refused("Unknown");
  if (object.length > most) throw new Refused("TooLong");
  return letter;
}

/** Its epoch, if it is of that kind. */
export function epochOf(object: Uint8Array, letter: string): number {
  if (kindOf(object) !== letter) throw new Refused("WrongKind");
  if (object.length < HEAD_BYTES) throw new Refused("Truncated");
  return Buffer.from(object).readUInt32LE(8);
}

function requireId(object: Uint8Array, id: string): void {
  if (sha256(object) !== id.toLowerCase()) throw new Refused("WrongId");
}

function unpad(plain: Uint8Array, padded: (length: number) => number): Uint8Array {
  const length = Buffer.from(plain).readUInt32LE(0);
  const rest = plain.subarray(LENGTH_BYTES);
  if (length > rest.length || padded(length) !== rest.length) throw new Refused("BadPadding");
  if (rest.subarray(length).some((byte) => byte !== 0)) throw new Refused("BadPadding");
  return rest.subarray(0, length);
}

/** Opens what stands behind `clearBytes` in clear; `proved` says whether the nonce is computed again. */
function openBehind(object: Uint8Array, clearBytes: number, keys: Pair, proved: boolean): Uint8Array {
  const boxAt = clearBytes + NONCE_BYTES;
  if (object.length < boxAt + TAG_BYTES + LENGTH_BYTES) throw new Refused("Truncated");
  const nonce = object.subarray(clearBytes, boxAt);
  const plain = openBox(object.subarray(boxAt), nonce, keys.boxKey);
  if (plain === undefined) throw new Refused("Forged");
  if (proved && !equal(keyedHash(keys.nonceKey, object.subarray(0, clearBytes), plain), nonce)) {
    throw new Refused("Forged");
  }
  return plain;
}

/** What a device has: the master key, and how many epochs have begun. */
export interface Device { master: Uint8Array; epochs: number }

function keysFor(object: Uint8Array, id: string, letter: string, device: Device): Pair {
  requireId(object, id);
  const epoch = epochOf(object, letter);
  if (epoch < 1 || epoch > device.epochs) throw new Refused("UnknownEpoch");
  return pairOf(device.master, letter, epoch);
}

export function openChunk(object: Uint8Array, id: string, device: Device): Uint8Array {
  const keys = keysFor(object, id, "C", device);
  const data = unpad(openBehind(object, HEAD_BYTES, keys, false), chunkBucket);
  if (data.length === 0) throw new Refused("BadContents");
  return data;
}

export function sealChunk(data: Uint8Array, epoch: number, device: Device): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write("PSYNC2C\n", "latin1");
  head.writeUInt32LE(epoch, 8);
  const plain = Buffer.alloc(LENGTH_BYTES + chunkBucket(data.length));
  plain.writeUInt32LE(data.length, 0);
  plain.set(data, LENGTH_BYTES);
  const keys = pairOf(device.master, "C", epoch);
  const nonce = keyedHash(keys.nonceKey, head, plain);
  return concat(head, nonce, sealBox(plain, nonce, keys.boxKey));
}

function openDocument(object: Uint8Array, id: string, letter: string, device: Device): Fields {
  const keys = keysFor(object, id, letter, device);
  return documentOf(openBehind(object, HEAD_BYTES + WRAP_BYTES, keys, true));
}

function documentOf(plain: Uint8Array): Fields {
  const document = unpad(plain, bucket);
  try {
    return fieldsOf(parse(document));
  } catch {
    throw new Refused("BadContents");
  }
}

export function openManifest(object: Uint8Array, id: string, device: Device): Manifest {
  return manifestOf(openDocument(object, id, "M", device));
}

export function openSegment(object: Uint8Array, id: string, device: Device): Segment {
  return segmentOf(openDocument(object, id, "S", device));
}

export function unwrap(wrap: Uint8Array, under: Uint8Array): Uint8Array {
  const master = openBox(wrap.subarray(NONCE_BYTES), wrap.subarray(0, NONCE_BYTES), under);
  if (master?.length !== 32) throw new Refused("WrongSecret");
  return master;
}

/** The wrap under the words that a manifest, a segment or a keyring carries. */
export function recoveryWrap(object: Uint8Array): Uint8Array {
  const letter = kindOf(object);
  if (letter === "C") throw new Refused("WrongKind");
  const at = letter === "K" ? KEYRING_CLEAR_BYTES - WRAP_BYTES : HEAD_BYTES;
  if (object.length < at + WRAP_BYTES) throw new Refused("Truncated");
  return object.subarray(at, at + WRAP_BYTES);
}

/** The recovery key of 24 words. */
export function recoveryKey(words: string): Uint8Array {
  const list = words.toLowerCase().split(/\p{White_Space}+/u).filter((word) => word !== "");
  const indexes = list.map((word) => wordlist.indexOf(word));
  if (list.length !== 24 || indexes.includes(-1)) throw new Refused("WrongSecret");
  // 24 times 11 bits: 256 of the key, 8 of its SHA-256.
  const bits = indexes.map((index) => index.toString(2).padStart(11, "0")).join("");
  const bytes = Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
  const key = bytes.subarray(0, 32);
  if (sha256(key).slice(0, 2) !== hex(bytes.subarray(32))) throw new Refused("WrongSecret");
  return key;
}

export function wrappingKey(recovery: Uint8Array): Uint8Array {
  return derive(recovery, "psync2rw", 1);
}

export interface Epoch { epoch: number; beganAtMs: bigint; closed: Head[] }
export interface Keyring { sequence: bigint; master: Uint8Array; recoveryWrap: Uint8Array; epochs: Epoch[] }

function requireKeyring(object: Uint8Array, id: string): void {
  requireId(object, id);
  epochOf(object, "K");
  if (object.length < KEYRING_CLEAR_BYTES) throw new Refused("Truncated");
}

export function openKeyringByPassword(object: Uint8Array, id: string, password: string): Keyring {
  requireKeyring(object, id);
  const clear = Buffer.from(object);
  const [passes, memoryKib] = [clear.readUInt32LE(20), clear.readUInt32LE(24)];
  if (passes < 3 || passes > 32 || memoryKib < 65_536 || memoryKib > 4_194_304) throw new Refused("BadCost");
  const key = stretch(password, object.subarray(28, 44), passes, memoryKib);
  return openKeyring(object, unwrap(object.subarray(44, 116), key));
}

export function openKeyringByWords(object: Uint8Array, id: string, words: string): Keyring {
  const recovery = recoveryKey(words);
  requireKeyring(object, id);
  return openKeyring(object, unwrap(recoveryWrap(object), wrappingKey(recovery)));
}

function openKeyring(object: Uint8Array, master: Uint8Array): Keyring {
  const plain = openBehind(object, KEYRING_CLEAR_BYTES, pairOf(master, "K", 0), true);
  const epochs = epochsOf(documentOf(plain));
  const numbered = epochs.every((epoch, at) => epoch.epoch === at + 1);
  if (!numbered || epochs.length === 0 || epochs.length !== epochOf(object, "K")) throw new Refused("BadContents");
  const sequence = Buffer.from(object).readBigUInt64LE(12);
  return { sequence, master, recoveryWrap: recoveryWrap(object), epochs };
}

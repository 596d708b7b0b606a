// Version 1: the format of the published phone and desktop clients.
import { concat, openBox, pbkdf2, sha256 } from "./crypto.js";
import { type Fields, fieldsOf } from "./documents.js";
import { type Json, parse } from "./json.js";
import { Refused, type Why } from "./refused.js";

const MAX_CHUNK_BYTES = 4 * 1024 * 1024;

export function desktopMasterKey(email: string, password: string): Uint8Array {
  return pbkdf2(password, email.trim().toLowerCase(), 30_000);
}

export function phoneManifestId(assetId: string): string {
  return sha256(new TextEncoder().encode(`asset:${assetId}`));
}

export function desktopManifestId(path: string, name: string, sizeBytes: bigint): string {
  const normal = name.trim().toLowerCase();
  return sha256(new TextEncoder().encode(normal === "" ? `desktop:${path}` : `file:${normal}:${sizeBytes}`));
}

export function openChunk(
  boxed: Uint8Array, id: string, fileKey: Uint8Array, base: Uint8Array, index: bigint,
): Uint8Array {
  if (sha256(boxed) !== id) throw new Refused("WrongId");
  if (boxed.length > MAX_CHUNK_BYTES + 16) throw new Refused("TooLong");
  const place = Buffer.alloc(8);
  place.writeBigUInt64LE(index);
  return openBox(boxed, concat(base, place), fileKey) ?? refuse("Forged");
}

function refuse(why: Why): never {
  throw new Refused(why);
}

function base64(value: Json | undefined, why: Why, bytes?: number): Uint8Array {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) return refuse(why);
  const decoded = Buffer.from(value, "base64");
  return bytes === undefined || decoded.length === bytes ? decoded : refuse(why);
}

export interface Opened { manifest: Record<string, Json>; fileKey: Uint8Array; base: Uint8Array }

export function openManifest(sealed: string, master: Uint8Array): Opened {
  const envelope = documentOf(new TextEncoder().encode(sealed), "Unknown");
  for (const key of ["manifestNonce", "manifestBox"]) {
    if (typeof envelope.get(key) !== "string") refuse("Unknown");
  }
  const nonce = base64(envelope.get("manifestNonce"), "BadContents", 24);
  const json = openBox(base64(envelope.get("manifestBox"), "Unknown"), nonce, master) ?? refuse("Forged");
  const manifest = contents(documentOf(json, "BadContents"));
  const wrapped = base64(manifest["wrappedFileKey"], "BadContents", 48);
  const wrapNonce = base64(manifest["wrapNonce"], "BadContents", 24);
  const fileKey = openBox(wrapped, wrapNonce, master) ?? refuse("Forged");
  return { manifest, fileKey, base: base64(manifest["baseNonce16"], "BadContents", 16) };
}

function documentOf(bytes: Uint8Array, why: Why): Fields {
  try {
    return fieldsOf(parse(bytes));
  } catch {
    return refuse(why);
  }
}

const isText = (value: Json): boolean => typeof value === "string";
const isSize = (value: Json): boolean => typeof value === "bigint" && value >= 0n && value < 2n ** 64n;
const isNumber = (value: Json): boolean => typeof value === "bigint" || typeof value === "number";
const isDigest = (value: Json): boolean => typeof value === "string" && /^[0-9a-fA-F]{64}$/.test(value);

/** Keys, their types, and what stands there when they are absent: an error, null, or nothing. */
const KEYS: [string, (value: Json) => boolean, "needed" | "null" | "nothing"][] = [
  ["v", isSize, "needed"],
  ["assetId", isText, "needed"],
  ["filename", isText, "null"],
  ["mediaType", isText, "null"],
  ["originalSize", isSize, "null"],
  ["creationTime", isNumber, "nothing"],
  ["exifCaptureTime", isText, "nothing"],
  ["exifMake", isText, "nothing"],
  ["exifModel", isText, "nothing"],
  ["baseNonce16", isText, "needed"],
  ["wrapNonce", isText, "needed"],
  ["wrappedFileKey", isText, "needed"],
  ["chunkIds", (value) => Array.isArray(value) && value.every(isDigest), "needed"],
  ["chunkSizes", (value) => Array.isArray(value) && value.every(isSize), "needed"],
  ["fileHash", isDigest, "nothing"],
  ["perceptualHash", isText, "nothing"],
];

function contents(fields: Fields): Record<string, Json> {
  const manifest: Record<string, Json> = {};
  for (const [key, fits, absent] of KEYS) {
    const value = fields.get(key) ?? null;
    if (value === null && absent === "nothing") continue;
    if (value === null ? absent === "needed" : !fits(value)) refuse("BadContents");
    manifest[key] = value;
  }
  const ids = manifest["chunkIds"] as string[];
  const sizes = manifest["chunkSizes"] as bigint[];
  const total = sizes.reduce((sum, size) => sum + size, 0n);
  const whole = manifest["originalSize"];
  const fits = ids.length === sizes.length && sizes.every((size) => size <= BigInt(MAX_CHUNK_BYTES));
  if (manifest["v"] !== 1n || !fits || (whole !== null && whole !== total)) refuse("BadContents");
  return manifest;
}


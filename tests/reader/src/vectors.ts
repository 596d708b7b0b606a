// Answers every case of the files of vectors, and says which answers are not those that are expected.
// Usage: node vectors.js FOLDER — prints one JSON object per file.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { extended, requireNotBehind } from "./chains.js";
import { concat, derive, hex, sha256, stretch, unhex } from "./crypto.js";
import { type Fields, type Head, type Manifest, type Segment, fieldsOf, headOf } from "./documents.js";
import * as format from "./format.js";
import { type Json, parse } from "./json.js";
import { Refused } from "./refused.js";
import * as version1 from "./version1.js";

/** Something to compare with what is expected: whole numbers are bigint on both sides. */
type Answer = Json | Answer[] | { [key: string]: Answer | undefined };

const textOf = (fields: Fields, key: string): string => {
  const value = fields.get(key);
  if (typeof value !== "string") throw new Error(`${key} is no text`);
  return value;
};
const numberOf = (fields: Fields, key: string): number => Number(fields.get(key));

/** The stream of a seed: SHA-256 of the seed and a counter of eight little-endian bytes. */
function stream(seed: string, length: number): Uint8Array {
  const data = Buffer.alloc(Math.ceil(length / 32) * 32);
  const counter = Buffer.alloc(8);
  for (let at = 0; at * 32 < length; at += 1) {
    counter.writeBigUInt64LE(BigInt(at));
    createHash("sha256").update(seed).update(counter).digest().copy(data, at * 32);
  }
  return data.subarray(0, length);
}

function bytesOf(value: Json | undefined, master?: Uint8Array): Uint8Array {
  const [rule, given] = [...fieldsOf(value)][0] ?? [];
  if (rule === "base64" && typeof given === "string") return Buffer.from(given, "base64");
  const fields = fieldsOf(given);
  if (rule === "then_zeros") {
    const beginning = Buffer.from(textOf(fields, "base64"), "base64");
    return concat(beginning, Buffer.alloc(numberOf(fields, "zeros")));
  }
  if (rule !== "chunk_of" || master === undefined) throw new Error(`no such rule: ${rule}`);
  const data = stream(textOf(fields, "seed"), numberOf(fields, "bytes"));
  const epoch = numberOf(fields, "epoch");
  const object = format.sealChunk(data, epoch, { master, epochs: epoch });
  if (fields.has("flip_bit")) {
    const bit = numberOf(fields, "flip_bit");
    object[bit >> 3] = (object[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  }
  return fields.has("cut_to") ? object.subarray(0, numberOf(fields, "cut_to")) : object;
}

const pairShown = ({ boxKey, nonceKey }: format.Pair): Answer => [hex(boxKey), hex(nonceKey)];
const contents = (data: Uint8Array): Answer => ({ bytes: BigInt(data.length), sha256: sha256(data) });
const headShown = ({ writer, sequence, id }: Head): Answer => ({ writer, sequence, id });
const some = <T>(list: T[]): T[] | undefined => (list.length === 0 ? undefined : list);

function manifestShown({ digest, sizeBytes, name, claims, chunks }: Manifest): Answer {
  const said = Object.keys(claims).length === 0 ? undefined : claims;
  return { digest, size_bytes: sizeBytes, name, claims: said, chunks };
}

function segmentShown(segment: Segment): Answer {
  const entries = segment.entries.map(({ id, manifest }) => ({ id, manifest: manifest && manifestShown(manifest) }));
  const { writer, sequence, previous, live, writtenAtMs } = segment;
  const seen = some(segment.seen.map(headShown));
  return { writer, sequence, previous, written_at_ms: writtenAtMs, seen, live, entries };
}

function keyringShown({ sequence, master, recoveryWrap, epochs }: format.Keyring): Answer {
  const shown = epochs.map(({ epoch, beganAtMs, closed }) =>
    ({ epoch: BigInt(epoch), began_at_ms: beganAtMs, closed: some(closed.map(headShown)) }));
  return { sequence, master: hex(master), recovery_wrap: hex(recoveryWrap), epochs: shown };
}

function listOf(value: Json | undefined): Json[] {
  if (!Array.isArray(value)) throw new Error("no list");
  return value;
}

const ANSWERS: Record<string, (input: Fields) => Answer> = {
  derive(input) {
    const master = unhex(textOf(input, "master"));
    const epoch = numberOf(input, "epoch");
    const of = (letter: string) => pairShown(format.pairOf(master, letter, epoch));
    return {
      epoch: hex(format.epochKey(master, epoch)), chunk: of("C"), manifest: of("M"), segment: of("S"), keyring: of("K"),
    };
  },
  password(input) {
    const salt = unhex(textOf(input, "salt"));
    return { key: hex(stretch(textOf(input, "text"), salt, numberOf(input, "passes"), numberOf(input, "memory_kib"))) };
  },
  unwrap(input) {
    return { master: hex(format.unwrap(unhex(textOf(input, "wrap")), unhex(textOf(input, "under")))) };
  },
  open(input) {
    const device = { master: unhex(textOf(input, "master")), epochs: numberOf(input, "epochs") };
    const object = bytesOf(input.get("object"), device.master);
    const id = textOf(input, "id");
    switch (textOf(input, "kind")) {
      case "chunk": return contents(format.openChunk(object, id, device));
      case "manifest": return manifestShown(format.openManifest(object, id, device));
      default: return segmentShown(format.openSegment(object, id, device));
    }
  },
  open_keyring(input) {
    const object = bytesOf(input.get("object"));
    const id = textOf(input, "id");
    return keyringShown(input.has("words")
      ? format.openKeyringByWords(object, id, textOf(input, "words"))
      : format.openKeyringByPassword(object, id, textOf(input, "password")));
  },
  extend(input) {
    const previous = input.get("previous");
    const heads = extended(listOf(input.get("known")).map(headOf), headOf(input), previous === null ? undefined : String(previous));
    return { heads: heads.map(headShown) };
  },
  show(input) {
    requireNotBehind(listOf(input.get("known")).map(headOf), listOf(input.get("shown")).map(headOf));
    return { taken: true };
  },
  desktop_master_key: (input) =>
    ({ key: hex(version1.desktopMasterKey(textOf(input, "email"), textOf(input, "password"))) }),
  phone_manifest_id: (input) => ({ id: version1.phoneManifestId(textOf(input, "asset_id")) }),
  desktop_manifest_id(input) {
    const size = input.get("size_bytes") as bigint;
    return { id: version1.desktopManifestId(textOf(input, "path"), textOf(input, "name"), size) };
  },
  open_version1_chunk(input) {
    const key = unhex(textOf(input, "file_key"));
    const base = unhex(textOf(input, "base_nonce"));
    const boxed = bytesOf(input.get("boxed"));
    return contents(version1.openChunk(boxed, textOf(input, "id"), key, base, input.get("index") as bigint));
  },
  open_version1_manifest(input) {
    const opened = version1.openManifest(textOf(input, "text"), unhex(textOf(input, "master")));
    return { manifest: opened.manifest, file_key: hex(opened.fileKey), base_nonce: hex(opened.base) };
  },
};

/** Words stand in their file as a text, everything else as an object. */
function answer(kind: string, input: Json): Answer {
  try {
    if (kind === "words" && typeof input === "string") {
      const recovery = format.recoveryKey(input);
      const wrapping = derive(recovery, "psync2rw", 1);
      const words = input.toLowerCase().split(/\p{White_Space}+/u).filter((word) => word !== "").join(" ");
      return { recovery_key: hex(recovery), wrapping_key: hex(wrapping), words };
    }
    const found = ANSWERS[kind];
    if (found === undefined) throw new Error(`no such case: ${kind}`);
    return found(fieldsOf(input));
  } catch (error) {
    if (error instanceof Refused) return { refused: error.why };
    throw error;
  }
}

/** One text for equal answers, in whatever order their keys stand. */
function shown(value: Answer | undefined): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(",")}]`;
  if (typeof value !== "object" || value === null) return typeof value === "string" ? JSON.stringify(value) : String(value);
  const entries: [string, Answer | undefined][] = value instanceof Map ? [...value] : Object.entries(value);
  const there = entries.filter(([, inner]) => inner !== undefined).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${there.map(([key, inner]) => `${key}:${shown(inner)}`).join(",")}}`;
}

const folder = process.argv[2] ?? "";
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json")).sort()) {
  const cases = listOf(fieldsOf(parse(readFileSync(join(folder, file)))).get("cases")).map(fieldsOf);
  const wrong: string[] = [];
  let refused = 0;
  for (const fields of cases) {
    const [kind, input] = [...fields].find(([key]) => key !== "name" && key !== "expect") ?? ["none", null];
    const [given, wanted] = [shown(answer(kind, input)), shown(fields.get("expect"))];
    if (wanted.startsWith("{refused:")) refused += 1;
    if (given !== wanted) wrong.push(`${textOf(fields, "name")}: ${given}, not ${wanted}`);
  }
  console.log(JSON.stringify({ file, cases: cases.length, refused, wrong }));
}

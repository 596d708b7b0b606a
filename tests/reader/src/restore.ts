// Restores a whole repository of version 2 from its objects and the 24 words, and from nothing else.
// Usage: node restore.js OBJECTS WORDS-FILE TARGET
//
// OBJECTS is any folder with files that are named by their id, in whatever folders they lie. Everything that is
// authentic is restored; what is refused, missing or behind is printed, one JSON object a line:
//   {"refused": id, "why"}   {"behind": writer, "why"}   {"damaged": name, "why"}   {"restored": name, …}   {"done": …}
import { createHash } from "node:crypto";
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { extended, requireNotBehind } from "./chains.js";
import { concat, sha256 } from "./crypto.js";
import { type Head, type Manifest, type Segment } from "./documents.js";
import * as format from "./format.js";
import { Refused } from "./refused.js";

const say = (line: object): void => console.log(JSON.stringify(line));

/** What `act` makes, or nothing: then the reason is printed. */
function attempt<T>(id: string, act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say({ refused: id, why: error.why });
    return undefined;
  }
}

/** Every object, by its id, sorted by kind. Chunks are read again when they are needed. */
class Store {
  private readonly paths = new Map<string, string>();
  readonly ids: Record<string, string[]> = { C: [], M: [], S: [], K: [] };

  constructor(folder: string) {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/^[0-9a-f]{64}$/.test(entry.name)) continue;
      this.paths.set(entry.name, join(entry.parentPath, entry.name));
    }
    for (const id of [...this.paths.keys()].sort()) {
      const letter = attempt(id, () => format.kindOf(this.read(id) ?? new Uint8Array()));
      if (letter !== undefined) this.ids[letter]?.push(id);
    }
  }

  read(id: string): Uint8Array | undefined {
    const path = this.paths.get(id);
    // No object is longer than 24 MiB; a file that is would only fill the memory.
    return path === undefined || statSync(path).size > (24 << 20) + 1 ? undefined : readFileSync(path);
  }

  /** The objects of a kind that `open` takes, by id. */
  open<T>(letter: string, open: (object: Uint8Array, id: string) => T): Map<string, T> {
    const opened = new Map<string, T>();
    for (const id of this.ids[letter] ?? []) {
      const value = attempt(id, () => open(this.read(id) ?? new Uint8Array(), id));
      if (value !== undefined) opened.set(id, value);
    }
    return opened;
  }
}

/** The master key: of the newest keyring that the words open or, without one, of any manifest or segment. */
function unlock(store: Store, words: string): { master: Uint8Array; epochs: format.Epoch[] } {
  const keyrings = [...store.open("K", (object, id) => format.openKeyringByWords(object, id, words)).values()];
  const newest = keyrings.sort((one, other) => (one.sequence < other.sequence ? 1 : -1))[0];
  if (newest !== undefined) return newest;
  const key = format.wrappingKey(format.recoveryKey(words));
  const wraps = (letter: string) =>
    store.open(letter, (object) => format.unwrap(format.recoveryWrap(object), key)).values().next().value;
  const master = wraps("S") ?? wraps("M");
  if (master === undefined) throw new Refused("WrongSecret");
  return { master, epochs: [] };
}

/** Puts the chains together, and says what is missing of them. */
function checkChains(segments: Map<string, Segment>, closed: Head[]): void {
  let heads: Head[] = [];
  const inOrder = [...segments].sort(([, one], [, other]) => (one.sequence < other.sequence ? -1 : 1));
  for (const [id, { writer, sequence, previous }] of inOrder) {
    try {
      heads = extended(heads, { writer, sequence, id }, previous);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say({ behind: writer, why: `segment ${sequence} does not follow what is there` });
    }
  }
  for (const head of [...[...segments.values()].flatMap((segment) => segment.seen), ...closed]) {
    try {
      requireNotBehind([head], heads);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say({ behind: head.writer, why: `segment ${head.sequence} was there once` });
    }
  }
}

/**
 * The segments that count: what a stolen device writes with the keys of an epoch after its end does not. Without a
 * keyring nobody knows when an epoch ended.
 */
function counting(segments: Map<string, Segment>, store: Store, epochs: format.Epoch[]): Map<string, Segment> {
  return new Map([...segments].filter(([id, { writer, sequence }]) => {
    const epoch = format.epochOf(store.read(id) ?? new Uint8Array(), "S");
    const next = epochs.find((one) => one.epoch === epoch + 1);
    const counts = next === undefined || next.closed.some((head) => head.writer === writer && sequence <= head.sequence);
    if (!counts) say({ refused: id, why: "it was written after its epoch had ended" });
    return counts;
  }));
}

/** Whether a segment names the ids it says it makes live; not known while a manifest is missing. */
function checkLive(id: string, segment: Segment, manifests: Map<string, Manifest>): void {
  const known = segment.entries.map((entry) => entry.manifest ?? manifests.get(entry.id));
  if (known.includes(undefined)) return;
  const ids = new Set([...segment.entries.map((entry) => entry.id), ...known.flatMap((manifest) => manifest?.chunks ?? [])]);
  const bytes = concat(...[...ids].sort().map((live) => Buffer.from(live, "hex")));
  if (sha256(bytes) !== segment.live) say({ refused: id, why: "its live digest is another" });
}

/** Writes one original; why not, if it cannot be whole. */
function restore(store: Store, manifest: Manifest, device: format.Device, path: string): string | undefined {
  const hash = createHash("sha256");
  const file = openSync(`${path}.part`, "wx");
  try {
    let left = manifest.sizeBytes;
    for (const id of manifest.chunks) {
      const object = store.read(id);
      if (object === undefined) return `chunk ${id} is missing`;
      let data: Uint8Array;
      try {
        data = format.openChunk(object, id, device);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return `chunk ${id}: ${error.why}`;
      }
      const wanted = left < BigInt(format.CHUNK_BYTES) ? left : BigInt(format.CHUNK_BYTES);
      if (BigInt(data.length) !== wanted) return `chunk ${id} has ${data.length} bytes, not ${wanted}`;
      left -= wanted;
      hash.update(data);
      writeSync(file, data);
    }
    if (hash.digest("hex") !== manifest.digest) return "the file has another SHA-256 than was backed up";
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.part`, path);
  return undefined;
}

/** A name for the disk: no folder, nothing hidden, never taken twice. */
function safeName(manifest: Manifest, at: number): string {
  const letters = basename(manifest.name.replaceAll("\\", "/")).replace(/[\u0000-\u001f<>:"|?*]/g, "_");
  return `${String(at).padStart(6, "0")} ${letters.slice(-100)}`;
}

function main([objects = "", wordsFile = "", target = ""]: string[]): void {
  const store = new Store(objects);
  const { master, epochs } = unlock(store, readFileSync(wordsFile, "utf8"));
  // Who has the master key has every epoch, also one that the keyring at hand does not know yet.
  const device = { master, epochs: 2 ** 32 - 1 };
  const opened = store.open("S", (object, id) => format.openSegment(object, id, device));
  const segments = counting(opened, store, epochs);
  // The manifests that a segment lists, and those that none lists any more; but not those of a thief.
  const manifests = store.open("M", (object, id) => format.openManifest(object, id, device));
  const entriesOf = (some: Map<string, Segment>) => [...some.values()].flatMap((segment) => segment.entries);
  const listed = new Set(entriesOf(segments).map((entry) => entry.id));
  for (const { id } of entriesOf(opened)) if (!listed.has(id)) manifests.delete(id);
  checkChains(segments, epochs.flatMap((epoch) => epoch.closed));
  for (const [id, segment] of segments) checkLive(id, segment, manifests);
  for (const entry of entriesOf(segments)) {
    if (entry.manifest !== undefined) manifests.set(entry.id, entry.manifest);
    else if (!manifests.has(entry.id)) say({ refused: entry.id, why: "the manifest is missing" });
  }
  mkdirSync(target, { recursive: true });
  let restored = 0;
  [...manifests.values()].forEach((manifest, at) => {
    const file = safeName(manifest, at);
    const why = restore(store, manifest, device, join(target, file));
    if (why === undefined) {
      restored += 1;
      const { name, digest, sizeBytes } = manifest;
      say({ restored: name, file, sha256: digest, size_bytes: Number(sizeBytes) });
    } else {
      rmSync(join(target, `${file}.part`));
      say({ damaged: manifest.name, why });
    }
  });
  say({ done: { restored, damaged: manifests.size - restored } });
}

main(process.argv.slice(2));

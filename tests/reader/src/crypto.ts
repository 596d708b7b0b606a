// The primitives, over libsodium compiled to WebAssembly. Every box is opened a second time with TweetNaCl, written by
// others in plain JavaScript: where the two differ, the reader ends.
import { createHash, pbkdf2Sync } from "node:crypto";
import sodium from "libsodium-wrappers-sumo";
import nacl from "tweetnacl";

await sodium.ready;

export const TAG_BYTES = 16;
export const NONCE_BYTES = 24;

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The plaintext, or nothing if the box was changed or has another key. */
export function openBox(boxed: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  let opened: Uint8Array | undefined;
  try {
    opened = boxed.length < TAG_BYTES ? undefined : sodium.crypto_secretbox_open_easy(boxed, nonce, key);
  } catch {
    opened = undefined;
  }
  const second = nacl.secretbox.open(boxed, nonce, key) ?? undefined;
  const agree = opened === undefined ? second === undefined : second !== undefined && equal(opened, second);
  if (!agree) throw new Error("libsodium and TweetNaCl do not agree");
  return opened;
}

export function sealBox(plain: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array {
  return sodium.crypto_secretbox_easy(plain, nonce, key);
}

/** Keyed BLAKE2b with 24 bytes of output. */
export function keyedHash(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  return sodium.crypto_generichash(NONCE_BYTES, concat(...parts), key);
}

export function derive(key: Uint8Array, context: string, id: number): Uint8Array {
  return sodium.crypto_kdf_derive_from_key(32, id, context, key);
}

/** Argon2id 1.3 with one lane. */
export function stretch(password: string, salt: Uint8Array, passes: number, memoryKib: number): Uint8Array {
  const bytes = new TextEncoder().encode(password.normalize("NFC"));
  const algorithm = sodium.crypto_pwhash_ALG_ARGON2ID13;
  return sodium.crypto_pwhash(32, bytes, salt, passes, memoryKib * 1024, algorithm);
}

export function pbkdf2(password: string, salt: string, rounds: number): Uint8Array {
  return pbkdf2Sync(password, salt, rounds, 32, "sha256");
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

export function equal(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

export function unhex(digits: string): Uint8Array {
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hexadecimal: ${digits}`);
  return Buffer.from(digits, "hex");
}

/** Aspect ratios as bytes, exactly as `protocol/src/v2/library.rs` has them: layouts use these values and no others. */

const RATIOS = Float64Array.from({ length: 256 }, (_, byte) => 2 ** ((byte - 128) / 32));

/** Width over height of a shape's byte: from 1/16 to 15.7. */
export function ratioOf(byte: number): number {
  return RATIOS[byte] ?? 1;
}

/** The byte of a size; 128, a square, for sizes nobody knows. */
export function byteOf(width: number, height: number): number {
  if (width <= 0 || height <= 0) return 128;
  return Math.min(255, Math.max(0, Math.round(Math.log2(width / height) * 32 + 128)));
}

/** Reads the base64 of a day. */
export function readShape(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

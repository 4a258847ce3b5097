/**
 * The few text encodings that every format of the log shares. Each decoder accepts exactly one
 * spelling of a value: otherwise two different signed texts could mean the same checkpoint.
 */

/** Standard base64 with padding (RFC 4648 section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/**
 * The bytes of canonical base64; undefined for anything else. Line breaks, the URL alphabet,
 * missing padding and non-zero padding bits are refused, although Go's decoder takes some of them.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** The 32 bytes of a base64 SHA-256 hash; undefined when the text is not canonical or not 32 bytes. */
export function decodeHash(text: string): Uint8Array | undefined {
  const bytes = decodeBase64(text);
  return bytes?.length === 32 ? bytes : undefined;
}

/**
 * A whole number from ASCII digits without sign or leading zeros; undefined for anything else and
 * for numbers above 2^53 - 1, which this implementation cannot count exactly.
 */
export function parseDecimal(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Whether two byte strings are equal. Not constant time: everything in a log is public. */
export function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

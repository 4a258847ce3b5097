import { hash, randomBytes } from 'node:crypto';
import { v7 } from 'uuid';

const BYTES = 16;
// Drawn 256 at a time: the call costs more than the bytes.
let pool = Buffer.alloc(0);
let used = 0;

/** 128 random bits; none is given twice. */
function random(): Buffer {
  if (used === pool.length) {
    pool = randomBytes(256 * BYTES);
    used = 0;
  }
  used += BYTES;
  return pool.subarray(used - BYTES, used);
}

/** A UUIDv7 (RFC 9562) of an instant in milliseconds: ids sort by time. */
export function newId(msecs: number): string {
  return v7({ msecs, rng: random });
}

/** The id before every `newId` of an instant in milliseconds, and after all those of earlier ones. */
export function firstIdAt(msecs: number): string {
  const time = Math.max(0, msecs).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}

/** 128 random bits, base64url. */
export function randomToken(): string {
  return random().toString('base64url');
}

/** SHA-256 of bytes, or of a text's UTF-8, in hex. */
export function sha256(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex');
}

/** Entry bundles of C2SP tlog-tiles: `uint16 length || entry`, big-endian, up to 256 times. */
import { TILE_WIDTH } from './tiles.ts';

/** The longest entry that a bundle can hold, in bytes. */
export const MAX_ENTRY_SIZE = 65_535;

/** The bundle of up to 256 entries. Throws RangeError for more, or for an entry above 65,535 bytes. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length > TILE_WIDTH) throw new RangeError('a bundle holds at most 256 entries');
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_SIZE) {
      throw new RangeError(`an entry of ${entry.length} bytes is above ${MAX_ENTRY_SIZE}`);
    }
    parts.push(Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry);
  }
  return Buffer.concat(parts);
}

/**
 * The entries of a bundle, as views of the given bytes; undefined when the bytes end within an
 * entry or hold more than 256. Compare the number of entries with the width of the bundle's path.
 */
export function decodeEntryBundle(bytes: Uint8Array): Uint8Array[] | undefined {
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [high, low] = [bytes[at], bytes[at + 1]];
    if (high === undefined || low === undefined) return undefined;
    const end = at + 2 + high * 256 + low;
    if (end > bytes.length || entries.length === TILE_WIDTH) return undefined;
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

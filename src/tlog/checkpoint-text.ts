/** The text of a checkpoint (C2SP tlog-checkpoint): what its signatures commit to. */
import { decodeHash, encodeBase64, parseDecimal } from './encoding.ts';
import { isKeyName } from './key-name.ts';
import { HASH_SIZE } from './leaf.ts';

/** A tree head: the first `size` entries of the log `origin` have the root `root` (32 bytes). */
export interface Checkpoint {
  /** The log's identity: a URL without scheme and trailing slash, equal to the log key's name. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/**
 * The text of a checkpoint, which is what gets signed: origin, size and root on a line each.
 * Throws RangeError for an origin that cannot name a key, a bad size or a root that is no hash.
 */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (!isKeyName(origin)) throw new RangeError('an origin has no space, plus or control character');
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('not a tree size');
  if (root.length !== HASH_SIZE) throw new RangeError('a root has 32 bytes');
  return `${origin}\n${size}\n${encodeBase64(root)}\n`;
}

/**
 * A checkpoint from its text; undefined when malformed, also for a size with a leading zero or
 * above 2^53 - 1 and for a root that is not the canonical base64 of 32 bytes. Extension lines are
 * accepted, as the format demands, and ignored.
 */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.includes('')) return undefined;
  const [origin, sizeText = '', rootText = ''] = lines;
  const size = parseDecimal(sizeText);
  const root = decodeHash(rootText);
  if (!origin || size === undefined || !root) return undefined;
  return { origin, size, root };
}

/** Checkpoints (C2SP tlog-checkpoint): a signed note that commits to a tree. */
import { decodeHash, encodeBase64, parseDecimal } from './encoding.ts';
import { HASH_SIZE } from './leaf.ts';
import { type NoteRefusal, openNote, signNote } from './note.ts';
import { isKeyName, type NoteSigner, type NoteVerifier } from './note-key.ts';

/** A tree head: the first `size` entries of the log `origin` have the root `root` (32 bytes). */
export interface Checkpoint {
  /** The log's identity: a URL without scheme and trailing slash, equal to the log key's name. */
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** Why a signed checkpoint is refused. `origin_mismatch`: no key named as the origin signed it. */
export type CheckpointRefusal = NoteRefusal | 'malformed_checkpoint' | 'origin_mismatch';

export type OpenedCheckpoint =
  | { ok: true; checkpoint: Checkpoint }
  | { ok: false; reason: CheckpointRefusal };

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

/**
 * The signed note of a checkpoint. A log must never sign two inconsistent checkpoints; nothing
 * here can know that, so the caller compares with the last one first. Throws RangeError when a
 * signer's name is not the origin.
 */
export function signCheckpoint(checkpoint: Checkpoint, signers: readonly NoteSigner[]): string {
  if (!signers.every((signer) => signer.name === checkpoint.origin)) {
    throw new RangeError('the name of a log key is the origin of the log');
  }
  return signNote(formatCheckpoint(checkpoint), signers);
}

/**
 * Verifies a signed checkpoint: the note holds for the given keys (`openNote`), and one of those
 * that signed has the origin as its name. A witness's signature alone does not make a checkpoint.
 */
export function openCheckpoint(
  note: string | Uint8Array,
  verifiers: readonly NoteVerifier[],
): OpenedCheckpoint {
  const opened = openNote(note, verifiers);
  if (!opened.ok) return { ok: false, reason: opened.reason };
  const checkpoint = parseCheckpoint(opened.text);
  if (!checkpoint) return { ok: false, reason: 'malformed_checkpoint' };
  if (!opened.signatures.some(({ name }) => name === checkpoint.origin)) {
    return { ok: false, reason: 'origin_mismatch' };
  }
  return { ok: true, checkpoint };
}

/** Checkpoints (C2SP tlog-checkpoint): a signed note that commits to a tree. */
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from './checkpoint-text.ts';
import { type NoteRefusal, openNote, signNote } from './note.ts';
import type { NoteSigner, NoteVerifier } from './note-key.ts';

/** Why a signed checkpoint is refused. `origin_mismatch`: no key named as the origin signed it. */
export type CheckpointRefusal = NoteRefusal | 'malformed_checkpoint' | 'origin_mismatch';

export type OpenedCheckpoint =
  | { ok: true; checkpoint: Checkpoint }
  | { ok: false; reason: CheckpointRefusal };

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

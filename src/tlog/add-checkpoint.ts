/**
 * The `add-checkpoint` call of C2SP tlog-witness: its body, and what a witness has to answer. A
 * witness that follows `judgeCheckpoint`, and keeps what it cosigned before it answers, never
 * cosigns two inconsistent trees of one log.
 */
import { type Checkpoint, parseCheckpoint } from './checkpoint-text.ts';
import { bytesEqual, decodeHash, encodeBase64, parseDecimal } from './encoding.ts';
import { emptyRoot } from './leaf.ts';
import { openNote, parseNote } from './note.ts';
import type { NoteVerifier } from './note-key.ts';
import { verifyConsistency } from './proof.ts';

export interface AddCheckpoint {
  /** Size of the tree that the witness is thought to have cosigned last; 0 for none. */
  readonly oldSize: number;
  /** From `oldSize` to the checkpoint's size (RFC 9162 section 2.1.4.1). */
  readonly proof: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
}

/** The tree that a witness cosigned last. */
export interface SeenTree {
  readonly size: number;
  readonly root: Uint8Array;
}

/**
 * What a witness answers. Each refusal has the status that tlog-witness gives it; `size` is what
 * the body of a 409 says.
 */
export type Judgement =
  | { ok: true; text: string; checkpoint: Checkpoint }
  | ({ ok: false } & Refusal);

export type Refusal =
  | { status: 400 | 403 | 404 | 422; reason: string }
  | { status: 409; size: number };

/** What a witness knows of the log that a checkpoint names as its origin. */
interface KnownLog {
  /** Keys that may sign for this origin. */
  readonly verifiers: readonly NoteVerifier[];
  /** `nothingSeen` for a log that it never cosigned. */
  readonly seen: SeenTree;
}

export const nothingSeen: SeenTree = { size: 0, root: emptyRoot };

const MAX_PROOF_LENGTH = 63;

/** The body of the call. */
export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): string {
  return `${[`old ${oldSize}`, ...proof.map(encodeBase64)].join('\n')}\n\n${checkpoint}`;
}

/** The parts of a body, with the checkpoint unread; undefined when it is malformed. */
export function parseAddCheckpoint(body: string): AddCheckpoint | undefined {
  const blank = body.indexOf('\n\n');
  if (blank < 0) return undefined;
  const [first = '', ...lines] = body.slice(0, blank).split('\n');
  const oldSize = first.startsWith('old ') ? parseDecimal(first.slice(4)) : undefined;
  const proof = lines.map(decodeHash).filter((hash) => hash !== undefined);
  if (oldSize === undefined || lines.length > MAX_PROOF_LENGTH || proof.length < lines.length) {
    return undefined;
  }
  return { oldSize, proof, checkpoint: body.slice(blank + 2) };
}

/** The origin that a signed checkpoint names, unverified; undefined when it is malformed. */
export function originOf(checkpoint: string): string | undefined {
  const note = parseNote(checkpoint);
  return note && parseCheckpoint(note.text)?.origin;
}

/**
 * Judges a call against what is known of the log that it names (`originOf`; an unknown one is a
 * 404). The order of the checks is that of tlog-witness: whoever has not the log's key learns
 * nothing of its state.
 */
export function judgeCheckpoint(call: AddCheckpoint, log: KnownLog): Judgement {
  const note = parseNote(call.checkpoint);
  const checkpoint = note && parseCheckpoint(note.text);
  if (!note || !checkpoint) return refuse(400, 'not a signed checkpoint');
  const opened = openNote(call.checkpoint, log.verifiers);
  if (!opened.ok) return refuse(403, `no valid signature of the log: ${opened.reason}`);
  const { oldSize, proof } = call;
  const { size, root } = checkpoint;
  if (oldSize > size) return refuse(400, 'the old size is above that of the checkpoint');
  const { seen } = log;
  if (oldSize !== seen.size) return { ok: false, status: 409, size: seen.size };
  if (oldSize === size && !bytesEqual(root, seen.root)) {
    return refuse(422, 'another root was cosigned at this size');
  }
  const proven = verifyConsistency({
    from: oldSize,
    to: size,
    fromRoot: seen.root,
    toRoot: root,
    proof,
  });
  if (!proven.ok) return refuse(422, `the consistency proof does not hold: ${proven.reason}`);
  return { ok: true, text: note.text, checkpoint };
}

function refuse(status: 400 | 403 | 422, reason: string): Judgement {
  return { ok: false, status, reason };
}

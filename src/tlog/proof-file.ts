/**
 * Proof files (C2SP tlog-proof, `.tlog-proof`): an index, an inclusion proof and a signed
 * checkpoint in one text, which anyone with the log's key can check offline.
 */
import { type CheckpointRefusal, openCheckpoint } from './checkpoint.ts';
import type { Checkpoint } from './checkpoint-text.ts';
import { decodeBase64, decodeHash, encodeBase64, parseDecimal } from './encoding.ts';
import type { NoteVerifier } from './note-key.ts';
import { type ProofRefusal, verifyInclusion } from './proof.ts';

/** The parts of a proof file. */
export interface ProofFile {
  /** Opaque bytes for the application. Not authenticated by anything. */
  readonly extra?: Uint8Array;
  readonly index: number;
  /** 32-byte hashes, the leaf's sibling first. */
  readonly proof: readonly Uint8Array[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
}

export type ProofFileResult =
  | { ok: true; index: number; checkpoint: Checkpoint }
  | { ok: false; reason: 'malformed_proof' | CheckpointRefusal | ProofRefusal };

const HEADER = 'c2sp.org/tlog-proof@v1';
// A tree of 2^53 leaves needs 53; a longer file is refused before it costs anything.
const MAX_PROOF_LENGTH = 64;

/** The text of a proof file. The parts must be valid: nothing is checked here. */
export function formatProofFile({ extra, index, proof, checkpoint }: ProofFile): string {
  const lines = [
    HEADER,
    ...(extra ? [`extra ${encodeBase64(extra)}`] : []),
    `index ${index}`,
    ...proof.map(encodeBase64),
  ];
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** The parts of a proof file, with the checkpoint unread; undefined when the text is malformed. */
export function parseProofFile(text: string): ProofFile | undefined {
  const blank = text.indexOf('\n\n');
  if (blank < 0) return undefined;
  const [header, ...lines] = text.slice(0, blank).split('\n');
  if (header !== HEADER || lines.length > MAX_PROOF_LENGTH + 2) return undefined;
  const extraText = lines[0]?.startsWith('extra ') ? lines.shift()?.slice(6) : undefined;
  const extra = extraText === undefined ? undefined : decodeBase64(extraText);
  if (extraText !== undefined && !extra) return undefined;
  const indexLine = lines.shift();
  const index = indexLine?.startsWith('index ') ? parseDecimal(indexLine.slice(6)) : undefined;
  const proof = lines.map(decodeHash).filter((hash) => hash !== undefined);
  if (index === undefined || proof.length < lines.length) return undefined;
  return { ...(extra && { extra }), index, proof, checkpoint: text.slice(blank + 2) };
}

/**
 * Checks a proof file for the entry whose leaf hash one has computed oneself: the checkpoint is
 * signed by the log (`openCheckpoint`) and its tree holds the leaf at the file's index. It does
 * not ask for cosignatures; a caller with a witness policy opens the checkpoint itself too.
 */
export function verifyProofFile(
  text: string,
  leafHash: Uint8Array,
  verifiers: readonly NoteVerifier[],
): ProofFileResult {
  const file = parseProofFile(text);
  if (!file) return { ok: false, reason: 'malformed_proof' };
  const opened = openCheckpoint(file.checkpoint, verifiers);
  if (!opened.ok) return opened;
  const { checkpoint } = opened;
  const { size, root } = checkpoint;
  const held = verifyInclusion({ leafHash, index: file.index, size, root, proof: file.proof });
  return held.ok ? { ok: true, index: file.index, checkpoint } : held;
}

import type { Db } from '../db/connection.ts';
import { signCheckpoint, openCheckpoint } from '../tlog/checkpoint.ts';
import { openNote } from '../tlog/note.ts';
import { verifyConsistency } from '../tlog/proof.ts';
import { consistencyProof, inclusionProof, type ReadTile } from '../tlog/prove.ts';
import { formatProofFile } from '../tlog/proof-file.ts';
import { ServiceError } from '../errors.ts';
import type { Log } from './record.ts';
import { hashTile } from './sequencer.ts';
import {
  insertCheckpoint,
  readHead,
  readNewestCheckpoint,
  type StoredCheckpoint,
} from './store.ts';

/**
 * Signs a checkpoint of the present head, if it is new. Before that it proves that the head
 * extends the last signed one, so that this log never signs two inconsistent checkpoints.
 * @throws Error when the stored log does not extend what was signed: then nothing is signed.
 */
export async function publish(db: Db, log: Omit<Log, 'wake'>, signedAt: string): Promise<void> {
  // In this order: another replica may sequence and publish between the two reads, and the head
  // must not be the older one.
  const last = await readNewestCheckpoint(db);
  const head = await readHead(db);
  if (!head) throw new Error('the log has no head');
  if (last?.size === head.size && last.root.equals(head.root)) return;
  if (last) await proveExtension(db, log, last, head);
  const { origin, size, root } = head;
  const note = signCheckpoint({ origin, size, root }, log.keys.checkpoints);
  await insertCheckpoint(db, { size, root, note }, signedAt);
}

async function proveExtension(
  db: Db,
  log: Omit<Log, 'wake'>,
  last: StoredCheckpoint,
  head: { size: number; root: Buffer },
): Promise<void> {
  const opened = openCheckpoint(last.note, log.keys.checkpoints);
  if (!opened.ok) {
    throw new Error(
      `the last checkpoint was signed with another key than the one at hand (${opened.reason})`,
    );
  }
  const { size, root } = opened.checkpoint;
  if (size > head.size)
    throw new Error(`the log has ${head.size} entries, fewer than the ${size} that were signed`);
  const proof = await consistencyProof(size, head.size, tileReader(db));
  const checked = verifyConsistency({
    from: size,
    to: head.size,
    fromRoot: root,
    toRoot: head.root,
    proof,
  });
  if (!checked.ok)
    throw new Error(`the log does not extend its last checkpoint (${checked.reason})`);
}

/**
 * Are these the keys of this log? A replica with another keys folder must not start: its receipts
 * and checkpoints would be under keys that nobody knows. A second key that the newest checkpoint
 * was not signed with is one that is being brought in.
 * @throws Error when the newest checkpoint was signed with another key.
 */
export async function checkLogKeys(
  db: Db,
  { origin, keys }: Pick<Log, 'origin' | 'keys'>,
): Promise<void> {
  const newest = await readNewestCheckpoint(db);
  if (!newest) return;
  const opened = openNote(newest.note, keys.checkpoints);
  if (opened.ok && opened.unverified.every(({ name }) => name !== origin)) return;
  throw new Error(
    `The keys at hand are not those of the log ${origin}: every replica needs the same DATA_DIR/keys, restored from the backup if they were lost.`,
  );
}

/** The newest published checkpoint. @throws ServiceError `unavailable` before the first. */
export async function newestCheckpoint(db: Db): Promise<StoredCheckpoint> {
  const checkpoint = await readNewestCheckpoint(db);
  if (!checkpoint) throw new ServiceError('unavailable', 'No checkpoint has been published yet.');
  return checkpoint;
}

/**
 * The C2SP tlog-proof of the entry at `index` against the newest checkpoint.
 * @throws ServiceError `not_sequenced` while no checkpoint covers it.
 */
export async function proofFile(db: Db, index: number | null): Promise<string> {
  const checkpoint = await newestCheckpoint(db);
  if (index === null || index >= checkpoint.size) {
    throw new ServiceError(
      'not_sequenced',
      'The event is not under a checkpoint yet. Try again in a second.',
    );
  }
  const proof = await inclusionProof(index, checkpoint.size, tileReader(db));
  return formatProofFile({ index, proof, checkpoint: checkpoint.note });
}

/**
 * RFC 9162 section 2.1.4 proof between two sizes, base64 hashes.
 * @throws ServiceError `invalid_request` for sizes that are not in the published log.
 */
export async function consistency(db: Db, from: number, to: number): Promise<string[]> {
  const { size } = await newestCheckpoint(db);
  if (from > to || to > size) {
    throw new ServiceError('invalid_request', 'The sizes do not fit the log.', [
      { path: from > to ? 'from' : 'to', expected: from > to ? 'at most "to"' : `at most ${size}` },
    ]);
  }
  const proof = await consistencyProof(from, to, tileReader(db));
  return proof.map((hash) => Buffer.from(hash).toString('base64'));
}

function tileReader(db: Db): ReadTile {
  return (level, n, width) => hashTile(db, level, n, width);
}

import type { Db } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { formatProofFile } from '../tlog/proof-file.ts';
import { consistencyProof, inclusionProof, type ReadTile } from '../tlog/prove.ts';
import { hashTile } from './sequencer.ts';
import { readNewestCheckpoint, type StoredCheckpoint } from './store.ts';

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

/** Reads the tiles of the log in the database. */
export function tileReader(db: Db): ReadTile {
  return (level, n, width) => hashTile(db, level, n, width);
}

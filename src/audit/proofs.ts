import type { Db } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { formatProofFile } from '../tlog/proof-file.ts';
import { consistencyProof, inclusionProof, type ReadTile } from '../tlog/prove.ts';
import { hashTile } from './sequencer.ts';
import { type Published, readHeads, readNewestCheckpoint } from './log-store.ts';

/**
 * The newest published checkpoint: of the shard of a year, or of the newest shard that has one.
 * @throws ServiceError `not_found` for a year without a shard, `unavailable` before the first.
 */
export async function newestCheckpoint(db: Db, year?: number): Promise<Published> {
  const checkpoint = await readNewestCheckpoint(db, year);
  if (checkpoint) return checkpoint;
  if (year !== undefined && !(await readHeads(db)).some((head) => head.year === year))
    throw notFound();
  throw new ServiceError('unavailable', 'No checkpoint has been published yet.');
}

/**
 * The C2SP tlog-proof of an event against the newest checkpoint of its shard.
 * @throws ServiceError `not_sequenced` while no checkpoint covers it.
 */
export async function proofFile(
  db: Db,
  { idx: index, year }: { readonly idx: number | null; readonly year: number | null },
): Promise<string> {
  const checkpoint = year === null ? undefined : await readNewestCheckpoint(db, year);
  if (!checkpoint || index === null || index >= checkpoint.size) {
    throw new ServiceError(
      'not_sequenced',
      'The event is not under a checkpoint yet. Try again in a second.',
    );
  }
  const proof = await inclusionProof(index, checkpoint.size, tileReader(db, checkpoint.log_id));
  return formatProofFile({ index, proof, checkpoint: checkpoint.note });
}

/**
 * RFC 9162 section 2.1.4 proof between two sizes of a shard, base64 hashes.
 * @throws ServiceError `invalid_request` for sizes that are not in the published log.
 */
export async function consistency(
  db: Db,
  year: number | undefined,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<string[]> {
  const { log_id, size } = await newestCheckpoint(db, year);
  if (from > to || to > size) {
    throw new ServiceError('invalid_request', 'The sizes do not fit the log.', [
      { path: from > to ? 'from' : 'to', expected: from > to ? 'at most "to"' : `at most ${size}` },
    ]);
  }
  const proof = await consistencyProof(from, to, tileReader(db, log_id));
  return proof.map((hash) => Buffer.from(hash).toString('base64'));
}

/** Reads the tiles of a shard in the database. */
export function tileReader(db: Db, logId: number): ReadTile {
  return (level, n, width) => hashTile(db, logId, { level, n, width });
}

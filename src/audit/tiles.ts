import type { Db } from '../db/connection.ts';
import { notFound } from '../errors.ts';
import { encodeEntryBundle } from '../tlog/bundle.ts';
import { TILE_WIDTH, type TilePath, tileWidth } from '../tlog/tiles.ts';
import { newestCheckpoint } from './proofs.ts';
import { hashTile } from './sequencer.ts';
import { readLeaves } from './log-store.ts';

/**
 * A hash tile or an entry bundle of a published shard (C2SP tlog-tiles), whose bytes never change.
 * @throws ServiceError `not_found` for one that is not under the newest checkpoint: what nobody has
 * signed yet is not part of the log. `unavailable` before the first checkpoint.
 */
export async function readLogTile(
  db: Db,
  year: number | undefined,
  { level, n, width }: TilePath,
): Promise<Uint8Array> {
  const { log_id, size } = await newestCheckpoint(db, year);
  if (width > tileWidth(level === 'entries' ? 0 : level, n, size)) throw notFound();
  return level === 'entries'
    ? entryBundle(db, log_id, n, width)
    : hashTile(db, log_id, { level, n, width });
}

async function entryBundle(db: Db, logId: number, n: number, width: number): Promise<Uint8Array> {
  const leaves = await readLeaves(db, logId, n * TILE_WIDTH, width);
  if (leaves.length < width) throw new Error(`the entries of bundle ${n} are not all there`);
  return encodeEntryBundle(leaves);
}

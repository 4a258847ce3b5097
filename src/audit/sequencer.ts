import { type Db, transact, type Tx } from '../db/connection.ts';
import { SERVICE } from '../principal.ts';
import { HASH_SIZE } from '../tlog/leaf.ts';
import {
  appendLeaves,
  decodeFrontier,
  emptyFrontier,
  encodeFrontier,
  type Frontier,
  perfectRoot,
  rootOf,
} from '../tlog/merkle.ts';
import { newTiles, TILE_WIDTH } from '../tlog/tiles.ts';
import { sealEvent } from './event.ts';
import type { LogKeys } from './keys.ts';
import { bodyOfTurn, nextOrigin, TURN } from './shards.ts';
import {
  type Head,
  hasPending,
  insertFirstHead,
  insertHead,
  insertTile,
  lockHead,
  lockQueue,
  readHead,
  readLeafHashes,
  readTile,
  readTileRoots,
  sequencePending,
  updateHead,
} from './log-store.ts';
import { insertEvent } from './store.ts';

/** Events of one transaction at most. */
export const SEQUENCE_BATCH = 1024;

const EMPTY = {
  size: 0,
  root: Buffer.from(rootOf(emptyFrontier)),
  frontier: Buffer.from(encodeFrontier(emptyFrontier)),
};

/**
 * Makes the log at the very first start, and returns the origin of the shard that grows. Origins
 * are fixed from then on; the stored one wins.
 */
export async function openLog(db: Db, origin: string, now: Date): Promise<string> {
  await insertFirstHead(db, { origin, year: now.getUTCFullYear(), ...EMPTY });
  return (await readHead(db))?.origin ?? origin;
}

/**
 * Gives waiting events their indices and extends the tree, in one transaction. Returns how many.
 * Any number of replicas may do this at once: the lock on the head is the safety rule. A crash
 * leaves the events waiting; the next call takes them again.
 */
export async function sequence(db: Db): Promise<number> {
  // Looked at before the lock is taken: an idle service writes nothing.
  if (!(await hasPending(db))) return 0;
  return transact(db, async (tx) => {
    const head = await lockHead(tx);
    return (await append(tx, head)).size - head.size;
  });
}

/** The head with the oldest waiting events appended, a batch at most. */
async function append(tx: Tx, head: Head): Promise<Head> {
  const { log_id } = head;
  const hashes = await sequencePending(tx, head, SEQUENCE_BATCH);
  if (hashes.length === 0) return head;
  const frontier = appendLeaves(frontierOf(head.size, head.frontier), hashes);
  await storeFullTiles(tx, log_id, head.size, frontier.size);
  const grown = {
    size: frontier.size,
    root: Buffer.from(rootOf(frontier)),
    frontier: Buffer.from(encodeFrontier(frontier)),
  };
  await updateHead(tx, log_id, grown);
  return { ...head, ...grown };
}

/**
 * Begins the shard of a new year, once the clock is in it (UTC, as the times in leaves are): in one
 * transaction all that waits goes into the old one, which is final then, and the first event of the
 * new one names its size and root. Returns the shard that grows, whoever made it.
 *
 * Nobody writes an event meanwhile, so that each is before the turn or after it. Of several
 * replicas the first one to lock the head turns; the others find a shard of this year, and so does
 * a clock that jumps back and forth. A crash leaves the old shard alone, or both.
 */
export async function turn(
  db: Db,
  keys: Pick<LogKeys, 'pseudonym'>,
  now: Date,
): Promise<Pick<Head, 'origin' | 'year'> | undefined> {
  const year = now.getUTCFullYear();
  const seen = await readHead(db);
  if (!seen || year <= seen.year) return seen;
  return transact(db, async (tx) => {
    let old = await lockHead(tx);
    if (year <= old.year) return old;
    await lockQueue(tx);
    for (let size = -1; size < old.size; old = await append(tx, old)) size = old.size;
    const { actor, role } = SERVICE;
    const input = { type: TURN, actor, role, subject_ids: [], outcome: 'success' };
    const event = sealEvent({ ...input, body: bodyOfTurn(old) }, now.toISOString(), keys.pseudonym);
    const started: Head = {
      log_id: old.log_id + 1,
      origin: nextOrigin(old.origin, year),
      year,
      base: old.base + old.size,
      ...EMPTY,
    };
    await insertHead(tx, started);
    await insertEvent(tx, event);
    await append(tx, started);
    return started;
  });
}

function frontierOf(size: number, bytes: Uint8Array): Frontier {
  const frontier = decodeFrontier(size, bytes);
  if (!frontier)
    throw new Error('the head of the log is damaged: its frontier does not fit its size');
  return frontier;
}

async function storeFullTiles(tx: Tx, log_id: number, from: number, to: number): Promise<void> {
  for (const { level, n, width } of newTiles(from, to)) {
    if (width !== TILE_WIDTH) continue;
    const hashes = await buildTile(tx, log_id, { level, n, width });
    await insertTile(tx, { log_id, level, n, hashes, root: Buffer.from(perfectRoot(hashes)) });
  }
}

/**
 * The hashes of a tile (C2SP tlog-tiles): leaf hashes on level 0, above it the roots of full tiles
 * one level down.
 */
async function buildTile(db: Db, logId: number, { level, n, width }: HashTile): Promise<Buffer> {
  const first = n * TILE_WIDTH;
  if (level === 0) return Buffer.concat(await readLeafHashes(db, logId, first, width));
  return Buffer.concat(await readTileRoots(db, logId, level - 1, { from: first, count: width }));
}

interface HashTile {
  readonly level: number;
  readonly n: number;
  readonly width: number;
}

/** The first `width` hashes of a shard's tile, from the stored one where it is full by now. */
export async function hashTile(db: Db, logId: number, tile: HashTile): Promise<Buffer> {
  const full = await readTile(db, logId, tile.level, tile.n);
  return full ? full.subarray(0, tile.width * HASH_SIZE) : buildTile(db, logId, tile);
}

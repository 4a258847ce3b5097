import type { Db, Tx } from '../db/connection.ts';
import { transact } from '../db/connection.ts';
import {
  appendLeaves,
  decodeFrontier,
  emptyFrontier,
  encodeFrontier,
  type Frontier,
  perfectRoot,
  rootOf,
} from '../tlog/merkle.ts';
import { HASH_SIZE } from '../tlog/leaf.ts';
import { newTiles, TILE_WIDTH } from '../tlog/tiles.ts';
import {
  hasPending,
  insertHead,
  insertTile,
  lockHead,
  readHead,
  readLeafHashes,
  readTile,
  readTileRoots,
  sequencePending,
  updateHead,
} from './store.ts';

/** Events of one transaction at most. */
export const SEQUENCE_BATCH = 1024;

/** Makes the log at the very first start. The origin is fixed from then on; the stored one wins. */
export async function openLog(db: Db, origin: string): Promise<string> {
  const empty = emptyFrontier;
  await insertHead(db, {
    origin,
    size: 0,
    root: Buffer.from(rootOf(empty)),
    frontier: Buffer.from(encodeFrontier(empty)),
  });
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
    const hashes = await sequencePending(tx, head.size, SEQUENCE_BATCH);
    if (hashes.length === 0) return 0;
    const frontier = appendLeaves(frontierOf(head.size, head.frontier), hashes);
    await storeFullTiles(tx, head.size, frontier.size);
    await updateHead(tx, {
      size: frontier.size,
      root: Buffer.from(rootOf(frontier)),
      frontier: Buffer.from(encodeFrontier(frontier)),
    });
    return hashes.length;
  });
}

function frontierOf(size: number, bytes: Uint8Array): Frontier {
  const frontier = decodeFrontier(size, bytes);
  if (!frontier)
    throw new Error('the head of the log is damaged: its frontier does not fit its size');
  return frontier;
}

async function storeFullTiles(tx: Tx, from: number, to: number): Promise<void> {
  for (const { level, n, width } of newTiles(from, to)) {
    if (width !== TILE_WIDTH) continue;
    const hashes = await buildTile(tx, level, n, width);
    await insertTile(tx, { level, n, hashes, root: Buffer.from(perfectRoot(hashes)) });
  }
}

/**
 * The hashes of a tile (C2SP tlog-tiles): leaf hashes on level 0, above it the roots of full tiles
 * one level down.
 */
async function buildTile(db: Db, level: number, n: number, width: number): Promise<Buffer> {
  const first = n * TILE_WIDTH;
  if (level === 0) return Buffer.concat(await readLeafHashes(db, first, width));
  return Buffer.concat(await readTileRoots(db, level - 1, first, width));
}

/** The first `width` hashes of a tile, from the stored one where it is full by now. */
export async function hashTile(db: Db, level: number, n: number, width: number): Promise<Buffer> {
  const full = await readTile(db, level, n);
  return full ? full.subarray(0, width * HASH_SIZE) : buildTile(db, level, n, width);
}

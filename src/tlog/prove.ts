/** Makes inclusion and consistency proofs from stored tiles (RFC 9162 sections 2.1.3.1, 2.1.4.1). */
import { HASH_SIZE } from './leaf.ts';
import { foldRight, perfectRoot } from './merkle.ts';
import { nodeInTile, type Tile, tileWidth } from './tiles.ts';

/**
 * Reads one hash tile: the first `width` hashes (1 to 256) of tile `n` of `level`, 32 bytes each,
 * exactly `width * 32` bytes. Level L holds the roots of perfect subtrees of height 8 * L.
 */
export type ReadTile = (level: number, n: number, width: number) => Promise<Uint8Array>;

/** The leaves from `start` up to, not including, `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** The perfect subtree over the leaves from `index * 2^height` on. */
interface Node {
  readonly height: number;
  readonly index: number;
}

/**
 * Inclusion proof of the leaf at `index` in the tree of `size` leaves: hashes from the leaf's
 * sibling up (RFC 9162 section 2.1.3.1). Reads each tile that it needs once, and no other.
 * Rejects with RangeError when `index` is not below `size`, or when a tile has the wrong length.
 */
export async function inclusionProof(
  index: number,
  size: number,
  readTile: ReadTile,
): Promise<Uint8Array[]> {
  if (!isCount(index) || !isCount(size) || index >= size) {
    throw new RangeError(`no leaf ${index} in a tree of ${size} leaves`);
  }
  return rangeRoots(inclusionRanges(index, size), size, readTile);
}

/**
 * Consistency proof between the trees of `from` and `to` leaves of one log (RFC 9162 section
 * 2.1.4.1); empty when `from` is 0 or equals `to`. Reads each tile that it needs once, and no
 * other. Rejects with RangeError when `from` is above `to`, or when a tile has the wrong length.
 */
export async function consistencyProof(
  from: number,
  to: number,
  readTile: ReadTile,
): Promise<Uint8Array[]> {
  if (!isCount(from) || !isCount(to) || from > to) {
    throw new RangeError(`a tree of ${to} leaves does not extend one of ${from}`);
  }
  return from === 0 ? [] : rangeRoots(consistencyRanges(from, to), to, readTile);
}

/**
 * Roots of the perfect subtrees that make up the leaves from `from` up to, not including, `to` in
 * the tree of `size` leaves, left to right: what stands for leaves that one does not have. Those
 * before a range, its leaves, and those after it give the root of the tree, which proves that the
 * range is whole. Rejects with RangeError when the range is not within the tree.
 */
export async function subtreeRoots(
  { from, to }: { readonly from: number; readonly to: number },
  size: number,
  readTile: ReadTile,
): Promise<Uint8Array[]> {
  if (![from, to, size].every(isCount) || from > to || to > size) {
    throw new RangeError(`no leaves ${from} to ${to} in a tree of ${size} leaves`);
  }
  const ranges: Range[] = [];
  for (let start = from; start < to; ) {
    let length = 1;
    while (start % (2 * length) === 0 && start + 2 * length <= to) length *= 2;
    ranges.push({ start, end: start + length });
    start += length;
  }
  return rangeRoots(ranges, size, readTile);
}

/** PATH(m, D_n) of RFC 9162 section 2.1.3.1 as ranges of leaves, the deepest first. */
function inclusionRanges(index: number, size: number): Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + splitPoint(end - start);
    if (index < middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  return ranges.toReversed();
}

/** SUBPROOF(m, D_n, b) of RFC 9162 section 2.1.4.1 as ranges of leaves, the deepest first. */
function consistencyRanges(from: number, to: number): Range[] {
  const ranges: Range[] = [];
  let [start, end] = [0, to];
  while (from !== end) {
    const middle = start + splitPoint(end - start);
    if (from <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  // While start is 0 the remaining subtree is the whole old tree, whose root the verifier has.
  if (start > 0) ranges.push({ start, end });
  return ranges.toReversed();
}

/** MTH of each range, computed from tiles that are all fetched at once. */
async function rangeRoots(
  ranges: readonly Range[],
  size: number,
  readTile: ReadTile,
): Promise<Uint8Array[]> {
  const nodes = ranges.map(perfectNodes);
  const wanted = new Map<string, { level: number; n: number }>();
  for (const { height, index } of nodes.flat()) {
    const { level, n } = nodeInTile(height, index);
    wanted.set(tileKey(level, n), { level, n });
  }
  const tiles = new Map(
    await Promise.all(
      [...wanted].map(async ([key, { level, n }]): Promise<[string, Uint8Array]> => {
        return [key, await readChecked(readTile, { level, n, width: tileWidth(level, n, size) })];
      }),
    ),
  );
  return nodes.map((row) => foldRight(row.map((node) => nodeFrom(tiles, node))));
}

/**
 * The perfect subtrees that make up a range, left to right. It needs a range that starts at a
 * multiple of the largest power of two within its length, as every range of the recursions does.
 */
function perfectNodes({ start, end }: Range): Node[] {
  const nodes: Node[] = [];
  let height = 0;
  while (2 ** (height + 1) <= end - start) height++;
  for (let at = start; at < end; height--) {
    const length = 2 ** height;
    if (at + length > end) continue;
    nodes.push({ height, index: at / length });
    at += length;
  }
  return nodes;
}

async function readChecked(readTile: ReadTile, { level, n, width }: Tile): Promise<Uint8Array> {
  const bytes = await readTile(level, n, width);
  if (bytes.length !== width * HASH_SIZE) {
    throw new RangeError(
      `tile ${tileKey(level, n)} has ${bytes.length} bytes instead of ${width * HASH_SIZE}`,
    );
  }
  return bytes;
}

function nodeFrom(tiles: ReadonlyMap<string, Uint8Array>, { height, index }: Node): Uint8Array {
  const { level, n, first, count } = nodeInTile(height, index);
  const tile = tiles.get(tileKey(level, n)) ?? new Uint8Array();
  return perfectRoot(tile.subarray(first * HASH_SIZE, (first + count) * HASH_SIZE));
}

function tileKey(level: number, n: number): string {
  return `${level}/${n}`;
}

/** The largest power of two below `length`, which is at least 2. */
function splitPoint(length: number): number {
  let split = 1;
  while (split * 2 < length) split *= 2;
  return split;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

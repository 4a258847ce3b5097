/**
 * The right edge of a Merkle tree: all that is needed to append to it and to know its root.
 * Numbers, not bit operators, throughout: sizes go up to 2^53 - 1.
 */
import { emptyRoot, HASH_SIZE, nodeHash } from './leaf.ts';

/**
 * A tree of `size` leaves as the roots of its perfect subtrees, the largest (leftmost) first:
 * one hash for each bit set in `size`. Known as a compact range. Treat it as immutable.
 */
export interface Frontier {
  readonly size: number;
  readonly hashes: readonly Uint8Array[];
}

/** The tree without leaves. */
export const emptyFrontier: Frontier = { size: 0, hashes: [] };

/**
 * The frontier after appending leaf hashes (32 bytes each), in order. The given frontier stays as
 * it is. Throws RangeError for a leaf of another length, and when the tree would outgrow
 * 2^53 - 1 leaves.
 */
export function appendLeaves(frontier: Frontier, leafHashes: Iterable<Uint8Array>): Frontier {
  const hashes = [...frontier.hashes];
  let { size } = frontier;
  for (const leaf of leafHashes) {
    if (leaf.length !== HASH_SIZE) throw new RangeError('a leaf is a hash of 32 bytes');
    let node = leaf;
    // A trailing one in the size is a finished left sibling: join it, as a carry in addition.
    for (let carry = size; carry % 2 === 1; carry = (carry - 1) / 2) {
      node = nodeHash(pop(hashes), node);
    }
    hashes.push(node);
    size += 1;
  }
  if (!Number.isSafeInteger(size)) throw new RangeError('the tree would outgrow 2^53 - 1 leaves');
  return { size, hashes };
}

/**
 * The frontier after appending a perfect subtree of 2^height leaves by its root. Throws RangeError
 * when the tree's size is no multiple of 2^height: the subtree would not be a node of the tree.
 */
export function appendPerfect(frontier: Frontier, height: number, root: Uint8Array): Frontier {
  const width = 2 ** height;
  if (frontier.size % width !== 0) throw new RangeError('the subtree is not aligned');
  const inUnits = { size: frontier.size / width, hashes: frontier.hashes };
  const { size, hashes } = appendLeaves(inUnits, [root]);
  if (!Number.isSafeInteger(size * width)) {
    throw new RangeError('the tree would outgrow 2^53 - 1 leaves');
  }
  return { size: size * width, hashes };
}

/** Root of the tree (RFC 9162 section 2.1.1), 32 bytes; the empty tree has `emptyRoot`. */
export function rootOf(frontier: Frontier): Uint8Array {
  return foldRight(frontier.hashes);
}

/** The frontier's hashes one after another, `popcount(size) * 32` bytes. The size is stored apart. */
export function encodeFrontier(frontier: Frontier): Uint8Array {
  return Buffer.concat(frontier.hashes);
}

/**
 * The frontier of a tree of `size` leaves from its stored hashes. Throws RangeError when their
 * number does not fit the size, which means that the stored head is damaged: appending to it
 * would destroy the log. A wrong hash of the right length is not noticed here; compare `rootOf`.
 */
export function decodeFrontier(size: number, bytes: Uint8Array): Frontier {
  if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('not a tree size');
  if (bytes.length !== perfectSubtrees(size) * HASH_SIZE) {
    throw new RangeError(`${bytes.length} bytes are no frontier of a tree of ${size} leaves`);
  }
  return { size, hashes: splitHashes(bytes) };
}

/**
 * Root of a perfect subtree whose bottom row is given as packed hashes: `bytes` holds 2^k hashes
 * of 32 bytes. Applied to a full tile (8,192 bytes) it gives the hash that the tile one level up
 * holds for it, so a store that keeps this hash beside each full tile need not recompute it.
 * Throws RangeError for another length.
 */
export function perfectRoot(bytes: Uint8Array): Uint8Array {
  const count = bytes.length / HASH_SIZE;
  if (!Number.isInteger(count) || perfectSubtrees(count) !== 1) {
    throw new RangeError(`${bytes.length} bytes are no row of 2^k hashes`);
  }
  return foldRight(appendLeaves(emptyFrontier, splitHashes(bytes)).hashes);
}

/** Root over adjacent perfect subtrees of falling size, left to right; `emptyRoot` for none. */
export function foldRight(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0
    ? emptyRoot
    : hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** Number of ones in the binary form of a size: how many perfect subtrees make up the tree. */
function perfectSubtrees(size: number): number {
  let ones = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) ones += rest % 2;
  return ones;
}

function splitHashes(bytes: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += HASH_SIZE) {
    hashes.push(bytes.subarray(at, at + HASH_SIZE));
  }
  return hashes;
}

function pop(hashes: Uint8Array[]): Uint8Array {
  const last = hashes.pop();
  if (!last) throw new RangeError('the frontier has fewer hashes than its size needs');
  return last;
}

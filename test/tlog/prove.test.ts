import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { leafHash, nodeHash } from '../../src/tlog/leaf.ts';
import { foldRight } from '../../src/tlog/merkle.ts';
import { verifyConsistency, verifyInclusion } from '../../src/tlog/proof.ts';
import { consistencyProof, inclusionProof, type ReadTile } from '../../src/tlog/prove.ts';
import { flipBit, inclusionPath, subproof, testLeaves, tilesOf, treeRoot } from './reference.ts';

const leaves = testLeaves(1100);
const { readTile } = tilesOf(leaves);
const rootAt = (size: number): Uint8Array => treeRoot(leaves.slice(0, size));
const leafAt = (index: number): Uint8Array => leaves[index] ?? new Uint8Array();

/** Two different numbers in order, the first at least `low`. */
const ordered = (low: number, high: number): fc.Arbitrary<[number, number]> =>
  fc
    .tuple(fc.integer({ min: low, max: high }), fc.integer({ min: low, max: high }))
    .filter(([a, b]) => a !== b)
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);

describe('inclusion proofs', () => {
  test('are those of the RFC and hold, for every leaf of every tree of up to 34 leaves', async () => {
    for (let size = 1; size <= 34; size++) {
      const [tree, root] = [leaves.slice(0, size), rootAt(size)];
      for (let index = 0; index < size; index++) {
        const proof = await inclusionProof(index, size, readTile);
        expect(proof).toEqual(inclusionPath(index, tree));
        expect(verifyInclusion({ leafHash: leafAt(index), index, size, root, proof }).ok).toBe(
          true,
        );
      }
    }
  });

  test('hold across tiles, and with any single bit turned they do not', async () => {
    await fc.assert(
      fc.asyncProperty(ordered(0, 1100), fc.nat(), async ([index, size], bit) => {
        const proof = await inclusionProof(index, size, readTile);
        expect(proof).toEqual(inclusionPath(index, leaves.slice(0, size)));
        const hashes = [leafAt(index), rootAt(size), ...proof];
        const check = ([leaf, root, ...path]: Uint8Array[]): boolean =>
          verifyInclusion({
            leafHash: leaf ?? new Uint8Array(),
            index,
            size,
            root: root ?? new Uint8Array(),
            proof: path,
          }).ok;
        expect(check(hashes)).toBe(true);
        for (const turned of hashes.keys()) {
          const damaged = hashes.map((hash, i) => (i === turned ? flipBit(hash, bit) : hash));
          expect(check(damaged)).toBe(false);
        }
        expect(check(hashes.slice(0, -1))).toBe(false);
        expect(check([...hashes, leafAt(index)])).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('do not hold for any other leaf of the tree', async () => {
    const [size, root] = [300, rootAt(300)];
    const proof = await inclusionProof(257, size, readTile);
    const leaf = leafAt(257);
    const holding = Array.from({ length: size }, (_, index) => index).filter(
      (index) => verifyInclusion({ leafHash: leaf, index, size, root, proof }).ok,
    );
    expect(holding).toEqual([257]);
  });

  test('are refused for leaves that the tree does not have', async () => {
    for (const [index, size] of [
      [0, 0],
      [5, 5],
      [-1, 5],
      [0.5, 5],
      [0, 2 ** 53],
    ] as const) {
      await expect(inclusionProof(index, size, readTile)).rejects.toThrow(RangeError);
    }
  });
});

describe('consistency proofs', () => {
  test('are those of the RFC and hold, between all trees of up to 34 leaves', async () => {
    for (let to = 0; to <= 34; to++) {
      for (let from = 0; from <= to; from++) {
        const proof = await consistencyProof(from, to, readTile);
        expect(proof).toEqual(from === 0 ? [] : subproof(from, leaves.slice(0, to), true));
        const claim = { from, to, fromRoot: rootAt(from), toRoot: rootAt(to), proof };
        expect(verifyConsistency(claim).ok).toBe(true);
      }
    }
  });

  test('hold across tiles, and with any single bit turned they do not', async () => {
    await fc.assert(
      fc.asyncProperty(ordered(1, 1100), fc.nat(), async ([from, to], bit) => {
        const proof = await consistencyProof(from, to, readTile);
        expect(proof).toEqual(subproof(from, leaves.slice(0, to), true));
        const hashes = [rootAt(from), rootAt(to), ...proof];
        const check = ([older, newer, ...path]: Uint8Array[]): boolean =>
          verifyConsistency({
            from,
            to,
            fromRoot: older ?? new Uint8Array(),
            toRoot: newer ?? new Uint8Array(),
            proof: path,
          }).ok;
        expect(check(hashes)).toBe(true);
        for (const turned of hashes.keys()) {
          const damaged = hashes.map((hash, i) => (i === turned ? flipBit(hash, bit) : hash));
          expect(check(damaged)).toBe(false);
        }
        expect(check(hashes.slice(0, -1))).toBe(false);
        expect(check([...hashes, leafAt(0)])).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('are refused for a tree that is larger than the one it should begin', async () => {
    for (const [from, to] of [
      [6, 5],
      [-1, 5],
      [1, 2 ** 53],
    ] as const) {
      await expect(consistencyProof(from, to, readTile)).rejects.toThrow(RangeError);
    }
  });
});

const failing: ReadTile = () => Promise.reject(new Error('disk'));

describe('tiles', () => {
  test('are read once each, and only those that a proof needs', async () => {
    const large = testLeaves(70_000);
    const { readTile: readLarge, reads } = tilesOf(large);
    const proof = await inclusionProof(0, 70_000, readLarge);
    expect(reads.toSorted()).toEqual(['0/0.256', '0/273.112', '1/0.256', '1/1.17']);
    const claim = { leafHash: leafHash(Buffer.from('entry 0')), index: 0, size: 70_000 };
    expect(verifyInclusion({ ...claim, root: treeRoot(large), proof }).ok).toBe(true);
    reads.length = 0;
    await consistencyProof(65_536, 70_000, readLarge);
    expect(reads.toSorted()).toEqual(['0/273.112', '1/1.17']);
  });

  test('of the wrong length stop the proof', async () => {
    for (const width of [0, 1, 99, 101]) {
      const broken: ReadTile = () => Promise.resolve(new Uint8Array(width * 32));
      await expect(inclusionProof(5, 100, broken)).rejects.toThrow(RangeError);
    }
  });

  test('that cannot be read reject with the error of the reader', async () => {
    await expect(consistencyProof(1, 700, failing)).rejects.toThrow('disk');
  });
});

describe('a tree near 2^53 leaves', () => {
  // All leaves alike: every node of one height has the same hash, so any tile can be made up.
  const byHeight: Uint8Array[] = [leafHash(Buffer.from('same'))];
  for (let height = 1; height <= 53; height++) {
    const below = byHeight[height - 1] ?? new Uint8Array();
    byHeight.push(nodeHash(below, below));
  }
  const uniform: ReadTile = (level, _n, width) =>
    Promise.resolve(Buffer.concat(Array(width).fill(byHeight[8 * level])));
  const uniformRoot = (size: number): Uint8Array => {
    const bits = Array.from({ length: 53 }, (_, i) => 52 - i);
    const ones = bits.filter((bit) => Math.floor(size / 2 ** bit) % 2 === 1);
    return foldRight(ones.map((bit) => byHeight[bit] ?? new Uint8Array()));
  };

  test('has inclusion and consistency proofs that hold', async () => {
    const near = fc.oneof(
      fc.maxSafeNat(),
      fc.nat({ max: 2000 }).map((below) => Number.MAX_SAFE_INTEGER - below),
      fc.nat({ max: 52 }).map((bit) => 2 ** bit),
    );
    await fc.assert(
      fc.asyncProperty(near, near, async (a, b) => {
        const [from, to] = [Math.max(1, Math.min(a, b)), Math.max(2, a, b)];
        const toRoot = uniformRoot(to);
        const proof = await inclusionProof(from - 1, to, uniform);
        const inclusion = { index: from - 1, size: to, root: toRoot, proof };
        expect(verifyInclusion({ ...inclusion, leafHash: byHeight[0] ?? toRoot }).ok).toBe(true);
        const path = await consistencyProof(from, to, uniform);
        const claim = { from, to, fromRoot: uniformRoot(from), toRoot, proof: path };
        expect(verifyConsistency(claim).ok).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

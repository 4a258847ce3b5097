import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { emptyRoot, leafHash, nodeHash } from '../../src/tlog/leaf.ts';
import {
  appendLeaves,
  decodeFrontier,
  emptyFrontier,
  encodeFrontier,
  perfectRoot,
  rootOf,
} from '../../src/tlog/merkle.ts';
import { base64, testLeaves, treeRoot, vectorText } from './reference.ts';

const sumdb: { emptyTree: string; recordHash: Record<string, string> } = JSON.parse(
  vectorText('sumdb/tlog.json'),
);

describe('hashes', () => {
  test("the empty tree has Go's root", () => {
    expect(base64(emptyRoot)).toBe(sumdb.emptyTree);
    expect(base64(rootOf(emptyFrontier))).toBe(sumdb.emptyTree);
  });

  test("a leaf has Go's hash", () => {
    const records = Object.entries(sumdb.recordHash);
    expect(records).toHaveLength(1);
    for (const [entry, hash] of records) expect(base64(leafHash(Buffer.from(entry)))).toBe(hash);
  });
});

describe('frontier', () => {
  test('has the root of the recursive definition at every size up to 520', () => {
    const leaves = testLeaves(520);
    let frontier = emptyFrontier;
    for (const [index, leaf] of leaves.entries()) {
      frontier = appendLeaves(frontier, [leaf]);
      expect(base64(rootOf(frontier))).toBe(base64(treeRoot(leaves.slice(0, index + 1))));
    }
  });

  test('has the same root however the leaves are batched, stored and read back', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 300 }), { maxLength: 6 }), (batches) => {
        const leaves = testLeaves(batches.reduce((sum, batch) => sum + batch, 0));
        let frontier = emptyFrontier;
        for (const batch of batches) {
          const next = leaves.slice(frontier.size, frontier.size + batch);
          const grown = appendLeaves(frontier, next);
          frontier = decodeFrontier(grown.size, encodeFrontier(grown));
        }
        expect(frontier.size).toBe(leaves.length);
        expect(base64(rootOf(frontier))).toBe(base64(treeRoot(leaves)));
      }),
      { numRuns: 40 },
    );
  });

  test('is not changed by appending to it', () => {
    const frontier = appendLeaves(emptyFrontier, testLeaves(3));
    const before = base64(encodeFrontier(frontier));
    appendLeaves(frontier, testLeaves(5));
    expect(base64(encodeFrontier(frontier))).toBe(before);
  });

  test('is refused when its hashes do not fit its size', () => {
    for (const [size, hashes] of [
      [0, 1],
      [3, 1],
      [4, 2],
      [-1, 0],
      [1.5, 1],
      [2 ** 53, 1],
    ] as const) {
      expect(() => decodeFrontier(size, new Uint8Array(hashes * 32))).toThrow(RangeError);
    }
    expect(() => decodeFrontier(1, new Uint8Array(31))).toThrow(RangeError);
  });

  test('takes hashes of 32 bytes only', () => {
    const [leaf = emptyRoot] = testLeaves(1);
    for (const length of [0, 31, 33]) {
      const other = new Uint8Array(length);
      expect(() => appendLeaves(emptyFrontier, [other])).toThrow(RangeError);
      expect(() => nodeHash(other, leaf)).toThrow(RangeError);
      expect(() => nodeHash(leaf, other)).toThrow(RangeError);
    }
  });

  test('counts exactly up to 2^53 - 1 leaves and refuses one more', () => {
    const [leaf] = testLeaves(1);
    const almost = decodeFrontier(2 ** 53 - 2, new Uint8Array(52 * 32));
    const full = appendLeaves(almost, leaf ? [leaf] : []);
    expect([full.size, full.hashes.length]).toEqual([2 ** 53 - 1, 53]);
    expect(() => appendLeaves(full, leaf ? [leaf] : [])).toThrow(RangeError);
  });
});

describe('perfectRoot', () => {
  test('is the root of a row of 2^k hashes, a full tile included', () => {
    for (const count of [1, 2, 4, 64, 256]) {
      const leaves = testLeaves(count);
      expect(base64(perfectRoot(Buffer.concat(leaves)))).toBe(base64(treeRoot(leaves)));
    }
  });

  test('refuses rows of any other length', () => {
    for (const bytes of [0, 31, 33, 96, 255 * 32]) {
      expect(() => perfectRoot(new Uint8Array(bytes))).toThrow(RangeError);
    }
  });
});

/** The deep check of a published log: whatever is changed in any tile or bundle is found and named. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeEntryBundle } from '../../src/tlog/bundle.ts';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { appendLeaves, appendPerfect, emptyFrontier, rootOf } from '../../src/tlog/merkle.ts';
import { parsePolicy } from '../../src/tlog/policy.ts';
import { newTiles, tilePath } from '../../src/tlog/tiles.ts';
import { type TilesToVerify, verifyTiles } from '../../src/tlog/verify-tiles.ts';
import { flipBit, testEntries, testLeaves, testSigner, tilesOf, treeRoot } from './reference.ts';

const SIZE = 600;
const log = testSigner('log.example/2026');

/** A log with these entries as its files. */
async function publish(
  entries: readonly Uint8Array[],
  signer = log,
): Promise<Map<string, Uint8Array>> {
  const leaves = entries.map(leafHash);
  const { readTile } = tilesOf(leaves);
  const files = new Map<string, Uint8Array>();
  for (const tile of newTiles(0, entries.length)) {
    files.set(tilePath(tile), await readTile(tile.level, tile.n, tile.width));
    if (tile.level > 0) continue;
    const own = entries.slice(tile.n * 256, tile.n * 256 + tile.width);
    files.set(tilePath({ ...tile, level: 'entries' }), encodeEntryBundle(own));
  }
  files.set('checkpoint', Buffer.from(signedAt(leaves, entries.length, signer)));
  return files;
}

function signedAt(leaves: readonly Uint8Array[], size: number, signer = log): string {
  const root = treeRoot(leaves.slice(0, size));
  return signCheckpoint({ origin: signer.name, size, root }, [signer]);
}

async function codesOf(
  files: ReadonlyMap<string, Uint8Array>,
  trust: Partial<TilesToVerify> = { verifiers: [log] },
): Promise<string[]> {
  const report = await verifyTiles({ read: async (path) => files.get(path), ...trust });
  expect(report.ok).toBe(report.problems.length === 0);
  return [...new Set(report.problems.map(({ code }) => code))].toSorted();
}

const entries = testEntries(SIZE);
const whole = await publish(entries);
const changed = (path: string, bytes: Uint8Array | undefined): Map<string, Uint8Array> => {
  const files = new Map(whole);
  if (bytes) files.set(path, bytes);
  else files.delete(path);
  return files;
};

describe('a sound log', () => {
  test('passes at every size, and its progress comes to its end', async () => {
    for (const size of [0, 1, 255, 256, 257, 512, SIZE]) {
      const files = await publish(entries.slice(0, size));
      const seen: number[] = [];
      const report = await verifyTiles({
        read: async (path) => files.get(path),
        verifiers: [log],
        trustedCheckpoints: [0, 1, 200, 256]
          .filter((at) => at <= size)
          .map((at) => signedAt(testLeaves(SIZE), at)),
        progress: (done) => seen.push(done),
      });
      expect(report).toMatchObject({ ok: true, size, signedSize: size, signatureVerified: true });
      expect(seen.at(-1) ?? 0).toBe(size);
    }
  });

  test('passes with full tiles where partial ones were', async () => {
    const longer = await publish(testEntries(SIZE + 256));
    const files = new Map(longer).set('checkpoint', whole.get('checkpoint') ?? new Uint8Array());
    // The tile over the full ones is only there in its new width; what it says of this size is its beginning.
    const upper = longer.get('tile/1/000.p/3')?.subarray(0, 64) ?? new Uint8Array();
    expect(await codesOf(files.set('tile/1/000.p/2', upper))).toEqual([]);
  });
});

describe('damage', () => {
  test('of any bit of any tile or bundle is found', async () => {
    const paths = [...whole.keys()].filter((path) => path !== 'checkpoint');
    expect(paths).toHaveLength(7);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), fc.nat(), async (path, bit) => {
        const files = changed(path, flipBit(whole.get(path) ?? new Uint8Array(), bit));
        expect(await codesOf(files)).not.toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('of any file that is missing or broken off is found', async () => {
    for (const [path, bytes] of whole) {
      for (const kept of [undefined, new Uint8Array(), bytes.subarray(0, -1)]) {
        expect(await codesOf(changed(path, kept)), path).not.toEqual([]);
      }
    }
  });

  test('of one entry is found, with its index', async () => {
    const edited = entries.with(300, Buffer.from('entry 300, edited'));
    const files = changed('tile/entries/001', encodeEntryBundle(edited.slice(256, 512)));
    const report = await verifyTiles({ read: async (path) => files.get(path), verifiers: [log] });
    expect(report.problems[0]).toMatchObject({ code: 'tile_hash_mismatch', index: 300 });
    expect(await codesOf(files)).toEqual([
      'checkpoint_root_mismatch',
      'root_mismatch',
      'tile_hash_mismatch',
    ]);
  });

  test('by swapping two entries is told from editing, with both indices', async () => {
    const [a = new Uint8Array(), b = new Uint8Array()] = [entries[10], entries[590]];
    const swapped = entries.with(10, b).with(590, a);
    const files = changed('tile/entries/000', encodeEntryBundle(swapped.slice(0, 256)));
    files.set('tile/entries/002.p/88', encodeEntryBundle(swapped.slice(512)));
    const report = await verifyTiles({ read: async (path) => files.get(path), verifiers: [log] });
    expect(report.problems.filter(({ index }) => index !== undefined)).toEqual([
      expect.objectContaining({
        code: 'leaves_swapped',
        index: 10,
        detail: expect.stringContaining('590'),
      }),
      expect.objectContaining({
        code: 'leaves_swapped',
        index: 590,
        detail: expect.stringContaining('10'),
      }),
    ]);
  });

  test('by cutting the tail off is found by whoever kept a later checkpoint', async () => {
    const shorter = await publish(entries.slice(0, 400));
    expect(await codesOf(shorter)).toEqual([]);
    const kept = { verifiers: [log], trustedCheckpoints: [signedAt(testLeaves(SIZE), SIZE)] };
    expect(await codesOf(shorter, kept)).toEqual(['log_truncated']);
  });

  test('by another head without the key is a signature that does not hold', async () => {
    const head = Buffer.from(whole.get('checkpoint') ?? '').toString();
    const files = changed('checkpoint', Buffer.from(head.replace('\n600\n', '\n512\n')));
    expect(await codesOf(files)).toEqual(expect.arrayContaining(['checkpoint_signature']));
    const stranger = await publish(entries, testSigner(log.name, 9));
    expect(await codesOf(stranger)).toEqual(['checkpoint_signature']);
  });

  test('by an operator who rewrites and signs everything again is a split view', async () => {
    const rewritten = await publish(entries.with(100, Buffer.from('never happened')));
    expect(await codesOf(rewritten)).toEqual([]);
    const kept = { verifiers: [log], trustedCheckpoints: [signedAt(testLeaves(SIZE), 550)] };
    expect(await codesOf(rewritten, kept)).toEqual(['split_view']);
    // Without a key that was kept the two notes prove nothing of who made them.
    const { verifiers: _, ...keyless } = kept;
    expect(await codesOf(rewritten, keyless)).toEqual(['trusted_root_mismatch']);
  });

  test('by the cosignatures that a policy asks for and that are not there is named', async () => {
    const witness = 'witness.example+f13a86db+AdYV1Ztajd9BvyjP2HgpwrqYL6TjOwIjGMOq8Bu42xbN';
    expect(parsePolicy(`witness W ${witness}\nquorum W`).ok).toBe(false);
    const none = parsePolicy('quorum none');
    if (!none.ok) throw new Error(none.reason);
    expect(await codesOf(whole, { verifiers: [log], policy: none.policy })).toEqual([]);
    const unmet = { ...none.policy, quorum: 'W' };
    expect(await codesOf(whole, { verifiers: [log], policy: unmet })).toEqual(['quorum_not_met']);
  });
});

test('a tree is the same from leaves as from perfect subtrees', () => {
  const leaves = testLeaves(300);
  fc.assert(
    fc.property(fc.nat({ max: 300 }), fc.nat({ max: 300 }), (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)];
      let frontier = appendLeaves(emptyFrontier, leaves.slice(0, from));
      for (let at = from; at < to; ) {
        let height = 0;
        while (at % 2 ** (height + 1) === 0 && at + 2 ** (height + 1) <= to) height += 1;
        const width = 2 ** height;
        frontier = appendPerfect(frontier, height, treeRoot(leaves.slice(at, at + width)));
        at += width;
      }
      expect(frontier.size).toBe(to);
      expect(rootOf(frontier)).toEqual(treeRoot(leaves.slice(0, to)));
    }),
  );
  const odd = appendLeaves(emptyFrontier, leaves.slice(0, 3));
  expect(() => appendPerfect(odd, 1, treeRoot([]))).toThrow(RangeError);
});

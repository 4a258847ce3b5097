/** A whole log that another implementation wrote (transparency-dev/tessera), read with this engine. */
import { describe, expect, test } from 'vitest';
import { decodeEntryBundle } from '../../src/tlog/bundle.ts';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import type { Checkpoint } from '../../src/tlog/checkpoint-text.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { appendLeaves, emptyFrontier, rootOf } from '../../src/tlog/merkle.ts';
import { verifyConsistency, verifyInclusion } from '../../src/tlog/proof.ts';
import { consistencyProof, inclusionProof, type ReadTile } from '../../src/tlog/prove.ts';
import { newTiles, parseTilePath, tilePath } from '../../src/tlog/tiles.ts';
import { verifyLog } from '../../src/tlog/verify.ts';
import { base64, treeRoot, vectorBytes, vectorFiles, vectorText, verifierOf } from './reference.ts';

const folder = 'tessera-log/testdata/log';
const origin = 'example.com/log/testdata';
// The public test key of tessera's testdata/build_log.sh.
const verifier = verifierOf(`${origin}+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx`);
const size = 15;

const bundle = (width: number): Uint8Array[] =>
  decodeEntryBundle(vectorBytes(`${folder}/${tilePath({ level: 'entries', n: 0, width })}`)) ?? [];
const entries = bundle(size);
const leaves = entries.map(leafHash);
const readTile: ReadTile = (level, n, width) =>
  Promise.resolve(vectorBytes(`${folder}/${tilePath({ level, n, width })}`));
const notes = Array.from({ length: size + 1 }, (_, at) => vectorText(`${folder}/checkpoint.${at}`));
const checkpoints = notes.map((note): Checkpoint => {
  const opened = openCheckpoint(note, [verifier]);
  if (!opened.ok) throw new Error(opened.reason);
  return opened.checkpoint;
});

describe("tessera's log", () => {
  test('is here whole: 17 checkpoints, 15 hash tiles, 15 entry bundles', () => {
    const files = vectorFiles(folder).map((path) => path.slice(folder.length + 1));
    const tiles = files.map(parseTilePath).filter((tile) => tile !== undefined);
    const count = (level: number | 'entries'): number =>
      tiles.filter((tile) => tile.level === level).length;
    expect(files).toHaveLength(47);
    expect(files.filter((path) => path.startsWith('checkpoint'))).toHaveLength(17);
    expect([count(0), count('entries'), tiles.length]).toEqual([15, 15, 30]);
    expect(vectorText(`${folder}/checkpoint`)).toBe(notes[size]);
  });

  test('has the tiles that growing one entry at a time makes', () => {
    for (let at = 1; at <= size; at++) {
      expect([...newTiles(at - 1, at)]).toEqual([{ level: 0, n: 0, width: at }]);
    }
  });

  test('has checkpoints whose signatures hold, one for every size, with the recomputed root', () => {
    let frontier = emptyFrontier;
    expect(checkpoints.map((checkpoint) => checkpoint.size)).toEqual([...Array(size + 1).keys()]);
    for (const [at, { root }] of checkpoints.entries()) {
      expect(base64(root)).toBe(base64(rootOf(frontier)));
      expect(base64(root)).toBe(base64(treeRoot(leaves.slice(0, at))));
      frontier = appendLeaves(frontier, leaves.slice(at, at + 1));
    }
  });

  test('has bundles of all its entries and tiles of all their hashes, at every size', async () => {
    expect(entries.map((entry) => Buffer.from(entry).toString()).slice(0, 3)).toEqual([
      'one',
      'two',
      'three',
    ]);
    for (let width = 1; width <= size; width++) {
      expect(bundle(width)).toEqual(entries.slice(0, width));
      const tile = await readTile(0, 0, width);
      expect(base64(tile)).toBe(base64(Buffer.concat(leaves.slice(0, width))));
    }
  });

  test('is consistent between all 136 pairs of checkpoints', async () => {
    let pairs = 0;
    for (const [to, newer] of checkpoints.entries()) {
      for (const [from, older] of checkpoints.slice(0, to + 1).entries()) {
        const proof = await consistencyProof(from, to, readTile);
        const claim = { from, to, fromRoot: older.root, toRoot: newer.root, proof };
        expect(verifyConsistency(claim)).toEqual({ ok: true });
        pairs += 1;
      }
    }
    expect(pairs).toBe(136);
  });

  test('includes each entry in each later checkpoint, 120 proofs in all', async () => {
    let proofs = 0;
    for (const { size: at, root } of checkpoints) {
      for (const [index, leaf] of leaves.slice(0, at).entries()) {
        const proof = await inclusionProof(index, at, readTile);
        const claim = { leafHash: leaf, index, size: at, root, proof };
        expect(verifyInclusion(claim)).toEqual({ ok: true });
        proofs += 1;
      }
    }
    expect(proofs).toBe(120);
  });

  test('passes the deep check', async () => {
    const report = await verifyLog({
      origin,
      entries: entries.map((entry, index) => ({ index, entry })),
      head: { size, root: treeRoot(leaves) },
      checkpoints: notes,
      verifiers: [verifier],
      ...(notes[7] && { trustedCheckpoints: [notes[7]] }),
    });
    expect(report).toMatchObject({
      ok: true,
      entriesChecked: 15,
      size: 15,
      checkpointsChecked: 17,
      signatureVerified: true,
      signedSize: 15,
      problems: [],
    });
  });
});

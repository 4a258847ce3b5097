import { expect, test } from 'vitest';
import { emptyRoot } from '../../src/tlog/leaf.ts';
import { verifyConsistency, verifyInclusion } from '../../src/tlog/proof.ts';
import { fromBase64, testLeaves, vectorFiles, vectorText } from './reference.ts';

interface InclusionCase {
  leafIdx: number;
  treeSize: number;
  root: string | null;
  leafHash: string | null;
  proof: string[] | null;
  wantErr: boolean;
}

interface ConsistencyCase {
  size1: number;
  size2: number;
  root1: string | null;
  root2: string | null;
  proof: string[] | null;
  wantErr: boolean;
}

const decode = (text: string | null): Uint8Array => fromBase64(text ?? '');
const jsonFiles = (folder: string): string[] =>
  vectorFiles(folder).filter((path) => path.endsWith('.json'));

test('all 98 inclusion cases of transparency-dev/merkle get the expected answer', () => {
  const files = jsonFiles('merkle/testdata/inclusion');
  let held = 0;
  for (const file of files) {
    const given: InclusionCase = JSON.parse(vectorText(file));
    const { ok } = verifyInclusion({
      leafHash: decode(given.leafHash),
      index: given.leafIdx,
      size: given.treeSize,
      root: decode(given.root),
      proof: (given.proof ?? []).map(decode),
    });
    if (ok) held += 1;
    expect([file, ok]).toEqual([file, !given.wantErr]);
  }
  expect([files.length, held]).toEqual([98, 6]);
});

test('all 98 consistency cases of transparency-dev/merkle get the expected answer', () => {
  const files = jsonFiles('merkle/testdata/consistency');
  let held = 0;
  for (const file of files) {
    const given: ConsistencyCase = JSON.parse(vectorText(file));
    const { ok } = verifyConsistency({
      from: given.size1,
      to: given.size2,
      fromRoot: decode(given.root1),
      toRoot: decode(given.root2),
      proof: (given.proof ?? []).map(decode),
    });
    if (ok) held += 1;
    expect([file, ok]).toEqual([file, !given.wantErr]);
  }
  expect([files.length, held]).toEqual([98, 6]);
});

test('every refusal has its reason', () => {
  const [a = emptyRoot, b = emptyRoot] = testLeaves(2);
  const inclusion = { leafHash: a, index: 0, size: 1, root: a, proof: [] };
  expect(verifyInclusion(inclusion)).toEqual({ ok: true });
  for (const [change, reason] of [
    [{ index: 1 }, 'out_of_range'],
    [{ index: -1 }, 'out_of_range'],
    [{ index: 0.5 }, 'out_of_range'],
    [{ size: 2 ** 53 }, 'out_of_range'],
    [{ leafHash: a.subarray(1) }, 'malformed_hash'],
    [{ root: new Uint8Array() }, 'malformed_hash'],
    [{ proof: [new Uint8Array(33)], size: 2 }, 'malformed_hash'],
    [{ proof: [b] }, 'wrong_length'],
    [{ size: 2 }, 'wrong_length'],
    [{ root: b }, 'root_mismatch'],
  ] as const) {
    expect(verifyInclusion({ ...inclusion, ...change })).toEqual({ ok: false, reason });
  }
  const consistency = { from: 1, to: 1, fromRoot: a, toRoot: a, proof: [] };
  expect(verifyConsistency(consistency)).toEqual({ ok: true });
  for (const [change, reason] of [
    [{ to: 0 }, 'out_of_range'],
    [{ from: Number.NaN }, 'out_of_range'],
    [{ to: 2, fromRoot: new Uint8Array() }, 'malformed_hash'],
    [{ fromRoot: b }, 'root_mismatch'],
    [{ proof: [b] }, 'wrong_length'],
    [{ to: 2 }, 'wrong_length'],
    [{ to: 2, proof: [b, b] }, 'wrong_length'],
    [{ toRoot: b }, 'root_mismatch'],
  ] as const) {
    expect(verifyConsistency({ ...consistency, ...change })).toEqual({ ok: false, reason });
  }
});

test('every tree extends the empty one, whose root and proof are fixed', () => {
  const [root = emptyRoot] = testLeaves(1);
  const claim = { from: 0, to: 5, fromRoot: emptyRoot, toRoot: root, proof: [] };
  expect(verifyConsistency(claim).ok).toBe(true);
  expect(verifyConsistency({ ...claim, fromRoot: root }).ok).toBe(false);
  expect(verifyConsistency({ ...claim, proof: [root] }).ok).toBe(false);
  expect(verifyConsistency({ ...claim, to: 0 }).ok).toBe(false);
  expect(verifyConsistency({ ...claim, to: 0, toRoot: emptyRoot }).ok).toBe(true);
});

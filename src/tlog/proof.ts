/** Checks inclusion and consistency proofs (RFC 9162 sections 2.1.3.2 and 2.1.4.2). */
import { bytesEqual } from './encoding.ts';
import { emptyRoot, HASH_SIZE, nodeHash } from './leaf.ts';

/**
 * Why a proof does not hold. `out_of_range`: no such leaf, or the later tree is the smaller one;
 * `malformed_hash`: a hash is not 32 bytes; `wrong_length`: too few or too many hashes for these
 * sizes; `root_mismatch`: it leads to another root.
 */
export type ProofRefusal = 'out_of_range' | 'malformed_hash' | 'wrong_length' | 'root_mismatch';

export type ProofResult = { ok: true } | { ok: false; reason: ProofRefusal };

/** That the leaf with `leafHash` is at `index` of the tree of `size` leaves with `root`. */
export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
  /** 32-byte hashes, the leaf's sibling first. */
  readonly proof: readonly Uint8Array[];
}

/** That the tree of `from` leaves with `fromRoot` is the beginning of that of `to` leaves with `toRoot`. */
export interface ConsistencyClaim {
  readonly from: number;
  readonly to: number;
  readonly fromRoot: Uint8Array;
  readonly toRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

const proven: ProofResult = { ok: true };

/**
 * Whether an inclusion proof holds (RFC 9162 section 2.1.3.2). Take size and root from a verified
 * checkpoint: the same proof can also hold for a neighbouring size.
 */
export function verifyInclusion(claim: InclusionClaim): ProofResult {
  const { leafHash, index, size, root, proof } = claim;
  if (!isCount(index) || !isCount(size) || index >= size) return refuse('out_of_range');
  if (![leafHash, root, ...proof].every(isHash)) return refuse('malformed_hash');
  let [fn, sn, r] = [index, size - 1, leafHash];
  for (const p of proof) {
    if (sn === 0) return refuse('wrong_length');
    if (isOdd(fn) || fn === sn) {
      r = nodeHash(p, r);
      // Skip the levels at which the right edge has no sibling.
      [fn, sn] = shiftToOdd(fn, sn);
    } else {
      r = nodeHash(r, p);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return refuse('wrong_length');
  return bytesEqual(r, root) ? proven : refuse('root_mismatch');
}

/**
 * Whether a consistency proof holds (RFC 9162 section 2.1.4.2). The RFC leaves out trees without
 * leaves: every tree extends the empty one, with an empty proof and its well-known root.
 */
export function verifyConsistency(claim: ConsistencyClaim): ProofResult {
  const { from, to, fromRoot, toRoot, proof } = claim;
  if (!isCount(from) || !isCount(to) || from > to) return refuse('out_of_range');
  if (from === 0 || from === to) {
    if (proof.length > 0) return refuse('wrong_length');
    const fromHolds = from > 0 || bytesEqual(fromRoot, emptyRoot);
    const toHolds = from < to ? isHash(toRoot) : bytesEqual(fromRoot, toRoot);
    return fromHolds && toHolds ? proven : refuse('root_mismatch');
  }
  if (![fromRoot, toRoot, ...proof].every(isHash)) return refuse('malformed_hash');
  return walkConsistency(claim);
}

/** The steps of RFC 9162 section 2.1.4.2 for 0 < from < to. */
function walkConsistency({ from, to, fromRoot, toRoot, proof }: ConsistencyClaim): ProofResult {
  // A perfect old tree is a node of the new one; its root stands for the hash that the proof omits.
  const path = isPowerOfTwo(from) ? [fromRoot, ...proof] : proof;
  const [seed, ...rest] = path;
  if (!seed || proof.length === 0) return refuse('wrong_length');
  let [fn, sn] = [from - 1, to - 1];
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)];
  let [fr, sr] = [seed, seed];
  for (const c of rest) {
    if (sn === 0) return refuse('wrong_length');
    if (isOdd(fn) || fn === sn) {
      fr = nodeHash(c, fr);
      sr = nodeHash(c, sr);
      [fn, sn] = shiftToOdd(fn, sn);
    } else {
      sr = nodeHash(sr, c);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return refuse('wrong_length');
  return bytesEqual(fr, fromRoot) && bytesEqual(sr, toRoot) ? proven : refuse('root_mismatch');
}

/** Shifts both right until the first is odd or 0. */
function shiftToOdd(fn: number, sn: number): [number, number] {
  let [first, second] = [fn, sn];
  while (first !== 0 && !isOdd(first)) [first, second] = [half(first), half(second)];
  return [first, second];
}

function isPowerOfTwo(value: number): boolean {
  let rest = value;
  while (rest > 1 && !isOdd(rest)) rest = half(rest);
  return rest === 1;
}

/** A right shift that also works above 2^31. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isOdd(value: number): boolean {
  return value % 2 === 1;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_SIZE;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function refuse(reason: ProofRefusal): ProofResult {
  return { ok: false, reason };
}

/**
 * What the tests compare the engine with: the recursive definitions of RFC 9162, written as the
 * RFC writes them, tiles cut from a list of leaves, and the copied vectors.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { emptyRoot, leafHash, nodeHash } from '../../src/tlog/leaf.ts';
import { ed25519Signer, formatVerifierKey, parseVerifierKey } from '../../src/tlog/note-key.ts';
import type { NoteVerifier } from '../../src/tlog/note-key.ts';
import type { ReadTile } from '../../src/tlog/prove.ts';

/** MTH(D_n), RFC 9162 section 2.1.1. */
export function treeRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (!first) return emptyRoot;
  if (leaves.length === 1) return first;
  const k = splitPoint(leaves.length);
  return nodeHash(treeRoot(leaves.slice(0, k)), treeRoot(leaves.slice(k)));
}

/** PATH(m, D_n), RFC 9162 section 2.1.3.1. */
export function inclusionPath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = splitPoint(leaves.length);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m < k
    ? [...inclusionPath(m, left), treeRoot(right)]
    : [...inclusionPath(m - k, right), treeRoot(left)];
}

/** SUBPROOF(m, D_n, b), RFC 9162 section 2.1.4.1. */
export function subproof(m: number, leaves: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === leaves.length) return whole ? [] : [treeRoot(leaves)];
  const k = splitPoint(leaves.length);
  const [left, right] = [leaves.slice(0, k), leaves.slice(k)];
  return m <= k
    ? [...subproof(m, left, whole), treeRoot(right)]
    : [...subproof(m - k, right, false), treeRoot(left)];
}

/** Entries of a test log: all different, so that no proof can hold at two indices. */
export function testEntries(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => Buffer.from(`entry ${index}`));
}

export function testLeaves(count: number): Uint8Array[] {
  return testEntries(count).map(leafHash);
}

/** Serves the tiles of a log with these leaves, and keeps a list of the paths it was asked for. */
export function tilesOf(leaves: readonly Uint8Array[]): { readTile: ReadTile; reads: string[] } {
  const rows = [leaves];
  for (let row = leaves; row.length >= 256; rows.push(row)) {
    const groups = Math.floor(row.length / 256);
    const below = row;
    row = Array.from({ length: groups }, (_, n) => treeRoot(below.slice(n * 256, n * 256 + 256)));
  }
  const reads: string[] = [];
  const readTile: ReadTile = (level, n, width) => {
    reads.push(`${level}/${n}.${width}`);
    return Promise.resolve(Buffer.concat((rows[level] ?? []).slice(n * 256, n * 256 + width)));
  };
  return { readTile, reads };
}

/** The same bytes with one bit turned; `bit` counts from 0 and wraps at the end. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  const at = Math.floor(bit / 8) % flipped.length;
  flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit % 8));
  return flipped;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

export function fromBase64(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}

/** An Ed25519 signer whose seed is one byte 32 times. */
export function testSigner(name: string, seedByte = 7): ReturnType<typeof ed25519Signer> {
  return ed25519Signer(name, new Uint8Array(32).fill(seedByte));
}

/** The verifier of a vkey, or of a signer by way of its vkey. */
export function verifierOf(key: string | ReturnType<typeof ed25519Signer>): NoteVerifier {
  const parsed = parseVerifierKey(typeof key === 'string' ? key : formatVerifierKey(key));
  if (!parsed.ok) throw new Error(`verifier key: ${parsed.reason}`);
  return parsed.verifier;
}

const vectors = new URL('../vectors/tlog/', import.meta.url);

/** Bytes of a copied vector file. */
export function vectorBytes(path: string): Uint8Array {
  return readFileSync(new URL(path, vectors));
}

/** Text of a copied vector file; the caller states the shape of what it parses. */
export function vectorText(path: string): string {
  return readFileSync(new URL(path, vectors), 'utf8');
}

/** All files below a folder of vectors, as paths below `test/vectors/tlog/`, sorted. */
export function vectorFiles(folder: string): string[] {
  const root = fileURLToPath(vectors);
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .toSorted();
}

function splitPoint(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

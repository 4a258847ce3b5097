/**
 * The two hashes of an RFC 9162 section 2.1.1 (RFC 6962 section 2.1) Merkle tree over SHA-256.
 * The first byte separates leaves from nodes, so that no entry can pass for a node.
 */
import { hash } from 'node:crypto';

/** Length of every hash in the log, in bytes. */
export const HASH_SIZE = 32;

/** Root of the empty tree: SHA-256 of nothing. Shared: do not write to it. */
export const emptyRoot: Uint8Array = hash('sha256', '', 'buffer');

/** Hash of a leaf: `SHA-256(0x00 || entry)`, 32 bytes. */
export function leafHash(entry: Uint8Array): Uint8Array {
  const input = Buffer.allocUnsafe(1 + entry.length);
  input[0] = 0x00;
  input.set(entry, 1);
  return hash('sha256', input, 'buffer');
}

/**
 * Hash of an inner node: `SHA-256(0x01 || left || right)`, 32 bytes. Throws RangeError when a child
 * is not 32 bytes: with other lengths two different pairs could have one hash.
 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_SIZE || right.length !== HASH_SIZE) {
    throw new RangeError('a child of a node is a hash of 32 bytes');
  }
  const input = Buffer.allocUnsafe(1 + 2 * HASH_SIZE);
  input[0] = 0x01;
  input.set(left, 1);
  input.set(right, 1 + HASH_SIZE);
  return hash('sha256', input, 'buffer');
}

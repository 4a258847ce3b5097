/** Names, keys and signature algorithms of C2SP signed-note. */
import { createPrivateKey, hash, KeyObject } from 'node:crypto';
import {
  algorithms,
  ED25519,
  ED25519_COSIGNATURE,
  exportPublicKey,
  importPublicKey,
  ML_DSA_44,
} from './algorithms.ts';
import { decodeBase64, encodeBase64 } from './encoding.ts';
import { isKeyName } from './key-name.ts';

/** What identifies a key. Name and id together tell which key made a signature. */
export interface NoteKey {
  /** Non-empty, without Unicode spaces, plus signs or control characters; a log's is its origin. */
  readonly name: string;
  /** First four bytes of a hash over name, type and public key, as an unsigned 32-bit number. */
  readonly keyId: number;
  /** Signature type byte of signed-note: 0x01 Ed25519, 0x04 its cosignature, 0x06 ML-DSA-44. */
  readonly type: number;
  /** In the encoding of its type: 32 bytes (RFC 8032), or 1,312 (FIPS 204). */
  readonly publicKey: Uint8Array;
}

/** A key that checks signatures over a note's text. */
export interface NoteVerifier extends NoteKey {
  /** Whether `signature` (without the key id) is this key's over the UTF-8 bytes of `text`. */
  readonly verify: (text: string, signature: Uint8Array) => boolean;
}

/** A key that makes signatures over a note's text, and can check them. */
export interface NoteSigner extends NoteVerifier {
  /** The signature over the UTF-8 bytes of `text`, without the key id. */
  readonly sign: (text: string) => Uint8Array;
}

/**
 * Why a verifier key is refused. `malformed`: not `name+hex+base64`; `unsupported_type`: its
 * signature type is not known here; `key_id_mismatch`: the id does not belong to name and key.
 */
export type VerifierKeyRefusal = 'malformed' | 'unsupported_type' | 'key_id_mismatch';

export type ParsedVerifierKey =
  | { ok: true; verifier: NoteVerifier }
  | { ok: false; reason: VerifierKeyRefusal };

const SEED_SIZE = 32;
// The DER that RFC 8410 puts before a seed; node:crypto takes no bare one.
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * A verifier key (vkey) `name+hex8(key id)+base64(type || public key)`. Whoever configures it
 * trusts the whole text, so an id that does not fit is an error and not a hint.
 */
export function parseVerifierKey(vkey: string): ParsedVerifierKey {
  const [name = '', hexId = '', ...rest] = vkey.split('+');
  // The base64 of the key may itself contain plus signs.
  const bytes = decodeBase64(rest.join('+'));
  const type = bytes?.[0];
  if (!isKeyName(name) || !/^[0-9a-f]{8}$/.test(hexId) || !bytes || type === undefined) {
    return { ok: false, reason: 'malformed' };
  }
  const algorithm = algorithms.get(type);
  if (!algorithm) return { ok: false, reason: 'unsupported_type' };
  const publicKey = bytes.subarray(1);
  if (publicKey.length !== algorithm.keySize) return { ok: false, reason: 'malformed' };
  const verifier = verifierOf(name, type, publicKey);
  if (formatKeyId(verifier.keyId) !== hexId) return { ok: false, reason: 'key_id_mismatch' };
  return { ok: true, verifier };
}

/** The verifier key (vkey) of a key; public, to be handed to those who check the log. */
export function formatVerifierKey(key: NoteKey): string {
  const bytes = Buffer.concat([Uint8Array.of(key.type), key.publicKey]);
  return `${key.name}+${formatKeyId(key.keyId)}+${encodeBase64(bytes)}`;
}

/**
 * An Ed25519 signer (type 0x01) from its 32-byte seed (RFC 8032 private key) or a private
 * KeyObject. Throws RangeError for a bad name or another kind of key.
 */
export function ed25519Signer(name: string, key: Uint8Array | KeyObject): NoteSigner {
  return signer(ED25519, name, key instanceof KeyObject ? key : privateKeyFromSeed(key), 0);
}

/**
 * A log's own ML-DSA-44 signer (type 0x06) from a private KeyObject. Its time is 0: a log's
 * signature says nothing of when. Throws RangeError for a bad name or another kind of key.
 */
export function mlDsa44Signer(name: string, key: KeyObject): NoteSigner {
  return signer(ML_DSA_44, name, key, 0);
}

/**
 * A witness's signer: Ed25519 (type 0x04) or ML-DSA-44 (type 0x06) by the key's kind, which says
 * that at `time` (POSIX seconds, not 0) the checkpoint was the largest that it had seen. It signs
 * checkpoints only. Throws RangeError for a bad name, another kind of key or time 0.
 */
export function cosigner(name: string, key: KeyObject, time: number): NoteSigner {
  if (!Number.isSafeInteger(time) || time <= 0) throw new RangeError('not the time of a witness');
  const type = key.asymmetricKeyType === 'ed25519' ? ED25519_COSIGNATURE : ML_DSA_44;
  return signer(type, name, key, time);
}

function signer(type: number, name: string, key: KeyObject, time: number): NoteSigner {
  if (!isKeyName(name)) throw new RangeError('not a key name: empty, or with a space or plus sign');
  const algorithm = algorithms.get(type);
  if (!algorithm || key.type !== 'private' || key.asymmetricKeyType !== algorithm.keyType) {
    throw new RangeError('not a private key of this signature type');
  }
  return {
    ...verifierOf(name, type, exportPublicKey(algorithm.keyType, key)),
    sign: (text) => algorithm.sign(key, name, text, time),
  };
}

/** The verifier of a public key whose length fits its type. */
function verifierOf(name: string, type: number, publicKey: Uint8Array): NoteVerifier {
  const algorithm = algorithms.get(type);
  if (!algorithm) throw new RangeError('no such signature type');
  const key = importPublicKey(algorithm.keyType, publicKey);
  return {
    name,
    keyId: keyIdOf(name, type, publicKey),
    type,
    publicKey,
    verify: (text, signature) => algorithm.verify(key, name, text, signature),
  };
}

/** The same key under another name: a log that continues another one has its key. */
export function renamed({ type, publicKey }: NoteKey, name: string): NoteVerifier {
  return verifierOf(name, type, publicKey);
}

function privateKeyFromSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== SEED_SIZE) throw new RangeError('an Ed25519 seed has 32 bytes');
  const der = Buffer.concat([ED25519_PKCS8_PREFIX, seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** `SHA-256(name || 0x0A || type || public key)[:4]`, big-endian. */
export function keyIdOf(name: string, type: number, publicKey: Uint8Array): number {
  const input = Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(type), publicKey]);
  return hash('sha256', input, 'buffer').readUInt32BE(0);
}

function formatKeyId(keyId: number): string {
  return keyId.toString(16).padStart(8, '0');
}

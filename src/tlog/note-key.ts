/** Names, keys and signature algorithms of C2SP signed-note. */
import { createPrivateKey, createPublicKey, hash, KeyObject, sign, verify } from 'node:crypto';
import { decodeBase64, encodeBase64 } from './encoding.ts';

/** What identifies a key. Name and id together tell which key made a signature. */
export interface NoteKey {
  /** Non-empty, without Unicode spaces, plus signs or control characters; a log's is its origin. */
  readonly name: string;
  /** First four bytes of a hash over name, type and public key, as an unsigned 32-bit number. */
  readonly keyId: number;
  /** Signature type byte of signed-note; 0x01 is Ed25519. */
  readonly type: number;
  /** In the encoding of its type; for Ed25519 the 32 bytes of RFC 8032. */
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

const ED25519 = 0x01;
const ED25519_KEY_SIZE = 32;
const ED25519_SIGNATURE_SIZE = 64;
// The DER that RFC 8410 puts before a raw Ed25519 key; node:crypto takes no bare seed.
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

type UncheckedKey = Omit<NoteKey, 'keyId'>;

/** Makes the check for one public key; undefined when the key is not one of its type. */
type MakeVerify = (key: UncheckedKey) => NoteVerifier['verify'] | undefined;

/**
 * The supported signature types by their byte. An algorithm sees the key's name and the whole
 * text, which is what the timestamped types (0x04, 0x06) build their signed message from.
 */
const algorithms: ReadonlyMap<number, MakeVerify> = new Map([[ED25519, verifyEd25519]]);

/** Whether a text can be a key's name (C2SP signed-note, "Format"). */
export function isKeyName(name: string): boolean {
  // oxlint-disable-next-line no-control-regex -- a name with one could not stand in a note
  return name.isWellFormed() && /^[^\p{White_Space}+\u0000-\u001f]+$/u.test(name);
}

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
  const makeVerify = algorithms.get(type);
  if (!makeVerify) return { ok: false, reason: 'unsupported_type' };
  const publicKey = bytes.subarray(1);
  const check = makeVerify({ name, type, publicKey });
  if (!check) return { ok: false, reason: 'malformed' };
  const keyId = keyIdOf(name, type, publicKey);
  if (formatKeyId(keyId) !== hexId) return { ok: false, reason: 'key_id_mismatch' };
  return { ok: true, verifier: { name, keyId, type, publicKey, verify: check } };
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
  if (!isKeyName(name)) throw new RangeError('not a key name: empty, or with a space or plus sign');
  const privateKey = key instanceof KeyObject ? key : privateKeyFromSeed(key);
  if (privateKey.type !== 'private' || privateKey.asymmetricKeyType !== 'ed25519') {
    throw new RangeError('not an Ed25519 private key');
  }
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const publicKey = spki.subarray(ED25519_SPKI_PREFIX.length);
  const check = verifyEd25519({ name, type: ED25519, publicKey });
  if (!check) throw new RangeError('not an Ed25519 public key');
  return {
    name,
    keyId: keyIdOf(name, ED25519, publicKey),
    type: ED25519,
    publicKey,
    verify: check,
    sign: (text) => sign(null, Buffer.from(text), privateKey),
  };
}

function verifyEd25519({ publicKey }: UncheckedKey): NoteVerifier['verify'] | undefined {
  if (publicKey.length !== ED25519_KEY_SIZE) return undefined;
  const der = Buffer.concat([ED25519_SPKI_PREFIX, publicKey]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return (text, signature) =>
    signature.length === ED25519_SIGNATURE_SIZE && verify(null, Buffer.from(text), key, signature);
}

function privateKeyFromSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== ED25519_KEY_SIZE) throw new RangeError('an Ed25519 seed has 32 bytes');
  const der = Buffer.concat([ED25519_PKCS8_PREFIX, seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** `SHA-256(name || 0x0A || type || public key)[:4]`, big-endian. */
function keyIdOf(name: string, type: number, publicKey: Uint8Array): number {
  const input = Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(type), publicKey]);
  return hash('sha256', input, 'buffer').readUInt32BE(0);
}

function formatKeyId(keyId: number): string {
  return keyId.toString(16).padStart(8, '0');
}

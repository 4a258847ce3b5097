/**
 * The signature types of C2SP signed-note and tlog-cosignature that are known here, by their byte:
 * what each signs of a note's text, and how its signature is laid out.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { type Checkpoint, parseCheckpoint } from './checkpoint-text.ts';

/** Ed25519 over the text itself (signed-note). */
export const ED25519 = 0x01;
/** Ed25519 over the text with a time before it (tlog-cosignature `cosignature/v1`). */
export const ED25519_COSIGNATURE = 0x04;
/** ML-DSA-44 (FIPS 204) over the tree head and a time (tlog-cosignature `subtree/v1`). */
export const ML_DSA_44 = 0x06;

/** A signature type: its keys and its signatures. */
export interface Algorithm {
  /** The name that node:crypto has for the keys. */
  readonly keyType: 'ed25519' | 'ml-dsa-44';
  /** Length of the raw public key, in bytes. */
  readonly keySize: number;
  /** Whether a signature of this key named `name` holds over the text. */
  verify(key: KeyObject, name: string, text: string, signature: Uint8Array): boolean;
  /**
   * The signature over the text at a time in POSIX seconds, which type 0x01 does not carry.
   * Throws RangeError where the type signs checkpoints only and the text is none.
   */
  sign(key: KeyObject, name: string, text: string, time: number): Uint8Array;
}

const TIME_SIZE = 8;
const ED25519_SIGNATURE_SIZE = 64;
const ML_DSA_44_SIGNATURE_SIZE = 2420;
// The DER that RFC 8410 and RFC 9881 put before a raw public key.
const SPKI_PREFIX: Readonly<Record<Algorithm['keyType'], Buffer>> = {
  ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
  'ml-dsa-44': Buffer.from('30820532300b06096086480165030403110382052100', 'hex'),
};
const SUBTREE_LABEL = 'subtree/v1\n\0';
const MAX_NAME_SIZE = 255;

export const algorithms: ReadonlyMap<number, Algorithm> = new Map([
  [ED25519, { keyType: 'ed25519', keySize: 32, sign: signText, verify: verifyText }],
  [ED25519_COSIGNATURE, timestamped('ed25519', 32, ED25519_SIGNATURE_SIZE, cosignatureMessage)],
  [ML_DSA_44, timestamped('ml-dsa-44', 1312, ML_DSA_44_SIGNATURE_SIZE, subtreeMessage)],
]);

/** The public key of raw bytes of the right length. */
export function importPublicKey(keyType: Algorithm['keyType'], raw: Uint8Array): KeyObject {
  const key = Buffer.concat([SPKI_PREFIX[keyType], raw]);
  return createPublicKey({ key, format: 'der', type: 'spki' });
}

/** The raw public key of a private key. */
export function exportPublicKey(keyType: Algorithm['keyType'], privateKey: KeyObject): Uint8Array {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return spki.subarray(SPKI_PREFIX[keyType].length);
}

/** The time of a timestamped signature, in POSIX seconds; undefined for one that is too short. */
function signatureTime(signature: Uint8Array): number | undefined {
  if (signature.length <= TIME_SIZE) return undefined;
  const time = new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
  return time > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(time);
}

function signText(key: KeyObject, _name: string, text: string): Uint8Array {
  return sign(null, Buffer.from(text), key);
}

function verifyText(key: KeyObject, _name: string, text: string, signature: Uint8Array): boolean {
  return (
    signature.length === ED25519_SIGNATURE_SIZE && verify(null, Buffer.from(text), key, signature)
  );
}

type Message = (name: string, time: number, text: string) => Uint8Array | undefined;

/** A `timestamped_signature` of tlog-cosignature: eight bytes of time, then the signature. */
function timestamped(
  keyType: Algorithm['keyType'],
  keySize: number,
  signatureSize: number,
  messageOf: Message,
): Algorithm {
  return {
    keyType,
    keySize,
    verify(key, name, text, signature) {
      const time = signatureTime(signature);
      if (time === undefined || signature.length !== TIME_SIZE + signatureSize) return false;
      const message = messageOf(name, time, text);
      return message !== undefined && verify(null, message, key, signature.subarray(TIME_SIZE));
    },
    sign(key, name, text, time) {
      const message = messageOf(name, time, text);
      if (!message) throw new RangeError('this type of key signs checkpoints only');
      return Buffer.concat([u64(time), sign(null, message, key)]);
    },
  };
}

/** A witness signs the text as it is, extension lines included, but not its own name. */
function cosignatureMessage(_name: string, time: number, text: string): Uint8Array | undefined {
  return parseCheckpoint(text) && Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
}

/** `cosigned_message` of tlog-cosignature, of the whole tree: it starts at leaf 0. */
function subtreeMessage(name: string, time: number, text: string): Uint8Array | undefined {
  const checkpoint: Checkpoint | undefined = parseCheckpoint(text);
  if (!checkpoint) return undefined;
  const [cosigner, origin] = [Buffer.from(name), Buffer.from(checkpoint.origin)];
  if (cosigner.length > MAX_NAME_SIZE || origin.length > MAX_NAME_SIZE) return undefined;
  return Buffer.concat([
    Buffer.from(SUBTREE_LABEL),
    Uint8Array.of(cosigner.length),
    cosigner,
    u64(time),
    Uint8Array.of(origin.length),
    origin,
    u64(0),
    u64(checkpoint.size),
    checkpoint.root,
  ]);
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(TIME_SIZE);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

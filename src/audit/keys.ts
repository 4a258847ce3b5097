import {
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose';
import { ed25519Signer, mlDsa44Signer, type NoteSigner } from '../tlog/note-key.ts';

/** The keys of the record. They live outside the database; whoever holds both can rewrite it. */
export interface LogKeys {
  /**
   * Of the shard with an origin, whose name they have: Ed25519, which every verifier knows, and
   * ML-DSA-44, which a quantum computer does not break.
   */
  readonly checkpoints: (origin: string) => readonly [ed25519: NoteSigner, mlDsa44: NoteSigner];
  readonly receipts: ReceiptSigner;
  /** A stable pseudonym of an actor, for leaves. */
  readonly pseudonym: (actor: string) => string;
}

/** Is it an actor that a register names? Once the name is erased, the pseudonym stands in its place. */
export function isNameOf(
  actor: string,
  name: string,
  { pseudonym }: Pick<LogKeys, 'pseudonym'>,
): boolean {
  return name === actor || name === pseudonym(actor);
}

export interface ReceiptSigner {
  /** The public key as a JWK (RFC 8037), for `/log/jwks.json`. */
  readonly jwk: JWK;
  /** JWS compact serialisation (RFC 7515, EdDSA) of a JSON object. */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string>;
}

/**
 * Reads the keys in `folder`, making those that are not there yet. The name of the two log keys is
 * the shard's origin (C2SP tlog-checkpoint), which what they sign names as well: shards share them.
 * A folder from before the second one gets it: checkpoints of the first alone stay valid. Files are 0600; several processes may start at once.
 */
export async function loadLogKeys(folder: string): Promise<LogKeys> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const read = (name: string, kind: KeyKind): Promise<KeyObject> =>
    readOrMakeKey(join(folder, name), kind);
  const ed25519 = await read('log-ed25519.pem', 'ed25519');
  const mlDsa44 = await read('log-ml-dsa-44.pem', 'ml-dsa-44');
  const receipts = await read('receipt-ed25519.pem', 'ed25519');
  const secret = await readOrMake(join(folder, 'pseudonym.key'), () =>
    randomBytes(32).toString('base64url'),
  );
  return {
    checkpoints: remembered((origin) => [
      ed25519Signer(origin, ed25519),
      mlDsa44Signer(origin, mlDsa44),
    ]),
    receipts: await receiptSigner(receipts),
    pseudonym: remembered((actor) =>
      createHmac('sha256', secret).update(actor).digest('base64url').slice(0, 22),
    ),
  };
}

/** The two keys of this service as a witness of other logs, made if they are not there. */
export async function loadWitnessKeys(folder: string): Promise<readonly KeyObject[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return [
    await readOrMakeKey(join(folder, 'witness-ed25519.pem'), 'ed25519'),
    await readOrMakeKey(join(folder, 'witness-ml-dsa-44.pem'), 'ml-dsa-44'),
  ];
}

type KeyKind = 'ed25519' | 'ml-dsa-44';

/** The private key in a PEM file, made if it is not there. */
async function readOrMakeKey(path: string, kind: KeyKind): Promise<KeyObject> {
  // Told apart for the types of node:crypto, which has an overload for each kind.
  const make = (): KeyObject =>
    kind === 'ed25519'
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('ml-dsa-44').privateKey;
  return createPrivateKey(
    await readOrMake(path, () => make().export({ type: 'pkcs8', format: 'pem' }).toString()),
  );
}

/**
 * The text of a file, made if it is not there. Written aside and linked into place: whoever comes second reads the first one's key, and a
 * crash leaves no half-written key under the final name. Mode 0600.
 */
export async function readOrMake(path: string, make: () => string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await writeFile(aside, make(), { mode: 0o600, flush: true });
    await link(aside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(aside, { force: true });
  }
  return readFile(path, 'utf8');
}

async function receiptSigner(key: KeyObject): Promise<ReceiptSigner> {
  const { d: _secret, ...jwk } = await exportJWK(key);
  const kid = await calculateJwkThumbprint(jwk);
  const header = base64url(JSON.stringify({ alg: 'EdDSA', kid, typ: 'receipt+jwt' }));
  return {
    jwk: { ...jwk, kid, alg: 'EdDSA', use: 'sig' },
    // By node:crypto, on the thread pool: 8 us of this thread and 35 of another's, where the Web
    // Crypto that jose signs with takes 180. One is signed for each request, while it is written.
    sign: async (claims) => {
      const text = `${header}.${base64url(JSON.stringify(claims))}`;
      const signature = await signAside(null, Buffer.from(text), key);
      return `${text}.${signature.toString('base64url')}`;
    },
  };
}

const signAside = promisify(sign);

function base64url(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url');
}

const MAX_REMEMBERED = 10_000;

/** A function of a text that is asked for the same ones again and again. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const made = make(text);
    if (known.size >= MAX_REMEMBERED) known.clear();
    known.set(text, made);
    return made;
  };
}

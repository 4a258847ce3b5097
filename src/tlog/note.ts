/** Signed notes (C2SP signed-note): a text, a blank line, and one line for each signature. */
import { decodeBase64, encodeBase64 } from './encoding.ts';
import { isKeyName } from './key-name.ts';
import type { NoteSigner, NoteVerifier } from './note-key.ts';

/** One signature line. `signature` comes after the four bytes of the key id. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: number;
  readonly signature: Uint8Array;
}

/** A note taken apart. Nothing in it is verified: do not act on the text. */
export interface ParsedNote {
  /** Ends in a line feed; the blank line after it does not belong to it. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/**
 * Why a note is refused. `malformed_note`: not a signed note, too long, or more than 100
 * signatures; `ambiguous_key`: two verifiers have the name and id of a signature;
 * `invalid_signature`: a known key's signature does not hold; `no_verified_signature`: no known
 * key signed it.
 */
export type NoteRefusal =
  | 'malformed_note'
  | 'ambiguous_key'
  | 'invalid_signature'
  | 'no_verified_signature';

/**
 * `signatures` are the verified ones, `unverified` those of unknown keys; each key, or unknown
 * line, once. A refusal for `no_verified_signature` also tells who did sign.
 */
export type OpenedNote =
  | {
      ok: true;
      text: string;
      signatures: readonly NoteSignature[];
      unverified: readonly NoteSignature[];
    }
  | { ok: false; reason: NoteRefusal; unverified: readonly NoteSignature[] };

// Both limits are Go's. They bound what a stranger's note can cost; signed-note asks for at least 16.
const MAX_NOTE_SIZE = 1_000_000;
const MAX_SIGNATURES = 100;
const KEY_ID_SIZE = 4;

/**
 * The note of a text with one signature line for each signer, in their order. Throws RangeError
 * without a signer, and when the text does not end in a line feed or has other control characters.
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  if (!isNoteText(text)) throw new RangeError('a note text ends in LF, without control characters');
  if (signers.length === 0) throw new RangeError('a note has at least one signature');
  const lines = signers.map((signer) => {
    const id = Buffer.alloc(KEY_ID_SIZE);
    id.writeUInt32BE(signer.keyId);
    return `— ${signer.name} ${encodeBase64(Buffer.concat([id, signer.sign(text)]))}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/**
 * Takes a note apart without verifying it; undefined when it is malformed. Bytes are read as
 * UTF-8. The text ends at the last blank line.
 */
export function parseNote(note: string | Uint8Array): ParsedNote | undefined {
  const whole = decodeText(note);
  if (whole === undefined || !isNoteText(whole)) return undefined;
  const blank = whole.lastIndexOf('\n\n');
  if (blank < 0) return undefined;
  const lines = whole.slice(blank + 2).split('\n');
  // What follows the final line feed: always empty.
  lines.pop();
  if (lines.length === 0 || lines.length > MAX_SIGNATURES) return undefined;
  const signatures = lines.map(parseSignature).filter((signature) => signature !== undefined);
  if (signatures.length < lines.length) return undefined;
  return { text: whole.slice(0, blank + 1), signatures };
}

/**
 * Verifies a note against the keys one knows. Signatures of other keys are ignored, also those
 * that share only a name or only an id with a known key. One bad signature of a known key refuses
 * the whole note.
 */
export function openNote(
  note: string | Uint8Array,
  verifiers: readonly NoteVerifier[],
): OpenedNote {
  const parsed = parseNote(note);
  if (!parsed) return refuse('malformed_note');
  const verified = new Map<string, NoteSignature>();
  const unverified = new Map<string, NoteSignature>();
  for (const signature of parsed.signatures) {
    const key = `${signature.keyId} ${signature.name}`;
    const known = verifiers.filter((v) => v.name === signature.name && v.keyId === signature.keyId);
    if (known.length > 1) return refuse('ambiguous_key');
    const [verifier] = known;
    if (!verifier) {
      unverified.set(`${key} ${encodeBase64(signature.signature)}`, signature);
    } else if (!verified.has(key)) {
      if (!verifier.verify(parsed.text, signature.signature)) return refuse('invalid_signature');
      verified.set(key, signature);
    }
  }
  const strangers = [...unverified.values()];
  if (verified.size === 0) return refuse('no_verified_signature', strangers);
  return { ok: true, text: parsed.text, signatures: [...verified.values()], unverified: strangers };
}

function parseSignature(line: string): NoteSignature | undefined {
  const [dash, name = '', base64 = '', ...rest] = line.split(' ');
  if (dash !== '—' || rest.length > 0 || !isKeyName(name)) return undefined;
  const bytes = decodeBase64(base64);
  if (!bytes || bytes.length <= KEY_ID_SIZE) return undefined;
  const keyId = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  return { name, keyId, signature: bytes.subarray(KEY_ID_SIZE) };
}

/** Whether a text is valid in a note: Unicode, no control characters below space, LF at the end. */
function isNoteText(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they are what the format forbids
  return text.isWellFormed() && text.endsWith('\n') && !/[\u0000-\u0009\u000b-\u001f]/.test(text);
}

function decodeText(note: string | Uint8Array): string | undefined {
  if (note.length > MAX_NOTE_SIZE) return undefined;
  if (typeof note === 'string') return note;
  try {
    // A byte order mark is part of the signed text: dropping it would change what was signed.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(note);
  } catch {
    return undefined;
  }
}

function refuse(reason: NoteRefusal, unverified: readonly NoteSignature[] = []): OpenedNote {
  return { ok: false, reason, unverified };
}

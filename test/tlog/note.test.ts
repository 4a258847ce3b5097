import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openNote, parseNote, signNote } from '../../src/tlog/note.ts';
import { ed25519Signer, formatVerifierKey, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { base64, flipBit, fromBase64, testSigner, vectorText, verifierOf } from './reference.ts';

interface NoteVectors {
  vkeys: { valid: string[]; invalid: string[] };
  signerKey: string;
  sign: { text: string; want: string; withSecondSigner: string; refusedTexts: string[] };
  open: {
    desc: string;
    noteBase64: string;
    verifiers: string[];
    ok: boolean;
    verified: number;
    unverified: number;
    err: string | null;
  }[];
}

const vectors: NoteVectors = JSON.parse(vectorText('sumdb/note.json'));

/** Our reason for each of Go's error texts. */
const reasons: Record<string, string> = {
  'malformed note': 'malformed_note',
  'ambiguous key': 'ambiguous_key',
  'invalid signature': 'invalid_signature',
  'note has no verifiable signatures': 'no_verified_signature',
};

describe('verifier keys', () => {
  test("of Go's checksum database are read and written back", () => {
    expect(vectors.vkeys.valid).toHaveLength(2);
    for (const vkey of vectors.vkeys.valid) {
      expect(formatVerifierKey(verifierOf(vkey))).toBe(vkey);
    }
  });

  test('that Go refuses are refused, with a reason', () => {
    const answers = vectors.vkeys.invalid.map(parseVerifierKey);
    expect(answers).toEqual([
      { ok: false, reason: 'malformed' },
      { ok: false, reason: 'unsupported_type' },
    ]);
  });

  test('are refused as any proper substring and with any byte counted up by one', () => {
    const [vkey = ''] = vectors.vkeys.valid;
    let refused = 0;
    for (let start = 0; start < vkey.length; start++) {
      for (let end = start; end <= vkey.length; end++) {
        const part = vkey.slice(start, end);
        if (part === vkey) continue;
        expect([part, parseVerifierKey(part).ok]).toEqual([part, false]);
        refused += 1;
      }
      const next = String.fromCharCode(vkey.charCodeAt(start) + 1);
      const changed = vkey.slice(0, start) + next + vkey.slice(start + 1);
      expect([changed, parseVerifierKey(changed).ok]).toEqual([changed, false]);
      refused += 1;
    }
    // 2,276 substrings (the empty one from each place) and 66 changed bytes.
    expect([vkey.length, refused]).toEqual([66, 2342]);
  });

  test('with the id of another key are refused', () => {
    const [first = '', second = ''] = vectors.vkeys.valid;
    const id = second.split('+')[1] ?? '';
    expect(parseVerifierKey(first.replace(/\+[0-9a-f]{8}\+/, `+${id}+`))).toEqual({
      ok: false,
      reason: 'key_id_mismatch',
    });
  });

  test('may hold plus signs in their base64', () => {
    const signers = Array.from({ length: 64 }, (_, seed) => testSigner('plus.example', seed));
    const withPlus = signers.map(formatVerifierKey).filter((vkey) => vkey.split('+').length > 3);
    expect(withPlus.length).toBeGreaterThan(0);
    for (const vkey of withPlus) expect(formatVerifierKey(verifierOf(vkey))).toBe(vkey);
  });
});

describe('signers', () => {
  test('need a name without spaces, plus signs and control characters', () => {
    for (const name of [
      '',
      'a b',
      'a+b',
      'a\nb',
      'a\u00a0b',
      'a\u2003b',
      'a\u0085b',
      'a\u0001b',
      '\ud800',
    ]) {
      expect(() => testSigner(name)).toThrow(RangeError);
    }
    expect(testSigner('registre.rw/journal-é').name).toBe('registre.rw/journal-é');
  });

  test('are the same from a raw seed and from a KeyObject, and need an Ed25519 private key', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
    const [fromKey, fromSeed] = [ed25519Signer('a', privateKey), ed25519Signer('a', seed)];
    expect(formatVerifierKey(fromKey)).toBe(formatVerifierKey(fromSeed));
    expect(fromKey.sign('x\n')).toEqual(fromSeed.sign('x\n'));
    const other = generateKeyPairSync('x25519').privateKey;
    for (const key of [publicKey, other, new Uint8Array(31)]) {
      expect(() => ed25519Signer('a', key)).toThrow(RangeError);
    }
  });
});

describe('signing', () => {
  const [, , name = '', , ...keyParts] = vectors.signerKey.split('+');
  // Go's signer key: type byte and seed.
  const peter = ed25519Signer(name, fromBase64(keyParts.join('+')).subarray(1));
  const enoch = ed25519Signer('EnochRoot', new Uint8Array(32));

  test("gives the bytes of Go's checksum database, with one and with two signers", () => {
    const { text, want, withSecondSigner } = vectors.sign;
    expect(signNote(text, [peter])).toBe(want);
    expect(signNote(text, [peter, enoch])).toBe(withSecondSigner);
    expect([peter, enoch].map(formatVerifierKey)).toEqual(vectors.vkeys.valid);
  });

  test('refuses texts that could not be read back, and a note without signers', () => {
    expect(vectors.sign.refusedTexts).toHaveLength(1);
    for (const text of [
      ...vectors.sign.refusedTexts,
      '',
      'a\tb\n',
      'a\r\n',
      'a\u0000\n',
      '\udc00\n',
    ]) {
      expect(() => signNote(text, [peter])).toThrow(RangeError);
    }
    expect(() => signNote('a\n', [])).toThrow(RangeError);
  });

  test('and opening give back the text, also one with blank lines, and no other text opens', () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 6 });
    fc.assert(
      fc.property(lines, fc.nat(), (parts, at) => {
        // oxlint-disable-next-line no-control-regex
        const text = `${parts.join('\n').replaceAll(/[\u0000-\u0009\u000b-\u001f]/g, '')}\n`;
        const note = signNote(text, [peter]);
        expect(openNote(note, [peter])).toMatchObject({ ok: true, text });
        expect(openNote(Buffer.from(note), [peter])).toMatchObject({ ok: true, text });
        const damaged = flipBit(Buffer.from(note), at % (8 * Buffer.byteLength(text)));
        expect(openNote(damaged, [peter]).ok).toBe(false);
      }),
      { numRuns: 100 },
    );
  });

  test('makes signatures of which no single turned bit is accepted', () => {
    const note = signNote('text\n', [peter]);
    const line = note.slice(note.lastIndexOf(' ') + 1, -1);
    const bytes = fromBase64(line);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = note.replace(line, base64(flipBit(bytes, bit)));
      expect(openNote(damaged, [peter]).ok).toBe(false);
    }
  });
});

describe('opening', () => {
  test.each(vectors.open)("answers as Go's checksum database: $desc", (given) => {
    const verifiers = given.verifiers.map(verifierOf);
    const opened = openNote(fromBase64(given.noteBase64), verifiers);
    expect(opened.unverified).toHaveLength(given.unverified);
    const expected = given.ok
      ? { ok: true, signatures: { length: given.verified } }
      : { ok: false, reason: reasons[given.err ?? ''] };
    expect(opened).toMatchObject(expected);
  });

  test("saw all 15 notes of Go's checksum database", () => {
    expect(vectors.open).toHaveLength(15);
  });

  test('verifies the example of the signed-note specification', () => {
    const vkey = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
    const note =
      'This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';
    expect(openNote(note, [verifierOf(vkey)])).toMatchObject({
      ok: true,
      text: 'This is an example message.\n',
    });
  });

  test('takes 100 signatures of strangers and refuses 101, and notes above a million bytes', () => {
    const [own, stranger] = [testSigner('own'), testSigner('stranger', 8)];
    const line = signNote('a\n', [stranger]).split('\n\n')[1] ?? '';
    const signed = signNote('a\n', [own]);
    expect(openNote(signed + line.repeat(99), [own]).ok).toBe(true);
    expect(openNote(signed + line.repeat(100), [own])).toMatchObject({ reason: 'malformed_note' });
    const long = signNote(`${'a'.repeat(1_000_000)}\n`, [own]);
    expect(openNote(long, [own])).toMatchObject({ reason: 'malformed_note' });
  });

  test('looks at the first signature of each key only, as Go does', () => {
    const own = testSigner('own');
    const note = signNote('a\n', [own]);
    const bad = signNote('b\n', [own]).split('\n\n')[1] ?? '';
    expect(openNote(note + bad, [own])).toMatchObject({ ok: true, signatures: { length: 1 } });
    expect(openNote(note.replace('\n\n', `\n\n${bad}`), [own]).ok).toBe(false);
  });

  test('takes a byte order mark for a part of the text', () => {
    const own = testSigner('own');
    const mark = Buffer.from('\ufeff');
    const note = Buffer.from(signNote('a\n', [own]));
    expect(openNote(Buffer.concat([mark, note]), [own]).ok).toBe(false);
    const marked = Buffer.from(signNote('\ufeffa\n', [own]));
    expect(openNote(marked, [own])).toMatchObject({ ok: true, text: '\ufeffa\n' });
  });

  test('takes a key that shares only its name or only its id with a signature for a stranger', () => {
    const [own, sameName] = [testSigner('own'), testSigner('own', 8)];
    const note = signNote('a\n', [sameName]);
    expect(openNote(note, [own])).toMatchObject({ ok: false, reason: 'no_verified_signature' });
    const sameId = { ...own, name: 'other' };
    expect(openNote(signNote('a\n', [own]), [sameId]).ok).toBe(false);
  });

  test('refuses base64 that Go would take: line breaks, stray padding bits, no padding', () => {
    const own = testSigner('own');
    const note = signNote('a\n', [own]);
    expect(note.endsWith('=\n')).toBe(true);
    const lastDigit = note.at(-3) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    const stray = alphabet[alphabet.indexOf(lastDigit) + 1] ?? '';
    for (const damaged of [
      note.replace(/=\n$/, '\n'),
      `${note.slice(0, -3)}${stray}=\n`,
      note.replace(/=\n$/, '\n=\n'),
      note.replace(/=\n$/, '=\r\n'),
      note.replace(/=\n$/, '= \n'),
    ]) {
      expect(damaged).not.toBe(note);
      expect([damaged, parseNote(damaged)]).toEqual([damaged, undefined]);
    }
  });
});

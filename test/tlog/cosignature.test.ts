/** Signatures of C2SP tlog-cosignature: what they sign, written out here as the text has it. */
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { formatCheckpoint } from '../../src/tlog/checkpoint-text.ts';
import { emptyRoot } from '../../src/tlog/leaf.ts';
import { openNote, parseNote, signNote } from '../../src/tlog/note.ts';
import {
  cosigner,
  formatVerifierKey,
  mlDsa44Signer,
  type NoteSigner,
  parseVerifierKey,
} from '../../src/tlog/note-key.ts';
import { parseTilePath, tilePath, tileWidth } from '../../src/tlog/tiles.ts';
import { flipBit, testSigner, vectorText, verifierOf } from './reference.ts';

const ed25519 = generateKeyPairSync('ed25519').privateKey;
const mlDsa44 = generateKeyPairSync('ml-dsa-44').privateKey;
const log = testSigner('log.example/2026');
const checkpoint = { origin: log.name, size: 2 ** 40 + 3, root: emptyRoot };
const text = formatCheckpoint(checkpoint);
const TIME = 1_679_315_147;

/** The bytes of the only signature, after the key id. */
function signatureOf(signer: NoteSigner, body = text): Buffer {
  const [signature] = parseNote(signNote(body, [signer]))?.signatures ?? [];
  return Buffer.from(signature?.signature ?? []);
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function holds(message: Buffer, key: KeyObject, signature: Buffer): boolean {
  return verify(null, message, createPublicKey(key), signature);
}

describe('an Ed25519 cosignature', () => {
  const witness = cosigner('witness.example/w1', ed25519, TIME);

  test('is a time and a signature over "cosignature/v1", the time and the whole text', () => {
    const withExtension = `${text}an extension line\n`;
    for (const body of [text, withExtension]) {
      const signature = signatureOf(witness, body);
      expect(signature).toHaveLength(72);
      expect(signature.subarray(0, 8)).toEqual(u64(TIME));
      const message = Buffer.from(`cosignature/v1\ntime ${TIME}\n${body}`);
      expect(holds(message, ed25519, signature.subarray(8))).toBe(true);
    }
  });

  test('has a vkey of type 0x04, which reads back', () => {
    const vkey = formatVerifierKey(witness);
    expect(Buffer.from(vkey.split('+').slice(2).join('+'), 'base64')[0]).toBe(4);
    expect(formatVerifierKey(verifierOf(vkey))).toBe(vkey);
  });
});

describe('an ML-DSA-44 signature', () => {
  const witness = cosigner('witness.example/w1', mlDsa44, TIME);

  test('is a time and a signature over the struct of the text: label, names, time, range, root', () => {
    for (const [signer, time] of [
      [witness, TIME],
      [mlDsa44Signer(log.name, mlDsa44), 0],
    ] as const) {
      const signature = signatureOf(signer);
      expect(signature).toHaveLength(8 + 2420);
      expect(signature.subarray(0, 8)).toEqual(u64(time));
      const name = Buffer.from(signer.name);
      const message = Buffer.concat([
        Buffer.from('subtree/v1\n\0', 'latin1'),
        Buffer.from([name.length]),
        name,
        u64(time),
        Buffer.from([log.name.length]),
        Buffer.from(log.name),
        u64(0),
        u64(checkpoint.size),
        checkpoint.root,
      ]);
      expect(holds(message, mlDsa44, signature.subarray(8))).toBe(true);
    }
  });

  test('commits to the name of its key: another name does not make it its own', () => {
    const signature = signatureOf(witness);
    const other = cosigner('witness.example/w2', mlDsa44, TIME);
    expect(witness.verify(text, signature)).toBe(true);
    expect(other.verify(text, signature)).toBe(false);
  });

  test('has a vkey of 1,312 bytes, which reads back; another length is refused', () => {
    const vkey = formatVerifierKey(witness);
    expect(formatVerifierKey(verifierOf(vkey))).toBe(vkey);
    const [name, id, base64 = ''] = vkey.split('+', 3);
    expect(parseVerifierKey(`${name}+${id}+${base64.slice(0, 1_600)}`)).toMatchObject({
      ok: false,
    });
  });
});

describe('every kind of signature', () => {
  const signers = [
    log,
    mlDsa44Signer(log.name, mlDsa44),
    cosigner('witness.example/w1', ed25519, TIME),
    cosigner('witness.example/w1', mlDsa44, TIME),
  ];

  test('holds beside the others in one note, each for its own key', () => {
    const note = signNote(text, signers);
    for (const signer of signers) {
      expect(openNote(note, [verifierOf(signer)])).toMatchObject({ ok: true });
    }
    const opened = openNote(note, signers.map(verifierOf));
    expect(opened.ok && opened.signatures).toHaveLength(4);
    expect(opened.unverified).toHaveLength(0);
  });

  test('is refused with any bit turned, in the signature or in the text', () => {
    fc.assert(
      fc.property(fc.constantFrom(...signers), fc.nat(), (signer, bit) => {
        const signature = signatureOf(signer);
        expect(signer.verify(text, flipBit(signature, bit))).toBe(false);
        const changed = Buffer.from(flipBit(Buffer.from(text), bit)).toString('latin1');
        expect(signer.verify(changed, signature)).toBe(false);
        expect(signer.verify(text, signature.subarray(0, -1))).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test('of a witness alone makes no checkpoint of the log', () => {
    const [, , witness] = signers;
    if (!witness) throw new Error('no witness');
    const note = signNote(text, [witness]);
    expect(openCheckpoint(note, [witness])).toEqual({ ok: false, reason: 'origin_mismatch' });
  });

  test('of a witness is of checkpoints only, and of a time', () => {
    for (const key of [ed25519, mlDsa44]) {
      expect(() => signNote('hello\n', [cosigner('w', key, TIME)])).toThrow(RangeError);
      for (const time of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
        expect(() => cosigner('w', key, time)).toThrow(RangeError);
      }
    }
    expect(() => cosigner('w', generateKeyPairSync('x25519').privateKey, TIME)).toThrow(RangeError);
    expect(() => cosigner('w', createPublicKey(ed25519), TIME)).toThrow(RangeError);
  });

  test('of a checkpoint is made by keys of the origin alone', () => {
    const stranger = mlDsa44Signer('other.example/2026', mlDsa44);
    expect(() => signCheckpoint(checkpoint, [log, stranger])).toThrow(RangeError);
  });
});

describe("C2SP's own examples", () => {
  const examples = JSON.parse(vectorText('c2sp-spec-examples/examples.json'));

  test('a signed note', () => {
    const { vkey, note } = examples.signedNote;
    expect(openNote(note, [verifierOf(vkey)])).toMatchObject({
      ok: true,
      text: 'This is an example message.\n',
    });
  });

  test('the path of a tile, and the tiles of trees of 256 and 70,000', () => {
    for (const [n, path] of Object.entries(examples.tileIndex as Record<string, string>)) {
      expect(tilePath({ level: 0, n: Number(n), width: 256 })).toBe(`tile/0/${path}`);
      expect(parseTilePath(`tile/0/${path}`)).toMatchObject({ n: Number(n) });
    }
    const { tree70000: large, tree256: small } = examples;
    const widths = (level: number, n: number): number => tileWidth(level, n, 70_000);
    expect(widths(0, large.level0Full - 1)).toBe(256);
    expect(widths(0, large.level0Full)).toBe(large.level0PartialWidth);
    expect(widths(0, large.level0Full + 1)).toBe(0);
    expect(widths(1, large.level1Full - 1)).toBe(256);
    expect(widths(1, large.level1Full)).toBe(large.level1PartialWidth);
    expect(widths(2, 0)).toBe(large.level2PartialWidth);
    expect([tileWidth(0, 0, 256), tileWidth(0, 1, 256), tileWidth(1, 0, 256)]).toEqual([
      256 * small.level0Full,
      0,
      small.level1PartialWidth,
    ]);
  });
});

/** What a witness answers, by the tables of others: litewitness, sunlight, transparency-dev. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatAddCheckpoint,
  judgeCheckpoint,
  nothingSeen,
  originOf,
  parseAddCheckpoint,
  type SeenTree,
} from '../../src/tlog/add-checkpoint.ts';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { formatCheckpoint, parseCheckpoint } from '../../src/tlog/checkpoint-text.ts';
import { keyIdOf, type NoteVerifier, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { parseNote, signNote } from '../../src/tlog/note.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { consistencyProof } from '../../src/tlog/prove.ts';
import {
  base64,
  testLeaves,
  testSigner,
  tilesOf,
  treeRoot,
  vectorText,
  verifierOf,
} from './reference.ts';

const read = (name: string) => JSON.parse(vectorText(`witness/${name}.json`));

/** A witness of one log, as its server: it keeps what it cosigned. */
function witnessOf(origin: string, verifiers: readonly NoteVerifier[]) {
  let seen: SeenTree = nothingSeen;
  const answer = (body: string) => {
    const call = parseAddCheckpoint(body);
    if (!call) return { ok: false, status: 400, reason: 'malformed' } as const;
    const named = originOf(call.checkpoint);
    if (named !== undefined && named !== origin) return { ok: false, status: 404 } as const;
    const judged = judgeCheckpoint(call, { verifiers, seen });
    if (judged.ok) seen = judged.checkpoint;
    return judged;
  };
  return { answer, start: (tree: SeenTree) => (seen = tree) };
}

describe('the sequence of litewitness and sunlight', () => {
  const { logOrigin, logEd25519PublicKeyHex, steps } = read('add-checkpoint-sequence');
  const publicKey = Buffer.from(logEd25519PublicKeyHex, 'hex');
  const id = keyIdOf(logOrigin, 1, publicKey).toString(16).padStart(8, '0');
  const key = base64(Buffer.concat([Uint8Array.of(1), publicKey]));
  const witness = witnessOf(logOrigin, [verifierOf(`${logOrigin}+${id}+${key}`)]);

  test('is answered step by step with the status of tlog-witness v1.0.0', () => {
    expect(steps).toHaveLength(11);
    for (const { body, status, bodyEquals, trap, ...step } of steps) {
      const judged = witness.answer(body);
      // A signature in non-canonical base64 is no signed note here: one spelling for each value.
      const wanted =
        trap === undefined ? (step['statusInSpec_tlog-witness_v1.0.0'] ?? status) : 400;
      expect(judged.ok ? 200 : judged.status, body).toBe(wanted);
      if (bodyEquals !== undefined) {
        expect(judged).toMatchObject({ size: Number(bodyEquals) });
      }
    }
  });
});

describe("transparency-dev's witness", () => {
  const { log, otherLog, size5, size8, proof5to8hex, parseBody, parseBodyCheckpoint } = read(
    'transparency-dev-witness',
  );
  const proof: Buffer[] = proof5to8hex.map((hex: string) => Buffer.from(hex, 'hex'));
  const tree = (note: string): SeenTree => {
    const parsed = parseCheckpoint(parseNote(note)?.text ?? '');
    if (!parsed) throw new Error('no checkpoint');
    return parsed;
  };
  const fresh = () => {
    const witness = witnessOf('monkeys', [verifierOf(log.vkey)]);
    witness.start(tree(size5));
    return witness;
  };
  const call = (oldSize: number, checkpoint: string, hashes: readonly Uint8Array[] = []) =>
    formatAddCheckpoint({ oldSize, proof: hashes, checkpoint });

  test('takes the extension, and the same checkpoint again', () => {
    const witness = fresh();
    expect(witness.answer(call(5, size8, proof))).toMatchObject({ ok: true });
    expect(witness.answer(call(8, size8))).toMatchObject({ ok: true });
  });

  test('refuses each of its bad updates', () => {
    const status = (body: string) => fresh().answer(body);
    expect(status(call(2, size8, proof))).toEqual({ ok: false, status: 409, size: 5 });
    expect(status(call(8, size8))).toEqual({ ok: false, status: 409, size: 5 });
    expect(status(call(5, size8))).toMatchObject({ status: 422 });
    expect(status(call(6, size5))).toMatchObject({ status: 400 });
    expect(status(call(5, size8, [Buffer.from('xx')]))).toMatchObject({ status: 400 });
    const unseen = witnessOf('monkeys', [verifierOf(log.vkey)]);
    expect(unseen.answer(call(0, size8, proof))).toMatchObject({ status: 422 });
    const stranger = witnessOf('monkeys', [verifierOf(otherLog.vkey)]);
    expect(stranger.answer(call(0, size8))).toMatchObject({ status: 403 });
    const unknown = witnessOf('bananas', [verifierOf(log.vkey)]);
    expect(unknown.answer(call(0, size8))).toMatchObject({ status: 404 });
  });

  test('refuses another root at the size that was cosigned', () => {
    const witness = witnessOf('monkeys', [verifierOf(log.vkey)]);
    witness.start({ size: 8, root: tree(size5).root });
    expect(witness.answer(call(8, size8))).toMatchObject({ ok: false, status: 422 });
  });

  test('reads the bodies that it reads; its "abc=" is no hash here', () => {
    for (const { name, body, ok } of parseBody) {
      const filled = body.replace('CP', parseBodyCheckpoint);
      expect(parseAddCheckpoint(filled), name).toBeUndefined();
      if (!ok) continue;
      const hashes = filled
        .replace('abc=', base64(treeRoot([])))
        .replace('def=', base64(treeRoot([])));
      expect(parseAddCheckpoint(hashes)).toMatchObject({
        oldSize: 10,
        checkpoint: parseBodyCheckpoint,
      });
    }
  });
});

test("sum.golang.org's own checkpoint is taken, although its key has another name than its origin", () => {
  const { vkey, origin, request, checkpoint } = read('sum-golang-org');
  const witness = witnessOf(origin, [verifierOf(vkey)]);
  expect(witness.answer(request)).toMatchObject({ ok: true, checkpoint: { size: 35_225_469 } });
  expect(parseAddCheckpoint(request)?.checkpoint).toBe(checkpoint);
});

describe('a witness', () => {
  const log = testSigner('log.example/2026');
  const leaves = testLeaves(70);
  const { readTile } = tilesOf(leaves);
  const checkpointAt = (size: number): string =>
    signCheckpoint({ origin: log.name, size, root: treeRoot(leaves.slice(0, size)) }, [log]);

  test('follows a log through any sizes, and cosigns nothing that does not extend what it saw', async () => {
    const sizes = fc.array(fc.nat({ max: 70 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(sizes, async (wanted) => {
        const witness = witnessOf(log.name, [log]);
        let last = 0;
        for (const size of wanted) {
          const from = Math.min(last, size);
          const proof = await consistencyProof(from, size, readTile);
          const body = formatAddCheckpoint({
            oldSize: from,
            proof,
            checkpoint: checkpointAt(size),
          });
          const judged = witness.answer(body);
          if (size < last) {
            expect(judged).toEqual({ ok: false, status: 409, size: last });
            continue;
          }
          expect(judged).toMatchObject({ ok: true });
          last = size;
          // The same size of another tree.
          const forged = { origin: log.name, size, root: leafHash(Buffer.from('forged')) };
          const fork = formatAddCheckpoint({
            oldSize: size,
            proof: [],
            checkpoint: signCheckpoint(forged, [log]),
          });
          expect(witness.answer(fork)).toMatchObject({ ok: false, status: 422 });
        }
      }),
      { numRuns: 40 },
    );
  });

  test('hands back the text that it signs, extension lines included', () => {
    const text = `${formatCheckpoint({ origin: log.name, size: 0, root: treeRoot([]) })}more\n`;
    const body = formatAddCheckpoint({ oldSize: 0, proof: [], checkpoint: signNote(text, [log]) });
    expect(witnessOf(log.name, [log]).answer(body)).toMatchObject({ ok: true, text });
  });

  test('reads no body with more than 63 hashes, an odd old size, or anything before it', () => {
    const checkpoint = checkpointAt(1);
    const hash = treeRoot([]);
    const many = (count: number) =>
      parseAddCheckpoint(
        formatAddCheckpoint({ oldSize: 0, proof: Array(count).fill(hash), checkpoint }),
      );
    expect(many(63)?.proof).toHaveLength(63);
    expect(many(64)).toBeUndefined();
    for (const first of ['old 01', 'old -1', 'old', 'old  1', 'Old 1', '1', '', 'old 1 ']) {
      expect(parseAddCheckpoint(`${first}\n\n${checkpoint}`)).toBeUndefined();
    }
    expect(parseAddCheckpoint('old 0\n')).toBeUndefined();
  });

  test('reads anything without failing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), (text) => {
        const call = parseAddCheckpoint(`old 0\n\n${text}`);
        if (call)
          expect(judgeCheckpoint(call, { verifiers: [log], seen: nothingSeen }).ok).toBe(false);
      }),
    );
    expect(parseVerifierKey('').ok).toBe(false);
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { formatCheckpoint, parseCheckpoint } from '../../src/tlog/checkpoint-text.ts';
import { emptyRoot } from '../../src/tlog/leaf.ts';
import { signNote } from '../../src/tlog/note.ts';
import { base64, testSigner, vectorText } from './reference.ts';

interface Sumdb {
  recordHash: Record<string, string>;
  checkpointTexts: { good: string; bad: string[] };
}

const { recordHash, checkpointTexts }: Sumdb = JSON.parse(vectorText('sumdb/tlog.json'));
const log = testSigner('log.example/2026');
const checkpoint = { origin: log.name, size: 5, root: emptyRoot };
const root = base64(emptyRoot);

describe('texts', () => {
  test("are read and refused as by Go's checksum database", () => {
    const good = parseCheckpoint(checkpointTexts.good);
    expect([good?.origin, good?.size]).toEqual(['go.sum database tree', 123_456_789_012]);
    expect(base64(good?.root ?? new Uint8Array())).toBe(recordHash['hello world']);
    expect(checkpointTexts.bad).toHaveLength(2);
    for (const text of checkpointTexts.bad) expect(parseCheckpoint(text)).toBeUndefined();
  });

  test('survive a round trip', () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.maxSafeNat(), hash, (size, bytes) => {
        const parsed = parseCheckpoint(formatCheckpoint({ origin: 'a/b', size, root: bytes }));
        expect([parsed?.origin, parsed?.size]).toEqual(['a/b', size]);
        expect(base64(parsed?.root ?? new Uint8Array())).toBe(base64(bytes));
      }),
    );
  });

  test('have one spelling for size and root', () => {
    expect(parseCheckpoint(`a\n0\n${root}\n`)?.size).toBe(0);
    for (const text of [
      `a\n05\n${root}\n`,
      `a\n+5\n${root}\n`,
      `a\n-0\n${root}\n`,
      `a\n 5\n${root}\n`,
      `a\n5e3\n${root}\n`,
      `a\n\n${root}\n`,
      `a\n9007199254740992\n${root}\n`,
      `a\n99999999999999999999\n${root}\n`,
      `a\n٥\n${root}\n`,
      `a\n5\n${root.replace('=', '')}\n`,
      `a\n5\n${root.replace('U=', 'V=')}\n`,
      `a\n5\n${base64(emptyRoot.subarray(1))}\n`,
      `a\n5\n${root}`,
      `\n5\n${root}\n`,
      `a\n5\n`,
      `a\n5\n${root}\n\n`,
      `a\n5\n${root}\n\nextension\n`,
      '',
    ]) {
      expect([text, parseCheckpoint(text)]).toEqual([text, undefined]);
    }
  });

  test('may have extension lines, which are ignored', () => {
    expect(parseCheckpoint(`a\n5\n${root}\none\ntwo\n`)?.size).toBe(5);
  });

  test('are not made from values that would not be read back', () => {
    for (const change of [
      { origin: '' },
      { origin: 'a b' },
      { origin: 'a\n6' },
      { size: -1 },
      { size: 0.5 },
      { size: 2 ** 53 },
      { root: new Uint8Array(31) },
    ]) {
      expect(() => formatCheckpoint({ ...checkpoint, ...change })).toThrow(RangeError);
    }
  });
});

describe('signed checkpoints', () => {
  test('open with the key of the log', () => {
    const opened = openCheckpoint(signCheckpoint(checkpoint, [log]), [log]);
    expect(opened).toMatchObject({ ok: true, checkpoint: { origin: log.name, size: 5 } });
  });

  test('are not signed with a key of another name', () => {
    const other = testSigner('other.example');
    expect(() => signCheckpoint(checkpoint, [log, other])).toThrow(RangeError);
    expect(() => signCheckpoint(checkpoint, [])).toThrow(RangeError);
  });

  test('are refused, with a reason, for an unknown key, another origin, or no checkpoint inside', () => {
    const witness = testSigner('witness.example', 9);
    const text = formatCheckpoint(checkpoint);
    for (const [note, verifiers, reason] of [
      ['no note', [log], 'malformed_note'],
      [signNote(text, [log]), [witness], 'no_verified_signature'],
      [signNote(text, [log]), [log, log], 'ambiguous_key'],
      [signNote(text, [log]).replace('\n5\n', '\n6\n'), [log], 'invalid_signature'],
      [signNote('a text\n', [log]), [log], 'malformed_checkpoint'],
      [signNote(text.replace('2026', '2027'), [log]), [log], 'origin_mismatch'],
      [signNote(text, [log, witness]), [witness], 'origin_mismatch'],
    ] as const) {
      expect(openCheckpoint(note, verifiers)).toEqual({ ok: false, reason });
    }
    const cosigned = signNote(text, [log, witness]);
    expect(openCheckpoint(cosigned, [log]).ok).toBe(true);
    expect(openCheckpoint(cosigned, [witness, log]).ok).toBe(true);
  });
});

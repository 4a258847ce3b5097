import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { signNote } from '../../src/tlog/note.ts';
import { type LogEntry, type LogToVerify, verifyLog } from '../../src/tlog/verify.ts';
import { base64, flipBit, testEntries, testSigner, treeRoot } from './reference.ts';

const log = testSigner('log.example/2026');
const stranger = testSigner(log.name, 99);
const size = 300;

const stored: LogEntry[] = testEntries(size).map((entry, index) => {
  return { index, entry, storedLeafHash: leafHash(entry) };
});
const leaves = stored.map(({ entry }) => leafHash(entry));
const rootAt = (at: number): Uint8Array => treeRoot(leaves.slice(0, at));
const signed = (at: number, root = rootAt(at), signer = log): string =>
  signCheckpoint({ origin: signer.name, size: at, root }, [signer]);

/** A sound log, with checkpoints out of order and twice. */
const sound: LogToVerify = {
  origin: log.name,
  entries: stored,
  head: { size, root: rootAt(size) },
  checkpoints: [signed(300), signed(0), signed(1), signed(256), signed(100), signed(100)],
  verifiers: [log],
  trustedCheckpoints: [signed(200)],
};

const codesOf = async (change: Partial<LogToVerify>): Promise<string[]> => {
  const { ok, problems } = await verifyLog({ ...sound, ...change });
  expect(ok).toBe(problems.length === 0);
  return [...new Set(problems.map(({ code }) => code))].toSorted();
};

const replaced = (at: number, entry: Partial<LogEntry>): LogEntry[] =>
  stored.map((given) => (given.index === at ? { ...given, ...entry } : given));

const forged = Buffer.from('forged');
const wrongRoot = leafHash(forged);

/** Every kind of damage: what was done, and the names under which it must be found. */
const damages: [title: string, change: Partial<LogToVerify>, codes: string[]][] = [
  [
    'an entry was edited',
    { entries: replaced(150, { entry: forged }) },
    ['checkpoint_root_mismatch', 'leaf_hash_mismatch', 'root_mismatch', 'trusted_root_mismatch'],
  ],
  [
    'an entry and its leaf hash were edited',
    { entries: replaced(270, { entry: forged, storedLeafHash: wrongRoot }) },
    ['checkpoint_root_mismatch', 'root_mismatch'],
  ],
  [
    'only a stored leaf hash was edited',
    { entries: replaced(150, { storedLeafHash: wrongRoot }) },
    ['leaf_hash_mismatch'],
  ],
  [
    'a stored leaf hash is cut short',
    { entries: replaced(150, { storedLeafHash: new Uint8Array(31) }) },
    ['leaf_hash_mismatch'],
  ],
  [
    'an entry was deleted',
    { entries: stored.filter(({ index }) => index !== 220) },
    ['checkpoint_not_reached', 'index_gap'],
  ],
  [
    'an entry was deleted and the rest renumbered',
    { entries: stored.filter((_, i) => i !== 220).map((given, index) => ({ ...given, index })) },
    ['checkpoint_not_reached', 'checkpoint_root_mismatch', 'log_truncated'],
  ],
  [
    'two entries changed places',
    { entries: [...stored.slice(0, 9), ...stored.slice(9, 11).toReversed(), ...stored.slice(11)] },
    ['checkpoint_not_reached', 'index_gap', 'index_out_of_order'],
  ],
  [
    'an entry came twice',
    { entries: [...stored.slice(0, 10), ...stored.slice(9)] },
    ['index_out_of_order'],
  ],
  [
    'an index is no number',
    { entries: replaced(299, { index: Number.NaN }) },
    ['checkpoint_not_reached', 'index_out_of_order', 'log_truncated'],
  ],
  [
    'the tail was cut off',
    { entries: stored.slice(0, 290) },
    ['checkpoint_not_reached', 'log_truncated'],
  ],
  ['all entries are gone', { entries: [] }, ['checkpoint_not_reached', 'log_truncated']],
  [
    'the tail was cut off and the head set back',
    { entries: stored.slice(0, 250), head: { size: 250, root: rootAt(250) } },
    ['checkpoint_ahead_of_log'],
  ],
  [
    'only the head was set back',
    { head: { size: 250, root: rootAt(250) } },
    ['checkpoint_ahead_of_log', 'entries_beyond_head'],
  ],
  ['the root of the head was edited', { head: { size, root: wrongRoot } }, ['root_mismatch']],
  [
    'the head is no size and hash',
    { head: { size: Number.NaN, root: wrongRoot } },
    ['malformed_head'],
  ],
  [
    'a checkpoint was signed over another tree',
    { checkpoints: [signed(100, wrongRoot)] },
    ['checkpoint_root_mismatch'],
  ],
  [
    'a checkpoint of size 0 has a root',
    { checkpoints: [signed(0, wrongRoot)] },
    ['checkpoint_root_mismatch'],
  ],
  [
    'two checkpoints of one size differ',
    { checkpoints: [signed(100), signed(100, wrongRoot)] },
    ['checkpoint_root_mismatch'],
  ],
  [
    'a checkpoint was edited after signing',
    { checkpoints: [signed(100).replace('\n100\n', '\n101\n')] },
    ['checkpoint_signature'],
  ],
  [
    'a checkpoint was signed by another key of that name',
    { checkpoints: [signed(100, rootAt(100), stranger)] },
    ['checkpoint_signature'],
  ],
  [
    'a checkpoint belongs to another log',
    { checkpoints: [signed(100, rootAt(100), testSigner('other.example'))] },
    ['origin_mismatch'],
  ],
  [
    'a checkpoint is no note',
    { checkpoints: ['', signed(5).slice(0, -1)] },
    ['checkpoint_malformed'],
  ],
  [
    'a signed note is no checkpoint',
    { checkpoints: [signNote('hello\n', [log])] },
    ['checkpoint_malformed'],
  ],
  [
    "an auditor's checkpoint counts more than the log",
    { trustedCheckpoints: [signed(301, wrongRoot)] },
    ['log_truncated'],
  ],
  [
    "an auditor's checkpoint is forged",
    { trustedCheckpoints: [signed(200, rootAt(200), stranger)] },
    ['checkpoint_signature'],
  ],
];

describe('a sound log', () => {
  test('passes, with every entry, root and signature checked', async () => {
    const report = await verifyLog(sound);
    expect({ ...report, root: base64(report.root) }).toEqual({
      ok: true,
      entriesChecked: 300,
      size: 300,
      root: base64(rootAt(300)),
      checkpointsChecked: 7,
      signatureVerified: true,
      signedSize: 300,
      problemCount: 0,
      problems: [],
    });
  });

  test('passes without keys, but then no signature counts as verified', async () => {
    const { verifiers: _, ...withoutKeys } = sound;
    for (const given of [withoutKeys, { ...sound, verifiers: [] }]) {
      const report = await verifyLog(given);
      expect(report).toMatchObject({ ok: true, signatureVerified: false, signedSize: 0 });
      expect(report.checkpointsChecked).toBe(7);
    }
  });

  test('passes without checkpoints, but then nothing is signed', async () => {
    const { trustedCheckpoints: _, ...rest } = sound;
    const report = await verifyLog({ ...rest, checkpoints: [] });
    expect(report).toMatchObject({ ok: true, signatureVerified: false, signedSize: 0 });
  });

  test('tells how far signatures reach when the newest entries are not signed yet', async () => {
    const report = await verifyLog({ ...sound, checkpoints: [signed(120), signed(256)] });
    expect(report).toMatchObject({ ok: true, signatureVerified: true, signedSize: 256 });
  });

  test('may be empty', async () => {
    const head = { size: 0, root: rootAt(0) };
    const empty = { origin: log.name, entries: [], head, verifiers: [log] };
    const report = await verifyLog({ ...empty, checkpoints: [signed(0)] });
    expect(report).toMatchObject({ ok: true, entriesChecked: 0, signatureVerified: true });
  });
});

describe('damage', () => {
  test.each(damages)('is found and named: %s', async (_title, change, codes) => {
    expect(await codesOf(change)).toEqual(codes);
  });

  test('of a rewritten past is found by the auditor alone, when the operator re-signs everything', async () => {
    const entries = replaced(50, { entry: forged, storedLeafHash: leafHash(forged) });
    const rewritten = entries.map(({ entry }) => leafHash(entry));
    const root = treeRoot(rewritten);
    const operator = { entries, head: { size, root }, checkpoints: [signed(size, root)] };
    const { trustedCheckpoints: _, ...rest } = sound;
    expect((await verifyLog({ ...rest, ...operator })).ok).toBe(true);
    expect(await codesOf(operator)).toEqual(['split_view']);
  });

  test('has the index of its entry, and the last size at which all was well', async () => {
    const { problems, signedSize } = await verifyLog({
      ...sound,
      entries: replaced(150, { entry: forged }),
    });
    expect(problems[0]).toMatchObject({ code: 'leaf_hash_mismatch', index: 150 });
    const [mismatch] = problems.filter(({ code }) => code === 'trusted_root_mismatch');
    expect(mismatch?.detail).toContain('last root that held was that of size 100');
    expect(signedSize).toBe(100);
  });

  test('of one signature is enough for signatures not to count as verified', async () => {
    const checkpoints = [signed(100), signed(256, rootAt(256), stranger)];
    const report = await verifyLog({ ...sound, checkpoints });
    expect(report).toMatchObject({ ok: false, signatureVerified: false, signedSize: 200 });
  });

  test('before a gap is told apart from what the gap hides', async () => {
    const report = await verifyLog({
      ...sound,
      entries: stored.filter(({ index }) => index !== 220),
    });
    expect(report).toMatchObject({ entriesChecked: 299, size: 220, signedSize: 200 });
    expect(base64(report.root)).toBe(base64(rootAt(220)));
    expect(report.problems[0]).toMatchObject({ code: 'index_gap', index: 221 });
  });

  test('everywhere is counted whole and listed in part, with every code still there', async () => {
    const entries = stored.map((given) => ({ ...given, storedLeafHash: wrongRoot }));
    const report = await verifyLog({ ...sound, entries, head: { size, root: wrongRoot } });
    expect(report.problemCount).toBe(301);
    expect(report.problems).toHaveLength(101);
    expect(report.problems.at(-1)?.code).toBe('root_mismatch');
  });

  test('of any single bit of any entry, leaf hash or root is found', async () => {
    const what = fc.constantFrom('entry', 'storedLeafHash', 'root');
    await fc.assert(
      fc.asyncProperty(what, fc.nat({ max: size - 1 }), fc.nat(), async (field, at, bit) => {
        const given = stored[at];
        const change =
          field === 'root'
            ? { head: { size, root: flipBit(rootAt(size), bit) } }
            : {
                entries: replaced(at, {
                  [field]: flipBit((field === 'entry' ? given?.entry : leaves[at]) ?? forged, bit),
                }),
              };
        expect((await verifyLog({ ...sound, ...change })).ok).toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});

describe('reading', () => {
  test('is one pass over an asynchronous source', async () => {
    let [passes, given] = [0, 0];
    const source = {
      async *[Symbol.asyncIterator](): AsyncGenerator<LogEntry> {
        passes += 1;
        for (const entry of stored) {
          given += 1;
          yield await Promise.resolve(entry);
        }
      },
    };
    expect((await verifyLog({ ...sound, entries: source })).ok).toBe(true);
    expect([passes, given]).toEqual([1, size]);
  });

  test('rejects with the error of the source, which is not damage of the log', async () => {
    const source = {
      // oxlint-disable-next-line require-yield
      async *[Symbol.asyncIterator](): AsyncGenerator<LogEntry> {
        await Promise.resolve();
        throw new Error('connection lost');
      },
    };
    await expect(verifyLog({ ...sound, entries: source })).rejects.toThrow('connection lost');
  });
});

/** Trust policies: the file's grammar, and which witnesses make a quorum. */
import { generateKeyPairSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { formatCheckpoint } from '../../src/tlog/checkpoint-text.ts';
import { emptyRoot } from '../../src/tlog/leaf.ts';
import { signNote } from '../../src/tlog/note.ts';
import { cosigner, formatVerifierKey, mlDsa44Signer } from '../../src/tlog/note-key.ts';
import {
  cosignersOf,
  formatPolicy,
  openUnderPolicy,
  parsePolicy,
  type Policy,
  quorumMet,
} from '../../src/tlog/policy.ts';
import { testSigner } from './reference.ts';

const log = testSigner('log.example/2026');
const mlDsa44 = mlDsa44Signer(log.name, generateKeyPairSync('ml-dsa-44').privateKey);
const witnesses = ['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'].map((name, i) => {
  const kind = i % 2 === 0 ? 'ed25519' : 'ml-dsa-44';
  const { privateKey } =
    kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ml-dsa-44');
  return { name, signer: cosigner(`${name}.example`, privateKey, 1_700_000_000) };
});
const witnessLines = witnesses.map(
  ({ name, signer }) => `witness ${name} ${formatVerifierKey(signer)} https://${name}.example/`,
);
/** The example of C2SP tlog-policy. */
const EXAMPLE = [
  `log ${formatVerifierKey(log)}`,
  '',
  ...witnessLines,
  'group X-witnesses 2 X1 X2 X3',
  '  # two organisations',
  '\tgroup  Y-witnesses any Y1 Y2 Y3 ',
  'group X-and-Y all X-witnesses Y-witnesses',
  'quorum X-and-Y',
].join('\n');

function policyOf(text: string): Policy {
  const parsed = parsePolicy(text);
  if (!parsed.ok) throw new Error(`${parsed.line}: ${parsed.reason}`);
  return parsed.policy;
}

describe('a policy file', () => {
  test('is read: logs, witnesses, groups and the quorum, and survives a round trip', () => {
    const policy = policyOf(EXAMPLE);
    expect(policy.logs.map(({ verifier }) => verifier.name)).toEqual([log.name]);
    expect(policy.witnesses.map(({ name, url }) => [name, url])).toEqual(
      witnesses.map(({ name }) => [name, `https://${name}.example/`]),
    );
    expect(policy.groups.map(({ threshold }) => threshold)).toEqual([2, 1, 2]);
    const again = policyOf(formatPolicy(policy));
    expect(formatPolicy(again)).toBe(formatPolicy(policy));
  });

  const [x1 = '', x2 = ''] = witnessLines;
  const refused: Readonly<Record<string, readonly [string, string, number]>> = {
    'without a quorum': [x1, 'quorum_missing', 1],
    'with two': ['quorum none\nquorum none', 'quorum_twice', 2],
    'with a quorum of nobody': ['quorum X1', 'unknown_name', 1],
    'with a quorum defined later': [`quorum X1\n${x1}`, 'unknown_name', 1],
    'with a keyword that is none': ['witnesses X1', 'unknown_keyword', 1],
    'with a witness without a key': ['witness X1', 'malformed_line', 1],
    'with a word too many': [`${x1} more`, 'malformed_line', 1],
    'with a name twice': [`${x1}\n${x2.replace('X2', 'X1')}`, 'name_taken', 2],
    'with a witness called none': [x1.replace('X1', 'none'), 'name_taken', 1],
    'with one key under two names': [`${x1}\n${x1.replace('X1', 'Z1')}`, 'duplicate_key', 2],
    'with a key of a log as a witness': [`witness L ${formatVerifierKey(log)}`, 'key_type', 1],
    'with a key of a witness as a log': [`log ${x1.split(' ')[2]}`, 'key_type', 1],
    'with a broken key': ['log log.example+00000000+AA==', 'unsupported_type', 1],
    'with an empty group': [`${x1}\ngroup G 1`, 'malformed_line', 2],
    'with none in a group': [`${x1}\ngroup G 1 none`, 'unknown_name', 2],
    'with a group of itself': ['group G 1 G', 'unknown_name', 1],
    'with a threshold of 0': [`${x1}\ngroup G 0 X1`, 'malformed_threshold', 2],
    'with a threshold above its members': [`${x1}\ngroup G 2 X1`, 'malformed_threshold', 2],
    'with a threshold in words': [`${x1}\ngroup G most X1`, 'malformed_threshold', 2],
    'with a witness in two groups': [`${x1}\ngroup G 1 X1\ngroup H 1 X1`, 'member_twice', 3],
    'with a witness twice in one': [`${x1}\ngroup G 1 X1 X1`, 'member_twice', 2],
    'with line ends of Windows': ['quorum none\r\n', 'control_character', 1],
    'with NUL': ['# \u0000', 'control_character', 1],
  };
  test.each(Object.entries(refused))(
    '%s is refused, with the line',
    (_name, [text, reason, line]) => {
      expect(parsePolicy(text)).toEqual({ ok: false, reason, line });
    },
  );

  test('of anything is read or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => {
        expect(typeof parsePolicy(text).ok).toBe('boolean');
      }),
    );
  });
});

describe('a quorum', () => {
  test('of the example is two of X and one of Y, whoever else signs', () => {
    const policy = policyOf(EXAMPLE);
    fc.assert(
      fc.property(fc.subarray(witnesses), (chosen) => {
        const count = (letter: string) =>
          chosen.filter(({ name }) => name.startsWith(letter)).length;
        const names = chosen.map(({ name }) => name);
        expect(quorumMet(policy, names)).toBe(count('X') >= 2 && count('Y') >= 1);
      }),
    );
  });

  test('of none is met by nobody, and a name of no witness counts for nothing', () => {
    expect(quorumMet(policyOf('quorum none'), [])).toBe(true);
    expect(quorumMet(policyOf(EXAMPLE), ['X-and-Y', 'X-witnesses'].slice(1))).toBe(false);
  });
});

describe('a checkpoint under a policy', () => {
  const policy = policyOf(EXAMPLE);
  const head = { origin: log.name, size: 3, root: emptyRoot };
  const text = formatCheckpoint(head);

  test('is taken with the signature of the log and of the quorum, and no sooner', () => {
    fc.assert(
      fc.property(fc.subarray(witnesses), (chosen) => {
        const note = signNote(text, [log, mlDsa44, ...chosen.map(({ signer }) => signer)]);
        const names = chosen.map(({ name }) => name);
        expect(cosignersOf(note, policy)).toEqual(names);
        const opened = openUnderPolicy(note, policy);
        if (quorumMet(policy, names)) expect(opened).toMatchObject({ ok: true, witnesses: names });
        else expect(opened).toEqual({ ok: false, reason: 'quorum_not_met' });
      }),
      { numRuns: 30 },
    );
  });

  test('of another log is refused, however many witnesses signed it', () => {
    const other = testSigner(log.name, 9);
    const all = witnesses.map(({ signer }) => signer);
    expect(openUnderPolicy(signNote(text, [other, ...all]), policy)).toEqual({
      ok: false,
      reason: 'no_verified_signature',
    });
    expect(openUnderPolicy(signCheckpoint(head, [log]), policy)).toMatchObject({ ok: false });
  });
});

import { expect, test } from 'vitest';
import { sha256 } from '../../src/pdp/program.ts';
import { loadedPack, loadedPolicy, Programs } from '../../src/policies/programs.ts';
import { packFiles } from '../pdp/support.ts';

test('a version is read once for lists, and others have their turn before it', async () => {
  const programs = new Programs();
  const [first] = packFiles.policies;
  const row = { policy: 'p', sha256: sha256(first?.text ?? ''), document: first?.text ?? '' };
  let turns = 0;
  setImmediate(() => turns++);
  const head = await programs.head(row);
  expect(turns).toBe(1);
  expect(head.title).toHaveProperty('en');
  expect(await programs.head({ ...row, document: '' })).toBe(head);
});

test('a name that the pack comes to use does not end a policy beside it', () => {
  const text = (version: number, owner?: string): string =>
    JSON.stringify({
      policy: 'of-two',
      version,
      ...(owner === undefined ? { layer: 'national_choice' } : { layer: 'steward', owner }),
      concern: 'residency',
      title: { en: 'A policy of a test' },
      instrument: 'national-choice',
      in_force: { from: '2026-01-01' },
      rules: [
        {
          id: `T-OF-TWO-${version}`,
          title: { en: 'A rule' },
          sentence: { en: 'It is so.' },
          outcome: 'review',
          cites: [{ instrument: 'national-choice', article: 'test', confidence: 'high' }],
        },
      ],
    });
  const loaded = (policy: string, document: string, isExtension: boolean) =>
    loadedPolicy({ policy, sha256: sha256(document), document }, isExtension);
  const pack = packFiles.pack.text;
  const program = new Programs().on(
    {
      pack: loadedPack(sha256(pack), pack),
      policies: [
        ...packFiles.policies.map((each) => loaded(each.file, each.text, false)),
        loaded('of-two', text(2), false),
        loaded('of-two', text(1, 'moh'), true),
      ],
    },
    '2026-06-01',
  );
  expect(program.rules.map(({ rule }) => rule.id)).toContain('T-OF-TWO-2');
  expect(program.extensions.flatMap(({ part }) => part.policies)).toMatchObject([
    { policy: 'of-two', version: 1 },
  ]);
});

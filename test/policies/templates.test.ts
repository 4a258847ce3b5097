import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { withExtensions } from '../../src/pdp/compose.ts';
import { checkPolicy } from '../../src/policies/check.ts';
import { readTemplates } from '../../src/policies/files.ts';
import { program } from '../pdp/support.ts';

const FOLDER = fileURLToPath(new URL('../../policies/templates/', import.meta.url));
const templates = await readTemplates(FOLDER);

test('there is one of each kind that a steward asks for first', () => {
  expect(templates.map(({ template }) => template)).toEqual([
    'agreement-only',
    'consent-based',
    'in-country-only',
    'living-lab',
    'open',
    'research-only',
  ]);
});

describe.each(templates.map((each) => [each.template, each] as const))('%s', (_name, each) => {
  test('compiles with the pack as it is, and its cases set off every rule and pass', async () => {
    const built = buildExtension(program, { file: each.template, text: each.document });
    if (!built.ok) throw new Error(built.problems.map(({ message }) => message).join());
    const { part } = built.value;
    const policy = part.policies[0]?.policy ?? '';
    expect(
      await checkPolicy(withExtensions(program, [built.value]), { ...each, policy }),
    ).toMatchObject({
      passed: true,
      findings: [],
      cases: { untested_rules: [], failed: [] },
    });
  });

  test('says in English and French what it is for, and names no law', () => {
    const built = buildExtension(program, { file: each.template, text: each.document });
    const rules = built.ok ? built.value.part.rules : [];
    for (const { rule } of rules) {
      expect(Object.keys(rule.title)).toEqual(['en', 'fr']);
      expect(rule.cites.map(({ instrument }) => instrument)).toEqual(['national-choice']);
    }
    expect(each.description['en']).toMatch(/\.$/);
  });
});

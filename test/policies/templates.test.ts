import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { withExtensions } from '../../src/pdp/compose.ts';
import { checkPolicy } from '../../src/policies/check.ts';
import { fits, readTemplates } from '../../src/policies/files.ts';
import { parsePolicy } from '../../src/pdp/document.ts';
import { packs } from '../pdp/packs.ts';

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

/** Templates that a pack cannot carry, and why; such a pack does not offer them. */
const UNFIT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  duo: {
    'agreement-only': 'terms of use know no agreements',
    'consent-based': 'they stand for the forms on which people agreed, and count nobody',
    'in-country-only': 'it has no home',
    'living-lab': 'it has no facts of proofs of concept, of local engineers or of custody',
    open: 'it has no classes of data',
  },
  kenya: {
    'living-lab': 'it has no facts of proofs of concept, of local engineers or of custody',
    'research-only': 'it has no fact of an ethics approval: no instrument on it was confirmed',
  },
};

describe.each(packs)('with the pack $name', ({ name, program }) => {
  test.each(templates)('$template fits, or it is known why not', (each) => {
    expect(fits(program, each)).toBe(UNFIT[name]?.[each.template] === undefined);
  });

  test.each(templates.filter((each) => fits(program, each)))(
    '$template compiles as it is, and its cases set off every rule and pass',
    async (each) => {
      const built = buildExtension(program, { file: each.template, text: each.document });
      if (!built.ok) throw new Error(built.problems.map(({ message }) => message).join());
      const { part } = built.value;
      const policy = part.policies[0]?.policy ?? '';
      const whole = withExtensions(program, [built.value]);
      expect(await checkPolicy(whole, { ...each, policy })).toMatchObject({
        passed: true,
        findings: [],
        cases: { untested_rules: [], failed: [] },
      });
    },
  );
});

test.each(templates)(
  '$template says in English and French what it is for, and names no law',
  ({ template, document, description }) => {
    const parsed = parsePolicy(template, document);
    if (!parsed.ok) throw new Error(`${template} is no policy`);
    for (const rule of parsed.source.content.rules) {
      expect(Object.keys(rule.title)).toEqual(['en', 'fr']);
      expect(rule.cites.map(({ instrument }) => instrument)).toEqual(['national-choice']);
    }
    expect(description['en']).toMatch(/\.$/);
  },
);

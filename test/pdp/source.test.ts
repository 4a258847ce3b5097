/** What is parsed is written so that it is parsed to the same again. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseCondition } from '../../src/pdp/condition.ts';
import { parsePolicy, type PolicyDocument } from '../../src/pdp/document.ts';
import { conditionSource, documentText, isAlways, writtenTarget } from '../../src/pdp/source.ts';
import { KINDS, tree } from './conditions.ts';
import { policyDocument, ruleOf } from './support.ts';

test('a condition is written as it is read', () => {
  for (const [, all] of KINDS)
    for (const each of all) expect(parseCondition(conditionSource(each), [])).toEqual(each);
  fc.assert(
    fc.property(tree, (each) => {
      expect(parseCondition(conditionSource(each), [])).toEqual(each);
    }),
  );
});

function parsed(text: string): PolicyDocument {
  const result = parsePolicy('x', text);
  if (!result.ok) throw new Error(result.problems.map(({ message }) => message).join());
  return result.source.content;
}

const target = { and: [{ fact: 'dataset.allowed', eq: 'lowest' }, { not: 'request.yes' }] };
const rules = [
  ruleOf('ALWAYS', { outcome: 'permit' }),
  ruleOf('NEVER', { applies: false, outcome: [{ when: 'request.no', effect: 'review' }] }),
  ruleOf('HELD', {
    applies: 'request.yes',
    holds: 'request.no',
    then: 'permit',
    otherwise: 'deny',
  }),
];

test.each<[string, Readonly<Record<string, unknown>>]>([
  ['for all datasets', {}],
  ['with a target', { target }],
  ['of an owner', { layer: 'steward', owner: 'moh' }],
  ['of an owner, with a target', { layer: 'steward', owner: 'moh', target }],
  [
    'with a target that looks like an owner’s',
    {
      target: { and: [{ fact: 'dataset.publisher', eq: 'moh' }, { not: 'request.yes' }] },
    },
  ],
])('a document %s is written with the target that it was written with', (_, changed) => {
  const content = parsed(JSON.stringify(policyDocument(rules, changed)));
  const written = writtenTarget(content);
  const own = changed['target'];
  expect(written).toEqual(own === undefined ? undefined : parseCondition(own, []));
  const { target: _joined, ...rest } = content;
  const text = documentText({ ...rest, ...(written && { target: written }) });
  expect(text.endsWith('}\n')).toBe(true);
  expect('target' in (JSON.parse(text) as object)).toBe(own !== undefined);
  expect(parsed(text)).toEqual(content);
});

test('a rule without "applies" is about every request, and is written without', () => {
  const { rules: all } = JSON.parse(
    documentText(parsed(JSON.stringify(policyDocument(rules)))),
  ) as { rules: object[] };
  expect(all.map((rule) => 'applies' in rule)).toEqual([false, true, true]);
  const conditions = [true, false, 'request.yes', { not: false }];
  expect(conditions.map((each) => isAlways(parseCondition(each, [])))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});

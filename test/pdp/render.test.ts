import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Condition, conditionFacts, parseCondition } from '../../src/pdp/condition.ts';
import type { PolicyDocument } from '../../src/pdp/document.ts';
import { renderCondition, renderPolicy } from '../../src/pdp/render.ts';
import { factTitle, valueTitle } from '../../src/pdp/words.ts';
import { built, policyDocument, program, ruleOf, smallPack } from './support.ts';

const { pack } = program;
const documents: PolicyDocument[] = [...new Set(program.rules.map(({ document }) => document))];

const names = [
  ...program.vocabulary.specs.map(({ path }) => path),
  'today',
  'home',
  'identifiable',
];
const fact = fc.constantFrom(...names);
const scalar = fc.oneof(
  fc.boolean(),
  fc.integer({ min: 0, max: 99 }),
  fc.constantFrom('JP', 'KE', 'EAC', 'rw_state', 'outbreak_forecasting', 'health', '2026-10-15'),
);
const constant = fc.oneof(
  scalar,
  fc.uniqueArray(fc.constantFrom('JP', 'KE', 'statistics', 'children_u16'), {
    minLength: 2,
    maxLength: 3,
  }),
);
const OPERATORS = [
  'eq',
  'neq',
  'lt',
  'lteq',
  'gt',
  'gteq',
  'isA',
  'hasPart',
  'isPartOf',
  'isAnyOf',
  'isNoneOf',
  'isAllOf',
] as const;

/** Conditions of every shape; the parser takes each, whether or not it would compile. */
const condition = fc
  .letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.boolean(),
      fc
        .tuple(fact, fc.constantFrom(...OPERATORS), fc.oneof(constant, fc.record({ fact })))
        .map(([left, operator, right]) => ({ fact: left, [operator]: right })),
      fc.record({ exists: fact }),
      fc.record({ nonempty: fact }),
      fc.record({ applies: fc.constantFrom('AGR-BIND', 'SOV-POC') }),
      fc.record({ holds: fc.constantFrom('AGR-BIND', 'SOV-POC') }),
      fc.record({ and: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ or: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ xone: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ not: tie('tree') }),
    ),
  }))
  .tree.map((source) => parseCondition(source, []));

const language = fc.constantFrom('en', 'fr', 'rw', 'sw');

function nodes(each: Condition): Condition[] {
  if (each.kind === 'not') return [each, ...nodes(each.of)];
  return 'of' in each ? [each, ...each.of.flatMap(nodes)] : [each];
}

/** What the line of a node must hold: names, constants and rule ids, in the words for them. */
function wordsOf(each: Condition, tongue: string): string[] {
  if (each.kind === 'applies' || each.kind === 'holds') return [each.rule];
  if (!('fact' in each)) return [];
  const facts = conditionFacts(each).map((name) => factTitle(pack, name, tongue));
  if (each.kind !== 'compare' || 'fact' in each.right) return facts;
  const values = [each.right.constant].flat();
  return [...facts, ...values.map((value) => valueTitle(pack, each.fact, value, tongue))];
}

describe('A condition in words', () => {
  test('has a line for each node, in order, with every fact, constant and rule in it', () => {
    fc.assert(
      fc.property(condition, language, (each, tongue) => {
        const lines = renderCondition(each, pack, tongue).split('\n');
        const tree = nodes(each);
        expect(lines.length).toBe(tree.length);
        for (const [i, node] of tree.entries())
          for (const word of wordsOf(node, tongue)) expect(lines[i]).toContain(word);
        for (const line of lines) expect(line).not.toMatch(/undefined|\[object|[{}]/);
      }),
      { numRuns: 2000 },
    );
  });

  test('differs where the conditions differ: no operator and no connective is lost', () => {
    fc.assert(
      fc.property(condition, condition, language, (a, b, tongue) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        expect(renderCondition(a, pack, tongue)).not.toBe(renderCondition(b, pack, tongue));
      }),
      { numRuns: 2000 },
    );
    const of: Condition[] = [{ kind: 'constant', value: true }];
    const connected = (['and', 'or', 'xone'] as const).map((kind): Condition => ({ kind, of }));
    const texts = [...of, ...connected, { kind: 'not', of: of[0] } as Condition].map((each) =>
      renderCondition(each, pack, 'fr'),
    );
    expect(new Set(texts).size).toBe(5);
    for (const right of [{ constant: 'JP' }, { fact: 'request.purpose' }] as const) {
      for (const name of names) {
        const compared = OPERATORS.map((operator) =>
          renderCondition({ kind: 'compare', fact: name, operator, right }, pack, 'fr'),
        );
        expect(new Set(compared).size, name).toBe(OPERATORS.length);
      }
    }
  });

  test('calls no two facts by the same name', () => {
    for (const tongue of ['en', 'fr', 'rw']) {
      const titles = names.map((name) => factTitle(pack, name, tongue));
      expect(new Set(titles).size).toBe(names.length);
    }
  });

  test('reads like this', () => {
    const each = parseCondition(
      {
        and: [
          'identifiable',
          { not: { fact: 'request.role', isAnyOf: ['processor', 'sub_processor'] } },
          { fact: 'request.agreement.valid_until', gteq: { fact: 'today' } },
          { fact: 'request.locations.access_from', isPartOf: ['RW', 'JP'] },
          { fact: 'request.purpose', eq: 'outbreak_response' },
        ],
      },
      [],
    );
    expect(renderCondition(each, pack, 'en').split('\n')).toEqual([
      '- all of these are true:',
      '  - **People can be identified**: yes',
      '  - it is not true that:',
      '    - **Role** is one of “processor” or “sub-processor”',
      '  - **Agreement valid until** is not before **day of the decision**',
      '  - **Places of access**: nothing besides “Rwanda” or “Japan”',
      '  - **Purpose** is “Response to an outbreak”',
    ]);
    expect(renderCondition(each, pack, 'fr')).toContain(
      '« sous-traitant » ou « sous-traitant ultérieur »',
    );
  });
});

describe('A policy in words', () => {
  test.each(documents.map((document) => [document.policy, document] as const))(
    '%s leaves nothing out',
    (_, document) => {
      for (const tongue of ['en', 'fr', 'rw', 'sw']) {
        const text = renderPolicy(document, pack, tongue);
        expect(text).not.toMatch(/undefined|\[object|\{/);
        for (const { id, cites, applies, holds, outcomes, obligation, note } of document.rules) {
          expect(text).toContain(`## ${id}`);
          for (const { article } of cites) expect(text).toContain(article);
          const conditions = [applies, holds, ...outcomes.map(({ when }) => when)];
          for (const each of conditions) {
            if (!each) continue;
            const lines = renderCondition(each, pack, tongue).split('\n');
            for (const line of lines) expect(text).toContain(line);
          }
          if (obligation && tongue === 'en') expect(text).toContain(obligation.sentence['en']);
          if (note !== undefined) expect(text).toContain(note);
        }
      }
    },
  );

  test('is English in a language that nobody has words for', () => {
    const [document] = documents;
    if (!document) throw new Error('there are no policies');
    expect(renderPolicy(document, pack, 'sw')).toBe(renderPolicy(document, pack, 'en'));
    expect(renderPolicy(document, pack, 'constructor')).toBe(renderPolicy(document, pack, 'en'));
  });

  test('says what its words mean, and the words in those', () => {
    const residency = documents.find(({ policy }) => policy === 'rw-dpp-residency');
    const text = residency ? renderPolicy(residency, pack, 'en') : '';
    expect(text).toContain('## Words used');
    expect(text).toContain(
      '- **Places abroad**:\n  - everything in **Places of storage abroad** and **Places of processing, access and receipt abroad**, without the home country',
    );
    expect(text).toContain('everything in **Places of processing**');
  });

  test('takes no marks of Markdown or HTML from a text', () => {
    const hostile = { en: '# <script>\n\n## [x](y) **z**' };
    const small = built(
      smallPack(),
      policyDocument([ruleOf('RULE', { outcome: 'permit', title: hostile, sentence: hostile })], {
        title: hostile,
      }),
    );
    const [compiled] = small.rules;
    const text = compiled ? renderPolicy(compiled.document, small.pack, 'en') : '';
    expect(text.match(/^#.*$/gm)).toEqual([
      String.raw`# # \<script\> ## \[x\](y) \*\*z\*\*`,
      String.raw`## RULE: # \<script\> ## \[x\](y) \*\*z\*\*`,
      String.raw`# \<script\> ## \[x\](y) \*\*z\*\*`,
    ]);
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { analyse, type Finding } from '../../src/pdp/analyse.ts';
import { parsePolicy } from '../../src/pdp/document.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { loadFacts, type Program } from '../../src/pdp/program.ts';
import { TRUE, UNKNOWN } from '../../src/pdp/logic.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { CASES, RULES, tree, vocabulary } from './conditions.ts';
import { build, built, cpuSeconds, policyDocument, program, ruleOf, smallPack } from './support.ts';

/** A permission, so that a finding is about the rules at hand. */
const permit = ruleOf('A-PERMIT', { outcome: 'permit' });

function programOf(...rules: readonly object[]): Program {
  const [choice] = rules;
  if (!choice) throw new Error('no rules');
  return built(
    smallPack(),
    policyDocument([permit], { policy: 'permission' }),
    policyDocument(rules, { policy: 'tested' }),
  );
}

const analysed = (...rules: readonly object[]): Finding[] =>
  analyse(programOf(...rules), { policy: 'tested' });

const summary = (findings: readonly Finding[]): string[] =>
  findings.map(({ kind, rule, other }) => [kind, rule, other].filter(Boolean).join(' '));

const count = (operator: string, value: number): object => ({
  fact: 'request.count',
  [operator]: value,
});
const purpose = (operator: string, value: unknown): object => ({
  fact: 'request.purpose',
  [operator]: value,
});

describe('the shipped pack', () => {
  test('has nothing wrong with it', () => {
    expect(analyse(program)).toEqual([]);
  });
});

describe('a rule that never applies', () => {
  test('is an error, with the constraints that exclude one another and where they stand', () => {
    const rule = ruleOf('R-ONE', {
      applies: { and: ['request.yes', count('lt', 3), count('gt', 5)] },
      outcome: 'deny',
    });
    const found = analysed(rule);
    expect(summary(found)).toEqual(['never_applies R-ONE', 'constraints_conflict R-ONE']);
    expect(found[0]).toMatchObject({ severity: 'error', path: ['rules', 0, 'applies'] });
    expect(found[1]?.parts).toEqual([
      ['rules', 0, 'applies', 'and', 1],
      ['rules', 0, 'applies', 'and', 2],
    ]);
    expect(found[1]?.sentence).toBe(
      'No request can meet all of these at once: request.count is less than 3; request.count is greater than 5.',
    );
  });

  test('a finding leads to its line in the file', () => {
    const rule = ruleOf('R-ONE', {
      applies: { and: [count('lt', 1), count('gt', 5)] },
      outcome: 'deny',
    });
    const text = JSON.stringify(policyDocument([rule]), null, 2);
    const parsed = parsePolicy('policy.yaml', text);
    if (!parsed.ok) throw new Error('it has mistakes');
    const conflict = analysed(rule).find(({ kind }) => kind === 'constraints_conflict');
    const { line, column } = parsed.source.problemAt(conflict?.path ?? [], '');
    expect(text.split('\n')[line - 1]?.slice(column - 1)).toBe('{');
    expect(text.split('\n')[line]).toContain('request.count');
  });
});

/** Constraints that exclude one another, of every kind; the last is needed for the conflict. */
const CONFLICTS: Readonly<Record<string, readonly (object | string)[]>> = {
  'numbers below their minimum': [count('lt', 0)],
  'whole numbers with none between': [count('gt', 3), count('lt', 4)],
  'dates in a circle': [
    { fact: 'request.from', lt: { fact: 'request.until' } },
    { fact: 'request.until', lt: { fact: 'today' } },
    { fact: 'today', lteq: { fact: 'request.from' } },
  ],
  'a day and an instant of another': [
    { fact: 'today', eq: '2026-10-15' },
    { fact: 'request.as_of', gteq: '2026-10-15T22:00:00Z' },
  ],
  'a purpose that is no kind of another': [purpose('isA', 'care'), purpose('eq', 'research')],
  'a country outside a group': [
    { fact: 'request.place', isPartOf: 'EAC' },
    { fact: 'request.place', eq: 'JP' },
  ],
  'countries outside a group': [
    { fact: 'request.places', isPartOf: 'EAC' },
    { fact: 'request.places', hasPart: 'JP' },
  ],
  'home abroad': [{ fact: 'abroad', hasPart: 'RW' }],
  'ranks in the wrong order': [
    { fact: 'request.asked', eq: 'high' },
    { fact: 'request.asked', lteq: { fact: 'dataset.allowed' } },
    { fact: 'dataset.allowed', neq: 'highest' },
  ],
  'what an absent object would have to say': [
    { not: { exists: 'request.paper' } },
    { exists: 'request.paper.until' },
  ],
  'a derived fact and what it rests on': ['sure', 'request.no'],
  'members of disjoint sets': [
    { fact: 'request.codes', isNoneOf: { fact: 'request.words' } },
    { fact: 'request.codes', hasPart: { fact: 'request.purpose' } },
    { fact: 'request.words', hasPart: { fact: 'request.purpose' } },
  ],
};

describe('constraints that conflict', () => {
  for (const [name, parts] of Object.entries(CONFLICTS)) {
    test(`${name}: those that conflict are named, and no others`, () => {
      const others = [{ exists: 'request.other' }, { fact: 'request.limit', neq: 7 }];
      const rule = ruleOf('R-ONE', {
        applies: { or: ['request.yes', { and: [others[0], ...parts, others[1]] }] },
        outcome: 'review',
      });
      const conflicts = analysed(rule).filter(({ kind }) => kind === 'constraints_conflict');
      expect(conflicts).toHaveLength(1);
      const named = conflicts[0]?.parts?.map((path) => Number(path.at(-1)) - 1);
      expect(named).toEqual(parts.map((_, i) => i));
    });
  }

  test('a conflict that is only nearly one is none', () => {
    for (const applies of [
      { and: [count('gteq', 3), count('lteq', 3)] },
      { and: [purpose('isA', 'care'), purpose('isA', 'research')] },
      {
        and: [
          { fact: 'request.places', isPartOf: 'EAC' },
          { fact: 'request.places', hasPart: 'KE' },
        ],
      },
      {
        and: [
          { fact: 'request.from', lteq: { fact: 'today' } },
          { fact: 'request.from', gteq: { fact: 'today' } },
        ],
      },
    ])
      expect(summary(analysed(ruleOf('R-ONE', { applies, outcome: 'review' })))).toEqual([]);
  });
});

describe('a rule that can only deny', () => {
  test('what no request to which it applies can hold', () => {
    const found = analysed(
      ruleOf('R-ONE', {
        applies: count('gt', 5),
        holds: { and: ['request.yes', count('lt', 3)] },
        otherwise: 'deny',
      }),
    );
    expect(summary(found)).toEqual(['always_denies R-ONE']);
    expect(found[0]?.sentence).toContain('denies every request to which it applies');
  });

  test('a rule that denies everything, and rules that do so together', () => {
    expect(summary(analysed(ruleOf('R-ONE', { outcome: 'deny' })))).toContain(
      'always_denies R-ONE',
    );
    const together = programOf(
      ruleOf('R-ONE', { applies: 'request.yes', outcome: 'deny' }),
      ruleOf('R-TWO', { applies: { not: 'request.yes' }, outcome: 'deny' }),
    );
    expect(summary(analyse(together))).toEqual(['always_denies R-ONE R-TWO']);
  });

  test('a program without a permission permits nothing', () => {
    const without = built(
      smallPack(),
      policyDocument([ruleOf('R-ONE', { applies: 'request.yes', outcome: 'deny' })]),
    );
    expect(summary(analyse(without))).toEqual(['always_denies R-ONE']);
  });

  test('a plain prohibition is none', () => {
    expect(summary(analysed(ruleOf('R-ONE', { applies: 'request.yes', outcome: 'deny' })))).toEqual(
      [],
    );
  });
});

describe('outcomes that cannot be reached', () => {
  test('a permission behind a wall is an error, other outcomes a warning', () => {
    const rule = (effect: string): object =>
      ruleOf('R-ONE', {
        applies: count('gt', 5),
        outcome: [{ when: count('gt', 3), effect: 'review' }, { effect }],
      });
    expect(summary(analysed(rule('permit')))).toEqual(['never_permits R-ONE']);
    const [dead] = analysed(rule('deny'));
    expect(dead).toMatchObject({
      kind: 'dead_outcome',
      severity: 'warning',
      path: ['rules', 0, 'outcome', 1],
    });
  });

  test('a rule that always holds never comes to its otherwise', () => {
    const found = analysed(
      ruleOf('R-ONE', {
        applies: purpose('eq', 'hiv_trial'),
        holds: purpose('isA', 'care'),
        otherwise: 'deny',
      }),
    );
    expect(summary(found)).toEqual(['dead_outcome R-ONE']);
    expect(found[0]?.sentence).toContain('wherever it applies, request.purpose is a kind of care');
  });
});

describe('rules that another makes idle', () => {
  test('a review where another rule denies, with a request that shows it', () => {
    const tested = programOf(
      ruleOf('R-NARROW', { applies: purpose('eq', 'hiv_trial'), outcome: 'review' }),
      ruleOf('R-WIDE', { applies: purpose('isA', 'care'), outcome: 'deny' }),
    );
    const [found, ...others] = analyse(tested);
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      kind: 'shadowed',
      severity: 'warning',
      rule: 'R-NARROW',
      other: 'R-WIDE',
    });
    const verdict = evaluate(tested, loadFacts(tested, found?.witness ?? {}));
    expect(verdict).toMatchObject({ deny: ['R-WIDE'], review: ['R-NARROW'] });
  });

  test('the same under a wider condition of the same policy; of two equals the second', () => {
    const [narrow, wide, copy] = [
      ruleOf('R-NARROW', { applies: count('gt', 9), outcome: 'deny' }),
      ruleOf('R-WIDE', { applies: count('gt', 5), outcome: 'deny' }),
      ruleOf('R-COPY', { applies: { not: count('lteq', 5) }, outcome: 'deny' }),
    ];
    expect(summary(analysed(narrow, wide))).toEqual(['shadowed R-NARROW R-WIDE']);
    expect(summary(analysed(wide, copy))).toEqual(['shadowed R-COPY R-WIDE']);
  });

  test('a rule of another policy that does the same has its own reason', () => {
    const two = built(
      smallPack(),
      policyDocument([permit, ruleOf('R-NARROW', { applies: count('gt', 9), outcome: 'deny' })]),
      policyDocument([ruleOf('R-WIDE', { applies: count('gt', 5), outcome: 'deny' })], {
        policy: 'other',
      }),
    );
    expect(analyse(two)).toEqual([]);
  });

  test('rules that overlap in part are not', () => {
    expect(
      analysed(
        ruleOf('R-ONE', { applies: count('gt', 5), outcome: 'review' }),
        ruleOf('R-TWO', { applies: count('lt', 9), outcome: 'deny' }),
      ),
    ).toEqual([]);
  });
});

describe('rules that contradict each other', () => {
  const kept = ruleOf('R-KEPT', {
    applies: 'request.yes',
    holds: { fact: 'request.places', isPartOf: ['RW'] },
    otherwise: 'deny',
  });

  test('one asks for what the other forbids, where both apply', () => {
    const tested = programOf(
      kept,
      ruleOf('R-COPY', {
        applies: count('gt', 5),
        holds: { fact: 'request.places', hasPart: 'KE' },
        otherwise: 'deny',
      }),
    );
    const found = analyse(tested);
    expect(summary(found)).toEqual(['contradicts R-KEPT R-COPY']);
    const frame = loadFacts(tested, found[0]?.witness ?? {});
    evaluate(tested, frame);
    for (const { rule, applies } of tested.rules)
      if (rule.id !== 'A-PERMIT') expect(applies(frame)).toBe(2);
  });

  test('not where they never meet, nor where one lets the request pass', () => {
    const apart = ruleOf('R-APART', {
      applies: { not: 'request.yes' },
      holds: { fact: 'request.places', hasPart: 'KE' },
      otherwise: 'deny',
    });
    const mild = ruleOf('R-MILD', {
      applies: count('gt', 5),
      holds: { fact: 'request.places', hasPart: 'KE' },
      otherwise: [{ when: 'request.no', effect: 'review' }, { effect: 'deny' }],
    });
    expect(analysed(kept, apart)).toEqual([]);
    expect(analysed(kept, mild)).toEqual([]);
  });
});

describe('constraints that add nothing', () => {
  test('one that the others imply, and one that is never false', () => {
    const implied = analysed(
      ruleOf('R-ONE', { applies: { and: [count('gt', 5), count('gt', 3)] }, outcome: 'review' }),
    );
    expect(implied).toMatchObject([
      { kind: 'redundant', severity: 'hint', path: ['rules', 0, 'applies', 'and', 1] },
    ]);
    const always = analysed(
      ruleOf('R-ONE', { applies: { and: ['request.yes', count('gteq', 0)] }, outcome: 'review' }),
    );
    expect(always[0]?.sentence).toBe('This is never false: request.count is at least 0.');
  });

  test('that an object is there may be said before what it says', () => {
    const applies = {
      and: [{ exists: 'request.paper' }, { fact: 'request.paper.until', gteq: { fact: 'today' } }],
    };
    expect(analysed(ruleOf('R-ONE', { applies, outcome: 'review' }))).toEqual([]);
  });
});

describe('random policies', () => {
  test('what is found of a rule is so in every case', () => {
    const rule = fc.record({
      applies: tree,
      holds: fc.option(tree, { nil: undefined }),
      effect: fc.constantFrom('deny', 'review', 'permit'),
    });
    fc.assert(
      fc.property(fc.array(rule, { minLength: 2, maxLength: 4 }), (parts) => {
        const rules = parts.map(({ applies, holds, effect }, i) =>
          ruleOf(
            `N-${i}`,
            holds
              ? { applies: sourceOf(applies), holds: sourceOf(holds), otherwise: effect }
              : { applies: sourceOf(applies), outcome: effect },
          ),
        );
        // A document is held to the types of what a union unites; a condition by itself is not.
        const result = build(vocabulary, policyDocument([permit, ...RULES, ...rules]));
        fc.pre(result.ok);
        const tested = result.value;
        const tests = new Map(tested.rules.map((each) => [each.rule.id, each]));
        for (const { kind, rule: id = '', other = '' } of analyse(tested)) {
          const [one, two] = [tests.get(id), tests.get(other)];
          for (const facts of CASES.slice(0, 300)) {
            const frame = loadFacts(tested, facts);
            const { deny, review } = evaluate(tested, frame);
            const does = one?.applies(frame) === TRUE;
            if (kind === 'never_applies') expect(does).toBe(false);
            if (kind === 'always_denies' && one?.rule.holds && !two)
              expect(does && one.holds?.(frame) === TRUE).toBe(false);
            if (kind === 'contradicts')
              expect(
                does &&
                  two?.applies(frame) === TRUE &&
                  one?.holds?.(frame) === TRUE &&
                  two.holds?.(frame) === TRUE,
              ).toBe(false);
            // What is not known of the other rule is for a person to see.
            if (
              kind === 'shadowed' &&
              does &&
              review.includes(id) &&
              one?.holds?.(frame) !== UNKNOWN
            )
              expect([...deny, ...review]).toContain(other);
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe('many rules', () => {
  const parts: Readonly<Record<string, (i: number) => object>> = {
    'each about its own purpose': (i) => ({
      applies: purpose('eq', `p${i}`),
      holds: count('lteq', i),
      otherwise: 'deny',
    }),
    'all about the same': (i) => ({
      applies: count('gteq', i % 7),
      holds: purpose('isA', 'care'),
      otherwise: 'deny',
    }),
    'each against each': (i) => ({
      applies: 'request.yes',
      holds: purpose('eq', `p${i}`),
      otherwise: 'deny',
    }),
  };
  for (const [name, make] of Object.entries(parts)) {
    test(`ten times as many take no more than some thirty times as long: ${name}`, () => {
      const rules = (size: number): Program =>
        programOf(...Array.from({ length: size }, (_, i) => ruleOf(`R-${i}`, make(i))));
      const [few, many] = [rules(300), rules(3000)];
      analyse(few);
      const least = Math.max(
        cpuSeconds(() => analyse(few)),
        0.1,
      );
      expect(cpuSeconds(() => analyse(many))).toBeLessThan(30 * least);
    });
  }

  test('what was left out is said', () => {
    const rules = Array.from({ length: 60 }, (_, i) =>
      ruleOf(`R-${i}`, {
        applies: { and: [count('gt', i), purpose('isA', 'care')] },
        outcome: 'review',
      }),
    );
    const found = analyse(programOf(...rules), { limit: 300 });
    expect(summary(found)).toContain('limited');
  });
});

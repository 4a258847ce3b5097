import { describe, expect, test } from 'vitest';
import { casesOf, testCase } from '../../src/pdp/cases.ts';
import type { Rule } from '../../src/pdp/document.ts';
import { explain } from '../../src/pdp/explain.ts';
import { cases, caseText, program } from './support.ts';

/** The layer of every rule of the table: statute, regulation, agreement, national choice. */
const LAYERS = {
  statute:
    'RW-DPP-PURPOSE RW-DPP-REG RW-DPP-PROC RW-DPP-STORE RW-DPP-XFER RW-DPP-XFER-NECESSITY ' +
    'RW-DPP-CONTRACT RW-DPP-CONSENT RW-DPP-WITHDRAW OBL-EXCLUDE-UNCOVERED RW-DPP-CHILD ' +
    'RW-DPP-CHILD-INTEREST RW-DPP-DPIA RW-DPP-MIN RW-DPP-ONWARD RW-DPP-AUTO OBL-LOG OBL-NOREID OBL-RETAIN',
  regulation: 'RW-RES-ETHICS',
  agreement: 'AGR-BIND AGR-TERM AGR-SCOPE',
  national_choice:
    'RW-PERMIT SOV-OUTPUT SOV-STORE SOV-JURIS SOV-WEIGHTS RW-DPP-XFER-WEIGHTS SOV-POC ' +
    'SOV-POC-LIMIT SOV-KT SOV-BENEFIT OBL-CELL',
} as const;

const ruleCases = casesOf('rules.yaml', caseText('rules.yaml'));

describe('cases of the rule table', () => {
  test.each(ruleCases)(
    '$id: exactly the rules of the table deny, ask for review and oblige',
    (each) => {
      expect(testCase(program, each)).toEqual([]);
    },
  );

  test('each state the three sets in full, so that nothing goes uncompared', () => {
    const sets = ['deny', 'review', 'obligations'];
    const loose = ruleCases.filter(
      ({ expected }) => !sets.every((name) => Array.isArray(expected[name])),
    );
    expect(loose.map(({ id }) => id)).toEqual([]);
  });

  test('have names of their own', () => {
    const ids = cases.map(({ id }) => id);
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  });
});

describe('the pack', () => {
  test('has the rules of the table and no others, each in its layer', () => {
    const actual = program.rules.map(({ rule, document }) => `${document.layer} ${rule.id}`);
    const expected = Object.entries(LAYERS).flatMap(([layer, ids]) =>
      ids.split(' ').map((id) => `${layer} ${id}`),
    );
    expect(actual.toSorted()).toEqual(expected.toSorted());
  });

  test('permits by one rule alone, which applies always', () => {
    const permitting = program.rules.filter(({ rule }) => effectsOf(rule).has('permit'));
    expect(permitting.map(({ rule }) => [rule.id, rule.applies])).toEqual([
      ['RW-PERMIT', { kind: 'constant', value: true }],
    ]);
  });

  test.each(program.rules.map(({ rule, document }) => ({ id: rule.id, rule, document })))(
    '$id: a source that is not confirmed yields review or an obligation at most',
    ({ rule }) => {
      const confirmed = rule.cites.some(({ confidence }) => confidence !== 'not_confirmed');
      if (!confirmed) expect(effectsOf(rule)).not.toContain('deny');
      expect(rule.cites.length).toBeGreaterThan(0);
    },
  );
});

function effectsOf({ then, outcomes }: Rule): Set<string> {
  return new Set([...(then ? [then] : []), ...outcomes.map(({ effect }) => effect)]);
}

/**
 * What the cases must show of a rule: that it does not apply, that it holds, each of its effects,
 * and what comes when a fact is missing. A rule that always applies cannot fail to.
 */
function situationsOf(rule: Rule): string[] {
  const always = rule.applies.kind === 'constant';
  return [
    ...(always ? [] : ['does not apply']),
    ...(rule.holds && !rule.then ? ['holds'] : []),
    ...effectsOf(rule),
    ...((always && !rule.holds) || NEVER_OPEN[rule.id] ? [] : ['a fact is missing']),
  ];
}

/** Rules that no missing fact can leave open, and why. */
const NEVER_OPEN: Readonly<Record<string, string>> = {
  'SOV-KT': 'any of its four numbers absent counts as 0, and no least share means no condition',
};

describe('coverage', () => {
  const seen = new Map(program.rules.map(({ rule }) => [rule.id, new Map<string, string>()]));
  for (const { id, facts } of cases) {
    const reasons = new Map(explain(program, facts).reasons.map((reason) => [reason.rule, reason]));
    for (const [rule, situations] of seen) {
      const reason = reasons.get(rule);
      const certain =
        reason?.effect === 'satisfied' ? 'holds' : (reason?.effect ?? 'does not apply');
      situations.set(reason?.uncertain ? 'a fact is missing' : certain, id);
    }
  }

  test.each(program.rules.map(({ rule }) => ({ id: rule.id, rule })))(
    '$id: the cases show every situation of the rule',
    ({ id, rule }) => {
      const shown = seen.get(id) ?? new Map<string, string>();
      expect(situationsOf(rule).filter((situation) => !shown.has(situation))).toEqual([]);
    },
  );

  test('excuses no rule that a missing fact does leave open', () => {
    const open = Object.keys(NEVER_OPEN).filter(
      (id) => seen.get(id)?.has('a fact is missing') ?? true,
    );
    expect(open).toEqual([]);
  });
});

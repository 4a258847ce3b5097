/** What must be true of every pack under `policies/`, whatever the country. */

import { describe, expect, test } from 'vitest';
import { testCase } from '../../src/pdp/cases.ts';
import type { Rule } from '../../src/pdp/document.ts';
import { explain } from '../../src/pdp/explain.ts';
import type { CompiledRule } from '../../src/pdp/program.ts';
import { findingsOf } from '../../src/policies/check.ts';
import { termLists } from '../../src/pdp/terms.ts';
import { readPackFolder } from '../../src/policies/files.ts';
import { packs } from './packs.ts';

/** Rules that no missing fact can leave open, and why. */
const NEVER_OPEN: Readonly<Record<string, string>> = {
  'DUO-RECOGNISED': 'what a research purpose does not say counts as not asked for',
  'DUO-SENSITIVE': 'what a research purpose does not say counts as not asked for',
  'DUO-STATED': 'a dataset that states no terms has none',
  'SOV-KT': 'any of its four numbers absent counts as 0, and no least share means no condition',
};

/** Rules that deny although none of their citations is of high confidence, and why. */
const DENY_ON_LESS: Readonly<Record<string, string>> = {
  'RW-DPP-CONTRACT': 'the heading of Art. 49 is sure, its substance medium; the rule table has it',
};

test('a country is a folder: there are several, and each has cases', () => {
  expect(packs.map(({ name }) => name)).toEqual(['duo', 'kenya', 'rwanda']);
  expect(packs.filter(({ cases }) => cases.length < 50)).toEqual([]);
});

test('no two packs use one name for a rule or a policy, so a decision says whose law it was, but for a policy that is the same to the byte', () => {
  const shas = packs.flatMap(({ program }) => program.policies.map(({ sha256 }) => sha256));
  const isShared = (sha256: string): boolean => shas.indexOf(sha256) !== shas.lastIndexOf(sha256);
  const shared = new Set<string>();
  const names = packs.flatMap(({ program: { rules, policies } }) =>
    policies.flatMap(({ policy, sha256 }) => {
      if (shared.has(sha256)) return [];
      if (isShared(sha256)) shared.add(sha256);
      const own = rules.filter(({ document }) => document.policy === policy);
      return [policy, ...own.map(({ rule }) => rule.id)];
    }),
  );
  expect(shared.size).toBe(1);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

test('what packs have of other vocabularies has labels, and no term that is not there', () => {
  for (const { program } of packs) {
    for (const terms of Object.values(termLists(program.pack))) {
      for (const { title } of Object.values(terms)) expect(title['en']).not.toBe('');
    }
  }
});

describe.each(packs)('the pack $name', ({ name, folder, program, cases }) => {
  test('is called what its folder is called', () => {
    expect(program.pack.pack).toBe(name);
  });

  test.each(cases)('$id: is decided as expected', (each) => {
    expect(testCase(program, each)).toEqual([]);
  });

  test('permits by one rule alone, which applies always and says that it is a choice', () => {
    const permitting = program.rules.filter(({ rule }) => effectsOf(rule).has('permit'));
    expect(permitting.map(({ rule, document }) => [rule.applies, document.layer])).toEqual([
      [{ kind: 'constant', value: true }, 'national_choice'],
    ]);
  });

  test('has nothing in it that the analysis finds wrong', async () => {
    const { policies } = await readPackFolder(folder);
    const findings = policies.flatMap(({ text }, i) =>
      findingsOf(program, { policy: program.policies[i]?.policy ?? '', document: text }),
    );
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  const rules = program.rules.map(({ rule, document }) => ({ id: rule.id, rule, document }));

  test.each(rules)(
    '$id: denies on a citation of high confidence only, and never on one that is not confirmed',
    ({ id, rule }) => {
      const effects = effectsOf(rule);
      const confidences = rule.cites.map(({ confidence }) => confidence);
      expect(confidences.length).toBeGreaterThan(0);
      if (!confidences.some((each) => each !== 'not_confirmed'))
        expect(effects).not.toContain('deny');
      const isLess = effects.has('deny') && !confidences.includes('high');
      expect(isLess).toBe(DENY_ON_LESS[id] !== undefined);
    },
  );

  test.each(rules)('$id: cites what its layer says that it is', ({ rule, document }) => {
    const kinds = rule.cites.map(({ instrument }) => program.pack.instruments[instrument]?.kind);
    const isLaw = document.layer === 'statute' || document.layer === 'regulation';
    const laws = kinds.filter((kind) => kind === 'statute' || kind === 'regulation');
    expect(isLaw ? laws.length > 0 && !kinds.includes('national_choice') : laws.length === 0).toBe(
      true,
    );
  });

  const seen = situationsSeen(program.rules);
  for (const { id, facts } of cases) {
    const reasons = new Map(explain(program, facts).reasons.map((reason) => [reason.rule, reason]));
    for (const [rule, situations] of seen) {
      const reason = reasons.get(rule);
      const certain =
        reason?.effect === 'satisfied' ? 'holds' : (reason?.effect ?? 'does not apply');
      situations.set(reason?.uncertain ? 'a fact is missing' : certain, id);
    }
  }

  test.each(rules)('$id: the cases show every situation of the rule', ({ id, rule }) => {
    const shown = seen.get(id) ?? new Map<string, string>();
    expect(situationsOf(rule).filter((situation) => !shown.has(situation))).toEqual([]);
  });

  test('excuses no rule that a missing fact does leave open', () => {
    const open = Object.keys(NEVER_OPEN).filter((id) => seen.get(id)?.has('a fact is missing'));
    expect(open).toEqual([]);
  });
});

test('excuses no rule that does not exist', () => {
  const ids = packs.flatMap(({ program }) => program.rules.map(({ rule }) => rule.id));
  const excused = [...Object.keys(NEVER_OPEN), ...Object.keys(DENY_ON_LESS)];
  expect(excused.filter((id) => !ids.includes(id))).toEqual([]);
});

function situationsSeen(rules: readonly CompiledRule[]): Map<string, Map<string, string>> {
  return new Map(rules.map(({ rule }) => [rule.id, new Map<string, string>()]));
}

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

import { casesOf, type PolicyCase, saidBy, testCase } from '../pdp/cases.ts';
import { boundTo } from '../pdp/compose.ts';
import { isObject } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import { ServiceError } from '../errors.ts';

const MAX_CASES = 1_000;
/** Failures of which a report says all; nobody reads more at once. */
const MAX_SHOWN = 100;

/** What came of trying a policy before it lives. */
export interface CheckReport {
  /** May it be approved? */
  readonly passed: boolean;
  readonly cases: {
    readonly total: number;
    /** Rules of the policy that none of the cases names or sets off. */
    readonly untested_rules: string[];
    readonly failed: { readonly id: string; readonly problems: string[] }[];
  };
}

/**
 * The tests beside a policy.
 * @throws ServiceError `invalid_policy` for a text that holds none, or too many.
 */
export function readCases(text: string): readonly PolicyCase[] {
  let cases: PolicyCase[];
  try {
    cases = casesOf('cases', text);
  } catch (error) {
    const expected = error instanceof Error ? error.message : 'cases';
    throw new ServiceError('invalid_policy', 'The cases cannot be read.', [
      { path: '/cases', expected },
    ]);
  }
  if (cases.length > MAX_CASES)
    throw new ServiceError('invalid_policy', 'There are too many cases.', [
      { path: '/cases', expected: `at most ${MAX_CASES} cases` },
    ]);
  return cases;
}

/**
 * Tries a policy: decides the cases beside it by `program`, which is everything in force with the
 * policy in its place. A policy without a case is not tried, and does not pass.
 */
export function checkPolicy(program: Program, policy: string, cases: string | null): CheckReport {
  const all = cases === null ? [] : readCases(cases);
  const failed = all
    .map((each) => ({ id: each.id, problems: testCase(program, each) }))
    .filter(({ problems }) => problems.length > 0);
  return {
    passed: all.length > 0 && failed.length === 0,
    cases: {
      total: all.length,
      untested_rules: untested(program, policy, all),
      failed: failed.slice(0, MAX_SHOWN),
    },
  };
}

function untested(inForce: Program, policy: string, cases: readonly PolicyCase[]): string[] {
  const rules = new Set(
    [inForce, ...inForce.extensions.map(({ part }) => part)]
      .flatMap((each) => each.rules)
      .filter(({ document }) => document.policy === policy)
      .map(({ rule }) => rule.id),
  );
  for (const { facts, expected } of cases) {
    const said = saidBy(boundTo(inForce, facts), facts);
    const named = isObject(expected['rules']) ? expected['rules'] : {};
    for (const id of rules) {
      if (Object.hasOwn(named, id) || said.has(id)) rules.delete(id);
    }
  }
  return [...rules];
}

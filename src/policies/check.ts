import { setImmediate } from 'node:timers/promises';
import { casesOf, type PolicyCase, saidBy, testCase } from '../pdp/cases.ts';
import { analyse, type Finding, type FindingKind } from '../pdp/analyse.ts';
import { boundTo, whole } from '../pdp/compose.ts';
import { parsePolicy } from '../pdp/document.ts';
import { isObject } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import { ServiceError } from '../errors.ts';

const MAX_CASES = 1_000;
/** Steps of the analysis: some 100 ms, for which everybody else waits. */
const WORK = 300_000;
/** Failures of which a report says all; nobody reads more at once. */
const MAX_SHOWN = 100;

/** What no single case would show of a policy, and where it stands in its text. */
export interface FindingView {
  readonly kind: FindingKind;
  readonly severity: Finding['severity'];
  readonly rule?: string;
  readonly other?: string;
  readonly line: number;
  readonly column: number;
  readonly sentence: string;
  readonly witness?: Record<string, unknown>;
}

/** What came of trying a policy before it lives. */
export interface CheckReport {
  /** May it be approved? */
  readonly passed: boolean;
  readonly findings: FindingView[];
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

/** A policy's text, and the tests beside it. */
export interface Tried {
  readonly policy: string;
  readonly document: string;
  readonly cases: string | null;
}

/**
 * Tries a policy: looks for what is wrong with its rules beside all others, and decides the cases
 * beside it. `program` is everything in force with the policy in its place. A policy without a
 * case is not tried, and does not pass. Between two cases it lets others go first: a thousand on a
 * thousand rules take seconds.
 */
export async function checkPolicy(program: Program, tried: Tried): Promise<CheckReport> {
  const findings = findingsOf(program, tried);
  const all = tried.cases === null ? [] : readCases(tried.cases);
  const untested = rulesOf(program, tried.policy);
  const failed: CheckReport['cases']['failed'][number][] = [];
  for (const each of all) {
    await setImmediate();
    const problems = testCase(program, each);
    if (problems.length > 0) failed.push({ id: each.id, problems });
    if (untested.size > 0) dropTested(untested, program, each);
  }
  return {
    passed:
      all.length > 0 &&
      failed.length === 0 &&
      findings.every(({ severity }) => severity !== 'error'),
    findings,
    cases: {
      total: all.length,
      untested_rules: [...untested],
      failed: failed.slice(0, MAX_SHOWN),
    },
  };
}

/** What `analyse` finds, with line and column. */
export function findingsOf(
  program: Program,
  { policy, document }: Omit<Tried, 'cases'>,
): FindingView[] {
  const parsed = parsePolicy(policy, document);
  if (!parsed.ok) return [];
  const { source } = parsed;
  const beside = whole(program, source.content.owner);
  return analyse(beside, { policy, limit: WORK }).map(
    ({ kind, severity, rule, other, path, sentence, witness }) => {
      const { line, column } = source.problemAt(path, sentence);
      return {
        kind,
        severity,
        ...(rule === undefined ? {} : { rule }),
        ...(other === undefined ? {} : { other }),
        line,
        column,
        sentence,
        ...(witness && { witness: { ...witness } }),
      };
    },
  );
}

function rulesOf(program: Program, policy: string): Set<string> {
  return new Set(
    [program, ...program.extensions.map(({ part }) => part)]
      .flatMap((each) => each.rules)
      .filter(({ document }) => document.policy === policy)
      .map(({ rule }) => rule.id),
  );
}

/** Takes out the rules that a case names or sets off. */
function dropTested(rules: Set<string>, program: Program, { facts, expected }: PolicyCase): void {
  const said = saidBy(boundTo(program, facts), facts);
  const named = isObject(expected['rules']) ? expected['rules'] : {};
  for (const id of rules) {
    if (Object.hasOwn(named, id) || said.has(id)) rules.delete(id);
  }
}

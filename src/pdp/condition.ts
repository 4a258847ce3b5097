import { suggestion } from './facts.ts';

/** Operators, with ODRL 2.2's names and meanings; ours is `overlaps`: what both stand for has something in common. */
const OPERATORS = [
  'eq',
  'neq',
  'lt',
  'lteq',
  'gt',
  'gteq',
  'isA',
  'overlaps',
  'hasPart',
  'isPartOf',
  'isAnyOf',
  'isNoneOf',
  'isAllOf',
] as const;
export type Operator = (typeof OPERATORS)[number];

export type Constant = string | number | boolean | readonly (string | number)[];

/** The syntax tree of a condition: every reading of a policy walks this and nothing else. */
export type Condition =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'and' | 'or' | 'xone'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  /** Is the fact stated? */
  | { readonly kind: 'exists'; readonly fact: string }
  /** Has the set a member? */
  | { readonly kind: 'nonempty'; readonly fact: string }
  /** Does the rule apply (three-valued); does it apply and hold (unknown counts as no)? */
  | { readonly kind: 'applies' | 'holds'; readonly rule: string }
  | {
      readonly kind: 'compare';
      readonly fact: string;
      readonly operator: Operator;
      readonly right: { readonly constant: Constant } | { readonly fact: string };
    };

/** A mistake in a policy document, at a path of keys and indices into it. */
export class PolicyProblem extends Error {
  readonly path: readonly (string | number)[];
  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path;
  }
}

const MAX_DEPTH = 32;
const MAX_BRANCHES = 1000;
const LOGICAL = ['and', 'or', 'xone', 'not', 'exists', 'nonempty', 'applies', 'holds'] as const;

/**
 * The condition written at `path` of a document: a fact's name (a boolean fact that must be
 * true), `{and|or|xone: […]}`, `{not: …}`, `{exists|nonempty: FACT}`, `{applies|holds: RULE}`,
 * or `{fact: FACT, OPERATOR: constant or {fact: FACT}}`.
 * @throws PolicyProblem where it is none of these.
 */
export function parseCondition(
  source: unknown,
  path: readonly (string | number)[],
  depth = 0,
): Condition {
  if (depth > MAX_DEPTH) throw new PolicyProblem(path, `at most ${MAX_DEPTH} levels of nesting`);
  if (typeof source === 'boolean') return { kind: 'constant', value: source };
  if (typeof source === 'string') {
    return { kind: 'compare', fact: source, operator: 'eq', right: { constant: true } };
  }
  if (typeof source !== 'object' || source === null || Array.isArray(source)) {
    throw new PolicyProblem(path, 'a condition is the name of a fact or an object');
  }
  const keys = Object.keys(source);
  const members = source as Record<string, unknown>;
  if (keys.includes('fact')) return parseComparison(members, keys, path);
  const key = keys[0];
  if (keys.length !== 1 || key === undefined) {
    throw new PolicyProblem(path, `a condition has one key of ${LOGICAL.join(', ')}, or fact`);
  }
  const at = [...path, key];
  const value = members[key];
  switch (key) {
    case 'and':
    case 'or':
    case 'xone':
      return { kind: key, of: parseBranches(value, at, depth) };
    case 'not':
      return { kind: 'not', of: parseCondition(value, at, depth + 1) };
    case 'exists':
    case 'nonempty':
      return { kind: key, fact: parseName(value, at, 'a fact') };
    case 'applies':
    case 'holds':
      return { kind: key, rule: parseName(value, at, 'a rule id') };
    default:
      throw new PolicyProblem(
        at,
        `unknown key "${key}", expected one of ${LOGICAL.join(', ')}, fact${suggestion(key, [...LOGICAL, 'fact'])}`,
      );
  }
}

function parseBranches(
  value: unknown,
  path: readonly (string | number)[],
  depth: number,
): readonly Condition[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_BRANCHES) {
    throw new PolicyProblem(path, `a list of 1 to ${MAX_BRANCHES} conditions`);
  }
  return value.map((item, i) => parseCondition(item, [...path, i], depth + 1));
}

function parseName(value: unknown, path: readonly (string | number)[], what: string): string {
  if (typeof value === 'string') return value;
  throw new PolicyProblem(path, `the name of ${what}`);
}

function parseComparison(
  members: Record<string, unknown>,
  keys: readonly string[],
  path: readonly (string | number)[],
): Condition {
  const fact = parseName(members['fact'], [...path, 'fact'], 'a fact');
  const others = keys.filter((key) => key !== 'fact');
  const operator = others[0];
  if (others.length !== 1 || operator === undefined) {
    throw new PolicyProblem(path, `one operator beside "fact": ${OPERATORS.join(', ')}`);
  }
  if (!isOperator(operator)) {
    throw new PolicyProblem(
      [...path, operator],
      `unknown operator "${operator}", expected one of ${OPERATORS.join(', ')}${suggestion(operator, OPERATORS)}`,
    );
  }
  return {
    kind: 'compare',
    fact,
    operator,
    right: parseRight(members[operator], [...path, operator]),
  };
}

function isOperator(name: string): name is Operator {
  return (OPERATORS as readonly string[]).includes(name);
}

function parseRight(
  value: unknown,
  path: readonly (string | number)[],
): { constant: Constant } | { fact: string } {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return { constant: value };
  }
  if (Array.isArray(value)) {
    if (value.length <= 100_000 && value.every(isListable)) return { constant: value };
    throw new PolicyProblem(path, 'a list of at most 100000 texts or numbers');
  }
  if (typeof value === 'object' && value !== null) {
    const keys = Object.keys(value);
    if (keys.length === 1 && keys[0] === 'fact') {
      return { fact: parseName((value as Record<string, unknown>)['fact'], path, 'a fact') };
    }
  }
  throw new PolicyProblem(path, 'a constant, a list of constants, or {fact: FACT}');
}

function isListable(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}

/** Every rule that a condition refers to, one as often as it does. */
export function conditionRules(condition: Condition): string[] {
  if (condition.kind === 'applies' || condition.kind === 'holds') return [condition.rule];
  if (condition.kind === 'not') return conditionRules(condition.of);
  return 'of' in condition ? condition.of.flatMap(conditionRules) : [];
}

/** Every fact that a condition may read. */
export function conditionFacts(condition: Condition): string[] {
  switch (condition.kind) {
    case 'constant':
    case 'applies':
    case 'holds':
      return [];
    case 'exists':
    case 'nonempty':
      return [condition.fact];
    case 'not':
      return conditionFacts(condition.of);
    case 'and':
    case 'or':
    case 'xone':
      return condition.of.flatMap(conditionFacts);
    case 'compare':
      return 'fact' in condition.right ? [condition.fact, condition.right.fact] : [condition.fact];
  }
}

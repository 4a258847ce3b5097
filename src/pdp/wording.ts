import type { Condition, Operator } from './condition.ts';

/** Conditions in a few plain English words, for messages to whoever writes policies. */

const PHRASES: Readonly<Record<Operator, string>> = {
  eq: 'is',
  neq: 'is not',
  lt: 'is less than',
  lteq: 'is at most',
  gt: 'is greater than',
  gteq: 'is at least',
  isA: 'is a kind of',
  overlaps: 'has something in common with',
  hasPart: 'contains',
  isPartOf: 'lies in',
  isAnyOf: 'is any of',
  isNoneOf: 'is none of',
  isAllOf: 'contains all of',
};

const MAX_VALUES = 5;
const MAX_PARTS = 3;

/** Such as `request.count is at least 5`; long ones are cut short. */
export function wordsOf(condition: Condition, depth = 0): string {
  switch (condition.kind) {
    case 'constant':
      return condition.value ? 'always' : 'never';
    case 'not':
      return `not (${wordsOf(condition.of, depth + 1)})`;
    case 'and':
    case 'or':
    case 'xone':
      return joined(condition.of, condition.kind, depth);
    case 'exists':
      return `${condition.fact} is stated`;
    case 'nonempty':
      return `${condition.fact} has a member`;
    case 'applies':
      return `${condition.rule} applies`;
    case 'holds':
      return `${condition.rule} holds`;
    case 'compare':
      return `${condition.fact} ${PHRASES[condition.operator]} ${operand(condition.right)}`;
  }
}

function joined(parts: readonly Condition[], kind: 'and' | 'or' | 'xone', depth: number): string {
  if (depth > 2) return '…';
  const shown = parts.slice(0, MAX_PARTS).map((part) => {
    const words = wordsOf(part, depth + 1);
    return part.kind === 'and' || part.kind === 'or' ? `(${words})` : words;
  });
  if (parts.length > MAX_PARTS) shown.push(`${parts.length - MAX_PARTS} more`);
  return kind === 'xone' ? `exactly one of: ${shown.join('; ')}` : shown.join(` ${kind} `);
}

function operand(right: Extract<Condition, { kind: 'compare' }>['right']): string {
  if ('fact' in right) return right.fact;
  const { constant } = right;
  if (!Array.isArray(constant)) return String(constant);
  const shown = constant.slice(0, MAX_VALUES).map(String);
  if (constant.length > MAX_VALUES) shown.push(`${constant.length - MAX_VALUES} more`);
  return shown.length === 0 ? 'nothing' : shown.join(', ');
}

import type { Condition } from './condition.ts';
import type { Outcome, PolicyDocument, Rule } from './document.ts';

/** A condition as a document writes it; `parseCondition` reads it back to an equal one. */
export function conditionSource(condition: Condition): unknown {
  switch (condition.kind) {
    case 'constant':
      return condition.value;
    case 'not':
      return { not: conditionSource(condition.of) };
    case 'and':
    case 'or':
    case 'xone':
      return { [condition.kind]: condition.of.map(conditionSource) };
    case 'exists':
    case 'nonempty':
      return { [condition.kind]: condition.fact };
    case 'applies':
    case 'holds':
      return { [condition.kind]: condition.rule };
    case 'compare': {
      const { fact, operator, right } = condition;
      return { fact, [operator]: 'fact' in right ? right : right.constant };
    }
  }
}

/**
 * The text of a policy document whose target is as it is written, without the owner in it: JSON,
 * which is YAML, and which `parsePolicy` takes.
 */
export function documentText({ rules, target, ...head }: PolicyDocument): string {
  return `${JSON.stringify(
    {
      ...head,
      ...(target && { target: conditionSource(target) }),
      rules: rules.map(ruleSource),
    },
    null,
    2,
  )}\n`;
}

/** The target as it was written: a parsed document adds that the datasets are the owner's. */
export function writtenTarget({ owner, target }: PolicyDocument): Condition | undefined {
  if (owner === undefined || !target) return target;
  return target.kind === 'and' ? target.of[1] : undefined;
}

function ruleSource({ applies, holds, outcomes, ...rest }: Rule): object {
  const list = outcomes.map(outcomeSource);
  return {
    ...rest,
    ...(isAlways(applies) ? {} : { applies: conditionSource(applies) }),
    ...(holds ? { holds: conditionSource(holds), otherwise: list } : { outcome: list }),
  };
}

function outcomeSource({ when, effect }: Outcome): object {
  return when ? { when: conditionSource(when), effect } : { effect };
}

/** What a rule without "applies" has: it is about every request. */
export function isAlways(condition: Condition): boolean {
  return condition.kind === 'constant' && condition.value;
}

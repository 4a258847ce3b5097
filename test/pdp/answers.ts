/** Answers predicates for one dataset, as plainly as possible: what SQL does for many. */
import { parseDate, parseInstant } from '../../src/pdp/calendar.ts';
import { element } from '../../src/pdp/compile.ts';
import { isObject } from '../../src/pdp/facts.ts';
import {
  type CodeSet,
  EMPTY_SET,
  FALSE,
  intersects,
  isNonEmpty,
  isSubset,
  NONE_SET,
  type Truth,
  TRUE,
  union,
  UNKNOWN,
  UNKNOWN_SET,
  without,
} from '../../src/pdp/logic.ts';
import type { FactTest, Members, Predicate, Scalar, StoredFact } from '../../src/pdp/predicate.ts';
import { factAt } from './support.ts';

export function isTrueOf(predicate: Predicate, dataset: unknown): boolean {
  switch (predicate.kind) {
    case 'constant':
      return predicate.value;
    case 'and':
      return predicate.of.every((part) => isTrueOf(part, dataset));
    case 'or':
      return predicate.of.some((part) => isTrueOf(part, dataset));
    case 'test': {
      const truth = truthOf(predicate.test, dataset);
      return {
        true: truth === TRUE,
        false: truth === FALSE,
        not_true: truth !== TRUE,
        not_false: truth !== FALSE,
      }[predicate.is];
    }
  }
}

function truthOf(test: FactTest, dataset: unknown): Truth {
  switch (test.kind) {
    case 'stated': {
      const value = valueOf(test.fact, dataset);
      if (isSet(test.fact)) return statedSet((value ?? NONE_SET) as CodeSet, value === null);
      if (value === undefined) return UNKNOWN;
      const isPresence = test.fact.load === 'object' || test.fact.load === 'list';
      return value === null || (isPresence && value === false) ? FALSE : TRUE;
    }
    case 'stated_union':
      return statedSet(setOf(test.set, dataset), false);
    case 'nonempty':
      return isNonEmpty(setOf(test.set, dataset));
    case 'in': {
      const value = valueOf(test.fact, dataset);
      if (value === null) return FALSE;
      return value === undefined ? UNKNOWN : toTruth(test.values.includes(value as string));
    }
    case 'equal':
      return related(test, dataset, (a, b) => a === b);
    case 'order':
      return related(test, dataset, ORDERS[test.operator] as (a: unknown, b: unknown) => boolean);
    case 'kind_of': {
      const [left, right] = [valueOf(test.left, dataset), valueOf(test.right, dataset)];
      if (left === null || right === null) return FALSE;
      if (left === undefined || right === undefined) return UNKNOWN;
      const kinds = Object.hasOwn(test.broader, left as string)
        ? test.broader[left as string]
        : [left];
      return toTruth(kinds?.includes(right as string) === true);
    }
    case 'contains':
      return element(scalarOf(test.value, dataset), setOf(test.set, dataset));
    case 'subset':
      return isSubset(setOf(test.part, dataset), setOf(test.whole, dataset));
    case 'intersects':
      return intersects(setOf(test.left, dataset), setOf(test.right, dataset));
  }
}

const ORDERS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  lt: (a, b) => a < b,
  lteq: (a, b) => a <= b,
  gt: (a, b) => a > b,
  gteq: (a, b) => a >= b,
};

function toTruth(value: boolean): Truth {
  return value ? TRUE : FALSE;
}

function statedSet(set: CodeSet, isNone: boolean): Truth {
  if (isNone) return FALSE;
  return set.open && set.items.length === 0 ? UNKNOWN : TRUE;
}

function related(
  { left, right }: { left: Scalar; right: Scalar },
  dataset: unknown,
  holds: (a: unknown, b: unknown) => boolean,
): Truth {
  const [a, b] = [scalarOf(left, dataset), scalarOf(right, dataset)];
  if (a === null || b === null) return FALSE;
  return a === undefined || b === undefined ? UNKNOWN : toTruth(holds(a, b));
}

function scalarOf(scalar: Scalar, dataset: unknown): unknown {
  if ('value' in scalar) return scalar.value;
  const value = valueOf(scalar.fact, dataset);
  if (!scalar.ranks || value === null) return value;
  return Object.entries(scalar.ranks).find(([code]) => code === value)?.[1];
}

function setOf({ items, open, facts }: Members, dataset: unknown): CodeSet {
  let all: CodeSet = { items: items as readonly string[], open };
  for (const { fact, without: codes } of facts) {
    const value = valueOf(fact, dataset);
    let part: CodeSet = isSet(fact) ? ((value ?? EMPTY_SET) as CodeSet) : single(value);
    for (const code of codes) part = without(part, code);
    all = union(all, part);
  }
  return all;
}

function single(value: unknown): CodeSet {
  if (value === null) return EMPTY_SET;
  return value === undefined ? UNKNOWN_SET : { items: [value as string], open: false };
}

function isSet({ load }: StoredFact): boolean {
  return load === 'set' || load === 'member';
}

/** In the form of a frame; null is none. */
function valueOf({ path, load, key, absences }: StoredFact, dataset: unknown): unknown {
  for (const absence of absences)
    if ((factAt(dataset, absence.path) ?? null) === null) return absence.value;
  const value = factAt(dataset, path);
  switch (load) {
    case 'date':
      return parseDate(value as string);
    case 'instant':
      return parseInstant(value as string);
    case 'set':
      return { items: value, open: false };
    case 'object':
      return true;
    case 'list':
      return (value as unknown[]).length > 0;
    case 'member': {
      const codes = (value as unknown[]).map((item) =>
        key !== null && key !== undefined && isObject(item) ? item[key] : undefined,
      );
      const texts = codes.filter((code) => typeof code === 'string');
      return { items: [...new Set(texts)], open: texts.length < codes.length };
    }
    default:
      return value;
  }
}

import { formatDate, formatInstant } from './calendar.ts';
import { EMPTY, STATED } from './demand.ts';
import type { Shape, Shapes } from './shapes.ts';
import { type Facts, isObject } from './facts.ts';

/** Values of facts in the forms that a frame has. */
export interface Values {
  readonly codes: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
  readonly numbers: ReadonlyMap<string, number>;
  readonly truths: ReadonlyMap<string, boolean>;
}

interface Found {
  /** How each fact stands; only those that are stated are written. */
  readonly ways: ReadonlyMap<Shape, number>;
  readonly values: Values;
}

/** Explicit facts, as a caller would state them. */
export function writeFacts(shapes: Shapes, found: Found): Facts {
  const { ways, values } = found;
  const facts: Record<string, unknown> = {};
  for (const [shape, way] of ways) {
    const { fact, kind, isMember } = shape;
    if (way === EMPTY) put(facts, fact, []);
    if (way !== STATED || isMember) continue;
    if (kind === 'object') objectAt(facts, fact.split('.'));
    else put(facts, fact, kind === 'list' ? itemsOf(shape, found) : valueOf(shapes, shape, values));
  }
  return facts;
}

function put(facts: Record<string, unknown>, fact: string, value: unknown): void {
  const keys = fact.split('.');
  const key = keys.pop() ?? '';
  objectAt(facts, keys)[key] = value;
}

function objectAt(
  facts: Record<string, unknown>,
  keys: readonly string[],
): Record<string, unknown> {
  let at = facts;
  for (const key of keys) {
    const next = at[key];
    if (isObject(next)) {
      at = next;
      continue;
    }
    const made: Record<string, unknown> = {};
    at[key] = made;
    at = made;
  }
  return at;
}

/** As many items as the largest of the sets of their members needs. */
function itemsOf(list: Shape, { ways, values }: Found): object[] {
  const members = list.children.flatMap((child) => {
    const items = [...(values.sets.get(child.fact) ?? [])];
    return ways.get(child) === STATED && items.length > 0
      ? [{ key: child.fact.slice(list.fact.length + 1), items }]
      : [];
  });
  const length = Math.max(1, ...members.map(({ items }) => items.length));
  return Array.from({ length }, (_, i) =>
    Object.fromEntries(members.map(({ key, items }) => [key, items[i % items.length]])),
  );
}

function valueOf({ home, day }: Shapes, { fact, spec, kind }: Shape, values: Values): unknown {
  if (kind === 'set') return [...(values.sets.get(fact) ?? [])];
  if (kind === 'number') {
    const number = values.numbers.get(fact);
    if (spec.type === 'date') return formatDate(number ?? day);
    if (spec.type === 'datetime') return formatInstant(number ?? day * 86_400_000);
    return number ?? spec.minimum ?? Math.min(0, spec.maximum ?? 0);
  }
  if (spec.type === 'boolean') return values.truths.get(fact) ?? true;
  return values.codes.get(fact) ?? (spec.type === 'country' ? home : (spec.values?.[0] ?? 'other'));
}

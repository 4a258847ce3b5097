/** What a frame holds of explicit facts, said once more and plainly: fact by fact, from the top. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDate, parseInstant } from '../../src/pdp/calendar.ts';
import type { FactSpec, Facts } from '../../src/pdp/facts.ts';
import { ELSEWHERE, isObject } from '../../src/pdp/load.ts';
import { EMPTY_SET, NONE_SET, UNKNOWN_SET } from '../../src/pdp/logic.ts';
import { CASES, RULES, vocabulary as small } from './conditions.ts';
import { built, factAt, policyDocument, withFact } from './support.ts';

const text = { type: 'text', source: 'request', title: { en: 'Title' }, basis: 'test' };
const pack = small as { facts: object };
const withText = { ...pack.facts, 'request.title': text, 'request.paper.title': text };
const { vocabulary } = built({ ...pack, facts: withText }, policyDocument(RULES));
const { specs } = vocabulary;

/** How an object stands: it is there, is not, is known not to be, or something else is there. */
type Standing = { readonly value: Readonly<Record<string, unknown>> } | 'unstated' | 'none' | 'bad';

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('.')));
}

function isMissing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** What is said at a path, where its parent is an object. */
function saidAt(facts: Facts, path: string): unknown {
  const parent = standing(facts, parentOf(path));
  return typeof parent === 'object' ? parent.value[path.slice(path.lastIndexOf('.') + 1)] : null;
}

function standing(facts: Facts, path: string): Standing {
  if (path === '') return { value: facts };
  const parent = standing(facts, parentOf(path));
  if (parent === 'none' || parent === 'bad') return parent;
  const value = saidAt(facts, path);
  if (isObject(value)) return { value };
  if (!isMissing(value)) return 'bad';
  const absent = vocabulary.get(path)?.absent;
  if (absent === undefined) return 'unstated';
  return absent === 'none' ? 'none' : { value: absent.counts_as as Record<string, unknown> };
}

function read({ type }: FactSpec, value: unknown): unknown {
  if (type === 'set') {
    const isList = Array.isArray(value) && value.every((each) => typeof each === 'string');
    if (!isList) return UNKNOWN_SET;
    return value.length === 0 ? EMPTY_SET : { items: value, open: false };
  }
  if (type === 'boolean') return typeof value === 'boolean' ? value : undefined;
  if (type === 'integer' || type === 'number') return typeof value === 'number' ? value : undefined;
  if (typeof value !== 'string') return undefined;
  if (type === 'date') return parseDate(value);
  return type === 'datetime' ? parseInstant(value) : value;
}

function inFrame(facts: Facts, spec: FactSpec): unknown {
  const { path, type, absent } = spec;
  const parent = parentOf(path);
  const isMember = vocabulary.get(parent)?.type === 'list';
  if (type === 'object') {
    const own = standing(facts, path);
    return typeof own === 'object' ? true : own === 'none' ? false : undefined;
  }
  const around = standing(facts, isMember ? parentOf(parent) : parent);
  const isSet = type === 'set' || isMember;
  if (around === 'bad') return isSet ? UNKNOWN_SET : undefined;
  const said = saidAt(facts, isMember ? parent : path);
  if (typeof around === 'object' && !isMissing(said)) {
    if (isMember) return Array.isArray(said) ? membersOf(said, spec) : UNKNOWN_SET;
    if (type === 'list') return Array.isArray(said) ? said.length > 0 : undefined;
    return read(spec, said);
  }
  if (absent !== undefined && absent !== 'none') return read(spec, absent.counts_as);
  const isNone = absent === 'none' || around === 'none';
  return isNone ? (isSet ? NONE_SET : null) : isSet ? UNKNOWN_SET : undefined;
}

function membersOf(items: readonly unknown[], spec: FactSpec): unknown {
  const key = spec.path.slice(spec.path.lastIndexOf('.') + 1);
  const codes = items.map((item) => (isObject(item) ? item[key] : undefined));
  const known = codes.filter((code) => typeof code === 'string');
  return { items: [...new Set(known)], open: known.length < codes.length };
}

/** Sets that mean something by being themselves are named: a copy would not do. */
function named(value: unknown): unknown {
  if (value === EMPTY_SET) return 'the empty set';
  if (value === NONE_SET) return 'no set';
  return value === UNKNOWN_SET ? 'the unknown set' : value;
}

function expectLoaded(frame: readonly unknown[], facts: Facts): void {
  for (const [slot, spec] of specs.entries())
    expect(named(frame[slot]), `${spec.path} of ${JSON.stringify(facts)}`).toEqual(
      named(inFrame(facts, spec)),
    );
}

const SCALARS = [null, true, 7, 'care', '2026-01-02', '2026-01-01T10:00:00Z', {}, { x: 1 }];
const LISTS = [
  [],
  ['care'],
  ['care', 7],
  [{}],
  [{ place: 'RW' }, { place: 'RW' }, { place: 7 }, 7],
];
const WRONG: readonly unknown[] = [...SCALARS, ...LISTS];
const paths = [...new Set(specs.flatMap(({ path }) => [path, parentOf(path)]))];
const at = fc.constantFrom(...paths);
const changed = fc
  .tuple(fc.constantFrom(...CASES), fc.array(fc.tuple(at, fc.constantFrom(...WRONG))))
  .map(([base, changes]) =>
    changes.reduce<Facts>((sum, [path, value]) => withFact(sum, path, value), base),
  );

describe('A frame', () => {
  test.each(paths)('holds of %s what is said there, whatever that is', (path) => {
    for (const [i, value] of [...WRONG, undefined].entries())
      for (const base of [{}, CASES[i] ?? {}]) {
        const said = withFact(base, path, value);
        expectLoaded(vocabulary.load(said), said);
      }
  });

  test('holds each fact as it is said, or what its absence means', () => {
    expectLoaded(vocabulary.load({}), {});
    for (const each of CASES.slice(0, 300)) expectLoaded(vocabulary.load(each), each);
    fc.assert(fc.property(changed, (each) => expectLoaded(vocabulary.load(each), each)));
  });

  test('holds the same of facts in another order, and nothing of what is no fact', () => {
    const backwards = (value: unknown): unknown =>
      isObject(value)
        ? Object.fromEntries(
            [...Object.entries(value), ['unheard', 7]]
              .map(([key, each]) => [key, backwards(each)])
              .toReversed(),
          )
        : value;
    fc.assert(
      fc.property(changed, (each) => {
        expectLoaded(vocabulary.load(backwards(each) as Facts), each);
        expectLoaded(vocabulary.load(each), each);
      }),
    );
  });

  test('is as wide as it is asked to be', () => {
    for (const more of [0, 3, 3, 1]) {
      const frame = vocabulary.load({}, specs.length + more);
      expect(frame).toHaveLength(specs.length + more);
      frame.fill(true);
      expectLoaded(vocabulary.load({}, specs.length + more), {});
    }
  });

  test('takes another value of one fact as if it had been said so', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CASES), at, fc.constantFrom(...WRONG), (base, path, value) => {
        const whole = vocabulary.get(parentOf(path))?.type === 'list' ? parentOf(path) : path;
        const around = parentOf(whole);
        if (around !== '' && !isObject(factAt(base, around))) return;
        const frame = vocabulary.load(base);
        vocabulary.put(frame, whole, value);
        expectLoaded(frame, withFact(base, whole, value));
        vocabulary.put(frame, 'request.unheard.of', value);
        expectLoaded(frame, withFact(base, whole, value));
      }),
    );
  });

  test('comes with the values as they are said, or says that they are elsewhere', () => {
    fc.assert(
      fc.property(changed, (each) => {
        const given: unknown[] = [];
        vocabulary.load(each, specs.length, given);
        for (const [slot, { path, type }] of specs.entries()) {
          const parent = parentOf(path);
          const isMember = vocabulary.get(parent)?.type === 'list';
          const isInList = isMember && !isMissing(factAt(each, parent));
          const object = type === 'object' ? path : isMember ? parentOf(parent) : parent;
          const isElsewhere = isInList || standing(each, object) === 'bad';
          if (isElsewhere) expect(given[slot], path).toBe(ELSEWHERE);
          else expect(given[slot] ?? null, path).toBe(factAt(each, path) ?? null);
        }
      }),
    );
  });
});

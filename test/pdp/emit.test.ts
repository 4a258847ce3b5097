import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { compileCondition } from '../../src/pdp/compile.ts';
import { type Condition, parseCondition } from '../../src/pdp/condition.ts';
import { Emitter } from '../../src/pdp/emit-condition.ts';
import { tracerOf } from '../../src/pdp/emit.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { type Extension, loadFacts, scopeOf } from '../../src/pdp/program.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { CASES, KINDS, leaf, small, tree } from './conditions.ts';
import { policyDocument, ruleOf } from './support.ts';
import { inParts } from './vectors.ts';

const scope = scopeOf(small);
const frames = CASES.slice(0, 300);

test.each([
  ['by itself', leaf],
  ['joined with others', tree],
])('a condition %s is emitted as what it says, in a rule that repeats it', (_, conditions) => {
  fc.assert(
    fc.property(conditions, fc.nat(frames.length - 1), (condition, from) => {
      const source = sourceOf(condition);
      const rule = ruleOf('EMITTED', {
        applies: source,
        holds: { not: source },
        otherwise: [{ when: { or: [source, false] }, effect: 'review' }, { effect: 'deny' }],
      });
      const text = JSON.stringify(policyDocument([rule], { policy: 'emitted' }));
      const made = buildExtension(small, { file: 'x', text });
      fc.pre(made.ok);
      const { part } = made.value;
      const [compiled] = part.rules;
      const says = compileCondition(condition, scope, []);
      for (const facts of frames.slice(from, from + 20)) {
        // What the rules referred to say stands in the frame of the program that has them.
        const frame = loadFacts(part, facts);
        evaluate(small, frame);
        const truth = says(frame);
        const { review, deny } = evaluate(part, frame);
        expect(frame[compiled?.appliesSlot ?? -1], JSON.stringify([source, facts])).toBe(truth);
        expect([review.length, deny.length]).toEqual(
          truth === 0 ? [0, 0] : truth === 1 ? [1, 0] : [1, 0],
        );
      }
    }),
    { numRuns: 1500 },
  );
});

/** A document of rules that hold where a condition does, and ask for its contrary if it does not. */
function rulesOf(conditions: readonly Condition[]): Extension['part'] | undefined {
  const rules = conditions.map((condition, i) =>
    ruleOf(`EMITTED-${i}`, {
      holds: sourceOf(condition),
      otherwise: [{ when: { not: sourceOf(condition) }, effect: 'deny' }, { effect: 'review' }],
    }),
  );
  const text = JSON.stringify(policyDocument(rules, { policy: 'emitted' }));
  const made = buildExtension(small, { file: 'x', text });
  return made.ok ? made.value.part : undefined;
}

/** Those that a document may say: unlike a condition by itself it is held to what a union unites. */
function accepted(conditions: readonly Condition[]): readonly Condition[] {
  if (conditions.length === 0 || rulesOf(conditions)) return conditions;
  if (conditions.length === 1) return [];
  const middle = Math.ceil(conditions.length / 2);
  return [...accepted(conditions.slice(0, middle)), ...accepted(conditions.slice(middle))];
}

const parts = KINDS.flatMap(([name, all]) =>
  inParts(all, 250).map(([at, part]) => [name, at, part] as const),
);

test.each(parts)('each kind of %s is emitted as what it says, from %i on', (_, __, every) => {
  const conditions = accepted(every);
  const part = rulesOf(conditions);
  if (!part) throw new Error('refused');
  const tests = conditions.map((condition) => compileCondition(condition, scope, []));
  for (const facts of frames.slice(0, 25)) {
    const frame = loadFacts(part, facts);
    const { review, deny } = evaluate(part, frame);
    const truths = tests.map((says) => says(frame));
    const named = (truth: number): string[] =>
      truths.flatMap((each, i) => (each === truth ? [`EMITTED-${i}`] : []));
    expect(deny).toEqual(named(0));
    expect(review).toEqual(named(1));
  }
});

describe('What is emitted', () => {
  const emitted = (...sources: readonly unknown[]) => {
    const conditions = sources.map((source) => parseCondition(source, []));
    const emitter = new Emitter(scope, conditions);
    return conditions.map((condition) => emitter.condition(condition));
  };
  const long = Array.from({ length: 9 }, (_, i) => `code-${i}`);
  const kinds = { fact: 'request.purpose', isA: 'care' };
  const among = (codes: readonly string[]): object => ({ fact: 'request.purpose', isAnyOf: codes });

  test('computes a leaf that stands more than once before everything else, and no other', () => {
    expect(emitted(kinds, 'request.yes', { not: { or: [kinds, kinds] } })).toEqual([
      's0',
      expect.stringMatching(/^\(\(v = f\[\d+\]\)/),
      expect.stringMatching(/^[^vf]*s0[^vf]*s0[^vf]*$/),
    ]);
    expect(emitted(among(long.slice(1)), among(long.slice(1)))).toEqual(['s0', 's0']);
  });

  test('holds a list of many codes once, and looks its members up', () => {
    const lists = emitted(among(long), among(long));
    for (const text of lists) expect(text).toMatch(/^element\(f\[\d+\], k\d+\)$/);
    expect(emitted(among(long.slice(1)))[0]).toMatch(/^(?!element)/);
    expect(emitted(among([]))[0]).toMatch(/^element/);
  });

  test('calls closures for hierarchies, ranks and the presence of a set alone', () => {
    const isCalled = (source: unknown): boolean => /k\d+\(f\)/.test(emitted(source)[0] ?? '');
    for (const source of [
      kinds,
      { fact: 'request.purpose', overlaps: 'care' },
      { fact: 'request.asked', lt: 'high' },
      { exists: 'request.words' },
      { fact: 'request.purpose', isAnyOf: { fact: 'request.other' } },
    ])
      expect(isCalled(source), JSON.stringify(source)).toBe(true);
    for (const source of [
      ...['eq', 'neq', 'lt', 'lteq', 'gt', 'gteq'].map((each) => ({
        fact: 'request.count',
        [each]: 2,
      })),
      ...['isAnyOf', 'isNoneOf', 'isPartOf', 'isAllOf', 'hasPart'].map((each) => ({
        fact: 'request.codes',
        [each]: ['care', 'trade'],
      })),
      { exists: 'request.paper' },
      { nonempty: 'request.words' },
      { fact: 'request.purpose', isAnyOf: { fact: 'request.words' } },
    ])
      expect(isCalled(source), JSON.stringify(source)).toBe(false);
  });

  test('holds nothing of a document but numbers and names of its own', () => {
    const texts = emitted(...KINDS.flatMap(([, all]) => all).map(sourceOf));
    for (const text of texts) expect(text).toMatch(/^[\w\s()[\].=!<>?:|&,+-]*$/);
    expect(texts.join('')).not.toMatch(/care|RW|low|request|dataset/);
  });

  test('passes a constant once', () => {
    const emitter = new Emitter(scope, []);
    expect(['care', 'trade', 'care', 5].map((each) => emitter.constant(each))).toEqual([
      'k0',
      'k1',
      'k0',
      'k2',
    ]);
    const run = emitter.make('f', 'return [k0, k1, k2];') as (frame: unknown) => unknown;
    expect(run([])).toEqual(['care', 'trade', 5]);
  });

  test('leaves nothing behind in the world around it', () => {
    const left = (): string[] => Object.keys(globalThis).filter((key) => /^[a-z]\d*$/.test(key));
    for (const key of left()) Reflect.deleteProperty(globalThis, key);
    const nested = {
      xone: ['request.yes', { and: ['request.no', kinds] }, { or: [kinds, 'sure'] }],
    };
    const part = rulesOf([parseCondition(nested, [])]);
    for (const facts of frames) if (part) evaluate(part, loadFacts(part, facts));
    expect(left()).toEqual([]);
  });

  test('is traced for runners of rules alone, once', () => {
    const [runner] = rulesOf([parseCondition(kinds, [])])?.runners ?? [];
    if (!runner) throw new Error('no runner');
    expect(tracerOf(runner)).toBe(tracerOf(runner));
    expect(() => tracerOf(() => undefined)).toThrow('no runner of emitRules');
  });
});

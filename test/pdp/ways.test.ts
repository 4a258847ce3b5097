/** The ways out of conditions of every shape, by remedies of every kind: those of `vectors/`. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Built } from '../../src/pdp/build.ts';
import { evaluate } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { loadFacts, type Program } from '../../src/pdp/program.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { build, policyDocument, ruleOf, smallPack, withFact } from './support.ts';
import { inParts, vectorsOf } from './vectors.ts';

const title = { en: 'Title' };
const fact = (type: string, more: object = {}): object => ({
  type,
  source: 'request',
  title,
  basis: 'test',
  ...more,
});
const by = (to: string, more: object = {}): object => ({ to, sentence: { en: 'Do it.' }, ...more });
const values = ['x', 'y', 'z'];
const flag = (more: object = {}): object =>
  fact('boolean', { remedies: [by('value', { values: [true, false], ...more })] });
const { facts: others } = smallPack() as { facts: Record<string, object> };

/** Facts that may be changed in every way that there is, some only where another says so. */
const PACK = smallPack({
  facts: {
    ...others,
    'request.a': flag(),
    'request.b': flag({ loss: 2 }),
    'request.c': flag({ by: 'authority' }),
    'request.d': flag({ when: 'request.a' }),
    'request.kind': fact('enum', {
      values,
      ranks: { x: 0, y: 1, z: 2 },
      remedies: [by('value', { values })],
    }),
    'request.said': fact('enum', { values, remedies: [by('state')] }),
    'request.agreed': fact('boolean', { remedies: [by('state')] }),
    'request.count': fact('integer', { minimum: 1, maximum: 5, remedies: [by('reach')] }),
    'request.until': fact('date', {
      absent: 'none',
      remedies: [by('reach', { cover: 'request.from' })],
    }),
    'request.place': fact('country', { remedies: [by('home')] }),
    'request.places': fact('set', { of: 'country', remedies: [by('remove'), by('home')] }),
    'request.people.place': fact('country', { remedies: [by('remove'), by('home')] }),
    'request.codes': fact('set', { of: 'code', remedies: [by('add', { values: ['p', 'q'] })] }),
    'request.words': fact('set', {
      of: 'code',
      absent: 'none',
      remedies: [by('add'), by('remove')],
    }),
    'request.paper': fact('object', { absent: 'none', remedies: [by('obtain')] }),
    'request.paper.until': fact('date', { remedies: [by('reach')] }),
    'request.paper.kinds': fact('set', { of: 'code', remedies: [by('add')] }),
    'request.paper.ok': fact('boolean', { remedies: [by('value', { values: [true] })] }),
  },
});

const from = (...of: readonly unknown[]): fc.Arbitrary<unknown> => fc.constantFrom(...of);
const some = (of: unknown, operators: readonly string[], right: fc.Arbitrary<unknown>) =>
  fc.tuple(fc.constantFrom(...operators), right).map(([is, to]) => ({ fact: of, [is]: to }));
const ORDERS = ['lt', 'lteq', 'gt', 'gteq', 'eq', 'neq'];
const OF_SETS = ['isAnyOf', 'isNoneOf', 'isAllOf', 'isPartOf', 'hasPart'];
const codes = from('p', ['q'], ['p', 'q'], ['r'], { fact: 'request.words' });
const places = from(['RW'], ['JP'], ['JP', 'KE']);
const days = from('2026-10-20', '2026-10-15', { fact: 'request.from' }, { fact: 'today' });
const flags = from('request.a', 'request.b', 'request.c', 'request.d', 'request.agreed', 'sure');
const leaf = fc.oneof(
  flags,
  flags.map((not) => ({ not })),
  some('request.a', ['eq', 'neq'], from(true, { fact: 'request.b' }, { fact: 'sure' })),
  some('sure', ['eq', 'neq'], fc.boolean()),
  some('request.kind', ORDERS, from('y', 'x', { fact: 'request.asked' })),
  some('request.said', ['eq', 'isAnyOf'], from('x', 'y')),
  some('request.count', ORDERS, from(1, 3, 5, 6)),
  some('request.until', ORDERS, days),
  some('request.place', ['eq', 'neq', 'isPartOf'], from('RW', 'KE')),
  some('request.places', OF_SETS, places),
  some('request.people.place', OF_SETS, places),
  some('request.places', ['isPartOf'], from('EAC')),
  some('abroad', ['isNoneOf', 'isPartOf'], places),
  some('request.codes', OF_SETS, codes),
  some('request.words', OF_SETS, codes),
  from({ nonempty: 'abroad' }, { nonempty: 'request.words' }, { nonempty: 'request.codes' }),
  from({ exists: 'request.paper' }, 'request.paper.ok', { not: { exists: 'request.paper' } }),
  some('request.paper.until', ['gteq', 'lteq'], days),
  some('request.paper.kinds', ['hasPart', 'isAllOf'], codes),
  from({ applies: 'FIRST' }, { holds: 'FIRST' }, { not: { holds: 'FIRST' } }),
  fc.boolean(),
);
const tree = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    leaf,
    fc
      .tuple(
        fc.constantFrom('and', 'or', 'xone'),
        fc.array(tie('node'), { minLength: 1, maxLength: 3 }),
      )
      .map(([kind, of]) => ({ [kind]: of })),
    tie('node').map((not) => ({ not })),
  ),
})).node;
const outcomes = fc.oneof(
  fc.constantFrom<unknown>('deny', 'deny', 'review', 'permit'),
  fc
    .tuple(tree, fc.constantFrom('review', 'permit', 'deny'))
    .map(([when, effect]) => [{ when, effect }, { effect: 'deny' }]),
);
const rule = fc.record(
  { applies: tree, holds: tree, then: fc.constantFrom('permit', 'review'), otherwise: outcomes },
  { requiredKeys: ['holds', 'otherwise'] },
);
const asked = fc.record({
  rules: fc.array(rule, { minLength: 1, maxLength: 3 }),
  permits: fc.option(leaf, { nil: true }),
  request: fc.record(
    {
      yes: fc.boolean(),
      no: fc.boolean(),
      a: fc.boolean(),
      b: fc.boolean(),
      c: fc.boolean(),
      d: fc.boolean(),
      kind: from(...values),
      asked: from('low', 'high'),
      said: from(...values),
      agreed: fc.boolean(),
      count: from(1, 3, 4),
      from: from('2026-10-16', '2026-12-01'),
      until: from('2026-10-14', '2026-10-15', '2026-11-01'),
      place: from('JP', 'RW'),
      places: from(['RW'], ['JP', 'RW'], ['JP'], ['KE', 'JP'], []),
      people: from([], [{ place: 'JP' }], [{ place: 'JP' }, { place: 'RW' }, {}]),
      codes: from([], ['p'], ['r']),
      words: from([], ['p'], ['p', 'r']),
      paper: from({}, { until: '2026-10-01', kinds: ['q'], ok: false }, { kinds: [], ok: true }),
    },
    { requiredKeys: [] },
  ),
  combining: fc.constantFrom('deny_first', 'deny_first', 'review_first'),
});
type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never;

function program({ rules, permits, combining }: Asked): Built<Program> {
  return build(
    { ...PACK, combining },
    policyDocument([
      ruleOf('FIRST', { applies: 'request.a', holds: 'request.b', otherwise: 'review' }),
      ...rules.map((parts, i) => ruleOf(`RULE-${i}`, parts)),
      ruleOf('PERMIT', { applies: permits, outcome: 'permit' }),
    ]),
  );
}

function programOf(each: Asked): Program {
  const result = program(each);
  if (result.ok) return result.value;
  throw new Error(JSON.stringify(result.problems));
}

const factsOf = ({ request }: Asked): Facts => ({
  request: { as_of: '2026-10-15T10:00:00Z', ...request },
});

const found = vectorsOf(
  'ways',
  () =>
    fc.sample(
      asked.filter((each) => program(each).ok),
      { numRuns: 160, seed: 5 },
    ),
  (each) =>
    remedies(programOf(each), factsOf(each)).map(({ effect, changes }) => [
      effect,
      ...changes.map(({ fact: path, to, one_of }) => [path, to, ...(one_of ? [one_of] : [])]),
    ]),
);

test.each(inParts(found, 12))('out of conditions are found as before, from %i on', (_, part) => {
  for (const { asked: each, answer } of part) {
    const of = programOf(each);
    const facts = factsOf(each);
    const all = remedies(of, facts);
    const short = all.map(({ effect, changes }) => [
      effect,
      ...changes.map(({ fact: path, to, one_of }) => [path, to, ...(one_of ? [one_of] : [])]),
    ]);
    expect(JSON.parse(JSON.stringify(short)), JSON.stringify(each)).toEqual(answer);
    for (const { effect, changes } of all) {
      const after = changes.reduce((at, { fact: path, to }) => withFact(at, path, to), facts);
      expect(evaluate(of, loadFacts(of, after)).effect).toBe(effect);
    }
  }
});

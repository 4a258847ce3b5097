import { expect, test } from 'vitest';
import { parseDate } from '../../src/pdp/calendar.ts';
import { COUNTED, EMPTY, NONE, STATED, UNSTATED } from '../../src/pdp/demand.ts';
import { type Shape, shapesOf, waysIn } from '../../src/pdp/shapes.ts';
import { vocabulary } from './conditions.ts';
import { built, policyDocument, ruleOf } from './support.ts';

const { facts } = vocabulary as { facts: Readonly<Record<string, object>> };
const fact = (type: string): object => ({
  type,
  source: 'request',
  title: { en: 'x' },
  basis: 'test',
});
const pack = {
  ...vocabulary,
  facts: {
    ...facts,
    'request.note': fact('text'),
    'request.people.name': fact('text'),
    'request.people.level': { ...fact('enum'), values: ['low', 'high'] },
    'request.people.age': fact('integer'),
    'request.other.by': fact('country'),
  },
};
const permit = (id: string): object => ruleOf(id, { outcome: 'permit' });
const program = built(
  pack,
  policyDocument([permit('ONE')]),
  policyDocument([permit('TWO')], { policy: 'later', in_force: { from: '2026-07-01' } }),
  policyDocument([permit('THREE')], { policy: 'earlier', in_force: { from: '2025-07-01' } }),
);
const shapes = shapesOf(program);

const WORDS = new Map([
  [STATED, 'stated'],
  [NONE, 'none'],
  [UNSTATED, 'unstated'],
  [COUNTED, 'counted'],
  [EMPTY, 'empty'],
]);
const words = (mask: number): string =>
  [...WORDS].flatMap(([way, word]) => (mask & way ? [word] : [])).join(' ');

function line(shape: Shape): string {
  const { fact: name, kind, parent, isMember, mask } = shape;
  const inside = parent ? ` in ${parent.fact}${isMember ? ', a member' : ''}` : '';
  return `${name}: ${kind}${inside}: ${words(mask)}`;
}

test('what explicit facts can say of each fact', () => {
  expect([...shapes.of.values()].map(line)).toEqual([
    'request.as_of: number: stated unstated',
    'request.yes: code: stated unstated',
    'request.no: code: stated none',
    'request.count: number: stated unstated',
    'request.limit: number: stated none',
    'request.share: number: stated counted',
    'request.from: number: stated unstated',
    'request.until: number: stated none',
    'request.purpose: code: stated unstated',
    'request.other: code: stated none',
    'request.asked: code: stated unstated',
    'dataset.allowed: code: stated counted',
    'request.codes: set: stated unstated',
    'request.words: set: stated none',
    'request.kinds: set: stated counted',
    'request.place: code: stated unstated',
    'request.places: set: stated unstated',
    'request.people: list: stated unstated empty',
    'request.people.place: set in request.people, a member: stated unstated',
    'request.people.purpose: set in request.people, a member: stated unstated',
    'request.paper: object: stated none',
    'request.paper.until: number in request.paper: stated none unstated',
    'request.paper.purposes: set in request.paper: stated none unstated',
    'request.paper.copy: object in request.paper: stated none',
    'request.paper.copy.sealed: code in request.paper.copy: stated counted',
    'request.paper.readers: list in request.paper: stated none unstated empty',
    'request.paper.readers.place: set in request.paper.readers, a member: stated none unstated',
    'request.paper.pages: number in request.paper: stated counted',
    'request.thing: object: stated unstated',
    'request.thing.flag: code in request.thing: stated none',
    'request.consent: object: stated',
    'request.consent.covered: code in request.consent: stated unstated',
    'request.consent.codes: set in request.consent: stated unstated',
    'request.note: code: stated unstated',
    'request.people.name: set in request.people, a member: stated unstated',
    'request.people.level: set in request.people, a member: stated unstated',
    'request.people.age: set in request.people, a member: stated unstated',
    'request.other.by: code: stated unstated',
  ]);
});

test('how a fact can stand for each way in which what it is in stands', () => {
  const inner = [...shapes.of.values()].filter(({ parent }) => parent !== undefined);
  const table = inner.map((shape) => {
    const ways = [...WORDS]
      .filter(([way]) => (shape.parent?.mask ?? 0) & way)
      .map(([way, word]) => `${word}: ${words(waysIn(shape, way))}`);
    return `${shape.fact}: ${ways.join('; ')}`;
  });
  expect(table).toEqual([
    'request.people.place: stated: stated unstated; unstated: unstated; empty: stated',
    'request.people.purpose: stated: stated unstated; unstated: unstated; empty: stated',
    'request.paper.until: stated: stated unstated; none: none',
    'request.paper.purposes: stated: stated unstated; none: none',
    'request.paper.copy: stated: stated none; none: none',
    'request.paper.copy.sealed: stated: stated counted; none: counted',
    'request.paper.readers: stated: stated unstated empty; none: none',
    'request.paper.readers.place: stated: stated unstated; none: none; unstated: unstated; empty: stated',
    'request.paper.pages: stated: stated counted; none: counted',
    'request.thing.flag: stated: stated none; unstated: none',
    'request.consent.covered: stated: stated unstated',
    'request.consent.codes: stated: stated unstated',
    'request.people.name: stated: stated unstated; unstated: unstated; empty: stated',
    'request.people.level: stated: stated unstated; unstated: unstated; empty: stated',
    'request.people.age: stated: unstated; unstated: unstated; empty: stated',
  ]);
});

test('each knows what is in it, and dates are put near the latest policy', () => {
  for (const shape of shapes.of.values())
    expect(shape.children).toEqual(
      [...shapes.of.values()].filter(({ parent }) => parent === shape),
    );
  expect(shapes.day).toBe(parseDate('2026-07-01'));
  expect(shapes.home).toBe('RW');
  expect(shapesOf(program)).toBe(shapes);
});

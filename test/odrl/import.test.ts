/** What ODRL policies mean, and what is refused. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { importOdrl } from '../../src/odrl/import.ts';
import { parsePolicy } from '../../src/pdp/document.ts';
import { packs } from '../pdp/packs.ts';
import { ask, importSpace, odrlText, type Question, spaceOf } from './support.ts';

const EX = 'http://example.org/';
const set = (parts: object): object => ({ '@type': 'Set', uid: `${EX}policy`, ...parts });
const target = `${EX}data`;
const asked = (more: Question = {}): Question => ({ resource: { id: target }, ...more });
const constraint = (leftOperand: string, operator: string, rightOperand: unknown): object => ({
  leftOperand,
  operator,
  rightOperand,
});
const permission = (parts: object): object =>
  set({ permission: [{ target, action: 'use', ...parts }] });
const typed = (value: string, type: string): object => ({
  '@value': value,
  '@type': `xsd:${type}`,
});
const effects = async (policy: object, ...questions: Question[]): Promise<string[]> => {
  const space = await spaceOf(odrlText(policy));
  return questions.map((question) => ask(space, question).effect);
};
const inContext = (context: object): Question => asked({ context });

describe('a policy means', () => {
  test('that what it does not permit is denied, and that a prohibition wins', async () => {
    const policy = set({
      permission: [{ target, action: 'use' }],
      prohibition: [{ target, action: 'print' }],
    });
    expect(
      await effects(
        policy,
        asked({ action: { name: 'read' } }),
        asked({ action: { name: 'print' } }),
        asked({ action: { name: 'sell' } }),
        { resource: { id: `${EX}other` } },
      ),
    ).toEqual(['permit', 'deny', 'deny', 'deny']);
  });

  test('by an instant with its time zone, and by a day of the country', async () => {
    const before = (value: object): object =>
      permission({ constraint: [constraint('dateTime', 'lt', value)] });
    const at = (as_of: string): Question => asked({ as_of });
    expect(
      await effects(
        before(typed('2026-06-01T00:00:00+09:00', 'dateTime')),
        at('2026-05-31T14:59:59Z'),
        at('2026-05-31T15:00:00Z'),
      ),
    ).toEqual(['permit', 'deny']);
    expect(
      await effects(
        before(typed('2026-06-01', 'date')),
        at('2026-05-31T21:59:59Z'),
        at('2026-05-31T22:00:00Z'),
      ),
    ).toEqual(['permit', 'deny']);
  });

  test('by what is unknown, nothing: a person is asked', async () => {
    const purpose = { constraint: [constraint('purpose', 'eq', { '@id': `${EX}research` })] };
    expect(await effects(permission(purpose), asked())).toEqual(['review']);
    const prohibited = set({
      permission: [{ target, action: 'use' }],
      prohibition: [{ target, action: 'use', ...purpose }],
    });
    expect(await effects(prohibited, asked())).toEqual(['review']);
  });

  test('by hierarchies of actions, purposes, parties, assets and places', async () => {
    const policy = {
      '@context': ['http://www.w3.org/ns/odrl.jsonld', { ex: EX }],
      '@graph': [
        {
          ...set({}),
          permission: [
            {
              target: { '@id': 'ex:collection', '@type': 'AssetCollection' },
              assignee: { '@id': 'ex:team', '@type': 'PartyCollection' },
              action: 'ex:share',
              constraint: [
                constraint('purpose', 'isA', { '@id': 'ex:health' }),
                constraint('spatial', 'isPartOf', { '@id': 'ex:East' }),
              ],
            },
          ],
        },
        { '@id': 'ex:lend', '@type': 'Action', includedIn: 'ex:share' },
        { '@id': 'ex:alice', partOf: 'ex:team' },
        { '@id': target, partOf: 'ex:collection' },
        { '@id': 'ex:malaria', 'skos:broader': { '@id': 'ex:health' } },
        { '@id': 'ex:East', 'skos:narrower': { '@id': 'https://w3id.org/dpv/loc#KE' } },
      ],
    };
    const space = await spaceOf(JSON.stringify(policy));
    const question = {
      subject: { id: `${EX}alice` },
      action: { name: `${EX}lend`, properties: { purpose: `${EX}malaria` } },
      resource: { id: target },
      context: { spatial: 'KE' },
    };
    expect(ask(space, question).effect).toBe('permit');
    for (const other of [
      { subject: { id: `${EX}bob` } },
      { subject: { id: `${EX}bob`, properties: { part_of: [`${EX}team`] } } },
      { action: { ...question.action, name: 'use' } },
      { action: { ...question.action, properties: { purpose: `${EX}else` } } },
      { resource: { id: `${EX}other` } },
      { context: { spatial: 'JP' } },
    ])
      expect([other, ask(space, { ...question, ...other }).effect]).toEqual([
        other,
        JSON.stringify(other).includes('part_of') ? 'permit' : 'deny',
      ]);
  });

  test("by a decision point's own names for actions and things, where they are bound", async () => {
    const space = await spaceOf(odrlText(permission({ action: 'use' })), 'jsonld', {
      'http://www.w3.org/ns/odrl/2/read': 'can_read',
      [target]: 'record-1',
    });
    const named = (name: string): Question => ({ action: { name }, resource: { id: 'record-1' } });
    expect(['can_read', 'print', 'read'].map((name) => ask(space, named(name)).effect)).toEqual([
      'permit',
      'permit',
      'deny',
    ]);
  });

  test('by refinements of the action, the assignee and the target', async () => {
    const policy = set({
      permission: [
        {
          target: {
            '@type': 'AssetCollection',
            source: target,
            refinement: [constraint('http://example.org/rows', 'lteq', typed('100', 'integer'))],
          },
          assignee: {
            '@type': 'PartyCollection',
            refinement: [constraint('http://example.org/age', 'gteq', typed('18', 'integer'))],
          },
          action: [
            {
              'rdf:value': { '@id': 'odrl:print' },
              refinement: [constraint('resolution', 'lteq', typed('1200', 'integer'))],
            },
            'odrl:read',
          ],
        },
      ],
    });
    const question = (name: string, age: number, rows: number, resolution: number): Question => ({
      subject: { properties: { age } },
      action: { name, properties: { resolution } },
      resource: { id: target, properties: { rows } },
    });
    expect(
      await effects(
        policy,
        question('print', 18, 100, 1200),
        question('print', 18, 100, 1201),
        question('read', 18, 100, 1201),
        question('read', 17, 100, 1),
        question('read', 18, 101, 1),
      ),
    ).toEqual(['permit', 'deny', 'permit', 'deny', 'deny']);
  });

  test('by and, or, xone, and every operator on several values', async () => {
    const number = (operator: string, value: number): object =>
      constraint('count', operator, typed(String(value), 'integer'));
    const logical = (parts: object): object => permission({ constraint: [parts] });
    const counts = [0, 1, 2, 3].map((count) => inContext({ count }));
    expect(await effects(logical({ and: [number('gt', 0), number('lt', 3)] }), ...counts)).toEqual([
      'deny',
      'permit',
      'permit',
      'deny',
    ]);
    expect(
      await effects(logical({ or: { '@list': [number('eq', 0), number('gteq', 3)] } }), ...counts),
    ).toEqual(['permit', 'deny', 'deny', 'permit']);
    expect(
      await effects(logical({ xone: [number('lteq', 1), number('neq', 1)] }), ...counts),
    ).toEqual(['deny', 'permit', 'permit', 'permit']);
    const media = (operator: string): object =>
      permission({ constraint: [constraint('media', operator, { '@list': ['a', 'b'] })] });
    const ofMedia = ['a', 'c'].map((each) => inContext({ media: each }));
    expect(await effects(media('isAnyOf'), ...ofMedia)).toEqual(['permit', 'deny']);
    expect(await effects(media('isNoneOf'), ...ofMedia)).toEqual(['deny', 'permit']);
    const several = [['a', 'b', 'c'], ['a']].map((each) => inContext({ media: each }));
    expect(await effects(media('isAllOf'), ...several)).toEqual(['permit', 'deny']);
    const part = permission({ constraint: [constraint('media', 'hasPart', 'a')] });
    expect(await effects(part, ...several, inContext({ media: [] }))).toEqual([
      'permit',
      'permit',
      'deny',
    ]);
  });

  test('by one operand against another', async () => {
    const policy = permission({
      constraint: [
        {
          leftOperand: `${EX}owner`,
          operator: 'eq',
          rightOperandReference: `${EX}requester`,
        },
      ],
    });
    expect(
      await effects(
        policy,
        inContext({ owner: 'a', requester: 'a' }),
        inContext({ owner: 'a', requester: 'b' }),
      ),
    ).toEqual(['permit', 'deny']);
  });

  test('in a compact policy, what its rules share', async () => {
    const policy = {
      ...set({ target, action: 'read', assignee: 'http://example.org/alice' }),
      permission: [{ constraint: [constraint('media', 'eq', 'a')] }],
      obligation: [{ action: 'attribute', attributedParty: `${EX}moh` }],
    };
    const space = await spaceOf(odrlText(policy));
    const question: Question = {
      subject: { id: `${EX}alice` },
      action: { name: 'read' },
      resource: { id: target },
      context: { media: 'a' },
    };
    expect(ask(space, question)).toMatchObject({
      effect: 'permit',
      oblige: ['POLICY-O1'],
    });
    expect(ask(space, { ...question, subject: { id: 'bob' } }).effect).toBe('deny');
    const answer = await importSpace(odrlText(policy), 'jsonld');
    expect(answer.ok && answer.text).toContain('attributed party <http://example.org/moh>');
  });

  test('by units, which the request has to use, and by amounts that a duty names', async () => {
    const policy = permission({
      constraint: [
        { ...constraint('payAmount', 'lteq', typed('5.00', 'decimal')), unit: `${EX}Euro` },
      ],
      duty: [
        {
          compensatedParty: `${EX}moh`,
          action: {
            'rdf:value': { '@id': 'odrl:compensate' },
            refinement: [
              { ...constraint('payAmount', 'eq', typed('5.00', 'decimal')), unit: `${EX}Euro` },
            ],
          },
        },
      ],
    });
    const answer = await importSpace(odrlText(policy), 'jsonld');
    if (!answer.ok) throw new Error(JSON.stringify(answer.problems));
    expect(answer.attributes['context.payAmount']).toMatchObject({
      type: 'integer',
      title: { en: 'pay Amount (Euro)' },
    });
    expect(answer.text).toContain(
      'compensate (compensated party <http://example.org/moh>, pay amount eq 5.00 euro).',
    );
  });

  test('of a place with several places: each of them to be permitted, one of them to be prohibited', async () => {
    const [pack] = packs.map(({ program }) => program.pack);
    if (!pack) throw new Error('no pack');
    const spatial = {
      constraint: [constraint('spatial', 'eq', { '@id': 'https://w3id.org/dpv/loc#KE' })],
    };
    const policy = set({
      permission: [{ target: 'umt:datasets', action: 'use', ...spatial }],
      prohibition: [{ target: 'umt:datasets', action: 'use', ...spatial }],
    });
    const answer = await importOdrl(odrlText(policy), {
      format: 'jsonld',
      profile: 'national',
      pack,
      header: { in_force: { from: '2026-01-01' } },
    });
    if (!answer.ok) throw new Error(JSON.stringify(answer.problems));
    const parsed = parsePolicy('policy', answer.text);
    const rules = parsed.ok ? parsed.source.content.rules : [];
    expect(JSON.stringify(rules[0]?.applies)).toMatch(/"and".*isPartOf.*isPartOf.*isPartOf/);
    expect(JSON.stringify(rules[1]?.holds)).toMatch(/"not".*"or".*isAnyOf.*isAnyOf.*isAnyOf/);
  });
});

/** A constraint, in ODRL and as what it asks of a number and a word. */
interface Constrained {
  readonly odrl: object;
  readonly meets: (count: number, word: string) => boolean;
}
const OPERATORS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  neq: (a, b) => a !== b,
  lt: (a, b) => a < b,
  lteq: (a, b) => a <= b,
  gt: (a, b) => a > b,
  gteq: (a, b) => a >= b,
};
const COUNTS = [0, 1, 2];
const WORDS = ['a', 'b', 'c'];
const atoms: fc.Arbitrary<Constrained> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...Object.keys(OPERATORS)), fc.constantFrom(...COUNTS))
    .map(([operator, value]) => ({
      odrl: constraint('count', operator, typed(String(value), 'integer')),
      meets: (count: number) => OPERATORS[operator]?.(count, value) ?? false,
    })),
  fc
    .tuple(fc.constantFrom('isAnyOf', 'isNoneOf'), fc.subarray(WORDS, { minLength: 1 }))
    .map(([operator, list]) => ({
      odrl: constraint('media', operator, { '@list': list }),
      meets: (_: number, word: string) => list.includes(word) === (operator === 'isAnyOf'),
    })),
);
const trees: fc.Arbitrary<Constrained> = fc.letrec<{ node: Constrained }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    atoms,
    fc
      .tuple(
        fc.constantFrom('and', 'or', 'xone'),
        fc.array(tie('node'), { minLength: 1, maxLength: 3 }),
      )
      .map(([kind, of]) => ({
        odrl: { [kind]: { '@list': of.map((each) => each.odrl) } },
        meets: (count: number, word: string) => {
          const met = of.filter((each) => each.meets(count, word)).length;
          return kind === 'and' ? met === of.length : kind === 'or' ? met > 0 : met === 1;
        },
      })),
  ),
})).node;
const ruleList = fc.array(
  fc.record({
    action: fc.constantFrom('use', 'read', 'print', 'sell'),
    constraints: fc.array(trees, { maxLength: 2 }),
  }),
  { maxLength: 3 },
);

test('random policies answer as the formal semantics says: of all requests', async () => {
  await fc.assert(
    fc.asyncProperty(ruleList, ruleList, async (permissions, prohibitions) => {
      fc.pre(permissions.length + prohibitions.length > 0);
      const written = (rules: typeof permissions): object[] =>
        rules.map(({ action, constraints }) => ({
          target,
          action,
          constraint: constraints.map((each) => each.odrl),
        }));
      const space = await spaceOf(
        odrlText(set({ permission: written(permissions), prohibition: written(prohibitions) })),
      );
      const text = (name: string) => space.vocabulary.has(`context.${name}`);
      for (const name of ['use', 'read', 'print', 'sell'])
        for (const count of COUNTS)
          for (const media of WORDS) {
            const hits = (rules: typeof permissions): boolean =>
              rules.some(
                ({ action, constraints }) =>
                  (action === name || (action === 'use' && name !== 'sell')) &&
                  constraints.every(({ meets }) => meets(count, media)),
              );
            const context = { ...(text('count') && { count }), ...(text('media') && { media }) };
            const answer = ask(
              space,
              asked({
                action: { name },
                context: Object.keys(context).length > 0 ? context : undefined,
              } as Question),
            );
            const expected = hits(permissions) && !hits(prohibitions) ? 'permit' : 'deny';
            expect([name, count, media, answer.effect]).toEqual([name, count, media, expected]);
          }
    }),
    { numRuns: 60 },
  );
});

test('whatever is imported compiles, in the space that it asks for', async () => {
  const values = fc.constantFrom<unknown>(
    'word',
    'two words',
    true,
    5,
    0.5,
    typed('2026-01-01', 'date'),
    typed('2026-01-01T00:00:00Z', 'dateTime'),
    { '@id': `${EX}thing` },
    { '@id': `${EX}thing?x=1` },
    { '@id': 'https://w3id.org/dpv/loc#RW' },
    { '@list': ['a', 'b'] },
    { '@list': [typed('2026-01-01', 'date')] },
    { '@list': [1, 2] },
    { '@list': [] },
  );
  const constraints = fc.array(
    fc
      .tuple(
        fc.constantFrom('purpose', 'spatial', 'dateTime', 'count', 'media', `${EX}own`),
        fc.constantFrom(
          ...Object.keys(OPERATORS),
          'isA',
          'isPartOf',
          'hasPart',
          'isAnyOf',
          'isNoneOf',
          'isAllOf',
        ),
        values,
      )
      .map(([left, operator, right]) => constraint(left, operator, right)),
    { minLength: 1, maxLength: 2 },
  );
  let imported = 0;
  await fc.assert(
    fc.asyncProperty(constraints, constraints, async (allowed, forbidden) => {
      const text = odrlText(
        set({
          permission: [{ target, action: 'use', constraint: allowed }],
          prohibition: [{ target, action: 'use', constraint: forbidden }],
        }),
      );
      const answer = await importSpace(text, 'jsonld');
      if (!answer.ok) return;
      imported++;
      expect(ask(await spaceOf(text), asked()).effect).toMatch(/permit|deny|review/);
    }),
    { numRuns: 600 },
  );
  // About 70, give or take 8: most of what is put together by chance is refused.
  expect(imported).toBeGreaterThan(20);
});

describe('what has no meaning here is refused with the reason', () => {
  const duty = (parts: object): object => permission({ duty: [{ action: 'attribute', ...parts }] });
  const one = (leftOperand: string, operator: string, right: unknown): object =>
    permission({ constraint: [constraint(leftOperand, operator, right)] });
  const refused: Readonly<Record<string, readonly [object, RegExp]>> = {
    'an offer': [{ ...permission({}), '@type': 'Offer' }, /grants nothing until it is agreed/],
    'a request': [{ ...permission({}), '@type': 'Request' }, /asks for rights/],
    'an agreement with nobody': [{ ...permission({}), '@type': 'Agreement' }, /to whom it grants/],
    'nothing at all': [{ uid: `${EX}x`, '@type': 'Asset' }, /no ODRL policy/],
    'a policy without rules': [set({}), /at least one rule/],
    'two policies': [
      { '@graph': [permission({}), { ...permission({}), uid: `${EX}b` }] },
      /one at a time/,
    ],
    inheritance: [{ ...permission({}), inheritFrom: `${EX}b` }, /rules of another policy/],
    'an unknown profile': [
      { ...permission({}), profile: `${EX}profile` },
      /profile that is not known/,
    ],
    'permissions before prohibitions': [
      { ...permission({}), conflict: 'perm' },
      /prohibition always wins/,
    ],
    'a term that is none': [{ ...permission({}), colour: 'red' }, /a term that ODRL does not have/],
    'an action that is none': [permission({ action: 'flurb' }), /a term that ODRL does not have/],
    'a property of others': [permission({ 'http://example.org/x': 'y' }), /no meaning here/],
    'no target': [set({ permission: [{ action: 'use' }] }), /what it is about/],
    'no action': [set({ permission: [{ target }] }), /a rule has an action/],
    'a remedy': [
      set({ prohibition: [{ target, action: 'use', remedy: [{ action: 'delete' }] }] }),
      /a decision comes before/,
    ],
    'a consequence': [duty({ consequence: [{ action: 'delete' }] }), /a decision comes before/],
    'a duty with a deadline': [
      duty({ constraint: [constraint('dateTime', 'lt', typed('2027-01-01', 'date'))] }),
      /a deadline on a given day/,
    ],
    'how a duty is done of which a fact tells': [
      permission({
        duty: [
          {
            action: 'https://w3id.org/duodrl#ProvideEthicalApproval',
            informedParty: `${EX}moh`,
          },
        ],
      }),
      /nothing of how, when and to whom/,
    ],
    'another unit': [
      permission({
        constraint: ['Euro', 'Franc'].map((unit) => ({
          ...constraint('payAmount', 'lt', typed('5', 'integer')),
          unit: `${EX}${unit}`,
        })),
      }),
      /no unit is converted/,
    ],
    'an order of words': [one('media', 'lt', 'a'), /compares numbers and dates/],
    'kinds of numbers': [one('count', 'isA', typed('1', 'integer')), /compares words/],
    'a sequence': [
      permission({ constraint: [{ andSequence: { '@list': [constraint('count', 'eq', 'x')] } }] }),
      /one instant/,
    ],
    'what was done before': [one('elapsedTime', 'eq', typed('P30D', 'duration')), /done before/],
    'a duration': [one('count', 'eq', typed('P30D', 'duration')), /no values of the type/],
    'an operand that is none': [one('odrl:colour', 'eq', 'x'), /no left operand colour/],
    'an operator that is none': [one('count', 'odrl:like', 'x'), /no operator/],
    'a status': [
      permission({ constraint: [{ ...constraint('count', 'eq', 'x'), status: 'y' }] }),
      /state of the world/,
    ],
    'an instant without a zone': [
      one('dateTime', 'lt', typed('2026-01-01T00:00:00', 'dateTime')),
      /time zone/,
    ],
    'a day that there is not': [one('dateTime', 'lt', typed('2026-02-30', 'date')), /no date/],
    'a number that is none': [one('count', 'lt', typed('many', 'integer')), /no xsd:integer/],
    'no right operand': [
      permission({ constraint: [{ leftOperand: 'count', operator: 'eq' }] }),
      /has a right operand/,
    ],
    'two right operands': [one('count', 'eq', [1, 2]), /one right operand/],
    'types that do not agree': [
      permission({
        constraint: [
          constraint('count', 'eq', 'x'),
          constraint('count', 'eq', typed('1', 'integer')),
        ],
      }),
      /compared with a/,
    ],
    'two operands of one name': [
      permission({
        constraint: [
          constraint('http://a.example/x', 'eq', 'x'),
          constraint('http://b.example/x', 'eq', 'x'),
        ],
      }),
      /is .* already/,
    ],
    somebody: [permission({ assignee: { '@type': 'Party' } }), /nobody and nothing in particular/],
  };
  test.each(Object.entries(refused))('%s', async (_name, [policy, message]) => {
    const answer = await importSpace(odrlText(policy), 'jsonld');
    expect(answer.ok ? answer.text : answer.problems.map((each) => each.message).join()).toMatch(
      message,
    );
  });

  test('all that is refused is said at once, and where', async () => {
    const policy = set({
      permission: [
        { target, action: 'use', constraint: [constraint('odrl:x', 'eq', 1)] },
        { '@id': `${EX}second`, action: 'use' },
      ],
      prohibition: [{ '@id': `${EX}third`, target, action: 'use', remedy: [{ action: 'delete' }] }],
    });
    const answer = await importSpace(odrlText(policy), 'jsonld');
    expect(answer.ok ? [] : answer.problems.map(({ where }) => where)).toEqual([
      expect.stringMatching(/^_:.* odrl:leftOperand$/),
      `<${EX}second>`,
      `<${EX}third> odrl:remedy`,
    ]);
  });
});

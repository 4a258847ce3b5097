import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildExtension } from '../../src/pdp/build.ts';
import { boundTo, withExtensions } from '../../src/pdp/compose.ts';
import { evaluate, type Verdict } from '../../src/pdp/evaluate.ts';
import { type Facts, isObject } from '../../src/pdp/facts.ts';
import { loadFacts, type Program } from '../../src/pdp/program.ts';
import { type Remedy, type RemedyChange, remedies } from '../../src/pdp/remedies.ts';
import { packs } from './packs.ts';
import {
  build,
  built,
  cases,
  factAt,
  mutatedFacts,
  packFiles,
  policyDocument,
  program,
  ruleOf,
  smallPack,
  withFact,
} from './support.ts';

const RANK = { deny: 0, review: 1, permit: 2 } as const;

/** By way of explicit facts, as a caller would ask. */
function decide(facts: Facts, by: Program = program): Verdict {
  return evaluate(by, loadFacts(by, facts));
}

function changed(facts: Facts, changes: readonly RemedyChange[]): Facts {
  return changes.reduce((at, { fact, to }) => withFact(at, fact, to), facts);
}

function subsets<T>(items: readonly T[]): T[][] {
  return items.reduce<T[][]>((sets, item) => sets.flatMap((set) => [set, [...set, item]]), [[]]);
}

/** Everything that must be true of every remedy, whatever the facts and the policies. */
function expectSound(facts: Facts, found: readonly Remedy[], by: Program = program): void {
  const before = decide(facts, by);
  expect(found.length).toBeLessThanOrEqual(10);
  if (before.effect === 'permit') expect(found).toEqual([]);
  for (const remedy of found) {
    const after = changed(facts, remedy.changes);
    const { effect, deny, review, oblige } = decide(after, by);
    expect(RANK[effect]).toBeGreaterThan(RANK[before.effect]);
    expect(remedy).toMatchObject({ effect, remaining: review, obligations: oblige });
    const [was, is] = before.effect === 'deny' ? [before.deny, deny] : [before.review, review];
    expect(remedy.turns).toEqual(was.filter((rule) => !is.includes(rule)));
    for (const part of subsets(remedy.changes).slice(0, -1))
      expect(RANK[decide(changed(facts, part), by).effect]).toBeLessThan(RANK[effect]);
    for (const change of remedy.changes) expectControlled(facts, after, change, by);
  }
  expectBestFirst(found);
}

/** The pack says that the fact, and each member of it that changes, may change so. */
function expectControlled(
  facts: Facts,
  after: Facts,
  change: RemedyChange,
  { vocabulary }: Program,
): void {
  const { fact, from, to, sentence, one_of } = change;
  expect(factAt(facts, fact) ?? null).toEqual(from);
  expect(vocabulary.checkAt(fact, to)).toEqual([]);
  for (const value of one_of ?? []) expect(vocabulary.checkAt(fact, value)).toEqual([]);
  expect(Object.keys(sentence)).toContain('en');
  for (const text of Object.values(sentence)) expect(text).not.toMatch(/[{}]|undefined|null/);
  const spec = vocabulary.get(fact);
  if (spec?.type === 'object') {
    const [before, now] = [isObject(from) ? from : {}, isObject(to) ? to : {}];
    const keys = Object.keys({ ...before, ...now });
    const touched = keys.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
    for (const key of touched)
      expect(vocabulary.get(`${fact}.${key}`)?.remedies, `${fact}.${key}`).toBeDefined();
  }
  const marked =
    spec?.remedies ??
    vocabulary.specs.find(({ path, remedies: own }) => own && path.startsWith(`${fact}.`));
  expect(marked, fact).toBeDefined();
  for (const path of NEVER) expect(factAt(after, path), path).toEqual(factAt(facts, path));
}

/** What is a fact about the world, the people or the dataset, and no choice of whoever asks. */
const NEVER = [
  'dataset',
  'request.purpose',
  'request.sector',
  'request.as_of',
  'request.requester.name',
  'request.requester.country',
  'request.requester.legal_form',
  'request.poc.stage',
  'request.poc.max_subjects',
  'request.agreement.signatories',
];

function expectBestFirst(found: readonly Remedy[]): void {
  const others = ({ changes }: Remedy): number =>
    changes.filter(({ by }) => by !== 'requester').length;
  const keys = found.map((remedy) => [remedy.changes.length, -RANK[remedy.effect], others(remedy)]);
  expect(keys).toEqual(
    keys.toSorted((a, b) => a.map((each, i) => each - (b[i] ?? 0)).find(Boolean) ?? 0),
  );
}

function factsOf(id: string): Facts {
  const found = cases.find((each) => each.id === id);
  if (!found) throw new Error(`there is no case ${id}`);
  return found.facts;
}

/** Remedies in short: what changes, and into what. */
function short(found: readonly Remedy[]): string[] {
  return found.map(
    ({ effect, changes }) =>
      `${effect}: ${changes.map(({ sentence }) => sentence['en']).join(' ')}`,
  );
}

describe('A remedy', () => {
  test.each(cases)('of $id turns it, truly and with nothing to spare', ({ facts }) => {
    expectSound(facts, remedies(program, facts));
  });

  const others = packs.filter(({ name }) => name !== program.pack.pack);
  test.each(others)('by the pack $name turns each of its cases just so', (pack) => {
    for (const { facts } of pack.cases)
      expectSound(facts, remedies(pack.program, facts), pack.program);
  });

  test('of random facts turns them, truly and with nothing to spare', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => expectSound(facts, remedies(program, facts))),
      { numRuns: 400 },
    );
  });

  test('is the same each time, and leaves the facts as they are', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const before = structuredClone(facts);
        const found = remedies(program, facts);
        expect(remedies(program, facts)).toEqual(found);
        expect(facts).toEqual(before);
      }),
      { numRuns: 200 },
    );
  });

  test('of nothing at all asks for no work without end', () => {
    for (const facts of [{}, { request: {} }, { dataset: null, request: null }])
      expectSound(facts, remedies(program, facts));
  });

  test('is found for most of what is refused', () => {
    const refused = cases.filter(({ facts }) => decide(facts).effect !== 'permit');
    const helped = refused.filter(({ facts }) => remedies(program, facts).length > 0);
    expect(refused.length).toBeGreaterThan(200);
    expect(helped.length / refused.length).toBeGreaterThan(0.7);
  });
});

describe('The ways out', () => {
  test.each<[string, string[]]>([
    [
      'RW-S12b',
      [
        'permit: Do not look at the data from Japan. Give the data to nobody in Japan.',
        'permit: Name "authorisation of NCSA" as the ground of the transfer. Obtain an authorisation of NCSA for transfer and sharing abroad that covers Japan and is valid until 2027-10-14.',
      ],
    ],
    [
      'RW-S12c',
      [
        'permit: Do not look at the data from United States.',
        'permit: Obtain an authorisation of NCSA for transfer and sharing abroad that covers United States.',
      ],
    ],
    ['RW-S06', ['permit: Use an operator that is under the jurisdiction of Rwanda alone.']],
    [
      'RW-DPP-REG: none',
      ['permit: Obtain a registration with NCSA as controller that is valid until 2026-10-15.'],
    ],
    [
      'AGR-BIND: no agreement',
      [
        'permit: Sign an agreement that is binding, covers the sector "Health", covers the purpose "Planning of public health", is in force from 2026-10-15 and is in force until 2026-10-15.',
      ],
    ],
    [
      'RW-DPP-PROC: role not stated, no contract',
      [
        'permit: State the role; the answer turns if it is controller or joint controller.',
        'permit: Sign an agreement that includes a contract of the processor.',
      ],
    ],
    [
      'SOV-KT: share too small',
      [
        'permit: Commit to a transfer of knowledge that has a share of local engineers of 0.5, and have the authority record it.',
      ],
    ],
  ])('of %s are listed', (id, expected) => {
    expect(short(remedies(program, factsOf(id)))).toEqual(expected);
  });

  test.each<[string, string]>([
    ['RW-S06b', 'Store the data in Rwanda only. Process the data in Rwanda only.'],
    ['RW-S08c', 'Do not look at the data from Japan.'],
    ['RW-S08c', 'covers Japan and is valid until 2027-10-31.'],
    ['SOV-WEIGHTS: partner for state', 'Leave the weights in the custody of the Rwandan state.'],
    ['SOV-WEIGHTS: partner for escrow', 'Put the weights in joint escrow.'],
    ['RW-DPP-DPIA: weights', 'Carry out a data protection impact assessment'],
    ['RW-RES-ETHICS: no approval', 'Obtain an ethics approval that is valid until 2026-10-15.'],
    ['RW-DPP-XFER-WEIGHTS: failed', 'Have the output pass a disclosure test.'],
    ['RW-DPP-STORE: one country of two', 'Do not store the data in Kenya.'],
    ['RW-DPP-STORE: one country of two', 'for storage abroad that covers Kenya.'],
    ['SOV-POC: ended yesterday', 'Have the end of the proof of concept moved to 2026-10-15.'],
  ])('of %s: "%s" is among them', (id, sentence) => {
    expect(short(remedies(program, factsOf(id))).some((each) => each.includes(sentence))).toBe(
      true,
    );
  });

  test('say what a person would still have to look at, and what would have to be done', () => {
    const [first] = remedies(program, factsOf('RW-S08c'));
    expect(first).toMatchObject({
      effect: 'review',
      turns: ['RW-DPP-XFER', 'RW-DPP-CONTRACT'],
      remaining: ['RW-DPP-CHILD-INTEREST'],
      obligations: expect.arrayContaining(['OBL-LOG', 'OBL-EXCLUDE-UNCOVERED']),
    });
  });

  test('are in French too, where the pack says all of it', () => {
    const [first] = remedies(program, factsOf('RW-S06'));
    expect(first?.changes[0]?.sentence['fr']).toBe(
      'Recourir à un opérateur qui relève de la seule juridiction du Rwanda.',
    );
  });

  test('name the consent as a ground only where the people gave it for transfer', () => {
    const refused = factsOf('RW-DPP-XFER: consent does not cover it');
    const bare = withFact(refused, 'request.transfer_ground', undefined);
    const named = (facts: Facts): boolean =>
      remedies(program, facts).some(({ changes }) => changes.some(({ to }) => to === 'consent'));
    expect(named(bare)).toBe(false);
    expect(named(withFact(bare, 'dataset.consent.transfer_abroad_covered', true))).toBe(true);
  });
});

describe('There is no remedy', () => {
  test.each([
    'RW-S03', // a purpose that the dataset does not permit
    'RW-S04b', // withdrawn people who cannot be filtered out
    'RW-S08', // a person must look at the interest of the child
    'RW-S08b', // no parental consent
    'RW-DPP-PURPOSE: prohibited beats permitted',
    'SOV-OUTPUT: an empty list allows nothing',
    'SOV-POC-LIMIT: scale above its limit',
    'today: not stated',
  ])('for %s', (id) => {
    expect(decide(factsOf(id)).effect).not.toBe('permit');
    expect(remedies(program, factsOf(id))).toEqual([]);
  });

  test.each(['RW-S01', 'RW-S02', 'RW-S12'])('for %s, which is permitted', (id) => {
    expect(remedies(program, factsOf(id))).toEqual([]);
  });
});

describe('A policy beside the pack', () => {
  const cites = [{ instrument: 'national-choice', article: 'test', confidence: 'high' }];
  const rule = (id: string, holds: unknown, applies: unknown = true, otherwise: unknown = 'deny') =>
    ruleOf(id, { applies, holds, otherwise, cites });
  const steward = (rules: readonly object[]): Program => {
    const document = policyDocument(rules, {
      policy: 'moh-own',
      layer: 'steward',
      instrument: 'national-choice',
      owner: 'moh',
    });
    const part = buildExtension(program, { file: 'moh.yaml', text: JSON.stringify(document) });
    if (!part.ok) throw new Error(part.problems.map(({ message }) => message).join());
    return withExtensions(program, [part.value]);
  };

  test('has its ways out too, which the pack does not know', () => {
    const whole = steward([
      rule('MOH-EAC', { fact: 'request.locations.access_from', isPartOf: 'EAC' }),
      rule('MOH-KEYS', { fact: 'request.hosting.keys_held_by', eq: 'rw_state' }),
      rule('MOH-SAFE', { fact: 'request.safeguards', isAllOf: ['tokenisation', 'secure_enclave'] }),
      rule('MOH-END', { fact: 'request.duration.until', lteq: '2027-06-30' }),
      rule('MOH-OWN', { holds: 'MOH-EAC' }, { not: { applies: 'MOH-KEYS' } }),
    ]);
    const facts = withFact(factsOf('RW-S12'), 'request.hosting.keys_held_by', 'provider');
    const bound = boundTo(whole, facts);
    const found = remedies(bound, facts);
    expectSound(facts, found, bound);
    expect(short(found)).toEqual([
      'permit: Do not look at the data from Japan. Leave the keys with the Rwandan state. Ask for a period until 2027-06-30. Add these safeguards: tokenisation.',
    ]);
  });

  test('never gets an untruth as a way out', () => {
    const whole = steward([
      rule('MOH-WHO', { fact: 'request.requester.country', eq: 'RW' }),
      rule('MOH-FORM', { fact: 'request.requester.legal_form', isAnyOf: ['public_body'] }),
    ]);
    const facts = factsOf('RW-S12');
    expect(decide(facts, boundTo(whole, facts)).deny).toEqual(['MOH-WHO', 'MOH-FORM']);
    expect(remedies(boundTo(whole, facts), facts)).toEqual([]);
  });

  const condition = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<unknown>(
        'identifiable',
        { fact: 'request.locations.processing', isPartOf: ['RW', 'KE'] },
        { fact: 'request.locations.access_from', isNoneOf: ['JP', 'US'] },
        { fact: 'request.recipients.country', isPartOf: 'EAC' },
        { nonempty: 'stored_or_shared_abroad' },
        { fact: 'request.agreement.kinds', isAnyOf: ['research_agreement', 'transfer_contract'] },
        { fact: 'request.agreement.valid_until', gt: '2027-01-01' },
        { fact: 'request.duration.until', lteq: { fact: 'request.agreement.valid_until' } },
        { fact: 'request.output.custody', lteq: { fact: 'dataset.sovereignty.weights_custody' } },
        { fact: 'request.knowledge_transfer.training_hours', gteq: 300 },
        { fact: 'request.output.type', isAnyOf: ['statistics', 'dashboard'] },
        { fact: 'request.hosting.operator_jurisdiction', eq: { fact: 'home' } },
        { fact: 'request.safeguards', hasPart: 'tokenisation' },
        { exists: 'request.dpia' },
        { fact: 'request.role', eq: 'controller' },
        { holds: 'AGR-BIND' },
        { applies: 'RW-DPP-XFER' },
      ),
      fc.record({ and: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ or: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ xone: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }) }),
      fc.record({ not: tie('tree') }),
    ),
  })).tree;

  test('of any shape gets sound remedies only', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(condition, condition, condition, fc.constantFrom({}, { then: 'review' })),
          { minLength: 1, maxLength: 3 },
        ),
        mutatedFacts,
        (rules, each) => {
          const facts = withFact(each, 'dataset.publisher', 'moh');
          const whole = steward(
            rules.map(([applies, holds, when, then], i) => {
              const otherwise = [{ when, effect: 'review' }, { effect: 'deny' }];
              return { ...rule(`MOH-${i}`, holds, applies, otherwise), ...then };
            }),
          );
          const bound = boundTo(whole, facts);
          expectSound(facts, remedies(bound, facts), bound);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('of two thousand refusals costs no more than a bounded search', () => {
    const many = Array.from({ length: 2000 }, (_, i) =>
      rule(`MOH-${i}`, {
        or: [
          { fact: 'request.safeguards', hasPart: i % 2 ? 'tokenisation' : 'secure_enclave' },
          { fact: 'request.duration.until', lteq: `2027-0${(i % 9) + 1}-01` },
        ],
      }),
    );
    const facts = withFact(factsOf('RW-S12'), 'request.safeguards', []);
    const bound = boundTo(steward(many), facts);
    const found = remedies(bound, facts);
    expectSound(facts, found, bound);
    expect(found.length).toBeGreaterThan(0);
  });
});

describe('A pack', () => {
  const remedy = (more: object): object => ({ to: 'value', sentence: { en: 'Do it.' }, ...more });
  const withRemedies = (fact: string, more: object, ...own: object[]): object => {
    const pack = smallPack() as { facts: Record<string, object> };
    return {
      ...pack,
      facts: { ...pack.facts, [fact]: { ...pack.facts[fact], ...more, remedies: own } },
    };
  };
  const policy = policyDocument([
    ruleOf('PP', { outcome: 'permit' }),
    ruleOf('AA', { holds: { fact: 'request.place', eq: 'KE' }, otherwise: 'deny' }),
  ]);

  test('that lets reviews come first has no way to a permit that leaves a denial behind them', () => {
    const rules = policyDocument([
      ruleOf('PP', { outcome: 'permit' }),
      ruleOf('AA', { holds: { fact: 'request.place', eq: 'KE' }, otherwise: 'deny' }),
      ruleOf('BB', { holds: 'request.yes', otherwise: 'review' }),
    ]);
    const place = withRemedies('request.place', {}, remedy({ to: 'home' })) as {
      facts: Record<string, object>;
    };
    const yes = { ...place.facts['request.yes'], remedies: [remedy({ values: [true] })] };
    const pack = { ...place, home: 'KE', facts: { ...place.facts, 'request.yes': yes } };
    const facts = { request: { place: 'JP', yes: false } };
    const reviewed = built({ ...pack, combining: 'review_first' }, rules);
    expect(remedies(reviewed, facts)).toMatchObject([
      { effect: 'permit', changes: [{ fact: 'request.yes' }, { fact: 'request.place' }] },
    ]);
    expect(remedies(built(pack, rules), facts).map(({ effect }) => effect)).toEqual([
      'review',
      'permit',
    ]);
  });

  test('of another country writes its own', () => {
    const pack = withRemedies(
      'request.place',
      {},
      remedy({ to: 'home', sentence: { en: 'Come to {home}.' } }),
    );
    const kenya = built({ ...pack, home: 'KE' }, policy);
    expect(short(remedies(kenya, { request: { place: 'JP' } }))).toEqual([
      'permit: Come to Kenya.',
    ]);
  });

  test('that names no remedy has none', () => {
    expect(remedies(built(smallPack(), policy), { request: { place: 'JP' } })).toEqual([]);
  });

  test.each<[string, object, string]>([
    ['request.yes', remedy({ to: 'home' }), '"home" does not fit request.yes'],
    ['request.yes', remedy({}), '"value" needs "values"'],
    ['request.yes', remedy({ values: ['yes'] }), 'yes is no value of request.yes'],
    ['request.asked', remedy({ values: ['middle'] }), 'middle is no value of request.asked'],
    [
      'request.until',
      remedy({ to: 'reach', cover: 'request.yes' }),
      '"cover" names a date, for a date, not "request.yes"',
    ],
    ['dataset.allowed', remedy({ values: ['middle'] }), 'whoever asks does not change a dataset'],
    [
      'request.yes',
      remedy({ values: [true], when: 'request.oui' }),
      'there is no fact "request.oui"',
    ],
  ])('is refused where a remedy of %s makes no sense', (fact, own, message) => {
    const result = build(withRemedies(fact, {}, own), policy);
    expect(result.ok ? [] : result.problems.map((problem) => problem.message)).toContain(message);
  });
});

describe('Of several ways out', () => {
  const title = { en: 'Title' };
  const changes = (id: string, own: readonly object[], more: object = {}): object => ({
    [`request.${id}`]: {
      type: 'boolean',
      source: 'request',
      title,
      basis: 'test',
      ...more,
      remedies: own,
    },
  });
  const to = (more: object): object => ({ to: 'value', sentence: { en: 'Do it.' }, ...more });
  const lacking = (id: string, holds: unknown, otherwise: unknown = 'deny'): object =>
    ruleOf(id, { holds, otherwise });
  const of = (facts: object, rules: readonly object[], pack: object = {}): Program => {
    const { facts: others } = smallPack() as { facts: object };
    return built(
      smallPack({ facts: { ...others, ...facts }, ...pack }),
      policyDocument([ruleOf('PP', { outcome: 'permit' }), ...rules]),
    );
  };
  /** Each remedy as its changes. */
  const changesOf = (by: Program, request: object): unknown[][] => {
    const found = remedies(by, { request });
    expectSound({ request }, found, by);
    return found.map((remedy) => remedy.changes.map(({ fact, to: value }) => [fact, value]));
  };
  /** `count` facts that are to be true. */
  const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `fact_${i}`);

  const flags = (...names: readonly string[]): object =>
    Object.assign({}, ...names.map((name) => changes(name, [to({ values: [true] })])));
  const read = (names: readonly string[]): string[] => names.map((name) => `request.${name}`);
  const anyOf = (...names: readonly string[]): object => ({ or: read(names) });
  const notYet = (...names: readonly string[]): object =>
    Object.fromEntries(names.map((name) => [name, false]));

  test('the value that the pack names first is taken', () => {
    const stated = [lacking('AA', { exists: 'request.asked' })];
    for (const values of [
      ['high', 'low'],
      ['low', 'high'],
    ]) {
      const asked = { type: 'enum', values: ['low', 'high'] };
      const by = of(changes('asked', [to({ values })], asked), stated);
      expect(changesOf(by, {})).toEqual([[['request.asked', values[0]]]]);
    }
  });

  test('a value that is named late costs less than a loss', () => {
    const asked = { type: 'enum', values: ['low', 'high'] };
    const by = of(
      {
        ...changes('asked', [to({ values: ['low', 'high'] })], asked),
        ...changes('lost', [to({ values: [true], loss: 1 })]),
      },
      [lacking('AA', { or: ['request.lost', { fact: 'request.asked', eq: 'high' }] })],
    );
    expect(changesOf(by, { lost: false })).toEqual([
      [['request.asked', 'high']],
      [['request.lost', true]],
    ]);
  });

  test('what others must grant is theirs to do, and the rest of whoever asks', () => {
    const words = { type: 'set', of: 'code', absent: 'none' };
    const paper = { type: 'object', absent: 'none' };
    const by = of(
      {
        ...changes('words', [to({ to: 'add' }), to({ to: 'remove', by: 'authority' })], words),
        ...changes('paper', [to({ to: 'obtain' })], paper),
        ...flags('yes'),
      },
      [
        lacking('AA', {
          and: [
            { fact: 'request.words', isAllOf: ['new'] },
            { fact: 'request.words', isNoneOf: ['old'] },
          ],
        }),
        lacking('BB', { exists: 'request.paper' }),
        lacking('CC', 'request.yes'),
      ],
    );
    const [found] = remedies(by, { request: { words: ['old', 'kept'], yes: false } });
    expect(found?.changes.map(({ fact, by: actor }) => [fact, actor]).toSorted()).toEqual([
      ['request.paper', 'requester'],
      ['request.words', 'authority'],
      ['request.yes', 'requester'],
    ]);
  });

  test('those rules turn that no longer deny, and not those that still do', () => {
    const by = of(
      flags(...many(3)),
      [
        lacking('AA', { or: ['request.fact_0', 'request.fact_1'] }),
        lacking('BB', 'request.no', [
          { when: 'request.fact_2', effect: 'review' },
          { effect: 'deny' },
        ]),
      ],
      { combining: 'review_first' },
    );
    const facts = { request: { no: false, fact_0: false, fact_1: false, fact_2: false } };
    const found = remedies(by, facts);
    expectSound(facts, found, by);
    expect(found).toMatchObject([{ effect: 'review', turns: ['BB'], remaining: ['BB'] }]);
  });

  test('what would be asked anyway is left out', () => {
    const said = { type: 'enum', values: ['x', 'z'] };
    const kind = { type: 'enum', values: ['x', 'y', 'z'] };
    const by = of(
      {
        ...changes('kind', [to({ values: ['x', 'y', 'z'] })], kind),
        ...changes('said', [to({ to: 'state' })], said),
      },
      [
        lacking('AA', 'request.no', [
          {
            when: {
              and: [
                { fact: 'request.said', eq: 'z' },
                { fact: 'request.kind', neq: 'z' },
              ],
            },
            effect: 'review',
          },
          { effect: 'deny' },
        ]),
      ],
    );
    // Of what is not said a person is asked too.
    expect(changesOf(by, { no: false, kind: 'z' })).toEqual([[['request.kind', 'x']]]);
    expect(changesOf(by, { no: false, kind: 'z', said: 'x' })).toEqual([]);
  });

  test('of more than eight changes there is none: that is another request', () => {
    for (const count of [8, 9]) {
      const names = many(count);
      const by = of(
        flags(...names),
        names.map((name) => lacking(name.toUpperCase().replace('_', '-'), `request.${name}`)),
      );
      const found = remedies(by, { request: notYet(...names) });
      expect(found.map((remedy) => remedy.changes.length)).toEqual(count === 8 ? [8] : []);
    }
  });

  test('what is not said is to be said, and may be whatever turns the answer', () => {
    const said = { type: 'enum', values: ['w', 'x', 'y', 'z'] };
    const by = of({ ...changes('said', [to({ to: 'state' })], said), ...flags('yes') }, [
      lacking('AA', { fact: 'request.said', isAnyOf: ['x', 'y', 'z'] }),
      lacking('BB', { fact: 'request.said', neq: 'y' }),
      lacking('CC', 'request.yes'),
    ]);
    const found = remedies(by, { request: { yes: false } }).find(
      ({ effect }) => effect === 'permit',
    );
    expect(found?.changes).toMatchObject([
      { fact: 'request.yes', to: true },
      { fact: 'request.said', to: 'x', one_of: ['x', 'z'] },
    ]);
    expect(found?.changes.map((change) => 'one_of' in change)).toEqual([false, true]);
  });

  test('a better outcome may come true, and one that is taken untrue', () => {
    const outcomes = (first: string): object[] => [
      { when: 'request.yes', effect: first },
      { effect: 'deny' },
    ];
    const stated = changes('yes', [to({ to: 'state' })]);
    const rule = (first: string): object[] => [lacking('AA', 'request.no', outcomes(first))];
    // Of what is not said a person is asked, whatever the outcome is.
    expect(changesOf(of(stated, rule('permit')), { no: false })).toEqual([[['request.yes', true]]]);
    expect(changesOf(of(stated, rule('review')), { no: false })).toEqual([]);
    const either = changes('yes', [to({ values: [true, false] })]);
    const turned = (first: string, yes: boolean): unknown =>
      remedies(of(either, rule(first)), { request: { no: false, yes } }).map((each) => [
        each.effect,
        each.changes[0]?.to,
      ]);
    expect(turned('permit', false)).toEqual([['permit', true]]);
    expect(turned('review', false)).toEqual([['review', true]]);
    expect(turned('deny', true)).toEqual([]);
  });

  test('that to a permission is found where nothing forbids', () => {
    const by = built(
      smallPack({ facts: { ...(smallPack() as { facts: object }).facts, ...flags('yes') } }),
      policyDocument([ruleOf('PP', { applies: 'request.yes', outcome: 'permit' })]),
    );
    expect(changesOf(by, { yes: false })).toEqual([[['request.yes', true]]]);
  });

  test('what is obtained keeps what the permission rests on, and no more', () => {
    const facts = {
      ...changes('paper', [to({ to: 'obtain' })], { type: 'object', absent: 'none' }),
      ...changes('paper.until', [to({ to: 'reach' })], { type: 'date' }),
      ...changes('paper.pages', [to({ to: 'reach' })], { type: 'integer' }),
    };
    const { facts: others } = smallPack() as { facts: object };
    const valid = { fact: 'request.paper.until', gteq: '2026-10-20' };
    const by = built(
      smallPack({ facts: { ...others, ...facts } }),
      policyDocument([ruleOf('PP', { applies: valid, outcome: 'permit' })]),
    );
    const as_of = '2026-10-15T10:00:00Z';
    expect(changesOf(by, { as_of })).toEqual([[['request.paper', { until: '2026-10-20' }]]]);
  });

  test('many by one fact do not hide one by others', () => {
    const values = Array.from({ length: 12 }, (_, i) => `value_${i}`);
    const kind = { type: 'enum', values: ['none', ...values] };
    const by = of({ ...changes('kind', [to({ values })], kind), ...flags('a', 'b') }, [
      lacking('AA', {
        or: [{ fact: 'request.kind', neq: 'none' }, { and: ['request.a', 'request.b'] }],
      }),
    ]);
    expect(changesOf(by, { kind: 'none', a: false, b: false })).toEqual([
      [['request.kind', 'value_0']],
      [
        ['request.a', true],
        ['request.b', true],
      ],
    ]);
  });

  describe('none is looked for', () => {
    /** The facts of which the rules are asked, those of the request first. */
    const triesOf = (by: Program, request: object): string[] => {
      const tries: string[] = [];
      const asked = (frame: readonly unknown[]): void => {
        tries.push(JSON.stringify(frame.slice(0, by.vocabulary.specs.length)));
      };
      remedies({ ...by, runners: [asked, ...by.runners] }, { request });
      return tries;
    };

    test('after a permit', () => {
      const more = ruleOf('QQ', { applies: 'request.more', outcome: 'permit' });
      const by = of(flags('yes', 'more'), [lacking('AA', 'request.yes'), more]);
      expect(triesOf(by, { yes: true, more: false })).toHaveLength(1);
      expect(triesOf(by, { yes: false, more: false })).toHaveLength(2);
    });

    test('where one rule cannot be helped', () => {
      const helped = lacking('AA', anyOf('a', 'b'));
      const never = lacking('BB', 'request.no');
      for (const rules of [
        [helped, never],
        [never, helped],
      ])
        expect(triesOf(of(flags('a', 'b'), rules), { a: false, b: false, no: false })).toHaveLength(
          1,
        );
    });

    test('that was looked at before', () => {
      // Of two facts one is wanted, not one alone, and not both.
      const by = of(flags('a', 'b'), [
        lacking('AA', anyOf('a', 'b')),
        lacking('BB', { not: { xone: ['request.a', 'request.b'] } }),
        ruleOf('CC', { applies: { and: ['request.a', 'request.b'] }, outcome: 'deny' }),
      ]);
      const tries = triesOf(by, { a: false, b: false });
      expect(tries).toHaveLength(4);
      expect(new Set(tries).size).toBe(4);
    });

    test('of more changes than ten that are found', () => {
      const names = many(9);
      const rules = [
        lacking('AA', anyOf(...names, 'seen')),
        ruleOf('BB', { applies: 'request.seen', holds: 'request.more', otherwise: 'review' }),
      ];
      const by = of(flags(...names, 'seen', 'more'), rules);
      const request = notYet(...names, 'seen', 'more');
      expect(remedies(by, { request }).map(({ effect }) => effect)).toEqual([
        ...names.map(() => 'permit'),
        'review',
      ]);
      expect(triesOf(by, request)).toHaveLength(1 + 10);
    });

    test('after ten, or after very many that are not listed', () => {
      const names = many(48);
      const by = of(flags(...names), [
        lacking('AA', anyOf(...names.slice(0, 24))),
        lacking('BB', anyOf(...names.slice(24))),
      ]);
      const request = notYet(...names);
      expect(remedies(by, { request })).toHaveLength(10);
      expect(triesOf(by, request).length).toBeLessThan(300);
      const one = of(flags(...names), [lacking('AA', anyOf(...names.slice(0, 12)))]);
      expect(remedies(one, { request })).toHaveLength(10);
    });

    test('without end, where each of nine rules has four of its own', () => {
      const names = many(36);
      const rules = Array.from({ length: 9 }, (_, i) =>
        lacking(`R-${i}`, anyOf(...names.slice(4 * i, 4 * i + 4))),
      );
      const by = of(flags(...names), rules);
      let asked = 0;
      const counting = { ...by, runners: [() => void asked++, ...by.runners] };
      expect(remedies(counting, { request: notYet(...names) })).toEqual([]);
      expect(asked * by.rules.length).toBeLessThan(61_000);
    });
  });
});

test('The shipped pack names remedies, and each of them can be seen at work', () => {
  const named = program.vocabulary.specs.flatMap(({ path, remedies: own }) =>
    own && !path.includes('.dpia.') ? [path] : [],
  );
  expect(named.length).toBeGreaterThan(30);
  const used = new Set(
    cases.flatMap(({ facts }) =>
      remedies(program, facts).flatMap(({ changes }) => changes.map(({ fact }) => fact)),
    ),
  );
  expect(used.size).toBeGreaterThan(20);
  expect(packFiles.pack.text).not.toContain('remedies: []');
});

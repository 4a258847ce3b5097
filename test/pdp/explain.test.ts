import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate } from '../../src/pdp/evaluate.ts';
import { explain, type Explanation } from '../../src/pdp/explain.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { loadFacts, type Program } from '../../src/pdp/program.ts';
import { compilePack } from '../../src/policies/files.ts';
import { conditionSource as sourceOf } from '../../src/pdp/source.ts';
import { CASES, KINDS, RULES, vocabulary as conditionPack } from './conditions.ts';
import { explainPlainly } from './explain-plain.ts';
import { ruleLists, smallFacts } from './policies.ts';
import {
  built,
  cases,
  factAt,
  mutatedFacts,
  packFiles,
  policyDocument,
  program,
  ruleOf,
  smallPack,
  valueOf,
  withFact,
} from './support.ts';

const { vocabulary } = program;

/** What the plain reading says too, in the order of the program. */
function plainPart(of: Program, { reasons, missing }: Explanation): object {
  const place = new Map(of.rules.map(({ rule }, i) => [rule.id, i]));
  return {
    reasons: reasons
      .toSorted((a, b) => (place.get(a.rule) ?? 0) - (place.get(b.rule) ?? 0))
      .map(({ rule, effect, uncertain, facts }) => ({
        rule,
        effect,
        uncertain,
        facts: facts.map(({ fact, value }) => ({ fact, value })),
      })),
    missing,
  };
}

/** Where a value must be put for a missing fact to be stated: a list's members are inside it. */
function stated(facts: Facts, path: string, value: unknown): Facts {
  if (!path.startsWith('request.recipients.')) return withFact(facts, path, value);
  const key = path.slice('request.recipients.'.length);
  const recipients = factAt(facts, 'request.recipients');
  const list = Array.isArray(recipients) ? (recipients as object[]) : [{}];
  const filled = list.map((each) => ({
    [key]: value,
    ...each,
    ...(factAt(each, key) ? {} : { [key]: value }),
  }));
  return withFact(facts, 'request.recipients', filled);
}

/** Every value worth trying of a fact; of a set, some sets. */
function valuesOf(path: string): unknown[] {
  const spec = vocabulary.get(path);
  return spec ? fc.sample(valueOf(spec), { numRuns: 60, seed: 1 }) : [];
}

const runs = { numRuns: 1500 };

describe('explain and evaluate', () => {
  test('agree on the effect and the three sets, whatever changes in the facts', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { effect, deny, review, oblige } = explain(program, facts);
        expect({ effect, deny, review, oblige }).toEqual(
          evaluate(program, loadFacts(program, facts)),
        );
      }),
      runs,
    );
  });

  test('agree rule by rule: each set is that of the reasons with its effect', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { reasons, deny, review, oblige } = explain(program, facts);
        const of = (effect: string): string[] =>
          reasons.filter((reason) => reason.effect === effect).map(({ rule }) => rule);
        expect({ deny: of('deny'), review: of('review'), oblige: of('oblige') }).toEqual({
          deny,
          review,
          oblige,
        });
        expect(new Set(reasons.map(({ rule }) => rule)).size).toBe(reasons.length);
      }),
      runs,
    );
  });
});

describe('reasons, the facts that they read in order, and missing facts are those of the plain reading', () => {
  test('for random policies and facts', () => {
    fc.assert(
      fc.property(
        ruleLists,
        fc.array(smallFacts, { minLength: 20, maxLength: 20 }),
        fc.constantFrom({}, { combining: 'review_first' }),
        (list, many, pack) => {
          const random = built(smallPack(pack), policyDocument(list));
          for (const facts of many) {
            expect(plainPart(random, explain(random, facts))).toEqual(
              explainPlainly(random, facts),
            );
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test('for every kind of condition', () => {
    // A document is held to the types of what a union unites; these conditions are not.
    const all = KINDS.flatMap(([, each]) => each)
      .map(sourceOf)
      .filter((each, i) => i % 5 === 0 && !/"(abroad|words)"/.test(JSON.stringify(each)));
    const own = all.map((applies, i) =>
      ruleOf(`OWN-${i}`, {
        applies,
        holds: all[(i + 1) % all.length],
        then: 'permit',
        otherwise: [
          { when: { and: [all[(i * 7) % all.length], { applies: 'R-TWO' }] }, effect: 'review' },
          { when: { holds: 'R-ONE' }, effect: 'permit' },
          { effect: 'deny' },
        ],
      }),
    );
    const many = built(conditionPack, policyDocument([...RULES, ...own]));
    for (const facts of CASES.slice(0, 12))
      expect(plainPart(many, explain(many, facts))).toEqual(explainPlainly(many, facts));
  });

  test('for the shipped pack', () => {
    for (const { facts } of cases)
      expect(plainPart(program, explain(program, facts))).toEqual(explainPlainly(program, facts));
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        expect(plainPart(program, explain(program, facts))).toEqual(explainPlainly(program, facts));
      }),
      { numRuns: 300 },
    );
  });
});

describe('an explanation', () => {
  test('is the same bytes each time, from a program compiled anew too', () => {
    const again = compilePack(packFiles);
    for (const { facts } of cases) {
      const bytes = JSON.stringify(explain(program, facts));
      expect(JSON.stringify(explain(program, structuredClone(facts)))).toBe(bytes);
      expect(JSON.stringify(explain(again, facts))).toBe(bytes);
    }
  });

  test('does not depend on what was explained before', () => {
    fc.assert(
      fc.property(mutatedFacts, mutatedFacts, (first, second) => {
        const bytes = JSON.stringify(explain(program, first));
        explain(program, second);
        expect(JSON.stringify(explain(program, first))).toBe(bytes);
      }),
      { numRuns: 300 },
    );
  });

  test('begins with the rules that yielded the effect', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { effect, reasons } = explain(program, facts);
        const winning = reasons.map((reason) => reason.effect === effect);
        expect(winning.lastIndexOf(true)).toBe(winning.filter(Boolean).length - 1);
        expect(winning[0]).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('names who must examine each rule that asks for review, and nobody for another effect', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { effect, review, examiners } = explain(program, facts);
        const examined = examiners.flatMap(({ rules }) => rules);
        expect(examined.toSorted()).toEqual(effect === 'review' ? review.toSorted() : []);
      }),
      { numRuns: 500 },
    );
  });

  test('never cites a national choice as law, nor a law for a national choice', () => {
    const law = new Set(['statute', 'regulation']);
    const seen = new Set<string>();
    for (const { facts } of cases) {
      const { reasons, instruments } = explain(program, facts);
      for (const { rule, layer, citations } of reasons) {
        seen.add(rule);
        const kinds = citations.map(
          ({ instrument }) => program.pack.instruments[instrument]?.kind ?? 'none',
        );
        expect(
          kinds.some((kind) => law.has(kind)),
          rule,
        ).toBe(layer === 'statute' || layer === 'regulation');
        expect(kinds.includes('national_choice'), rule).toBe(layer === 'national_choice');
        expect(
          citations.every(({ instrument }) => instruments[instrument]?.['en']),
          rule,
        ).toBe(true);
      }
    }
    // These cases state no terms of use: the rules about those have their own.
    const others = program.rules.filter(({ document }) => document.target === undefined);
    expect(seen.size).toBe(others.length);
  });

  test('shows each fact as it was given, once a rule, with its source', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        for (const reason of explain(program, facts).reasons) {
          const names = reason.facts.map(({ fact }) => fact);
          expect(new Set(names).size, reason.rule).toBe(names.length);
          for (const { fact, value, source } of reason.facts) {
            const spec = vocabulary.get(fact);
            expect(source, fact).toBe(spec?.source ?? 'derived');
            if (spec && !fact.startsWith('request.recipients'))
              expect(value, fact).toEqual(factAt(facts, fact) ?? null);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('missing facts', () => {
  test('are named exactly where a reason is uncertain', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { missing, reasons } = explain(program, facts);
        // Of two purposes, that nothing is declared leaves a rule open with every fact there.
        const open = reasons.filter(({ uncertain }) => uncertain).map(({ rule }) => rule);
        if (missing.length > 0) expect(open).not.toEqual([]);
        else expect(open.filter((rule) => rule !== 'RW-DPP-PURPOSE')).toEqual([]);
      }),
      runs,
    );
  });

  test('are unstated facts of the pack, each once', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { missing } = explain(program, facts);
        expect(new Set(missing).size).toBe(missing.length);
        for (const path of missing) {
          expect(vocabulary.get(path), path).toBeDefined();
          if (!path.startsWith('request.recipients.'))
            expect(factAt(facts, path) ?? null, path).toBeNull();
        }
      }),
      runs,
    );
  });

  test('are all that is needed: once they are stated, however, nothing is uncertain', () => {
    fc.assert(
      fc.property(mutatedFacts, fc.gen(), (facts, gen) => {
        let known = facts;
        let explanation: Explanation = explain(program, known);
        // A fact that becomes known may open a rule that asks for others.
        for (let round = 0; explanation.missing.length > 0; round++) {
          expect(round).toBeLessThan(8);
          for (const path of explanation.missing) {
            const spec = vocabulary.get(path);
            if (spec) known = stated(known, path, gen(valueOf, spec));
          }
          explanation = explain(program, known);
        }
        const open = explanation.reasons
          .filter(({ uncertain }) => uncertain)
          .map(({ rule }) => rule);
        expect(open.filter((rule) => rule !== 'RW-DPP-PURPOSE')).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test('each mattered: some value of it, with the others stated or not, settles a rule or changes one', () => {
    const state = ({ reasons }: Explanation): string =>
      JSON.stringify(reasons.map(({ rule, effect, uncertain }) => [rule, effect, uncertain]));
    fc.assert(
      fc.property(mutatedFacts, fc.gen(), (facts, gen) => {
        const { missing } = explain(program, facts);
        for (const path of missing) {
          const others = missing.filter((other) => other !== path);
          const mattered = Array.from({ length: 30 }).some(() => {
            const background = others.reduce((at, other) => {
              const spec = vocabulary.get(other);
              return spec && gen(fc.boolean) ? stated(at, other, gen(valueOf, spec)) : at;
            }, facts);
            const before = state(explain(program, background));
            return valuesOf(path).some(
              (value) => state(explain(program, stated(background, path, value))) !== before,
            );
          });
          expect(mattered, path).toBe(true);
        }
      }),
      // A fixed seed: that no value was found is no proof that there is none.
      { numRuns: 150, seed: 2026 },
    );
  });
});

describe('the expiry', () => {
  /** A case in which each of the eight dates is read, all of them far away. */
  const far = '2030-12-31';
  const dates = {
    agreement: 'request.agreement.valid_until',
    registration: 'request.requester.ncsa_registration.valid_until',
    storage_authorisation: 'request.ncsa_storage_authorisation.valid_until',
    transfer_authorisation: 'request.ncsa_transfer_authorisation.valid_until',
    ethics_approval: 'request.ethics_approval.valid_until',
    proof_of_concept: 'request.poc.end',
    retention: 'dataset.retention_until',
    period: 'request.duration.until',
  } as const;
  const abroad = cases.find(({ id }) => id === 'ABROAD')?.facts ?? {};
  const all = Object.values(dates).reduce(
    (at, path) => withFact(at, path, far),
    withFact(withFact(abroad, 'dataset.lawful_basis', 'research_authorised'), 'request.poc', {
      stage: 'pilot',
      max_subjects: 0,
      end: far,
    }),
  );
  const expiryOf = (facts: Facts): unknown => explain(program, facts).expiry;

  test('goes, where all dates are equal, to the first in the order of the table', () => {
    let facts = all;
    expect(explain(program, facts).effect).toBe('permit');
    const order = Object.entries(dates);
    for (const [i, [name, fact]] of order.entries()) {
      expect(expiryOf(facts)).toEqual({ name, fact, date: far });
      const last = i === order.length - 1;
      facts = withFact(facts, fact, last ? undefined : '2031-01-01');
    }
  });

  test.each(Object.entries(dates))('is that of %s where it is the earliest', (name, fact) => {
    const facts = withFact(all, fact, '2027-03-01');
    expect(explain(program, facts).effect).toBe('permit');
    expect(expiryOf(facts)).toEqual({ name, fact, date: '2027-03-01' });
  });

  const early = (path: string): Facts => withFact(all, path, '2027-03-01');

  test('does not count a transfer authorisation where the ground is consent', () => {
    const facts = withFact(early(dates.transfer_authorisation), 'dataset.consent', {
      transfer_abroad_covered: true,
    });
    expect(expiryOf(facts)).toMatchObject({ name: 'transfer_authorisation' });
    expect(expiryOf(withFact(facts, 'request.transfer_ground', 'consent'))).toMatchObject({
      name: 'agreement',
      date: far,
    });
  });

  test.each([
    [
      'a storage authorisation where all is stored at home',
      dates.storage_authorisation,
      'request.locations.storage',
      ['RW'],
    ],
    [
      'an ethics approval where the basis is another',
      dates.ethics_approval,
      'dataset.lawful_basis',
      'public_duty',
    ],
    [
      'a registration where nobody is identifiable',
      dates.registration,
      'dataset.deidentification',
      'aggregate',
    ],
  ])('does not count %s', (_what, early_, path, value) => {
    expect(expiryOf(early(early_))).toMatchObject({ date: '2027-03-01' });
    expect(expiryOf(withFact(early(early_), path, value))).toMatchObject({
      name: 'agreement',
      date: far,
    });
  });

  test('does not count an agreement for public data in which nobody is identifiable', () => {
    const open = withFact(
      withFact(early(dates.agreement), 'dataset.classification', 'public'),
      'dataset.deidentification',
      'aggregate',
    );
    expect(expiryOf(open)).toMatchObject({ name: 'proof_of_concept', date: far });
  });

  test('counts the retention date and the period although no rule compares them', () => {
    for (const name of ['retention', 'period'] as const) {
      expect(
        expiryOf(withFact(early(dates[name]), 'dataset.deidentification', 'aggregate')),
      ).toMatchObject({ name });
    }
  });

  test('is stated for a review too, and for no denial', () => {
    expect(expiryOf(withFact(all, 'request.fields_scope', 'full'))).toMatchObject({
      name: 'agreement',
    });
    expect(expiryOf(withFact(all, 'request.agreement', null))).toBeNull();
  });

  test('is null where nothing that was read has an end', () => {
    expect(expiryOf(cases.find(({ id }) => id === 'OPEN')?.facts ?? {})).toBeNull();
  });

  test('of the worked case in Tokyo is the end of the transfer authorisation', () => {
    const tokyo = cases.find(({ id }) => id === 'RW-S12');
    expect(expiryOf(tokyo?.facts ?? {})).toMatchObject({
      name: 'transfer_authorisation',
      date: tokyo?.expected['grant_valid_until'],
    });
  });
});

describe('obligations', () => {
  test('are those of the set, with a sentence, a deadline and the evidence asked for', () => {
    fc.assert(
      fc.property(mutatedFacts, (facts) => {
        const { oblige, obligations } = explain(program, facts);
        expect(obligations.map(({ rule }) => rule)).toEqual(oblige);
        for (const { due, sentence, evidence } of obligations) {
          expect(due).toMatch(/^(from_start|throughout|before_release|\d{4}-\d{2}-\d{2})$/);
          expect([sentence['en'], evidence['en']]).not.toContain(undefined);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('to destroy is due on the retention date itself', () => {
    const home = cases.find(({ id }) => id === 'OBL-RETAIN: a retention date');
    const { obligations } = explain(program, home?.facts ?? {});
    expect(obligations.find(({ rule }) => rule === 'OBL-RETAIN')?.due).toBe('2027-12-31');
  });
});

describe('of a small pack', () => {
  const permit = ruleOf('PERMIT', { outcome: 'permit' });
  const readings = (by: Program, facts: Facts): Record<string, unknown[]> =>
    Object.fromEntries(
      explain(by, facts).reasons.map(({ rule, facts: read }) => [
        rule,
        read.map(({ fact, value }) => [fact, value]),
      ]),
    );

  test('nothing is permitted where no permission applies, and the rules say what they asked', () => {
    const by = built(
      smallPack(),
      policyDocument([
        ruleOf('ONE', { applies: 'request.yes', outcome: 'permit' }),
        ruleOf('TWO', { holds: { not: 'request.yes' }, otherwise: 'deny' }),
      ]),
    );
    expect(explain(by, { request: { yes: false } })).toMatchObject({
      effect: 'deny',
      deny: [],
      reasons: [{ rule: 'TWO', effect: 'satisfied', uncertain: false }],
      examiners: [],
      expiry: null,
    });
    expect(explain(by, { request: { yes: true } })).toMatchObject({
      effect: 'deny',
      deny: ['TWO'],
    });
    expect(explain(by, {})).toMatchObject({ effect: 'review', missing: ['request.yes'] });
  });

  test('who examines is told apart by title, and one title asks once', () => {
    const law = { role: 'authority', title: { en: 'The authority of the law' } };
    const other = { role: 'authority', title: { en: 'Another authority' } };
    const { examiners } = smallPack() as { examiners: Record<string, object> };
    const review = (id: string, instrument = 'law'): object =>
      ruleOf(id, {
        outcome: 'review',
        cites: [{ instrument, article: 'Art. 1', confidence: 'high' }],
      });
    const by = built(
      smallPack({
        examiners: { ...examiners, statute: law, regulation: law, national_choice: other },
      }),
      policyDocument([review('ONE')]),
      policyDocument([review('TWO', 'choice')], {
        policy: 'two',
        layer: 'national_choice',
        instrument: 'choice',
      }),
      policyDocument([review('THREE')], { policy: 'three', layer: 'regulation' }),
    );
    const said = explain(by, {});
    expect(said.examiners).toEqual([
      { ...law, rules: ['ONE', 'THREE'] },
      { ...other, rules: ['TWO'] },
    ]);
    expect(said.instruments).toEqual({ law: { en: 'Title' }, choice: { en: 'Title' } });
  });

  test('titles are those of the instruments that its reasons cite, however many there are', () => {
    const many = 70;
    const name = (i: number): string => `law-${i}`;
    const instruments = Object.fromEntries(
      Array.from({ length: many }, (_, i) => [
        name(i),
        { title: { en: name(i) }, kind: 'statute' },
      ]),
    );
    const { instruments: own } = smallPack() as { instruments: object };
    const rules = Array.from({ length: many }, (_, i) =>
      ruleOf(`RULE-${i}`, {
        applies: { fact: 'request.codes', hasPart: `c${i}` },
        outcome: 'permit',
        cites: [i, (i * 7) % many].map((each) => ({
          instrument: name(each),
          article: '1',
          confidence: 'high',
        })),
      }),
    );
    const by = built(
      smallPack({ instruments: { ...own, ...instruments } }),
      policyDocument(rules, { instrument: name(0) }),
    );
    const applying = fc.uniqueArray(fc.nat(many - 1), { maxLength: 5 });
    fc.assert(
      fc.property(applying, (indices) => {
        const said = explain(by, { request: { codes: indices.map((i) => `c${i}`) } });
        const cited = indices.flatMap((i) => [name(i), name((i * 7) % many)]);
        expect(said.reasons).toHaveLength(indices.length);
        expect(said.instruments).toEqual(
          Object.fromEntries(cited.map((each) => [each, { en: each }])),
        );
      }),
      { numRuns: 1_500 },
    );
  });

  test.each<[unknown, string]>([
    ['from_start', 'from_start'],
    ['before_release', 'before_release'],
    ['throughout', 'throughout'],
    [{ fact: 'request.until' }, '2027-01-01'],
    [{ fact: 'request.from' }, 'throughout'],
  ])('an obligation that is due %j is due %s', (due, expected) => {
    const obligation = { sentence: { en: 'Do.' }, due, evidence: { en: 'Log.' } };
    const by = built(
      smallPack(),
      policyDocument([ruleOf('DO', { outcome: 'oblige', obligation })]),
    );
    expect(explain(by, { request: { until: '2027-01-01' } }).obligations).toEqual([
      { rule: 'DO', sentence: { en: 'Do.' }, due: expected, evidence: { en: 'Log.' } },
    ]);
  });

  test('an end that only rules read that do not apply is none', () => {
    const past = { fact: 'request.until', lt: '2020-01-01' };
    const by = (applies: unknown): Program =>
      built(
        smallPack({ expiries: [{ name: 'until', fact: 'request.until' }] }),
        policyDocument([
          permit,
          ruleOf('OLD', { applies: past, outcome: 'review' }),
          ruleOf('REFERS', { applies, outcome: 'review' }),
        ]),
      );
    const facts = { request: { until: '2027-01-01', no: false } };
    expect(explain(by({ and: ['request.no', { applies: 'OLD' }] }), facts).expiry).toBeNull();
    expect(explain(by({ not: { applies: 'OLD' } }), facts).expiry).toEqual({
      name: 'until',
      fact: 'request.until',
      date: '2027-01-01',
    });
    const always = smallPack({
      expiries: [{ name: 'until', fact: 'request.until', always: true }],
    });
    expect(explain(built(always, policyDocument([permit])), facts).expiry).toMatchObject({
      date: '2027-01-01',
    });
  });

  test('a derived fact that is known needed nothing that is unknown; one that is not, all of it', () => {
    const by = built(
      smallPack(),
      policyDocument([ruleOf('SURE', { holds: 'sure', otherwise: 'deny' })]),
    );
    expect(readings(by, { request: { yes: false } })).toEqual({
      SURE: [
        ['sure', false],
        ['request.yes', false],
      ],
    });
    expect(readings(by, { request: { yes: true, no: false } })).toEqual({
      SURE: [
        ['sure', true],
        ['request.yes', true],
        ['request.no', false],
      ],
    });
    expect(readings(by, { request: { yes: true } })).toEqual({
      SURE: [
        ['sure', null],
        ['request.yes', true],
        ['request.no', null],
      ],
    });
    expect(explain(by, { request: { yes: true } }).missing).toEqual(['request.no']);
  });

  test('an object is shown where none of its members is', () => {
    const paper = { exists: 'request.paper' };
    const until = { fact: 'request.paper.until', gteq: '2026-01-01' };
    const by = built(
      smallPack(),
      policyDocument([
        ruleOf('WHOLE', { holds: paper, otherwise: 'deny' }),
        ruleOf('MEMBER', { holds: { and: [paper, until] }, otherwise: 'deny' }),
        ruleOf('REFERS', { holds: { holds: 'MEMBER' }, otherwise: 'deny' }),
      ]),
    );
    const date = '2026-02-01';
    expect(readings(by, { request: { paper: { until: date } } })).toEqual({
      WHOLE: [['request.paper', { until: date }]],
      MEMBER: [['request.paper.until', date]],
      REFERS: [['request.paper.until', date]],
    });
    expect(readings(by, {})).toEqual({
      WHOLE: [['request.paper', null]],
      MEMBER: [['request.paper', null]],
      REFERS: [['request.paper', null]],
    });
  });

  test('what is open behind a rule that others refer to is missing once', () => {
    const by = built(
      smallPack(),
      policyDocument([
        permit,
        ruleOf('FIRST', { applies: 'request.yes', holds: 'request.no', otherwise: 'review' }),
        ruleOf('SECOND', { applies: { applies: 'FIRST' }, outcome: 'review' }),
        ruleOf('THIRD', { holds: { fact: 'request.count', gt: 1 }, otherwise: 'deny' }),
      ]),
    );
    expect(explain(by, {}).missing).toEqual(['request.yes', 'request.no', 'request.count']);
    expect(explain(by, { request: { yes: true, count: 2 } }).missing).toEqual(['request.no']);
    expect(explain(by, { request: { yes: false, count: 2 } }).missing).toEqual([]);
    expect(explain(by, { request: { no: true, count: 2 } }).missing).toEqual(['request.yes']);
  });
});

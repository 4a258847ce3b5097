import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evaluate, type Verdict } from '../../src/pdp/evaluate.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { loadFacts } from '../../src/pdp/program.ts';
import { packs } from './packs.ts';
import { factAt, leavesOf, mutatedFactsOf, statedPaths, withFact } from './support.ts';

interface Lifting {
  /**
   * The facts whose absence is a statement that can lift a denial or a review, in the words of
   * the pack's rules ("Absent facts"). Whoever leaves one out says that there is none.
   */
  readonly refusal: Readonly<Record<string, string>>;
  /** Those besides whose absence can lift an obligation that a permit would carry. */
  readonly obligation: Readonly<Record<string, string>>;
}

const NOT_TICKED = 'what a research purpose does not say is not asked for, as DUOS reads it';
/** Of a research purpose; each may be what the terms of use forbid, or what a person judges. */
const RESEARCH_PURPOSE: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'general_use',
    'hmb_research',
    'disease_restrictions',
    'population_origins_ancestry',
    'methods_research',
    'clinical_care',
    'controls',
    'population',
    'gender',
    'pediatric',
    'vulnerable_populations',
    'illegal_behavior',
    'sexual_diseases',
    'psychological_traits',
    'not_health',
    'stigmatize_diseases',
    'other',
  ].map((name) => [`request.duo.${name}`, NOT_TICKED]),
);

const LIFTING: Readonly<Record<string, Lifting>> = {
  duo: { refusal: RESEARCH_PURPOSE, obligation: {} },
  rwanda: {
    refusal: {
      ...RESEARCH_PURPOSE,
      'dataset.duo': 'an absent object means that the dataset has no such terms of use',
      'request.poc': 'an absent object means that there is none: no end, no limit of people',
      'dataset.prohibited_purposes': 'an absent set means that nothing is prohibited',
      'dataset.sensitive_categories':
        'an absent set means that there are none: no assessment is due',
      'dataset.sovereignty.outputs_allowed': 'an absent set limits nothing',
      'dataset.sovereignty.min_local_engineer_share': 'a condition only where it is set',
      'dataset.sovereignty.min_training_hours': 'a condition only where it is set',
      'dataset.sovereignty.benefit_sharing_required': 'a condition only where it is set',
    },
    obligation: {
      'dataset.retention_until': 'a condition only where it is set',
      'dataset.small_cell_min': 'a condition only where it is set',
    },
  },
  kenya: {
    refusal: {
      'dataset.prohibited_purposes': 'an absent set means that nothing is prohibited',
      'dataset.outputs_allowed': 'an absent set limits nothing',
    },
    obligation: { 'dataset.retention_until': 'a condition only where it is set' },
  },
};

test('each pack says which absences lift something', () => {
  expect(Object.keys(LIFTING).toSorted()).toEqual(packs.map(({ name }) => name));
});

describe.each(packs)('$name', ({ name, program, cases }) => {
  const LIFTS = LIFTING[name]?.refusal ?? {};
  const LIFTS_OBLIGATION = { ...LIFTS, ...LIFTING[name]?.obligation };
  const mutatedFacts = mutatedFactsOf(leavesOf(program), cases);

  const decide = (facts: Facts): Verdict => evaluate(program, loadFacts(program, facts));

  /** The paths of a case that a test may leave out, the objects above a listed fact excluded. */
  function removable(facts: Facts, listed: Readonly<Record<string, string>>): string[] {
    const names = Object.keys(listed);
    return statedPaths(facts).filter(
      (path) => !names.some((each) => each === path || each.startsWith(`${path}.`)),
    );
  }

  /** An object above a listed fact, without all that is not listed. */
  function emptied(facts: Facts, path: string): Facts {
    return removable(facts, LIFTS)
      .filter((each) => each.startsWith(`${path}.`))
      .reduce((at, each) => withFact(at, each, undefined), facts);
  }

  const refused = cases.filter(({ facts }) => decide(facts).effect !== 'permit');
  const permitted = cases.filter(({ facts }) => decide(facts).effect === 'permit');

  describe('leaving out a fact', () => {
    test.each(refused)(
      '$id: any single one, an object included, never turns the refusal into a permit',
      ({ facts }) => {
        const lifted = removable(facts, LIFTS).filter(
          (path) => decide(withFact(facts, path, undefined)).effect === 'permit',
        );
        expect(lifted).toEqual([]);
      },
    );

    test('never turns a refusal into a permit, whichever of them are left out together', () => {
      fc.assert(
        fc.property(
          fc
            .constantFrom(...refused)
            .chain(({ facts }) =>
              fc.tuple(fc.constant(facts), fc.subarray(removable(facts, LIFTS))),
            ),
          ([facts, paths]) => {
            const rest = paths.reduce((at, path) => withFact(at, path, undefined), facts);
            expect(decide(rest).effect).not.toBe('permit');
          },
        ),
        { numRuns: 3000 },
      );
    });

    test('never turns a refusal of random facts into a permit', () => {
      fc.assert(
        fc.property(
          mutatedFacts
            .filter((facts) => decide(facts).effect !== 'permit')
            .chain((facts) => {
              const paths = removable(facts, LIFTS);
              const maxLength = Math.min(6, paths.length);
              return fc.tuple(fc.constant(facts), fc.subarray(paths, { maxLength }));
            }),
          ([facts, paths]) => {
            const rest = paths.reduce((at, path) => withFact(at, path, undefined), facts);
            expect(decide(rest).effect).not.toBe('permit');
          },
        ),
        { numRuns: 3000 },
      );
    });

    test.each([
      'dataset',
      'request',
      'dataset.sovereignty',
      'request.locations',
      'request.requester',
      'request.output',
      'request.hosting',
    ])('never lifts a refusal when all of %s but what may be absent is gone', (path) => {
      const lifted = refused.filter(
        ({ facts }) => decide(emptied(facts, path)).effect === 'permit',
      );
      expect(lifted.map(({ id }) => id)).toEqual([]);
    });

    test('of everything is refused: no dataset, no request, nothing at all', () => {
      for (const facts of [{}, { dataset: null, request: null }, { dataset: {}, request: {} }]) {
        expect(decide(facts).effect).not.toBe('permit');
      }
    });

    test.each(permitted)(
      '$id: any single one lifts no obligation of a permit that remains one',
      ({ facts }) => {
        const { oblige } = decide(facts);
        const lifted = removable(facts, LIFTS_OBLIGATION).flatMap((path) => {
          const rest = decide(withFact(facts, path, undefined));
          const gone = oblige.filter((rule) => !rest.oblige.includes(rule));
          return rest.effect === 'permit' && gone.length > 0 ? [`${path}: ${gone.join(' ')}`] : [];
        });
        expect(lifted).toEqual([]);
      },
    );
  });

  describe('the list of facts whose absence lifts something', () => {
    // The policy about them is the same to the byte in each pack that has it: one shows it for all.
    const own = Object.keys(LIFTS).filter((path) => name === 'duo' || !RESEARCH_PURPOSE[path]);
    test.each(own)('%s: some case shows that it lifts a refusal', (path) => {
      const shown = cases.some(({ facts }) => {
        if (factAt(facts, path) === undefined || decide(facts).effect === 'permit') return false;
        return decide(withFact(facts, path, undefined)).effect === 'permit';
      });
      expect(shown).toBe(true);
    });

    test.each(Object.keys(LIFTS_OBLIGATION).filter((path) => !LIFTS[path]))(
      '%s: some case shows that it lifts an obligation',
      (path) => {
        const shown = cases.some(({ facts }) => {
          const rest = withFact(facts, path, undefined);
          return decide(rest).oblige.length < decide(facts).oblige.length;
        });
        expect(shown).toBe(true);
      },
    );
  });

  describe('null', () => {
    test('is the same as absent everywhere', () => {
      fc.assert(
        fc.property(
          fc
            .constantFrom(...cases)
            .chain(({ facts }) =>
              fc.tuple(fc.constant(facts), fc.constantFrom(...statedPaths(facts))),
            ),
          ([facts, path]) => {
            expect(decide(withFact(facts, path, null))).toEqual(
              decide(withFact(facts, path, undefined)),
            );
          },
        ),
        { numRuns: 1000 },
      );
    });
  });
});

import { describe, expect, test } from 'vitest';
import { casesOf, testCase } from '../../src/pdp/cases.ts';
import { cases, caseText, program } from './support.ts';

/** The layer of every rule of the table: statute, regulation, agreement, national choice. */
const LAYERS = {
  statute:
    'RW-DPP-PURPOSE RW-DPP-REG RW-DPP-PROC RW-DPP-STORE RW-DPP-XFER RW-DPP-XFER-NECESSITY ' +
    'RW-DPP-CONTRACT RW-DPP-CONSENT RW-DPP-WITHDRAW OBL-EXCLUDE-UNCOVERED RW-DPP-CHILD ' +
    'RW-DPP-CHILD-INTEREST RW-DPP-DPIA RW-DPP-MIN RW-DPP-ONWARD RW-DPP-AUTO OBL-LOG OBL-NOREID OBL-RETAIN',
  regulation: 'RW-RES-ETHICS',
  agreement: 'AGR-BIND AGR-TERM AGR-SCOPE',
  national_choice:
    'RW-PERMIT SOV-OUTPUT SOV-STORE SOV-JURIS SOV-WEIGHTS RW-DPP-XFER-WEIGHTS SOV-POC ' +
    'SOV-POC-LIMIT SOV-KT SOV-BENEFIT OBL-CELL',
} as const;

const ruleCases = casesOf('rules.yaml', caseText('rules.yaml'));

describe('cases of the rule table', () => {
  test.each(ruleCases)(
    '$id: exactly the rules of the table deny, ask for review and oblige',
    (each) => {
      expect(testCase(program, each)).toEqual([]);
    },
  );

  test('each state the three sets in full, so that nothing goes uncompared', () => {
    const sets = ['deny', 'review', 'obligations'];
    const loose = ruleCases.filter(
      ({ expected }) => !sets.every((name) => Array.isArray(expected[name])),
    );
    expect(loose.map(({ id }) => id)).toEqual([]);
  });

  test('have names of their own', () => {
    const ids = cases.map(({ id }) => id);
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
  });
});

describe('the pack', () => {
  test('has the rules of the table and no others, each in its layer', () => {
    // Terms of use are about datasets that state some, and have cases of their own.
    const actual = program.rules
      .filter(({ document }) => !['data-use', 'rw-choice-data-use'].includes(document.policy))
      .map(({ rule, document }) => `${document.layer} ${rule.id}`);
    const expected = Object.entries(LAYERS).flatMap(([layer, ids]) =>
      ids.split(' ').map((id) => `${layer} ${id}`),
    );
    expect(actual.toSorted()).toEqual(expected.toSorted());
  });
});

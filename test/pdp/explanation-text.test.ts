import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { explain } from '../../src/pdp/explain.ts';
import { explanationText } from '../../src/pdp/explanation-text.ts';
import type { Facts } from '../../src/pdp/facts.ts';
import { remedies } from '../../src/pdp/remedies.ts';
import { factTitle, textIn, valueTitle } from '../../src/pdp/words.ts';
import { cases, mutatedFacts, program } from './support.ts';

const { pack } = program;

function text(facts: Facts, language: string): string {
  return explanationText(explain(program, facts), language, pack, remedies(program, facts));
}

/** Everything that the explanation and the remedies hold is in the text. */
function expectWhole(facts: Facts, language: string): void {
  const { reasons, obligations, missing, examiners, expiry } = explain(program, facts);
  const whole = text(facts, language);
  expect(whole).not.toMatch(/undefined|\[object|\{/);
  for (const reason of reasons) {
    expect(whole).toContain(`- ${reason.rule}, ${textIn(reason.title, language)}`);
    expect(whole).toContain(textIn(reason.sentence, language));
    for (const { article } of reason.citations) expect(whole).toContain(article);
    for (const { fact, value } of reason.facts) {
      expect(whole).toContain(factTitle(pack, fact, language));
      expect(whole).toContain(valueTitle(pack, fact, value, language));
    }
  }
  for (const { sentence, evidence } of obligations)
    for (const each of [sentence, evidence]) expect(whole).toContain(textIn(each, language));
  for (const fact of missing) expect(whole).toContain(`- ${factTitle(pack, fact, language)}`);
  for (const { title } of examiners) expect(whole).toContain(textIn(title, language));
  if (expiry) expect(whole).toContain(expiry.date);
  for (const { changes } of remedies(program, facts))
    for (const { sentence } of changes) expect(whole).toContain(textIn(sentence, language));
}

describe('An explanation in words', () => {
  test.each(['en', 'fr', 'rw', 'sw'])('leaves nothing out of any case, in %s', (language) => {
    for (const { facts } of cases) expectWhole(facts, language);
  });

  test('leaves nothing out of random facts', () => {
    fc.assert(
      fc.property(mutatedFacts, fc.constantFrom('en', 'fr'), (facts, language) =>
        expectWhole(facts, language),
      ),
      { numRuns: 300 },
    );
  });

  test('is English in a language that nobody has words for', () => {
    for (const { facts } of cases.slice(0, 20)) expect(text(facts, 'sw')).toBe(text(facts, 'en'));
  });

  test('begins with the answer and says what would change it', () => {
    const denied = cases.find(({ id }) => id === 'RW-S12b')?.facts ?? {};
    const whole = text(denied, 'en');
    expect(whole.startsWith('The policies deny it.\n\nWhy:\n- RW-DPP-XFER, ')).toBe(true);
    expect(whole).toContain('Places of access: Rwanda and Japan (from the request)');
    expect(whole).toContain(
      [
        'What would change the answer:',
        '1. The policies permit it.',
        '   - Do not look at the data from Japan. (yours to change)',
        '   - Give the data to nobody in Japan. (yours to change)',
        '   What must be done: OBL-LOG, OBL-NOREID, OBL-RETAIN.',
        '2. The policies permit it.',
        '   - Name "authorisation of NCSA" as the ground of the transfer. (yours to change)',
        '   - Obtain an authorisation of NCSA for transfer and sharing abroad that covers Japan and is valid until 2027-10-14. (granted or recorded by the authority)',
      ].join('\n'),
    );
    expect(text(denied, 'fr')).toContain('Ce qui changerait la réponse :');
  });
});

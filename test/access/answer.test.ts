/** The quick ways of writing an answer and a decision's document say what the plain ones say. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import { expect, test } from 'vitest';
import { answerText } from '../../src/access/answer.ts';
import { decide, textOf, viewOf } from '../../src/access/decision.ts';
import { casesOf } from '../../src/pdp/cases.ts';
import { compilePack, readPackFolder } from '../../src/policies/files.ts';

const ROOT = join(import.meta.dirname, '../..');
const file = join(ROOT, 'policies/cases/rwanda.json');
const cases = casesOf(file, readFileSync(file, 'utf8'));
const recorded = { event_id: 'e', leaf_hash: 'h', index: null, receipt: 'r' };

test.each(cases.map((each) => [each.id, each.facts] as const))('%s', async (id, facts) => {
  const program = compilePack(await readPackFolder(join(ROOT, 'policies/rwanda')));
  // Twice, and beside facts of another case: what is kept from one answer must not show in the next.
  for (const each of [facts, cases[0]?.facts ?? {}, facts]) {
    const decided = decide(program, each, { asOf: '2026-10-15T07:00:00.000Z', simulation: false });
    const answer = { id, request: { text: '"€\\' }, decision: viewOf('d', decided, recorded) };
    expect(JSON.parse(Buffer.from(answerText(answer).text).toString('utf8'))).toEqual(
      JSON.parse(JSON.stringify(answer)),
    );
    expect(textOf(decided.stored).whole).toBe(canonicalize(decided.stored));
  }
});

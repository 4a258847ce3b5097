/** What a decision shares with others is put back into its document byte for byte, whatever texts stand in it. */

import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type StoredDecision, textOf, wholeOf } from '../../src/access/decision.ts';
import { canonicalText } from '../../src/audit/canonical.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let client: Client;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new Client(database.connectionString);
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

const POLICIES = [{ policy: 'p', version: 1, sha256: 'f'.repeat(64) }];
const HASH = textOf({ facts: { dataset: {}, request: {} }, policies: POLICIES } as never).parts[1]
  ?.sha256;
const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom(
    HASH ?? '',
    `"${HASH}"`,
    `"facts":{"dataset":"${HASH}"`,
    `,"policies":"${HASH}","review":[],"simulation":false,"v":1}`,
    '\\1 & $1 %s',
  ),
);
const facts = fc.dictionary(
  fc.oneof(fc.constantFrom('dataset', 'facts', 'policies', 'review', 'title'), text),
  fc.oneof(text, fc.jsonValue(), fc.dictionary(text, text)),
);
const codes = fc.array(fc.stringMatching(/^[A-Z-]{1,8}$/));

test('a document is whole again', async () => {
  await fc.assert(
    fc.asyncProperty(facts, facts, codes, text, async (dataset, request, rules, code) => {
      const stored: StoredDecision = {
        v: 1,
        simulation: false,
        as_of: '2026-10-15T07:00:00.000Z',
        pack: { pack: 'p', version: 1, sha256: HASH ?? '' },
        policies: POLICIES,
        facts: { dataset, request },
        effect: 'deny',
        deny: rules,
        review: rules,
        obligations: rules,
        missing_facts: [code],
        expiry: { name: code, fact: code, date: '2027-01-01' },
      };
      const { whole, kept, parts } = textOf(stored);
      expect(whole).toBe(canonicalText(stored));
      const { rows } = await client.query(
        `with kept as (
          insert into decision_part select decode(sha256, 'hex'), text
          from json_to_recordset($1) as t (sha256 text, text text) on conflict do nothing)
        select`,
        [JSON.stringify(parts)],
      );
      expect(rows).toHaveLength(1);
      const known = new Map(parts.map((part) => [part.sha256, part.text]));
      for (const document of [kept, whole]) {
        expect(await wholeDocument(document)).toBe(whole);
        expect(wholeOf(document, (hash) => known.get(hash))).toBe(whole);
      }
    }),
    { numRuns: 400 },
  );
});

test('what is damaged or gone is shown as it is stored', async () => {
  const hash = '0'.repeat(64);
  const ending = ',"review":[],"simulation":false,"v":1}';
  for (const damaged of [
    '',
    'no decision',
    `{"facts":{"dataset":"${hash}","request":{}},"policies":"${hash}"${ending}`,
    `{"facts":{"dataset":"${hash}","request":{}},"policies":"${hash}"`,
    `{"facts":{"dataset":"${hash.slice(1)}x","request":{}},"policies":"${hash}"${ending}`,
    `{"facts":{"dataset":"${hash}"`,
    ending,
  ]) {
    expect(await wholeDocument(damaged)).toBe(damaged);
    expect(wholeOf(damaged, () => undefined)).toBe(damaged);
  }
});

test('what was kept is changed by nobody', async () => {
  for (const statement of [
    "update decision_part set text = ''",
    'delete from decision_part',
    'truncate decision_part',
  ])
    await expect(client.query(statement)).rejects.toThrow('decision_part');
});

async function wholeDocument(document: string): Promise<string> {
  const { rows } = await client.query<{ whole: string }>('select whole_document($1) as whole', [
    document,
  ]);
  return rows[0]?.whole ?? '';
}

/** Searching the record: every answer is that of looking at every event, whatever is indexed. */

import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { indexBlock } from '../../src/audit/indexer.ts';
import { searchEvents } from '../../src/audit/search.ts';
import { countBlocks } from '../../src/audit/search-store.ts';
import { type EventRow, readSequenced } from '../../src/audit/store.ts';
import { termsOf } from '../../src/audit/terms.ts';
import { connect, type Database } from '../../src/db/connection.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const OVERSEER = { role: 'authority' } as const;
const PARTNER = {
  organisation: 'jp-engineering',
  projects: ['idsr-forecasting', 'climate-model'],
};

let service: TestService;
let connection: Database;
let client: Client;

beforeAll(async () => {
  service = await startTestService();
  connection = connect(service.config.databaseUrl ?? '', 2);
  client = new Client(service.config.databaseUrl ?? '');
  await client.connect();
  for (let i = 0; i < 12; i++) {
    await Promise.all(
      Array.from({ length: 50 }, (_, k) => (k % 5 === 0 ? register(i * 50 + k) : ask(k))),
    );
  }
  while ((await status()).pending > 0) await sleep(50);
  while (await indexBlock(connection.db));
}, 60_000);
afterAll(async () => {
  await client.end();
  await connection[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

async function status(): Promise<{ pending: number; size: number }> {
  return (await service.ask('GET', '/v1/audit/status', OVERSEER)).body;
}

function register(i: number): Promise<Answer> {
  const title = { en: i % 3 === 0 ? 'Rainfall of Musanze' : 'Harvest', fr: `Été numéro ${i}` };
  return service.ask('POST', '/v1/datasets', {
    role: 'steward',
    claims: { organisation: 'moh', subject: i % 2 === 0 ? 'uwase' : 'keza' },
    body: { id: `found-${i}`, title },
  });
}

function ask(k: number): Promise<Answer> {
  return service.ask('POST', '/v1/access-requests', {
    role: 'partner',
    claims: { ...PARTNER, subject: `partner-${k % 3}` },
    body: {
      dataset: k % 2 === 0 ? 'nhic-idsr-cases' : 'moh-hiv-tracker',
      project: 'idsr-forecasting',
      purpose: 'outbreak_forecasting',
    },
  });
}

interface Item {
  readonly index: number;
  readonly type: string;
  readonly actor: string;
  readonly time: string;
  readonly outcome: string;
  readonly subject_ids: string[];
  readonly body: Record<string, unknown>;
  readonly values: readonly { readonly value: unknown }[];
}

/** All pages of a search. */
async function found(query: Readonly<Record<string, string>>): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const parameters = new URLSearchParams({ limit: '15', ...query, ...(cursor && { cursor }) });
    const {
      status: code,
      body,
      text,
    }: Answer = await service.ask('GET', `/v1/audit/search?${parameters.toString()}`, OVERSEER);
    expect(code, text).toBe(200);
    items.push(...body.items);
    cursor = body.next_cursor;
  }
  return items;
}

async function everything(): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/v1/audit/events?limit=200${cursor && `&cursor=${cursor}`}`;
    const { body }: Answer = await service.ask('GET', path, OVERSEER);
    items.push(...body.items);
    cursor = body.next_cursor;
  }
  return items.filter(({ index }) => index !== null).toSorted((a, b) => b.index - a.index);
}

const indices = (items: readonly Item[]): number[] => items.map(({ index }) => index);

describe('a search', () => {
  let all: Item[];
  beforeAll(async () => {
    all = await everything();
  });

  test('looks at blocks that are indexed, and at what came since', async () => {
    expect(await countBlocks(connection.db)).toBeGreaterThanOrEqual(2);
    expect(all.length % 256).toBeGreaterThan(0);
  });

  const has = (rule: string) => (item: Item) =>
    ['deny', 'review', 'obligations'].some((name) => (item.body[name] as string[])?.includes(rule));
  const wanted: Readonly<
    Record<string, readonly [Record<string, string>, (item: Item) => boolean]>
  > = {
    nothing: [{}, () => true],
    'an actor': [{ actor: 'uwase' }, ({ actor }) => actor === 'uwase'],
    'a dataset': [
      { dataset: 'moh-hiv-tracker' },
      (item) => item.subject_ids.includes('moh-hiv-tracker'),
    ],
    'a project': [
      { project: 'idsr-forecasting' },
      (item) => item.subject_ids.includes('idsr-forecasting'),
    ],
    'a project and a dataset': [
      { project: 'idsr-forecasting', dataset: 'nhic-idsr-cases' },
      ({ subject_ids: ids }) => ids.includes('idsr-forecasting') && ids.includes('nhic-idsr-cases'),
    ],
    'an operation': [{ type: 'registerDataset' }, ({ type }) => type === 'registerDataset'],
    'an effect': [{ effect: 'deny' }, ({ outcome }) => outcome === 'deny'],
    'a word in any case': [
      { text: 'MUSANZE' },
      (item) => JSON.stringify(item.values).includes('Musanze'),
    ],
    'a word with an accent': [
      { text: 'été' },
      (item) => JSON.stringify(item.values).includes('Été'),
    ],
    'words together': [
      { text: 'rainfall numéro', actor: 'keza' },
      (item) => item.actor === 'keza' && JSON.stringify(item.values).includes('Rainfall'),
    ],
    'what there is none of': [{ dataset: 'nobody-has-this' }, () => false],
    'what never comes together': [{ type: 'registerDataset', effect: 'deny' }, () => false],
  };
  test.each(Object.entries(wanted))(
    'for %s finds what looking at every event finds',
    async (name, [query, fits]) => {
      const expected = indices(all.filter(fits));
      expect(indices(await found(query))).toEqual(expected);
      if (!name.startsWith('what ')) expect(expected.length).toBeGreaterThan(15);
    },
  );

  test('for a text without a word is refused, and is not taken for no filter at all', async () => {
    for (const text of ['!', 'a', '- —', 'x'.repeat(41)]) {
      for (const door of ['search', 'export']) {
        const path = `/v1/audit/${door}?text=${encodeURIComponent(text)}`;
        const { status: code, body } = await service.ask('GET', path, OVERSEER);
        expect([text, code, body.errors?.[0]?.path]).toEqual([text, 400, 'text']);
      }
    }
  });

  test('for a rule finds the decisions that it denied, sent to review or obliged', async () => {
    const rules = new Set(
      all.flatMap(({ body }) => [
        ...((body['deny'] as string[]) ?? []),
        ...((body['review'] as string[]) ?? []),
      ]),
    );
    expect(rules.size).toBeGreaterThan(0);
    for (const rule of rules) {
      expect(indices(await found({ rule }))).toEqual(indices(all.filter(has(rule))));
    }
  });

  test('for a time finds what is between its ends, both included', async () => {
    const [later, earlier] = [all[100], all[400]];
    const query = { from: earlier?.time ?? '', to: later?.time ?? '' };
    const between = all.filter(({ time }) => time >= query.from && time <= query.to);
    expect(indices(await found(query))).toEqual(indices(between));
    expect(indices(await found({ ...query, effect: 'deny' }))).toEqual(
      indices(between.filter(({ outcome }) => outcome === 'deny')),
    );
    expect(await found({ from: '2090-01-01T00:00:00Z' })).toEqual([]);
    expect(await found({ to: '1990-01-01T00:00:00Z' })).toEqual([]);
  });

  test('finds the same in pages of any size, from any place', async () => {
    const rows = await readSequenced(connection.db, { from: 0, to: 100_000, limit: 100_000 });
    const terms = [...new Set(rows.flatMap((row) => [...termsOf(row)]))];
    const queryOf = (term: string) => {
      const colon = term.indexOf(':');
      const [kind, value] = [term.slice(0, colon), term.slice(colon + 1)];
      if (kind === 'subject') return { subjects: [value] };
      return kind === 'word' ? { text: value } : { [kind]: value };
    };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...terms),
        fc.integer({ min: 1, max: 70 }),
        fc.nat({ max: rows.length }),
        async (term, limit, start) => {
          const expected = rows.filter((row) => termsOf(row).has(term) && (row.idx ?? 0) < start);
          const got: EventRow[] = [];
          for (let before = start; before > 0; ) {
            const page = await searchEvents(connection.db, { ...queryOf(term), before }, limit);
            expect(page.events.length).toBeLessThanOrEqual(limit);
            expect(page.reached).toBeLessThan(before);
            got.push(...page.events);
            before = page.reached;
          }
          expect(got.map(({ idx }) => idx)).toEqual(expected.map(({ idx }) => idx));
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('the index', () => {
  test('is made once however many replicas make it', async () => {
    await client.query('delete from event_term');
    await client.query('delete from event_block');
    for (let i = 0; i < 4; i++) {
      await Promise.all(Array.from({ length: 3 }, () => indexBlock(connection.db)));
    }
    const { rows } = await client.query(
      'select count(*) = count(distinct block) as once, max(block) + 1 = count(*) as whole from event_block',
    );
    expect(rows).toEqual([{ once: true, whole: true }]);
    expect((await found({ actor: 'uwase' })).length).toBeGreaterThan(0);
  });

  test('leaves a block alone until it is full', async () => {
    const { size } = await status();
    expect(await countBlocks(connection.db)).toBe(Math.floor(size / 256));
    expect(await indexBlock(connection.db)).toBe(false);
  });

  test('has no secret and no digest among its words', async () => {
    const { rows } = await client.query<{ salt: string }>(
      `select convert_from(body, 'UTF8')::jsonb ->> 'salt' as salt from audit_event limit 20`,
    );
    for (const { salt } of rows) {
      const terms = await client.query('select 1 from event_term where term = $1', [
        `word:${salt.toLowerCase()}`,
      ]);
      expect(terms.rows).toEqual([]);
    }
  });
});

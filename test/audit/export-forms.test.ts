/** Every form of an export says the same, names what it is, and is whole or failed. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type AsyncBuffer, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXPORT_FORMAT, type ExportHeader, type ExportRow } from '../../src/audit/export-form.ts';
import { joinDisclosures, putBack } from '../../src/audit/disclosures.ts';
import { PARQUET } from '../../src/audit/export-parquet.ts';
import { sealEvent } from '../../src/audit/event.ts';
import { withoutEvent } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { samples } from '../http/samples.ts';
import { ocsfProblems } from './ocsf-schema.ts';

const OVERSEER = { role: 'authority' } as const;
const FILTER = 'type=registerDataset';

let service: TestService;
let size: number;

beforeAll(async () => {
  service = await startTestService();
  await Promise.all(
    Array.from({ length: 280 }, (_, i) =>
      service.ask('POST', '/v1/datasets', {
        role: 'steward',
        claims: { organisation: 'moh', subject: '=cmd|steward' },
        body: { id: `kept-${i}`, title: { en: `Amakuru "${i}",\n\u{1F33F} é` } },
      }),
    ),
  );
  const sample = await samples['submitAccessRequest']?.(service);
  const { method, path, ...request } = sample ?? { method: '', path: '' };
  await service.ask(method, path, request);
  await service.ask('GET', '/v1/datasets/kept-1', { role: 'auditor' });
  for (;;) {
    const { body } = await service.ask('GET', '/v1/audit/status', OVERSEER);
    size = body.published.size;
    if (body.pending === 0 && size === body.size) break;
    await sleep(50);
  }
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

async function bytesOf(query: string): Promise<Buffer> {
  const headers = { authorization: `Bearer ${await service.token('authority')}` };
  const answer = await fetch(`${service.url}/v1/audit/export?size=${size}&${query}`, { headers });
  const bytes = Buffer.from(await answer.arrayBuffer());
  expect(answer.status, bytes.toString('utf8').slice(0, 300)).toBe(200);
  return bytes;
}

const textOf = async (query: string): Promise<string> => (await bytesOf(query)).toString('utf8');

// oxlint-disable-next-line typescript/no-explicit-any -- looked into as what they should be
const linesOf = (text: string): any[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

function fileOf(bytes: Buffer): AsyncBuffer {
  return {
    byteLength: bytes.length,
    slice: (from, to) => Uint8Array.from(bytes.subarray(from, to)).buffer,
  };
}

async function readParquet(bytes: Buffer) {
  const file = fileOf(bytes);
  const { key_value_metadata = [], ...metadata } = await parquetMetadataAsync(file);
  const said = Object.fromEntries(
    key_value_metadata.map(({ key, value }) => [key, JSON.parse(value ?? '')]),
  );
  const rows = await parquetReadObjects({ file });
  return { metadata, said, rows };
}

describe.each(['', FILTER, 'start=3&end=40', 'start=5&end=5', 'type=nothingAtAll'])(
  'of "%s"',
  (query) => {
    test('Parquet has the rows of JSONL, its first line and its last, in columns of their types', async () => {
      const [header, ...lines] = linesOf(await textOf(query));
      const { metadata, said, rows } = await readParquet(await bytesOf(`${query}&format=parquet`));
      expect(said).toEqual({ 'umutungo.header': header, 'umutungo.end': lines.at(-1) });
      expect(Number(metadata.num_rows)).toBe(lines.length - 1);
      expect(
        rows.map(({ index, leaf_hash, leaf, body, disclosures, proof }) => ({
          index: Number(index),
          leaf_hash,
          leaf,
          body,
          disclosures,
          ...(header.filtered && { proof }),
        })),
      ).toEqual(lines.slice(0, -1));
      for (const row of rows) {
        const leaf = JSON.parse(String(row['leaf']));
        const stored = joinDisclosures(row['disclosures'] as string[]);
        const body = putBack(JSON.parse(String(row['body'])), stored);
        expect(row).toMatchObject({
          index: expect.any(BigInt),
          event_id: leaf.event_id,
          time: new Date(leaf.time),
          type: leaf.type,
          actor: body['actor'],
          role: leaf.role,
          outcome: leaf.outcome,
          subject_ids: leaf.subject_ids,
          deny: body['deny'] ?? [],
          review: body['review'] ?? [],
          obligations: body['obligations'] ?? [],
        });
      }
    });

    test('OCSF has an event of the schema for each row, and says under which checkpoint it is', async () => {
      const [header, ...lines] = linesOf(await textOf(query));
      const events = linesOf(await textOf(`${query}&format=ocsf`));
      expect(events.flatMap(ocsfProblems)).toEqual([]);
      expect(events[0].unmapped).toEqual(header);
      expect(events.at(-1).unmapped).toEqual(lines.at(-1));
      expect(
        events.slice(1, -1).map(({ metadata, raw_data, unmapped }) => ({
          index: metadata.sequence,
          leaf_hash: unmapped.leaf_hash,
          leaf: raw_data,
          ...(header.filtered && { proof: unmapped.proof }),
        })),
      ).toEqual(lines.slice(0, -1).map(({ body: _body, disclosures: _beside, ...row }) => row));
      expect(events.slice(1, -1).map(({ unmapped }) => unmapped.body)).toEqual(
        lines
          .slice(0, -1)
          .map(({ body, disclosures }) => putBack(JSON.parse(body), joinDisclosures(disclosures))),
      );
    });
  },
);

describe('the rest of an export that was broken off', () => {
  test.each(['jsonl', 'csv', 'ocsf'])('is the same bytes in %s, from any row', async (format) => {
    for (const query of [`start=3&end=280&format=${format}`, `${FILTER}&format=${format}`]) {
      const text = await textOf(query);
      const rows = linesOf(await textOf(query.replace(format, 'jsonl'))).slice(1, -1);
      for (const row of [0, 1, 150, rows.length]) {
        const index = row > 0 ? rows[row - 1].index + 1 : query.includes('start') ? 3 : 0;
        const rest = await textOf(`${query}&resume_row=${row}&resume_index=${index}`);
        expect(text.endsWith(rest)).toBe(true);
        const before = text.slice(0, text.length - rest.length);
        const heads = format === 'csv' ? 3 : 1;
        // The titles have a line break, which JSON writes as two letters and CSV's body as well.
        expect(before.split('\n')).toHaveLength(heads + row + 1);
      }
    }
  });

  test.each([
    ['resume_row=3', 'resume_index'],
    ['resume_index=3', 'resume_row'],
    ['resume_row=2&resume_index=3', 'resume_row'],
    ['resume_row=300&resume_index=300&end=200', 'resume_index'],
    [`resume_row=9&resume_index=3&${FILTER}`, 'resume_row'],
    ['resume_row=3&resume_index=3&format=parquet', 'resume_row'],
  ])('is refused where rows would be missing: %s', async (query, path) => {
    const asked = `/v1/audit/export?size=${size}&${query}`;
    const { status, body } = await service.ask('GET', asked, OVERSEER);
    expect([status, body.errors?.[0]?.path]).toEqual([400, path]);
  });

  test('is refused where it is not said under which checkpoint it began', async () => {
    const asked = '/v1/audit/export?resume_row=3&resume_index=3';
    const { status, body } = await service.ask('GET', asked, OVERSEER);
    expect([status, body.errors?.[0]?.path]).toEqual([400, 'size']);
  });
});

describe('an export of an event that is gone', () => {
  test.each(
    ['jsonl', 'csv', 'ocsf', 'parquet'].flatMap((format) => [
      [format, 'start=0'],
      [format, FILTER],
    ]),
  )('fails in %s with "%s", and does not end', async (format, query) => {
    const where = "idx between 100 and 200 and type = 'registerDataset'";
    await withoutEvent(service.config.databaseUrl ?? '', where, async () => {
      const headers = { authorization: `Bearer ${await service.token('authority')}` };
      const asked = `${service.url}/v1/audit/export?size=${size}&format=${format}&${query}`;
      await expect(fetch(asked, { headers }).then((answer) => answer.text())).rejects.toThrow(
        'terminated',
      );
    });
  });
});

describe('Parquet', () => {
  test('that was broken off anywhere cannot be opened', async () => {
    const bytes = await bytesOf('format=parquet');
    for (const length of [12, 1_000, bytes.length >> 1, bytes.length - 1]) {
      await expect(parquetMetadataAsync(fileOf(bytes.subarray(0, length)))).rejects.toThrow(
        /parquet|RangeError|offset/i,
      );
    }
  });

  test('is written a group of rows at a time: never are more held', async () => {
    const { leaf, leaf_hash, body } = sealEvent(
      {
        type: 'registerDataset',
        actor: 'a',
        role: 'steward',
        subject_ids: ['d'],
        outcome: 'success',
        body: {},
      },
      '2026-11-24T07:00:00.123Z',
      (actor) => actor,
    );
    const row = {
      leaf: leaf.toString('utf8'),
      leaf_hash: leaf_hash.toString('base64'),
      body: body.toString('utf8'),
    };
    const large = { ...row, body: JSON.stringify({ text: 'x'.repeat(65_000) }) };
    for (const [each, rows, most] of [
      [row, 15_000, 2_048],
      [large, 500, 75],
    ] as const) {
      let read = 0;
      async function* all(): AsyncGenerator<ExportRow> {
        for (; read < rows; read++) yield { index: read, ...each };
      }
      const header: ExportHeader = {
        format: EXPORT_FORMAT,
        shard: 2026,
        origin: 'log.test.example/2026',
        from: 0,
        to: rows,
        filtered: false,
        filter: {},
        complete: '',
        checkpoint: '',
        signed_at: '2026-11-24T08:00:00.000Z',
        vkeys: '',
        left: [],
      };
      let [before, groups] = [0, 0];
      const parts: Uint8Array[] = [];
      for await (const part of PARQUET.write({ header, rows: all(), right: () => [] })) {
        expect(read - before).toBeLessThanOrEqual(most);
        before = read;
        groups += 1;
        parts.push(part as Uint8Array);
      }
      expect(groups).toBeGreaterThan(rows / most);
      const { metadata, said } = await readParquet(Buffer.concat(parts));
      expect(Number(metadata.num_rows)).toBe(rows);
      expect(said['umutungo.end']).toEqual({ end: true, count: rows, right: [] });
    }
  });
});

/** The record of processing: what the registers know and no more, under the law that the pack says. */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import { parseVerifierKey } from '../../src/tlog/note-key.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const POLICIES = join(import.meta.dirname, '../../policies');
const START = new Date('2026-10-15T09:00:00+02:00');
const PATH = '/v1/organisations/moh/record-of-processing';
const STEWARD = { role: 'steward', claims: { organisation: 'moh' } } as const;
const AUDITOR = { role: 'auditor' } as const;

interface Demo {
  readonly requests: readonly Record<string, unknown>[];
  readonly projects: readonly { readonly id: string; readonly organisation: string }[];
}

let now = START;
let service: TestService;
let demo: Demo;

async function asked(scenario: string, changes: object = {}): Promise<Answer> {
  const { scenario: _name, ...body } =
    demo.requests.find((each) => each['scenario'] === scenario) ?? {};
  const project = String(body['project']);
  const organisation = demo.projects.find(({ id }) => id === project)?.organisation;
  return service.ask('POST', '/v1/access-requests', {
    role: 'partner',
    claims: { organisation, projects: [project] },
    body: { ...body, ...changes },
  });
}

beforeAll(async () => {
  demo = JSON.parse(await readFile(join(POLICIES, '../demo/scenarios.json'), 'utf8')) as Demo;
  service = await startTestService({ clock: () => now });
  await service.ask('POST', '/v1/datasets', {
    ...STEWARD,
    body: { id: 'bare', title: { en: '<script>alert(1)</script> & "more"' } },
  });
  await service.ask('POST', '/v1/datasets', {
    ...STEWARD,
    body: {
      id: 'empty-lists',
      title: { en: 'Empty' },
      sensitive_categories: [],
      contact_point: { name: 'Data desk' },
    },
  });
  for (const { scenario } of demo.requests) await asked(String(scenario));
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

const read = (by: Ask = STEWARD, query = ''): Promise<Answer> =>
  service.ask('GET', `${PATH}${query}`, by);

// oxlint-disable-next-line typescript/no-explicit-any -- looked into as what it should be
async function record(query = ''): Promise<any> {
  const { status, body, text } = await read(STEWARD, query);
  expect(status, text.slice(0, 300)).toBe(200);
  return body;
}

const at = (facts: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | null)?.[key], facts) ??
  null;

describe('the record', () => {
  test('is for the own stewards, auditors and the authority; to others there is none', async () => {
    for (const by of [STEWARD, AUDITOR, { role: 'authority' } as const])
      expect((await read(by)).status).toBe(200);
    expect((await read({ role: 'partner' })).status).toBe(403);
    const other = await read({ role: 'steward', claims: { organisation: 'nisr' } });
    const nobody = await service.ask(
      'GET',
      '/v1/organisations/nobody-knows/record-of-processing',
      STEWARD,
    );
    expect([other.status, other.text]).toEqual([404, nobody.text]);
  });

  test('leaves an event when an auditor reads it', async () => {
    await read(AUDITOR);
    const { body } = await service.ask(
      'GET',
      '/v1/audit/events?type=getRecordOfProcessing',
      AUDITOR,
    );
    expect(body.items[0]).toMatchObject({ role: 'auditor', subject_ids: ['moh'] });
  });

  test('has every dataset of the controller, with what its steward wrote and null for the rest', async () => {
    const { datasets, sections } = await record();
    const { body } = await service.ask('GET', '/v1/datasets?publisher=moh&limit=100', STEWARD);
    const own = new Map<string, unknown>(body.items.map((each: { id: string }) => [each.id, each]));
    expect(datasets.map(({ id }: { id: string }) => id)).toEqual([...own.keys()].toSorted());
    let looked = 0;
    for (const { datasets: table } of sections) {
      for (const { of, values } of table?.rows ?? []) {
        for (const [fact, value] of Object.entries(values)) {
          expect([of, fact, value]).toEqual([of, fact, at({ dataset: own.get(of) }, fact)]);
          looked += 1;
        }
      }
    }
    expect(looked).toBeGreaterThan(50);
    const categories = sections.find(({ id }: { id: string }) => id === 'categories').datasets;
    const valuesOf = (id: string) =>
      categories.rows.find(({ of }: { of: string }) => of === id).values;
    expect(valuesOf('empty-lists')['dataset.sensitive_categories']).toEqual([]);
    expect(valuesOf('bare')['dataset.sensitive_categories']).toBeNull();
    const point = (id: string) =>
      datasets.find((each: { id: string }) => each.id === id).contact_point;
    expect([point('empty-lists'), point('bare')]).toEqual([{ name: 'Data desk' }, null]);
  });

  test('has all access that was permitted and no other, as it was asked and decided', async () => {
    const { accesses, sections } = await record();
    const { body } = await service.ask('GET', '/v1/access-requests?limit=100', STEWARD);
    const permitted = body.items.filter(({ effect }: { effect: string }) => effect === 'permit');
    expect(body.items.length).toBeGreaterThan(permitted.length);
    expect(permitted.length).toBeGreaterThan(0);
    const ids = (list: { id: string }[]): string[] => list.map(({ id }) => id).toSorted();
    expect(ids(accesses)).toEqual(ids(permitted));
    for (const access of accesses) {
      const one = (await service.ask('GET', `/v1/access-requests/${access.id}`, STEWARD)).body;
      expect(access).toMatchObject({
        decision_id: one.decision.id,
        event_id: one.decision.event_id,
        until: one.decision.expiry?.date ?? null,
        requests: 1,
      });
      for (const { accesses: table } of sections) {
        const row = table?.rows.find(({ of }: { of: string }) => of === access.id);
        for (const [fact, value] of Object.entries(row?.values ?? {})) {
          const said = at({ request: one.request }, fact);
          if (said !== null) expect([fact, value]).toEqual([fact, said]);
        }
      }
    }
    const transfers = sections.find(({ id }: { id: string }) => id === 'transfers').accesses;
    const abroad = transfers.rows.find(
      ({ values }: { values: Record<string, string[]> }) =>
        values['request.locations.access_from']?.includes('JP') === true,
    );
    expect(abroad.values).toMatchObject({
      'request.transfer_ground': 'ncsa_authorisation',
      'request.ncsa_transfer_authorisation.countries': ['JP'],
      'request.ncsa_storage_authorisation.no': null,
    });
  });

  test('counts requests for the very same once, and keeps apart what differs', async () => {
    const before = (await record()).accesses.length;
    const scenario = String(
      demo.requests.find((each) => each['dataset'] === 'nhic-idsr-cases')?.['scenario'],
    );
    now = new Date(START.getTime() + 1_000);
    const again = await asked(scenario);
    expect(again.body.decision.effect).toBe('permit');
    const after = (await record()).accesses;
    expect(after).toHaveLength(before);
    const same = after.find(({ dataset }: { dataset: string }) => dataset === 'nhic-idsr-cases');
    expect(same).toMatchObject({ id: again.body.id, requests: 2 });
    const other = await asked(scenario, { safeguards: ['encryption_at_rest', 'pseudonymisation'] });
    expect(other.body.decision.effect).toBe('permit');
    expect((await record()).accesses).toHaveLength(before + 1);
  });

  test('cites the articles of the pack with their confidence, and asks for review of all below high', async () => {
    const text = await readFile(join(POLICIES, 'rwanda/pack.yaml'), 'utf8');
    const pack = parse(text, { merge: true });
    const { sections, citations, title, pack: named } = await record();
    expect([title, named.version, named.reviewed_by]).toEqual([
      pack.record_of_processing.title,
      pack.version,
      null,
    ]);
    expect(citations).toMatchObject(pack.record_of_processing.cites);
    expect(sections).toHaveLength(pack.record_of_processing.sections.length);
    for (const [i, wanted] of pack.record_of_processing.sections.entries()) {
      expect(sections[i]).toMatchObject({
        id: wanted.id,
        sentence: wanted.sentence,
        citations: wanted.cites,
        not_kept: wanted.not_kept ?? [],
        to_review: wanted.cites.some(
          ({ confidence }: { confidence: string }) => confidence !== 'high',
        ),
      });
    }
    expect(sections.map(({ to_review }: { to_review: boolean }) => to_review)).toContain(false);
  });

  test('says when it was taken and under which checkpoint, which the key of the log has signed', async () => {
    const { taken_at, checkpoint } = await record();
    const vkey = parseVerifierKey((await service.ask('GET', '/log/vkey')).text.trim());
    if (!vkey.ok) throw new Error(vkey.reason);
    const opened = openCheckpoint(checkpoint.note, [vkey.verifier]);
    expect(taken_at).toBe(now.toISOString());
    expect(opened).toMatchObject({ ok: true, checkpoint: { size: checkpoint.size } });
  });

  test('is of one dataset where it is asked for one, and of none that is another’s', async () => {
    const { datasets, accesses } = await record('?dataset=nhic-idsr-cases');
    expect(datasets.map(({ id }: { id: string }) => id)).toEqual(['nhic-idsr-cases']);
    expect(new Set(accesses.map(({ dataset }: { dataset: string }) => dataset))).toEqual(
      new Set(['nhic-idsr-cases']),
    );
    expect((await read(STEWARD, '?dataset=nisr-eicv7-tables')).status).toBe(404);
  });
});

describe('the page', () => {
  const page = async (language: string): Promise<string> => {
    const { status, text, headers } = await read(STEWARD, `?format=html&language=${language}`);
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    return text;
  };

  test('says in the language asked for what the pack has in it, and the rest in English', async () => {
    const [en, fr, rw] = [await page('en'), await page('fr'), await page('rw')];
    expect(en).toContain('<html lang="en">');
    for (const words of ['Record of processing', 'not recorded', 'Art. 46', 'not confirmed'])
      expect(en).toContain(words);
    expect(fr).toContain('<html lang="fr">');
    for (const words of ['Registre des activités de traitement', 'non enregistré', 'non confirmée'])
      expect(fr).toContain(words);
    expect(rw).toContain('Record of processing');
  });

  test('has what stewards wrote as text, and asks nothing of anybody', async () => {
    const text = await page('en');
    expect(text).toContain('&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;');
    expect(text).not.toMatch(/<script|<link|<img|<iframe|\bsrc=|\bhref=|@import|url\(/);
  });

  test('shows every value that is not there as not recorded', async () => {
    const { sections, datasets } = await record();
    const text = await page('en');
    const nulls = (table: { rows: { values: object }[] } | null): number =>
      (table?.rows ?? []).flatMap(({ values }) => Object.values(values)).filter((v) => v === null)
        .length;
    const expected =
      datasets.filter((each: { contact_point: unknown }) => each.contact_point === null).length +
      sections
        .map(
          (each: Record<'controller' | 'datasets' | 'accesses', never> & { not_kept: [] }) =>
            nulls(each.controller) +
            nulls(each.datasets) +
            nulls(each.accesses) +
            each.not_kept.length,
        )
        .reduce((sum: number, each: number) => sum + each, 0);
    expect(text.match(/class="missing">not recorded</g)).toHaveLength(expected);
  });
});

describe('another country', () => {
  test('has its own law in it, by swapping the file; and none where its law knows no such record', async () => {
    const policies = await mkdtemp(join(tmpdir(), 'umutungo-record-'));
    await cp(POLICIES, policies, { recursive: true });
    const packDir = join(policies, 'rwanda');
    const file = join(packDir, 'pack.yaml');
    const text = await readFile(file, 'utf8');
    const from = text.indexOf('\nrecord_of_processing:');
    const until = text.indexOf('\nplace_groups:');
    const own = `
record_of_processing:
  title: { en: Register of somewhere else }
  cites: [{ instrument: law-15-2022, article: Section 9, confidence: low }]
  sections:
    - { id: who, title: { en: Groups }, sentence: { en: Which people. }, facts: [dataset.subject_groups],
        cites: [{ instrument: law-15-2022, article: Section 10, confidence: low }] }
`;
    for (const [section, expected] of [
      [own, 'Register of somewhere else'],
      ['', undefined],
    ] as const) {
      await writeFile(file, text.slice(0, from) + section + text.slice(until));
      await using other = await startTestService({ config: { packDir } });
      const { status, body } = await other.ask('GET', PATH, STEWARD);
      expect(status).toBe(expected === undefined ? 404 : 200);
      if (expected === undefined) continue;
      expect(body.title.en).toBe(expected);
      expect(JSON.stringify([body.citations, body.sections])).not.toContain('Art. 17');
      expect(body.sections).toMatchObject([{ id: 'who', to_review: true }]);
    }
    await rm(policies, { recursive: true });
  }, 30_000);
});

// The last: its datasets stay.
describe('a very large record', () => {
  test('is refused whole, and can be had for each dataset', async () => {
    const client = new Client(service.config.databaseUrl ?? '');
    await client.connect();
    try {
      await client.query(`
        insert into dataset (id, version, status, publisher, document, created_at, updated_at, search)
        select 'many-' || i, 1, 'draft', 'moh', '{"title": {"en": "x"}}', now(), now(), ''
        from generate_series(1, 2000) i`);
      const { status, body } = await read();
      expect([status, body.errors?.[0]?.path]).toEqual([400, 'dataset']);
      expect((await read(STEWARD, '?dataset=many-7')).status).toBe(200);
    } finally {
      await client.end();
    }
  });
});

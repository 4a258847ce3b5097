/** Access requests: what a partner asks, what the registers add, what is decided, stored and told. */

import { createHash, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compactVerify, createLocalJWKSet, SignJWT } from 'jose';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decide, type StoredDecision } from '../../src/access/decision.ts';
import { canonicalText } from '../../src/audit/canonical.ts';
import { compilePack } from '../../src/policies/files.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const START = new Date('2026-10-15T09:00:00+02:00');
const ROOT = join(import.meta.dirname, '../..');

interface Scenario {
  readonly id: string;
  readonly dataset: Record<string, unknown>;
  readonly request: Record<string, unknown>;
  readonly expected: { readonly decision: string; readonly reasons: readonly { code: string }[] };
  readonly variants?: readonly { id: string; change: Record<string, unknown>; decision: string }[];
}
interface DemoRequest extends Record<string, unknown> {
  readonly scenario: string;
  readonly dataset: string;
  readonly project: string;
  readonly agreement?: string;
  readonly purpose: string;
}

const readJson = (file: string): unknown => JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
const cases = readJson('policies/cases/rwanda.json') as Scenario[];
const demo = readJson('demo/scenarios.json') as {
  requests: DemoRequest[];
  projects: { id: string; organisation: string }[];
};

let now = START;
let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService({ clock: () => now });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

/** The partner who runs a project of the demo. */
function partnerOf(project: string, subject = `partner-${project}`): Pick<Ask, 'role' | 'claims'> {
  const organisation = demo.projects.find(({ id }) => id === project)?.organisation;
  return { role: 'partner', claims: { organisation, projects: [project], subject } };
}

function bodyOf(scenario: string): DemoRequest {
  const found = demo.requests.find((each) => each.scenario === scenario);
  if (!found) throw new Error(`no demo request ${scenario}`);
  return found;
}

/** What a partner sends: the demo's request without the name of its scenario. */
function wire(scenario: string, changes: Record<string, unknown> = {}): Record<string, unknown> {
  const { scenario: _name, ...body } = { ...bodyOf(scenario), ...changes };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}

function submit(
  scenario: string,
  changes: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const body = wire(scenario, changes);
  const as = partnerOf(bodyOf(scenario).project);
  return service.ask('POST', '/v1/access-requests', { ...as, headers, body });
}

async function rows(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return (await database.query(text, values)).rows as Record<string, unknown>[];
}

async function count(table: string): Promise<number> {
  const [row] = await rows(`select count(*)::int as n from ${table}`);
  return Number(row?.['n']);
}

async function counts(): Promise<number[]> {
  const all: number[] = [];
  for (const table of ['access_request', 'decision', 'audit_event', 'idempotency_key']) {
    all.push(await count(table));
  }
  return all;
}

function word({ effect, obligations }: { effect: string; obligations: unknown[] }): string {
  if (effect === 'review') return 'needs_review';
  return effect === 'permit' && obligations.length > 0 ? 'permit_with_obligations' : effect;
}

function withoutIndex(text: string): unknown {
  return JSON.parse(text.replaceAll(/"index":(null|\d+)/g, '"index":0'));
}

/** Answers that must be told apart by nobody. */
async function refused(scenario: string, changes: Record<string, unknown>): Promise<Answer> {
  const before = await counts();
  const answer = await submit(scenario, changes);
  expect(answer).toMatchObject({ status: 422 });
  expect(answer.body.code).toBe('unknown_reference');
  expect(await counts()).toEqual(before);
  return answer;
}

async function listed(
  ask: Ask,
  query = '',
): Promise<{ id: string; project: string; dataset: string; effect: string }[]> {
  const items = [];
  for (let path: string | undefined = `/v1/access-requests?limit=7${query}`; path; ) {
    const { body, status } = await service.ask('GET', path, ask);
    expect(status).toBe(200);
    items.push(...body.items);
    path = body.next_cursor
      ? `/v1/access-requests?limit=7${query}&cursor=${body.next_cursor}`
      : undefined;
  }
  return items;
}

async function documentOf(id: string): Promise<string> {
  const [row] = await rows(
    'select whole_document(document) as document from decision where id = $1',
    [id],
  );
  return String(row?.['document']);
}

/** Decides again from nothing but the stored decision and the documents that it names. */
async function decideAgain(document: string): Promise<string> {
  const stored = JSON.parse(document) as StoredDecision;
  const [pack] = await rows('select document from pack_version where sha256 = $1', [
    stored.pack.sha256,
  ]);
  const policies = await Promise.all(
    stored.policies.map(async ({ policy, version }) => {
      const { text } = await service.ask('GET', `/v1/policies/${policy}/versions/${version}`, {
        role: 'auditor',
      });
      return { file: policy, text };
    }),
  );
  const program = compilePack({
    pack: { file: 'pack', text: String(pack?.['document']) },
    policies,
  });
  const { as_of: asOf, facts, simulation } = stored;
  return canonicalText(decide(program, facts, { asOf, simulation }).stored);
}

function simulate(body: unknown, ask: Ask = { role: 'authority' }): Promise<Answer> {
  return service.ask('POST', '/v1/decisions/simulate', { ...ask, body });
}

describe('the worked scenarios, asked over HTTP', () => {
  test('the demo asks eight of them', () => {
    expect(demo.requests).toHaveLength(8);
  });

  for (const { scenario, project } of demo.requests) {
    test(`${scenario} gets the decision that a careful lawyer gave`, async () => {
      const answer = await submit(scenario);
      expect(answer).toMatchObject({ status: 201 });
      const { decision, id } = answer.body;
      // RW-S01b is a variant: its decision is written beside what it changes.
      const parent = cases.find((each) => each.id === scenario);
      const variant = cases.flatMap(({ variants = [] }) => variants).find((v) => v.id === scenario);
      const expected = parent?.expected.decision ?? variant?.decision;
      expect(word(decision)).toBe(expected);
      expect(answer.headers.get('location')).toBe(`/v1/access-requests/${id}`);
      // The rules that yielded the effect are given as reasons, first, and the lawyer's are among them.
      const winning: string[] = decision.effect === 'permit' ? [] : decision[decision.effect];
      const first = decision.reasons.slice(0, winning.length);
      expect(first.map(({ rule }: { rule: string }) => rule)).toEqual(winning);
      const named = parent?.expected.reasons.map(({ code }) => code) ?? [];
      const agreed = winning.length === 0 || winning.some((rule) => named.includes(rule));
      expect(agreed || parent === undefined).toBe(true);
      const again = await service.ask('GET', `/v1/access-requests/${id}`, partnerOf(project));
      expect(withoutIndex(again.text)).toEqual(withoutIndex(answer.text));
    });
  }

  test('reasons carry the rule, its words, its citation and the facts that it read', async () => {
    const { body } = await submit('RW-S03');
    const { decision } = body;
    expect(decision.effect).toBe('deny');
    const store = decision.reasons.find(({ rule }: { rule: string }) => rule === 'RW-DPP-STORE');
    expect(store).toMatchObject({ effect: 'deny', layer: 'statute', concern: 'residency' });
    expect(store.citations).toEqual([
      expect.objectContaining({
        instrument: 'law-058-2021',
        article: 'Art. 50',
        confidence: 'high',
      }),
    ]);
    expect(decision.instruments['law-058-2021'].en).toContain('058/2021');
    expect(store.sentence.en).toMatch(/stored in Rwanda/);
    expect(store.facts).toContainEqual({
      fact: 'request.locations.storage',
      value: ['US'],
      source: 'request',
    });
    for (const reason of decision.reasons) {
      expect(reason.citations).not.toEqual([]);
      expect(reason.sentence.en).not.toBe('');
    }
    // Those that denied come first.
    const effects = decision.reasons.map(({ effect }: { effect: string }) => effect);
    expect(effects.lastIndexOf('deny')).toBe(decision.deny.length - 1);
    expect(decision.expiry).toBeNull();
    expect(decision.summary).toMatch(/^Denied by /);
  });

  test('a permit ends at the earliest expiry that it rests on, and names it', async () => {
    const { body } = await submit('RW-S12');
    expect(body.decision.expiry).toEqual({
      name: 'transfer_authorisation',
      fact: 'request.ncsa_transfer_authorisation.valid_until',
      date: '2027-06-30',
    });
    expect(body.decision.summary).toContain('2027-06-30');
  });

  test('obligations say what is due, when, and how it is shown', async () => {
    const { body } = await submit('RW-S04');
    const rules = body.decision.obligations.map(({ rule }: { rule: string }) => rule);
    expect(rules).toEqual(
      expect.arrayContaining(['RW-DPP-WITHDRAW', 'OBL-LOG', 'OBL-NOREID', 'OBL-RETAIN']),
    );
    for (const { due, evidence, sentence } of body.decision.obligations) {
      expect(due).toMatch(/^(from_start|throughout|before_release|\d{4}-\d{2}-\d{2})$/);
      expect(evidence.en).not.toBe('');
      expect(sentence.en).not.toBe('');
    }
    const retain = body.decision.obligations.find(
      ({ rule }: { rule: string }) => rule === 'OBL-RETAIN',
    );
    expect(retain.due).toBe('2028-12-31');
  });

  test('a review says who examines it and that nothing may be released', async () => {
    const { body } = await submit('RW-S06');
    expect(body.decision.effect).toBe('review');
    expect(body.decision.summary).toContain('nothing may be released');
    expect(body.decision.examiners).toEqual([
      {
        role: 'steward',
        title: expect.objectContaining({ en: expect.any(String) }),
        rules: ['SOV-JURIS'],
      },
    ]);
    const child = await submit('RW-S08');
    expect(child.body.decision.examiners).toEqual([
      expect.objectContaining({ role: 'authority', rules: ['RW-DPP-CHILD-INTEREST'] }),
    ]);
  });

  test('a fact that is left out is listed as missing and never turns into a permit', async () => {
    const { body } = await submit('RW-S12', {
      fields_scope: undefined,
      onward_transfer: undefined,
    });
    expect(body.decision.effect).toBe('review');
    expect(body.decision.missing_facts).toEqual(
      expect.arrayContaining(['request.fields_scope', 'request.onward_transfer']),
    );
    const reason = body.decision.reasons.find(
      ({ rule }: { rule: string }) => rule === 'RW-DPP-MIN',
    );
    expect(reason.uncertain).toBe(true);
  });

  test('policy hashes are those of the documents that the API hands out', async () => {
    const { body } = await submit('RW-S12');
    expect(body.decision.policies.length).toBeGreaterThan(0);
    for (const { policy, version, sha256 } of body.decision.policies) {
      const path = `/v1/policies/${policy}/versions/${version}`;
      const document = await service.ask('GET', path, { role: 'holder' });
      expect(createHash('sha256').update(document.text).digest('hex')).toBe(sha256);
    }
  });

  test('the receipt is signed by the key that the log publishes, over this very event', async () => {
    const { body } = await submit('RW-S12');
    const { event_id, leaf_hash, index, receipt } = body.decision;
    expect(index).toBeNull();
    const jwks = (await service.ask('GET', '/log/jwks.json')).body;
    const { payload } = await compactVerify(receipt, createLocalJWKSet(jwks));
    expect(JSON.parse(Buffer.from(payload).toString())).toEqual({
      iss: service.config.logOrigin,
      iat: now.getTime() / 1000,
      event_id,
      leaf_hash,
    });
    const event = await service.ask('GET', `/v1/audit/events/${event_id}`, { role: 'auditor' });
    expect(event.body).toMatchObject({ leaf_hash, type: 'submitAccessRequest', outcome: 'permit' });
  });
});

describe('what a request may name', () => {
  test('a draft of somebody else is refused as one that does not exist, byte for byte', async () => {
    const steward = { role: 'steward', claims: { organisation: 'rbc' } } as const;
    const body = { id: 'hidden-draft', title: { en: 'Hidden' } };
    expect((await service.ask('POST', '/v1/datasets', { ...steward, body })).status).toBe(201);
    const hidden = await refused('RW-S12', { dataset: 'hidden-draft' });
    const missing = await refused('RW-S12', { dataset: 'no-such-dataset' });
    expect(hidden.text).toBe(missing.text);
    expect(hidden.body.errors[0].path).toBe('/dataset');
  });

  test("another partner's project is refused as one that does not exist, byte for byte", async () => {
    const hidden = await refused('RW-S12', { project: 'malaria-forecasting' });
    const missing = await refused('RW-S12', { project: 'no-such-project' });
    expect(hidden.text).toBe(missing.text);
    expect(hidden.body.errors[0].path).toBe('/project');
  });

  test("an agreement that the project's organisation did not sign is refused as one that does not exist", async () => {
    const hidden = await refused('RW-S12', { agreement: 'agr-illus-02' });
    const missing = await refused('RW-S12', { agreement: 'no-such-agreement' });
    expect(hidden.text).toBe(missing.text);
    expect(hidden.body.errors[0].path).toBe('/agreement');
  });

  test("a token of another organisation that names the project in its claims still rests on the register's organisation", async () => {
    const claims = { organisation: 'example-lab', projects: ['idsr-forecasting'] };
    const body = wire('RW-S12', { agreement: 'agr-illus-07' });
    const answer = await service.ask('POST', '/v1/access-requests', {
      role: 'partner',
      claims,
      body,
    });
    expect(answer.status).toBe(422);
    expect(answer.body.errors[0].path).toBe('/agreement');
  });

  test('facts of the registers cannot be sent, alone or inside what may be sent', async () => {
    const before = await counts();
    for (const extra of [
      { sector: 'health' },
      { as_of: '2020-01-01T00:00:00Z' },
      { dpia: { ref: 'x', date: '2026-01-01' } },
      { requester: { country: 'RW' } },
      { agreement: { id: 'agr-illus-16', binding: true } },
      { ncsa_transfer_authorisation: { countries: ['US'] } },
      { output: { type: 'statistics', disclosure_test: 'passed' } },
    ]) {
      const answer = await submit('RW-S12', extra);
      expect({ extra, status: answer.status }).toEqual({ extra, status: 400 });
      expect(answer.body.code).toBe('invalid_request');
    }
    expect(await counts()).toEqual(before);
  });

  test('values that the pack does not have are refused with their place', async () => {
    const before = await counts();
    const answer = await submit('RW-S12', { role: 'owner', output: { type: 'weights' } });
    expect(answer.status).toBe(400);
    expect(answer.body.code).toBe('invalid_facts');
    expect(answer.body.errors.map(({ path }: { path: string }) => path)).toEqual([
      '/role',
      '/output/type',
    ]);
    expect(await counts()).toEqual(before);
  });
});

describe('an Idempotency-Key', () => {
  test('makes a retry the same answer and nothing new', async () => {
    const key = { 'idempotency-key': 'retry' };
    const first = await submit('RW-S12', {}, key);
    const before = await counts();
    const second = await submit('RW-S12', {}, key);
    expect(second.status).toBe(201);
    expect(withoutIndex(second.text)).toEqual(withoutIndex(first.text));
    expect(second.headers.get('location')).toBe(first.headers.get('location'));
    expect(await counts()).toEqual(before);
  });

  test('with another body is refused', async () => {
    const key = { 'idempotency-key': 'other-body' };
    await submit('RW-S12', {}, key);
    const before = await counts();
    const answer = await submit('RW-S12', { fields_scope: 'full' }, key);
    expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_key_reused']);
    expect(await counts()).toEqual(before);
  });

  test('of twenty identical calls at once makes one request, one decision and one event', async () => {
    const before = await counts();
    const key = { 'idempotency-key': 'at-once' };
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit('RW-S12', {}, key)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(201));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(new Set(answers.map(({ body }) => body.decision.receipt)).size).toBe(1);
    expect(await counts()).toEqual(before.map((n) => n + 1));
  });

  test('belongs to one actor: the same key of another makes another request', async () => {
    const body = wire('RW-S12');
    const headers = { 'idempotency-key': 'shared-word' };
    const ask = (subject: string): Promise<Answer> =>
      service.ask('POST', '/v1/access-requests', {
        ...partnerOf('idsr-forecasting', subject),
        headers,
        body,
      });
    const [one, two] = await Promise.all([ask('alice'), ask('bob')]);
    expect([one.status, two.status]).toEqual([201, 201]);
    expect(one.body.id).not.toBe(two.body.id);
    expect([one.body.created_by, two.body.created_by]).toEqual(['alice', 'bob']);
  });

  test('of a call that was refused is free again', async () => {
    const key = { 'idempotency-key': 'refused-first' };
    expect((await submit('RW-S12', { project: 'no-such-project' }, key)).status).toBe(422);
    expect((await submit('RW-S12', {}, key)).status).toBe(201);
  });
});

describe('who sees a request', () => {
  let mine: string;
  let other: string;
  beforeAll(async () => {
    mine = (await submit('RW-S12')).body.id;
    other = (await submit('RW-S04')).body.id;
  });

  test('a partner: those of their own projects, in the list and alone', async () => {
    const items = await listed(partnerOf('idsr-forecasting'));
    expect(new Set(items.map(({ project }) => project))).toEqual(new Set(['idsr-forecasting']));
    expect(items.map(({ id }) => id)).toContain(mine);
    const hidden = await service.ask(
      'GET',
      `/v1/access-requests/${other}`,
      partnerOf('idsr-forecasting'),
    );
    const missing = await service.ask(
      'GET',
      '/v1/access-requests/0199e0f0-0000-7000-8000-000000000000',
      partnerOf('idsr-forecasting'),
    );
    expect(hidden.status).toBe(404);
    expect(hidden.text).toBe(missing.text);
    expect(
      await listed({ role: 'partner', claims: { organisation: 'jp-engineering', projects: [] } }),
    ).toEqual([]);
  });

  test("a steward: those for their organisation's datasets", async () => {
    const items = await listed({ role: 'steward', claims: { organisation: 'moh' } });
    const datasets = new Set(items.map(({ dataset }) => dataset));
    expect([...datasets].toSorted()).toEqual([
      'moh-hiv-tracker',
      'moh-hmis-malaria-monthly',
      'nhic-idsr-cases',
    ]);
    const steward = { role: 'steward', claims: { organisation: 'rbc' } } as const;
    expect((await service.ask('GET', `/v1/access-requests/${other}`, steward)).status).toBe(200);
    expect((await service.ask('GET', `/v1/access-requests/${mine}`, steward)).status).toBe(404);
  });

  test('auditors and the authority: all of them, each once, newest first', async () => {
    const total = await count('access_request');
    for (const role of ['auditor', 'authority'] as const) {
      const items = await listed({ role });
      const ids = items.map(({ id }) => id);
      expect(ids).toHaveLength(total);
      expect(new Set(ids).size).toBe(total);
      expect(ids).toEqual(ids.toSorted().toReversed());
    }
  });

  test('filters narrow: dataset, project, effect', async () => {
    const all = await listed({ role: 'auditor' });
    const denied = await listed({ role: 'auditor' }, '&effect=deny');
    expect(denied.length).toBeGreaterThan(0);
    expect(denied).toEqual(all.filter(({ effect }) => effect === 'deny'));
    const some = await listed(
      { role: 'auditor' },
      '&dataset=nhic-idsr-cases&project=idsr-forecasting',
    );
    expect(some).toEqual(all.filter(({ dataset }) => dataset === 'nhic-idsr-cases'));
  });

  test('a decision is seen by those who see its request', async () => {
    const { body } = await service.ask('GET', `/v1/access-requests/${mine}`, { role: 'auditor' });
    const path = `/v1/decisions/${body.decision.id}`;
    const seen = await service.ask('GET', path, partnerOf('idsr-forecasting'));
    expect(withoutIndex(seen.text)).toEqual(withoutIndex(JSON.stringify(body.decision)));
    expect((await service.ask('GET', path, partnerOf('malaria-forecasting'))).status).toBe(404);
    expect(
      (await service.ask('GET', path, { role: 'steward', claims: { organisation: 'rbc' } })).status,
    ).toBe(404);
  });
});

describe('a stored decision', () => {
  test('decided again from its own facts and policy versions gives the same bytes', async () => {
    const stored = await rows('select id from decision');
    expect(stored.length).toBeGreaterThan(20);
    for (const { id } of stored) {
      const document = await documentOf(String(id));
      expect(await decideAgain(document)).toBe(document);
    }
  });

  test('is bound to its event by its SHA-256', async () => {
    const { body } = await submit('RW-S12');
    const event = await service.ask('GET', `/v1/audit/events/${body.decision.event_id}`, {
      role: 'auditor',
    });
    const document = await documentOf(body.decision.id);
    expect(event.body.body.decision_sha256).toBe(
      createHash('sha256').update(document).digest('hex'),
    );
    expect(event.body.subject_ids).toEqual([
      body.id,
      body.decision.id,
      'nhic-idsr-cases',
      'idsr-forecasting',
    ]);
  });

  test('reads the register, whatever the caller says: sector, requester, agreement, records', async () => {
    const { body } = await submit('RW-S12');
    const { facts } = JSON.parse(await documentOf(body.decision.id)) as {
      facts: { request: Record<string, unknown> };
    };
    expect(facts.request).toMatchObject({
      as_of: START.toISOString(),
      sector: 'health',
      requester: {
        country: 'JP',
        ncsa_registration: { no: 'NCSA-ILLUS-0805', role: 'processor', valid_until: '2027-12-31' },
      },
      agreement: { id: 'agr-illus-16', binding: true, valid_until: '2028-05-31' },
      ncsa_transfer_authorisation: { countries: ['JP'], valid_until: '2027-06-30' },
      dpia: { ref: 'DPIA-ILLUS-16' },
      output: { disclosure_test: 'passed', custody: 'rw_state' },
      knowledge_transfer: { training_hours: 140 },
    });
  });

  test('does not change when the facts change afterwards; the next decision does', async () => {
    const before = await submit('RW-S01');
    expect(before.body.decision.effect).toBe('permit');
    const path = `/v1/access-requests/${before.body.id}`;
    const asked = partnerOf('eicv7-reuse');
    const told = withoutIndex((await service.ask('GET', path, asked)).text);
    const changed = await service.ask('PATCH', '/v1/datasets/nisr-eicv7-tables', {
      role: 'steward',
      claims: { organisation: 'nisr' },
      headers: { 'if-match': '"1"' },
      body: { sovereignty: { outputs_allowed: ['dashboard'] } },
    });
    expect(changed.status).toBe(200);
    expect(withoutIndex((await service.ask('GET', path, asked)).text)).toEqual(told);
    const after = await submit('RW-S01');
    expect(after.body.decision.deny).toEqual(['SOV-OUTPUT']);
    expect([before.body.dataset_version, after.body.dataset_version]).toEqual([1, 2]);
  });

  test('goes by the clock of the service, in Kigali time: the day after the end of the agreement denies', async () => {
    try {
      // The last second of 31 August 2027 in Kigali, and the first of September.
      now = new Date('2027-08-31T21:59:59Z');
      const claims = {
        organisation: 'university-team',
        projects: ['cervical-screening'],
        subject: 'later',
      };
      const duration = { from: '2027-08-01', until: '2028-08-31' };
      const asked = { role: 'partner', body: { ...wire('RW-S04'), duration } } as const;
      const token = (): Promise<string> => signed({ ...claims, role: 'partner' });
      const last = await service.ask('POST', '/v1/access-requests', {
        ...asked,
        token: await token(),
      });
      expect(last.body.decision.deny).not.toContain('AGR-TERM');
      now = new Date('2027-08-31T22:00:00Z');
      const late = await service.ask('POST', '/v1/access-requests', {
        ...asked,
        token: await token(),
      });
      expect(late.body.decision.deny).toContain('AGR-TERM');
    } finally {
      now = START;
    }
  });
});

/** A token of the demo issuer that is valid at the service's present moment. */
function signed(claims: Record<string, unknown> & { subject: string }): Promise<string> {
  const pem = readFileSync(join(service.config.dataDir, 'demo/issuer-es256.pem'), 'utf8');
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: 'demo' })
    .setIssuer('urn:umutungo:demo')
    .setAudience('umutungo')
    .setSubject(claims.subject)
    .setExpirationTime(Math.floor(now.getTime() / 1000) + 600)
    .sign(createPrivateKey(pem));
}

describe('a simulation', () => {
  for (const { id, dataset, request, expected } of cases) {
    test(`${id}: the explicit facts of the scenario give its decision`, async () => {
      const answer = await simulate({ dataset, request });
      expect(answer).toMatchObject({ status: 200 });
      expect(word(answer.body)).toBe(expected.decision);
      expect(answer.body.simulation).toBe(true);
      // The moment is the one stated, not the service's.
      const [row] = await rows(
        'select whole_document(document) as document from decision where id = $1',
        [answer.body.id],
      );
      const stored = JSON.parse(String(row?.['document'])) as StoredDecision;
      expect(stored.facts['request']).toMatchObject({ as_of: request['as_of'] });
    });
  }

  test('with references decides as the real request would', async () => {
    for (const demoRequest of demo.requests) {
      const { scenario, project } = demoRequest;
      const { dataset, ...request } = wire(scenario);
      const real = (await submit(scenario)).body.decision;
      const dry = (await simulate({ dataset, request }, partnerOf(project))).body;
      const answer = ({ effect, deny, review, obligations }: Answer['body']): unknown => ({
        scenario,
        effect,
        deny,
        review,
        obligations,
      });
      expect(answer(dry)).toEqual(answer(real));
    }
  });

  test('lays explicit facts over those of the registers', async () => {
    const { dataset, ...request } = wire('RW-S12');
    const partner = partnerOf('idsr-forecasting');
    const none = await simulate(
      { dataset, request: { ...request, ncsa_transfer_authorisation: null } },
      partner,
    );
    expect(none.body.deny).toContain('RW-DPP-XFER');
    const later = { no: 'X', countries: ['JP', 'US'], recipients: [], valid_until: '2028-01-01' };
    const wider = {
      ...request,
      ncsa_transfer_authorisation: later,
      locations: { storage: ['RW'], processing: ['RW'], access_from: ['US'] },
    };
    expect((await simulate({ dataset, request: wider }, partner)).body.effect).toBe('permit');
    const unset = await simulate({ dataset, request: { ...request, dpia: null } }, partner);
    expect(unset.body.deny).toEqual(['RW-DPP-DPIA']);
  });

  test('stores the decision and its event and nothing else', async () => {
    const [requests = 0, decisions = 0, events = 0, keys = 0] = await counts();
    const { dataset, ...request } = wire('RW-S12');
    const answer = await simulate({ dataset, request }, partnerOf('idsr-forecasting'));
    expect(await counts()).toEqual([requests, decisions + 1, events + 1, keys]);
    const { body } = await service.ask('GET', `/v1/audit/events/${answer.body.event_id}`, {
      role: 'auditor',
    });
    expect(body).toMatchObject({ type: 'simulateDecision', outcome: 'permit' });
    expect(body.subject_ids).toEqual([answer.body.id, 'nhic-idsr-cases', 'idsr-forecasting']);
  });

  test('is seen again by whoever asked, by auditors and by no other partner', async () => {
    const { dataset, ...request } = wire('RW-S12');
    const asked = partnerOf('idsr-forecasting');
    const { body } = await simulate({ dataset, request }, asked);
    const path = `/v1/decisions/${body.id}`;
    expect(withoutIndex((await service.ask('GET', path, asked)).text)).toEqual({
      ...body,
      index: 0,
    });
    expect((await service.ask('GET', path, { role: 'auditor' })).status).toBe(200);
    expect(
      (await service.ask('GET', path, partnerOf('idsr-forecasting', 'colleague'))).status,
    ).toBe(404);
  });

  test('cannot look into what the caller may not see', async () => {
    const { dataset, ...request } = wire('RW-S12');
    const partner = partnerOf('eicv7-reuse');
    const hidden = await simulate({ dataset, request }, partner);
    const missing = await simulate(
      { dataset, request: { ...request, project: 'no-such-project' } },
      partner,
    );
    expect([hidden.status, hidden.body.code]).toEqual([422, 'unknown_reference']);
    expect(hidden.text).toBe(missing.text);
    const { project: _project, ...alone } = request;
    const agreement = await simulate({ dataset, request: alone }, partner);
    const nowhere = await simulate(
      { dataset, request: { ...alone, agreement: 'no-such' } },
      partner,
    );
    expect(agreement.status).toBe(422);
    expect(agreement.text).toBe(nowhere.text);
  });

  test('refuses facts that do not exist, with their place', async () => {
    const before = await counts();
    const answer = await simulate({
      dataset: { clasification: 'public' },
      request: { purpose: 'any', as_of: 'today' },
    });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_facts']);
    expect(answer.body.errors.map(({ path }: { path: string }) => path)).toEqual([
      '/dataset/clasification',
      '/request/as_of',
    ]);
    expect(await counts()).toEqual(before);
  });
});

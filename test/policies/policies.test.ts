/** Policies as files: what comes into force, when, and what a mistake in a file does not break. */

import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { copyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const PACK = join(import.meta.dirname, '../../policies/rwanda');
const START = new Date('2026-10-01T09:00:00+02:00');
const RESIDENCY = 'rules/statute-residency.yaml';

let stack: AsyncDisposableStack;
let packDir: string;
let now: Date;
let service: TestService;
/** Another replica on the same database and the same files, in the tests that start one. */
let other: TestService;
let start: () => Promise<TestService>;

/** The database and the keys of a service that has stopped: each test has copies. */
const stopped = new AsyncDisposableStack();
let filled: TestDatabase;
let filledData: string;

beforeAll(async () => {
  filledData = await mkdtemp(join(tmpdir(), 'umutungo-policies-'));
  stopped.defer(() => rm(filledData, { recursive: true, force: true }));
  filled = stopped.use(await createTestDatabase());
  const config = { databaseUrl: filled.connectionString, dataDir: filledData };
  const first = await startTestService({ clock: () => START, config });
  await first[Symbol.asyncDispose]();
});
afterAll(() => stopped.disposeAsync());

async function setUp(): Promise<void> {
  stack = new AsyncDisposableStack();
  now = START;
  const folder = await mkdtemp(join(tmpdir(), 'umutungo-policies-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  packDir = join(folder, 'rwanda');
  await cp(PACK, packDir, { recursive: true });
  await cp(filledData, join(folder, 'data'), { recursive: true });
  const database = stack.use(await copyDatabase(filled));
  const config = { packDir, databaseUrl: database.connectionString, dataDir: join(folder, 'data') };
  start = async () => stack.use(await startTestService({ clock: () => now, config }));
  service = await start();
  other = service;
}

function tearDown(): Promise<void> {
  return stack.disposeAsync();
}

async function edit(file: string, from: string, to: string): Promise<{ line: number }> {
  const path = join(packDir, file);
  const text = await readFile(path, 'utf8');
  expect(text).toContain(from);
  await writeFile(path, text.replace(from, to));
  return { line: text.slice(0, text.indexOf(from)).split('\n').length };
}

function reload(from: TestService = service): Promise<Answer> {
  return from.ask('POST', '/v1/pack/reload', { role: 'authority' });
}

/** RW-S12 without a transfer authorisation: denied by the residency policy and by nothing else. */
async function decide(from: TestService = service): Promise<Answer['body']> {
  const answer = await from.ask('POST', '/v1/decisions/simulate', {
    role: 'authority',
    body: {
      dataset: 'nhic-idsr-cases',
      request: {
        project: 'idsr-forecasting',
        agreement: 'agr-illus-16',
        role: 'processor',
        purpose: 'outbreak_forecasting',
        locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW', 'JP'] },
        hosting: { operator_jurisdiction: 'RW' },
        recipients: [],
        onward_transfer: false,
        fields_scope: 'minimum',
        output: { type: 'statistics', release_to: ['RW'] },
        automated_decision: 'none',
        ncsa_transfer_authorisation: null,
        transfer_ground: 'ncsa_authorisation',
      },
    },
  });
  expect(answer).toMatchObject({ status: 200 });
  return answer.body;
}

async function inForce(from: TestService = service): Promise<unknown> {
  return (await from.ask('GET', '/v1/pack', { role: 'holder' })).body;
}

async function reloads(): Promise<number> {
  const { body } = await service.ask('GET', '/v1/audit/events?type=reloadPack', {
    role: 'auditor',
  });
  return body.items.length as number;
}

/** A national policy that denies everything from its first day on. */
const POLICY = (from: string, until = ''): string => `
policy: zz-moratorium
version: 1
layer: national_choice
concern: sovereignty
title: {en: Moratorium}
instrument: national-choice
in_force: {from: ${from}${until && `, until: ${until}`}}
rules:
  - id: ZZ-MORATORIUM
    title: {en: Moratorium}
    sentence: {en: "Nothing leaves."}
    outcome: deny
    cites: [{instrument: national-choice, article: moratorium, confidence: high}]
`;

describe('a mistake in a file', () => {
  beforeAll(async () => {
    await setUp();
    other = await start();
  });
  afterEach(() => cp(PACK, packDir, { recursive: true }));
  afterAll(tearDown);
  const MISTAKES: readonly (readonly [string, string, string, string | undefined])[] = [
    [
      'an unknown fact',
      'request.ncsa_storage_authorisation.valid_until',
      'request.ncsa_storage_authorisation.valid_untill',
      'RW-DPP-STORE',
    ],
    ['an unknown operator', 'eq: consent', 'equals: consent', 'RW-DPP-XFER'],
    ['an unknown effect', 'otherwise: deny', 'otherwise: forbid', 'RW-DPP-XFER'],
    ['broken YAML', 'concern: residency', 'concern: [residency', undefined],
    ['an unknown member', 'layer: statute', 'layers: statute', undefined],
    ['a date that does not exist', 'from: 2021-10-15', 'from: 2021-02-30', undefined],
  ];
  for (const [what, from, to, rule] of MISTAKES) {
    test(`${what}: is named with file, line and rule, and decisions go on with the last good version`, async () => {
      const before = { decision: await decide(), pack: await inForce() };
      const { line } = await edit(RESIDENCY, from, to);
      const answer = await reload();
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_policy']);
      const problems = answer.body.errors as { path: string; expected: string; rule?: string }[];
      const lines = problems.map(({ path }) =>
        Number(/^rwanda\/rules\/statute-residency\.yaml:(\d+):\d+$/.exec(path)?.[1]),
      );
      expect(lines).not.toContain(Number.NaN);
      // YAML that breaks off is noticed where it cannot go on; the rest stands on its line.
      const reach = what === 'broken YAML' ? 3 : 0;
      const at = problems.find((_, i) => Math.abs((lines[i] ?? 0) - line) <= reach);
      expect(at?.rule).toBe(rule);
      expect(at?.expected).toEqual(expect.any(String));
      for (const each of [service, other]) {
        expect(await inForce(each)).toEqual(before.pack);
        const after = await decide(each);
        expect([after.deny, after.policies]).toEqual([
          before.decision.deny,
          before.decision.policies,
        ]);
      }
      expect(await reloads()).toBe(1);
    });
  }

  test('a folder without a pack is a mistake too', async () => {
    await rm(join(packDir, 'pack.yaml'));
    const answer = await reload();
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_policy']);
    expect((await decide()).effect).toBe('deny');
  });
});

describe('a start on files with a mistake', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  test('goes on where there is a good version: the service says so and runs on it', async () => {
    const before = { pack: await inForce(), decision: await decide() };
    await service[Symbol.asyncDispose]();
    await edit(RESIDENCY, 'otherwise: deny', 'otherwise: forbid');
    const again = await start();
    expect(again.warnings.join('\n')).toContain('rwanda/rules/statute-residency.yaml:');
    expect(again.warnings.join('\n')).toContain('RW-DPP-XFER');
    expect(again.warnings.join('\n')).toContain('The last good version stays in force');
    expect(await inForce(again)).toEqual(before.pack);
    expect((await decide(again)).deny).toEqual(before.decision.deny);
    // Once it is repaired nothing is left of it.
    await edit(RESIDENCY, 'otherwise: forbid', 'otherwise: deny');
    expect((await reload(again)).body.changed).toEqual([]);
  });

  test('stops where there is none, and says where the mistake is', async () => {
    await edit(RESIDENCY, 'otherwise: deny', 'otherwise: forbid');
    await using own = new AsyncDisposableStack();
    const database = own.use(await createTestDatabase());
    const started = startTestService({
      config: { packDir, databaseUrl: database.connectionString },
    });
    await expect(started).rejects.toThrow(
      /rwanda\/rules\/statute-residency\.yaml:\d+:\d+ RW-DPP-XFER/,
    );
  });
});

describe('a version', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  test('is never edited: other content under its number is refused, and the file is named', async () => {
    const before = await inForce();
    await edit(RESIDENCY, '# Law No 058/2021', '# The law No 058/2021');
    const answer = await reload();
    expect([answer.status, answer.body.code]).toEqual([422, 'invalid_policy']);
    expect(answer.body.errors).toEqual([
      {
        path: 'rwanda/rules/statute-residency.yaml:1:1',
        expected: expect.stringContaining('higher version'),
      },
    ]);
    expect(await inForce()).toEqual(before);
    await edit('pack.yaml', 'reviewed_by: null', 'reviewed_by: somebody');
    const both = await reload();
    expect(both.body.errors.map(({ path }: { path: string }) => path)).toEqual([
      'rwanda/pack.yaml:1:1',
      'rwanda/rules/statute-residency.yaml:1:1',
    ]);
  });

  test('that is new is in force for the next decision of every replica, and leaves one event', async () => {
    other = await start();
    const old = await decide(other);
    expect(old.deny).toEqual(['RW-DPP-XFER']);
    await edit(RESIDENCY, 'version: 1', 'version: 2');
    await edit(RESIDENCY, 'otherwise: deny', 'otherwise: review');
    const answer = await reload();
    expect(answer).toMatchObject({
      status: 200,
      body: { changed: ['rw-dpp-residency'], pack: 'rwanda' },
    });
    expect(answer.body.event_id).toEqual(expect.any(String));
    for (const each of [other, service]) {
      const next = await decide(each);
      expect([next.effect, next.review]).toEqual(['review', ['RW-DPP-XFER']]);
      const reference = next.policies.find(
        ({ policy }: { policy: string }) => policy === 'rw-dpp-residency',
      );
      expect(reference.version).toBe(2);
    }
    // What was decided before stands, explained by the version of then.
    const again = await other.ask('GET', `/v1/decisions/${old.id}`, { role: 'auditor' });
    expect(again.body).toEqual({ ...old, index: again.body.index });
    const event = await service.ask('GET', `/v1/audit/events/${answer.body.event_id}`, {
      role: 'auditor',
    });
    expect(event.body.body.changed).toEqual([
      expect.objectContaining({ kind: 'policy', name: 'rw-dpp-residency', version: 2 }),
    ]);
    expect(await reloads()).toBe(2);
  });

  test('that is in force already is loaded without a change and without an event', async () => {
    const answer = await reload();
    expect(answer).toMatchObject({ status: 200, body: { changed: [] } });
    expect(answer.body).not.toHaveProperty('event_id');
    expect(await reloads()).toBe(1);
  });

  test('loaded by two replicas at once comes into force once', async () => {
    other = await start();
    await edit(RESIDENCY, 'version: 1', 'version: 2');
    const answers = await Promise.all([reload(service), reload(other), reload(service)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const changed = answers.flatMap(({ body }) => body.changed as string[]);
    expect(changed).toEqual(['rw-dpp-residency']);
    expect(await reloads()).toBe(2);
  });

  test('may go back to an earlier one, whose document is kept', async () => {
    const first = await inForce();
    await edit(RESIDENCY, 'version: 1', 'version: 2');
    await reload();
    await edit(RESIDENCY, 'version: 2', 'version: 1');
    expect((await reload()).body.changed).toEqual(['rw-dpp-residency']);
    expect(await inForce()).toEqual(first);
    expect(
      (await service.ask('GET', '/v1/policies/rw-dpp-residency/versions/2', { role: 'holder' }))
        .status,
    ).toBe(200);
  });

  test('cannot have the name of a policy beside the pack', async () => {
    const first = { role: 'authority', claims: { subject: 'first' } } as const;
    const second = { role: 'authority', claims: { subject: 'second' } } as const;
    const cases = '[{id: NOTHING, dataset: {}, request: {}, expected: {decision: deny}}]';
    const document = POLICY('2026-01-01').replace(
      'outcome: deny',
      'applies: {fact: dataset.id, eq: nhic-idsr-cases}\n    outcome: deny',
    );
    const made = await service.ask('POST', '/v1/policies', { ...first, body: { document, cases } });
    const headers = { 'if-match': made.headers.get('etag') ?? '' };
    const path = made.headers.get('location') ?? '';
    await service.ask('POST', `${path}/check`, { ...first, headers });
    const approved = await service.ask('POST', `${path}/approve`, { ...second, headers });
    expect(approved.status, approved.text).toBe(200);
    const file = document.replace('version: 1', 'version: 2').replaceAll('ZZ-', 'YY-');
    await writeFile(join(packDir, 'rules/zz-moratorium.yaml'), file);
    expect(await reload()).toMatchObject({
      status: 422,
      body: {
        errors: [{ path: 'zz-moratorium', expected: expect.stringContaining('another name') }],
      },
    });
    expect((await decide()).deny).toContain('ZZ-MORATORIUM');
  });

  test('is brought into force by the authority and nobody else', async () => {
    for (const role of ['steward', 'partner', 'auditor', 'holder'] as const) {
      expect((await service.ask('POST', '/v1/pack/reload', { role })).status).toBe(403);
    }
  });

  test('is handed out byte for byte as its file, under the hash that decisions name', async () => {
    const { policies } = await decide();
    const files = await readdir(join(packDir, 'rules'));
    const shared = join(import.meta.dirname, '../../policies/duo/data-use-rules.yaml');
    const paths = [...files.map((file) => join(packDir, 'rules', file)), shared];
    const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
    const served: string[] = [];
    for (const { policy, version, sha256 } of policies) {
      const answer = await service.ask('GET', `/v1/policies/${policy}/versions/${version}`, {
        role: 'partner',
      });
      expect(answer.headers.get('content-type')).toMatch(/^application\/yaml/);
      expect(createHash('sha256').update(answer.text).digest('hex')).toBe(sha256);
      served.push(answer.text);
    }
    expect(served.toSorted()).toEqual(texts.toSorted());
    for (const path of ['rw-dpp-residency/versions/9', 'no-such-policy/versions/1']) {
      expect((await service.ask('GET', `/v1/policies/${path}`, { role: 'partner' })).status).toBe(
        404,
      );
    }
  });
});

describe('dates in force', () => {
  beforeEach(setUp);
  afterEach(tearDown);

  /** Rules that deny, at an instant. */
  async function denyAt(instant: string): Promise<string[]> {
    now = new Date(instant);
    const { deny, policies } = await decide(other);
    const named = policies.some(({ policy }: { policy: string }) => policy === 'zz-moratorium');
    expect(named).toBe(deny.includes('ZZ-MORATORIUM'));
    return deny;
  }

  test('a policy applies from its first day to its last, in Kigali time, without another load', async () => {
    other = await start();
    await writeFile(join(packDir, 'rules/zz-moratorium.yaml'), POLICY('2026-10-02', '2026-10-03'));
    expect((await reload()).body.changed).toEqual(['zz-moratorium']);
    expect(await denyAt('2026-10-01T21:59:59.999Z')).not.toContain('ZZ-MORATORIUM');
    expect(await denyAt('2026-10-01T22:00:00Z')).toContain('ZZ-MORATORIUM');
    expect(await denyAt('2026-10-03T21:59:59.999Z')).toContain('ZZ-MORATORIUM');
    expect(await denyAt('2026-10-03T22:00:00Z')).not.toContain('ZZ-MORATORIUM');
  });

  test('a decision of the day before keeps its answer on the day after', async () => {
    await writeFile(join(packDir, 'rules/zz-moratorium.yaml'), POLICY('2026-10-02'));
    await reload();
    const before = await decide();
    expect(before.deny).toEqual(['RW-DPP-XFER']);
    now = new Date('2026-10-01T23:00:00Z');
    const { body } = await other.ask('GET', `/v1/decisions/${before.id}`, { role: 'auditor' });
    expect(body).toEqual({ ...before, index: body.index });
    expect((await decide()).deny).toContain('ZZ-MORATORIUM');
  });

  describe('a new version for a later day', () => {
    /** The version of the residency policy that decides at an instant, and what it says. */
    async function residencyAt(instant: string): Promise<[number | undefined, string]> {
      now = new Date(instant);
      const { policies, effect } = await decide(other);
      const own = policies.filter(
        ({ policy }: { policy: string }) => policy === 'rw-dpp-residency',
      );
      expect(own.length).toBeLessThan(2);
      return [own[0]?.version, effect];
    }

    async function amend(version: number, from: string, otherwise: string): Promise<Answer> {
      const path = join(packDir, RESIDENCY);
      const text = await readFile(path, 'utf8');
      const amended = text
        .replace(/^version: \d+/m, `version: ${version}`)
        .replace(/from: \d{4}-\d{2}-\d{2}/, `from: ${from}`)
        .replace(/^ {4}otherwise: \w+/m, `    otherwise: ${otherwise}`);
      await writeFile(path, amended);
      return reload();
    }

    test('leaves the present one in force until then: nothing is permitted in between', async () => {
      expect((await amend(2, '2026-10-05', 'review')).body.changed).toEqual(['rw-dpp-residency']);
      expect(await residencyAt('2026-10-01T12:00:00Z')).toEqual([1, 'deny']);
      expect(await residencyAt('2026-10-04T21:59:59.999Z')).toEqual([1, 'deny']);
      expect(await residencyAt('2026-10-04T22:00:00Z')).toEqual([2, 'review']);
    });

    test('is loaded once: another load, or a restart, before or after its day changes nothing', async () => {
      await amend(2, '2026-10-05', 'review');
      expect((await reload()).body.changed).toEqual([]);
      now = new Date('2026-10-06T12:00:00Z');
      expect((await reload(other)).body.changed).toEqual([]);
      const again = await start();
      expect(again.warnings).toEqual([]);
      expect(await reloads()).toBe(2);
    });

    test('may be followed by others before its day; of those whose day has come the highest decides', async () => {
      await amend(2, '2026-10-05', 'review');
      await amend(3, '2026-10-07', 'deny');
      expect(await residencyAt('2026-10-03T12:00:00Z')).toEqual([1, 'deny']);
      expect(await residencyAt('2026-10-05T12:00:00Z')).toEqual([2, 'review']);
      expect(await residencyAt('2026-10-07T12:00:00Z')).toEqual([3, 'deny']);
    });

    test('is gone when the files go back to the present one', async () => {
      const path = join(packDir, RESIDENCY);
      const present = await readFile(path, 'utf8');
      await amend(2, '2026-10-05', 'review');
      const statuses = async (): Promise<string[]> =>
        (
          await service.ask('GET', '/v1/policies/rw-dpp-residency/versions', { role: 'auditor' })
        ).body.items.map(({ status }: { status: string }) => status);
      expect(await statuses()).toEqual(['approved', 'in_force']);
      await writeFile(path, present);
      expect((await reload()).status).toBe(200);
      expect(await statuses()).toEqual(['replaced', 'in_force']);
      expect(await residencyAt('2026-10-06T12:00:00Z')).toEqual([1, 'deny']);
    });
  });
});

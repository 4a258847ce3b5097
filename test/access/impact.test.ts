/** What a version of a policy would do to the requests that were made: counted, cut off, and read by whom. */

import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spawnService } from '../faults/process.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';

const WHO = {
  writer: { role: 'steward', claims: { subject: 'writer' } },
  second: { role: 'steward', claims: { subject: 'second' } },
  stranger: { role: 'steward', claims: { organisation: 'nisr', subject: 'of-nisr' } },
  authority: { role: 'authority' },
  otherAuthority: { role: 'authority', claims: { subject: 'other-authority' } },
  partner: { role: 'partner' },
  auditor: { role: 'auditor' },
} as const satisfies Readonly<Record<string, Ask>>;
type Who = keyof typeof WHO;
type Effect = 'permit' | 'deny' | 'review';

const NOBODYS_UUID = '00000000-0000-7000-8000-000000000000';
const RANK = { deny: 0, review: 1, permit: 2 };
const CASES = '[{ id: NOTHING, dataset: {}, request: {}, expected: { decision: deny } }]';
const TITLE = { en: 'A policy of a test' };

interface Parts {
  readonly owner?: 'moh' | null;
  readonly rule: object;
  readonly policy?: string;
}

let names = 0;
function policyOf({ owner = null, rule, policy = `impact-${++names}` }: Parts): {
  policy: string;
  id: string;
  document: string;
} {
  const id = policy.toUpperCase();
  const document = JSON.stringify({
    policy,
    version: 1,
    layer: owner === null ? 'national_choice' : 'steward',
    ...(owner === null ? {} : { owner }),
    concern: 'residency',
    title: TITLE,
    instrument: 'national-choice',
    in_force: { from: '2026-01-01' },
    rules: [
      {
        id,
        title: TITLE,
        sentence: TITLE,
        ...rule,
        cites: [{ instrument: 'national-choice', article: 'test', confidence: 'high' }],
      },
    ],
  });
  return { policy, id, document };
}

async function draft(
  service: TestService,
  who: Who,
  parts: Parts,
): Promise<{ path: string; etag: string; id: string; policy: string }> {
  const { document, id, policy } = policyOf(parts);
  const body = { document, cases: CASES };
  const answer = await service.ask('POST', '/v1/policies', { ...WHO[who], body });
  expect(answer.status, answer.text).toBe(201);
  const { headers } = answer;
  return { path: headers.get('location') ?? '', etag: headers.get('etag') ?? '', id, policy };
}

/** Reads a run until somebody is satisfied with it. */
async function readUntil(
  service: TestService,
  path: string,
  is: (run: Answer['body']) => boolean,
): Promise<Answer['body']> {
  for (let tries = 0; tries < 400; tries++) {
    const { body } = await service.ask('GET', path, WHO.auditor);
    if (is(body)) return body;
    await sleep(50);
  }
  throw new Error(`never came: ${path}`);
}

async function assess(service: TestService, who: Who, path: string) {
  const started = await service.ask('POST', `${path}/impact`, WHO[who]);
  expect(started.status, started.text).toBe(201);
  const at = started.headers.get('location') ?? '';
  const run = await readUntil(service, at, ({ status }) => status !== 'running');
  return { at, run };
}

interface Change {
  readonly access_request: string;
  readonly recorded: Effect;
  readonly from: Effect;
  readonly to: Effect;
  readonly rules_added: readonly string[];
  readonly rules_removed: readonly string[];
  readonly more_permitted: boolean;
}

async function changesOf(service: TestService, at: string, limit = 200): Promise<Change[]> {
  const found: Change[] = [];
  for (let path: string | undefined = `${at}/changes?limit=${limit}`; path !== undefined; ) {
    const answer: Answer = await service.ask('GET', path, WHO.auditor);
    expect(answer.status, answer.text).toBe(200);
    found.push(...answer.body.items);
    path = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return found;
}

describe('counts', () => {
  let service: TestService;
  let client: Client;
  interface Recorded {
    readonly id: string;
    readonly publisher: string;
    readonly effect: Effect;
    readonly facts: { readonly dataset: object; readonly request: object };
  }
  let recorded: Recorded[];

  beforeAll(async () => {
    service = await startTestService({ clock: () => new Date('2026-10-15T09:00:00+02:00') });
    client = new Client(service.config.databaseUrl ?? '');
    await client.connect();
    const demo = JSON.parse(
      readFileSync(join(import.meta.dirname, '../../demo/scenarios.json'), 'utf8'),
    ) as {
      requests: ({ scenario: string; project: string } & Record<string, unknown>)[];
      projects: { id: string; organisation: string }[];
    };
    for (const { scenario: _scenario, ...body } of demo.requests) {
      const organisation = demo.projects.find(({ id }) => id === body.project)?.organisation;
      const claims = { organisation, projects: [body.project] };
      for (const deidentification of [body['deidentification'], 'identified']) {
        const sent = { ...body, ...(deidentification === undefined ? {} : { deidentification }) };
        const ask = { role: 'partner', claims, body: sent } as const;
        const answer = await service.ask('POST', '/v1/access-requests', ask);
        if (answer.status !== 201) throw new Error(answer.text);
      }
    }
    const { rows } = await client.query<{
      id: string;
      publisher: string;
      effect: Effect;
      document: string;
    }>(
      `select r.id, d.publisher, r.effect, whole_document(decision.document) as document from access_request r join decision on decision.id = r.decision
       join dataset d on d.id = r.dataset order by r.id`,
    );
    recorded = rows.map(({ document, ...row }) => ({
      ...row,
      facts: (JSON.parse(document) as Recorded).facts,
    }));
  });
  afterAll(async () => {
    await client.end();
    await service[Symbol.asyncDispose]();
  });

  test('are worth something: requests of every effect, on datasets of several publishers', () => {
    expect(new Set(recorded.map(({ effect }) => effect)).size).toBe(3);
    expect(new Set(recorded.map(({ publisher }) => publisher)).size).toBeGreaterThan(2);
  });

  interface Answered {
    readonly effect: Effect;
    readonly deny: readonly string[];
    readonly review: readonly string[];
    readonly permit: readonly string[];
  }

  /** What is answered to each recorded request now, one by one. */
  async function simulateAll(): Promise<Map<string, Answered>> {
    const answers = new Map<string, Answered>();
    for (const { id, facts } of recorded) {
      const { body, status, text } = await service.ask('POST', '/v1/decisions/simulate', {
        ...WHO.authority,
        body: facts,
      });
      expect(status, text).toBe(200);
      const { effect, deny, review, obligations } = body;
      const permit = (obligations as { rule: string }[]).map(({ rule }) => rule);
      answers.set(id, { effect, deny, review, permit });
    }
    return answers;
  }

  function expected(before: Map<string, Answered>, after: Map<string, Answered>): Change[] {
    return recorded.flatMap(({ id, effect }): Change[] => {
      const [from, to] = [before.get(id), after.get(id)];
      if (!from || !to) return [];
      const rules_added = to[to.effect].filter((rule) => !from[to.effect].includes(rule));
      const rules_removed = from[from.effect].filter((rule) => !to[from.effect].includes(rule));
      if (from.effect === to.effect && rules_added.length + rules_removed.length === 0) return [];
      const more_permitted = RANK[to.effect] > RANK[from.effect];
      const effects = { recorded: effect, from: from.effect, to: to.effect };
      return [{ access_request: id, ...effects, rules_added, rules_removed, more_permitted }];
    });
  }

  function expectRun(run: Answer['body'], changes: readonly Change[], total: number): void {
    const less = changes.filter(({ from, to }) => RANK[to] < RANK[from]).length;
    expect(run).toMatchObject({
      status: 'done',
      failure: null,
      done: total,
      total,
      changed: changes.length,
      more_permitted: changes.filter((each) => each.more_permitted).length,
      less_permitted: less,
    });
    const pairs = Map.groupBy(changes, ({ from, to }) => `${from} ${to}`);
    const counted = new Map(
      (run.transitions as { from: string; to: string; count: number; rules: unknown }[]).map(
        ({ from, to, ...rest }) => [`${from} ${to}`, rest],
      ),
    );
    expect([...counted.keys()].toSorted()).toEqual([...pairs.keys()].toSorted());
    for (const [pair, own] of pairs) {
      const rules = [
        ...new Set(own.flatMap((each) => [...each.rules_added, ...each.rules_removed])),
      ];
      expect(counted.get(pair)?.count, pair).toBe(own.length);
      expect(counted.get(pair)?.rules, pair).toEqual(
        expect.arrayContaining(
          rules.map((rule) => ({
            rule,
            added: own.filter(({ rules_added }) => rules_added.includes(rule)).length,
            removed: own.filter(({ rules_removed }) => rules_removed.includes(rule)).length,
          })),
        ),
      );
    }
  }

  const abroad = { fact: 'request.locations.access_from', isPartOf: ['RW'] };
  const policies: Readonly<Record<string, [Parts, Who, Who]>> = {
    'national, and denies some': [
      { rule: { holds: abroad, otherwise: 'deny' } },
      'authority',
      'otherAuthority',
    ],
    'national, and asks for a person': [
      { rule: { outcome: 'review' } },
      'authority',
      'otherAuthority',
    ],
    'national, and obliges': [
      {
        rule: {
          outcome: 'oblige',
          obligation: { sentence: TITLE, due: 'throughout', evidence: TITLE },
        },
      },
      'authority',
      'otherAuthority',
    ],
    'a steward’s, on their own datasets': [
      { owner: 'moh', rule: { holds: abroad, otherwise: 'review' } },
      'writer',
      'second',
    ],
  };

  test.each(Object.entries(policies))(
    'of a version that is %s are those of deciding one by one; so are those of withdrawing it',
    async (_name, [parts, writer, second]) => {
      const before = await simulateAll();
      const made = await draft(service, writer, parts);
      const own = recorded.filter(({ publisher }) => !parts.owner || publisher === parts.owner);
      const coming = await assess(service, writer, made.path);
      const headers = { 'if-match': made.etag };
      await service.ask('POST', `${made.path}/check`, { ...WHO[writer], headers });
      const checked = await assess(service, second, made.path);
      const approved = await service.ask('POST', `${made.path}/approve`, {
        ...WHO[second],
        headers,
      });
      expect(approved.status, approved.text).toBe(200);
      const after = await simulateAll();
      const changes = expected(before, after);
      expect(changes.length).toBeGreaterThan(0);
      const ids = new Set(own.map(({ id }) => id));
      expect(changes.every(({ access_request }) => ids.has(access_request))).toBe(true);
      for (const { at, run } of [coming, checked]) {
        expectRun(run, changes, own.length);
        const found = await changesOf(service, at, 3);
        expect(found).toEqual(changes.map((each) => expect.objectContaining(each)));
      }
      const going = await assess(service, writer, made.path);
      const back = expected(after, before);
      expectRun(going.run, back, own.length);
      expect(await changesOf(service, going.at)).toEqual(
        back.map((each) => expect.objectContaining(each)),
      );
      const [first] = back;
      const { body } = await service.ask(
        'GET',
        `${going.at}/changes?from=${first?.from}&to=${first?.to}`,
        WHO.auditor,
      );
      expect(body.items).toHaveLength(
        back.filter(({ from, to }) => from === first?.from && to === first.to).length,
      );
      const asked = await service.ask('POST', `${made.path}/withdraw`, {
        ...WHO[writer],
        headers: { 'if-match': approved.headers.get('etag') ?? '' },
      });
      const gone = await service.ask('POST', `${made.path}/withdraw`, {
        ...WHO.otherAuthority,
        headers: { 'if-match': asked.headers.get('etag') ?? '' },
      });
      expect(gone.status, gone.text).toBe(200);
      expect(await service.ask('POST', `${made.path}/impact`, WHO[writer])).toMatchObject({
        status: 409,
        body: { code: 'wrong_status' },
      });
    },
  );

  test('a draft that changes in between: each run names the text that it tried', async () => {
    const made = await draft(service, 'writer', { owner: 'moh', rule: { outcome: 'review' } });
    const { run } = await assess(service, 'writer', made.path);
    const changed = await service.ask('PUT', made.path, {
      ...WHO.second,
      headers: { 'if-match': made.etag },
      body: policyOf({ owner: 'moh', rule: { outcome: 'deny' }, policy: made.policy }),
    });
    expect(changed.status).toBe(400);
    const { document } = policyOf({
      owner: 'moh',
      rule: { outcome: 'deny' },
      policy: made.policy,
    });
    const now = await service.ask('PUT', made.path, {
      ...WHO.second,
      headers: { 'if-match': made.etag },
      body: { document, cases: CASES },
    });
    expect(now.body.sha256).not.toBe(run.sha256);
    const { run: later } = await assess(service, 'second', made.path);
    expect(later.sha256).toBe(now.body.sha256);
    expect(later.transitions).not.toEqual(run.transitions);
    const { rows } = await client.query<{ body: Buffer }>(
      "select body from audit_event where type = 'assessPolicyImpact' and event_id = $1",
      [later.event_id],
    );
    expect(JSON.parse(rows[0]?.body.toString() ?? '')).toMatchObject({
      impact: later.id,
      policy: made.policy,
      version: 1,
      sha256: later.sha256,
      generation: later.generation,
    });
  });

  test('who may not write or approve it learns nothing, not even that there is one', async () => {
    const made = await draft(service, 'writer', { owner: 'moh', rule: { outcome: 'review' } });
    const { at, run } = await assess(service, 'authority', made.path);
    const missing = '/v1/policies/nothing-here/versions/1';
    const nowhere = await service.ask('POST', `${missing}/impact`, WHO.stranger);
    expect(nowhere).toMatchObject({ status: 404, body: { code: 'not_found' } });
    const refused = await service.ask('POST', `${made.path}/impact`, WHO.stranger);
    expect([refused.status, refused.text]).toEqual([404, nowhere.text]);
    for (const path of [at, `${at}/changes`]) {
      for (const who of ['writer', 'second', 'authority', 'auditor'] as const)
        expect((await service.ask('GET', path, WHO[who])).status, who).toBe(200);
      const hidden = await service.ask('GET', path, WHO.stranger);
      const unknown = await service.ask('GET', path.replace(run.id, NOBODYS_UUID), WHO.stranger);
      expect([hidden.status, hidden.text]).toEqual([404, nowhere.text]);
      expect(unknown.text).toBe(hidden.text);
      expect((await service.ask('GET', path, WHO.partner)).status).toBe(403);
    }
    // Under another policy it is not there, whoever asks.
    const national = await draft(service, 'authority', { rule: { outcome: 'review' } });
    expect(
      await service.ask('GET', `${national.path}/impact/${run.id}`, WHO.auditor),
    ).toMatchObject({ status: 404 });
    expect((await service.ask('POST', `${national.path}/impact`, WHO.writer)).status).toBe(404);
    expect((await service.ask('GET', `${at}/changes?cursor=WzFd`, WHO.auditor)).status).toBe(400);
    const pack = '/v1/policies/rw-agreement/versions/1/impact';
    expect(await service.ask('POST', pack, WHO.authority)).toMatchObject({
      status: 409,
      body: { code: 'wrong_status' },
    });
    expect((await service.ask('POST', pack, WHO.writer)).status).toBe(404);
  });

  test('nothing here was a defect', () => {
    expect(service.warnings).toEqual([]);
  });
});

describe('a run that is under way', () => {
  const TOTAL = 3_000;
  const ORIGIN = 'log.test.example/umutungo/2026';
  let stack: AsyncDisposableStack;
  let client: Client;
  let holder: Client;
  let databaseUrl: string;
  let dataDir: string;
  let replica: TestService;
  /** A version that turns every request, and the request that stops its run half way. */
  let path: string;
  let stone: string;

  const replicaConfig = () => ({ databaseUrl, dataDir, logOrigin: ORIGIN });

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    databaseUrl = stack.use(await createTestDatabase()).connectionString;
    dataDir = await mkdtemp(join(tmpdir(), 'umutungo-impact-'));
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
    replica = stack.use(await startTestService({ config: replicaConfig() }));
    [client, holder] = [new Client(databaseUrl), new Client(databaseUrl)];
    for (const each of [client, holder]) {
      await each.connect();
      stack.defer(() => each.end());
    }
    const request = { dataset: 'nhic-idsr-cases', project: 'idsr-forecasting' };
    const made = await replica.ask('POST', '/v1/access-requests', {
      role: 'partner',
      body: { ...request, purpose: 'outbreak_forecasting' },
    });
    if (made.status !== 201) throw new Error(made.text);
    await client.query(
      `insert into access_request (id, dataset, dataset_version, project, purpose, request, decision, effect, created_at, created_by)
       select ('0192' || lpad(to_hex(i), 4, '0') || '-0000-7000-8000-000000000000')::uuid, dataset, dataset_version, project,
         purpose, request, decision, effect, created_at, created_by from access_request, generate_series(1, $1::int) i`,
      [TOTAL - 1],
    );
    const { rows } = await client.query<{ id: string }>(
      'select id from access_request order by id offset 1499 limit 1',
    );
    stone = rows[0]?.id ?? '';
    ({ path } = await draft(replica, 'authority', { rule: { outcome: 'deny' } }));
  });
  afterAll(() => stack.disposeAsync());

  /** Whoever finds this request turned waits: its row cannot be referred to. */
  async function layStone(): Promise<AsyncDisposable> {
    await holder.query('begin');
    await holder.query('select from access_request where id = $1 for update', [stone]);
    return { [Symbol.asyncDispose]: async () => void (await holder.query('rollback')) };
  }

  const start = (service: TestService): Promise<Answer> =>
    service.ask('POST', `${path}/impact`, WHO.authority);
  const ended = ({ status }: Answer['body']): boolean => status !== 'running';

  /** The session of the worker that waits before the stone. */
  async function waiting(): Promise<number> {
    for (let tries = 0; tries < 200; tries++) {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
           and query like '%impact_change%'`,
      );
      if (rows[0]) return rows[0].pid;
      await sleep(25);
    }
    throw new Error('no worker waits');
  }

  test('shows how far it is to every replica, and what it found; then it ends', async () => {
    await using other = await startTestService({ config: replicaConfig() });
    let at: string;
    {
      await using _stone = await layStone();
      const started = await start(replica);
      expect(started, started.text).toMatchObject({ status: 201, body: { status: 'running' } });
      at = started.headers.get('location') ?? '';
      const half = await readUntil(other, at, ({ done }) => done > 0);
      expect(half).toMatchObject({
        status: 'running',
        done: 1_000,
        total: TOTAL,
        changed: 1_000,
        finished_at: null,
      });
      expect(await changesOf(other, at)).toHaveLength(1_000);
      // The service goes on answering.
      expect((await replica.ask('GET', '/readyz')).status).toBe(200);
    }
    const run = await readUntil(other, at, ended);
    expect(run).toMatchObject({ status: 'done', done: TOTAL, changed: TOTAL });
    expect((await replica.ask('GET', at, WHO.auditor)).body).toEqual(run);
    expect(await changesOf(other, at)).toHaveLength(TOTAL);
  });

  test('fails with a word when its worker loses the database, and the next one works', async () => {
    await using _stone = await layStone();
    const [started] = await Promise.all([
      start(replica),
      waiting().then((pid) => client.query('select pg_terminate_backend($1)', [pid])),
    ]);
    const at = started.headers.get('location') ?? '';
    const run = await readUntil(replica, at, ended);
    expect(run).toMatchObject({ status: 'failed', failure: 'error' });
    expect(run.finished_at).not.toBeNull();
    expect(replica.warnings.join()).toContain(`impact ${run.id}`);
    replica.warnings.length = 0;
    await holder.query('rollback');
    const again = await assess(replica, 'authority', path);
    expect(again.run).toMatchObject({ status: 'done', done: TOTAL });
  });

  test('fails with a word when its replica stops', async () => {
    let at: string;
    {
      await using _stone = await layStone();
      await using stopping = await startTestService({ config: replicaConfig() });
      const started = await start(stopping);
      at = started.headers.get('location') ?? '';
    }
    expect((await replica.ask('GET', at, WHO.auditor)).body).toMatchObject({
      status: 'failed',
      failure: 'service_stopped',
    });
  });

  test('does not run for ever when its replica is killed', async () => {
    await using _stone = await layStone();
    await using killed = spawnService({
      DATABASE_URL: databaseUrl,
      DATA_DIR: dataDir,
      DEMO: 'on',
      PORT: '0',
      LOG_ORIGIN: ORIGIN,
    });
    const response = await fetch(`${await killed.url}${path}/impact`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await replica.token('authority')}` },
    });
    expect(response.status).toBe(201);
    const at = response.headers.get('location') ?? '';
    await killed.end('SIGKILL');
    expect((await replica.ask('GET', at, WHO.auditor)).body).toMatchObject({ status: 'running' });
    await client.query(
      "update impact set heartbeat_at = heartbeat_at - interval '1 minute' where status = 'running'",
    );
    expect((await replica.ask('GET', at, WHO.auditor)).body).toMatchObject({
      status: 'failed',
      failure: 'abandoned',
    });
  });

  test('keeps its place: beyond as many as may be, a start is refused and leaves nothing', async () => {
    const count = async (): Promise<unknown> =>
      (
        await client.query(
          "select (select count(*) from impact) runs, (select count(*) from audit_event where type = 'assessPolicyImpact') events",
        )
      ).rows;
    const running: Answer[] = [];
    {
      await using _stone = await layStone();
      running.push(...(await Promise.all([start(replica), start(replica)])));
      const before = await count();
      const refused = await start(replica);
      expect(refused).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(refused.headers.get('retry-after')).not.toBeNull();
      expect(await count()).toEqual(before);
    }
    for (const { headers } of running)
      expect(await readUntil(replica, headers.get('location') ?? '', ended)).toMatchObject({
        status: 'done',
      });
  });

  test('nothing here was a defect', () => {
    expect(replica.warnings).toEqual([]);
  });
});

import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { decide, textOf } from '../src/access/decision.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { demoToken } from '../src/demo.ts';
import { casesOf } from '../src/pdp/cases.ts';
import { compilePack, readPackFolder } from '../src/policies/files.ts';
import { startService } from '../src/service.ts';

const POLICIES = join(import.meta.dirname, '../policies');
const REQUESTS = 100_000;

interface ImpactRates {
  readonly requests: number;
  readonly changed: number;
  readonly seconds: number;
  /** Of this process, workers and service: without the database's. */
  readonly cpuSeconds: number;
  /** Time of the run by the time of `select id, document` of the same rows. */
  readonly toReading: number;
  /** How long the service's event loop was held at the longest. */
  readonly heldMs: number;
}

/**
 * A national policy tried on 100,000 recorded requests with the facts of the scenario set, over
 * HTTP, in a service of its own.
 */
export async function measureImpact(): Promise<ImpactRates> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-bench-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const { connectionString } = stack.use(await startEmbedded({ dataDir }));
  const service = stack.use(
    await startService(
      {
        host: '127.0.0.1',
        port: 0,
        dataDir,
        databaseUrl: connectionString,
        demo: true,
        packDir: join(POLICIES, 'rwanda'),
        logOrigin: 'bench.example/log/2026',
        logPolicy: null,
        witness: null,
        issuer: null,
        publicUrl: null,
        processes: 1,
        poolSize: 5,
      },
      () => new Date(),
      { say: () => {}, warn: (line) => console.error(line) },
    ),
  );
  const client = new pg.Client(connectionString);
  await client.connect();
  stack.defer(() => client.end());
  await fill(client);
  const reading = await readAll(client);
  const token = await demoToken(dataDir, 'authority');
  const ask = async (method: string, path: string, body?: object): Promise<Run> => {
    const response = await fetch(service.url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(await response.text());
    return (await response.json()) as Run;
  };
  await ask('POST', '/v1/policies', { document: JSON.stringify(POLICY) });
  const held = monitorEventLoopDelay({ resolution: 1 });
  held.enable();
  const cpu = process.cpuUsage();
  const start = performance.now();
  const path = '/v1/policies/bench/versions/1/impact';
  let run = await ask('POST', path);
  while (run.status === 'running') {
    console.log(`  ${run.done} of ${run.total ?? 'so many'}`);
    await sleep(250);
    run = await ask('GET', `${path}/${run.id}`);
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  held.disable();
  if (run.status !== 'done' || run.done !== REQUESTS) throw new Error(JSON.stringify(run));
  const round = (value: number): number => Math.round(value * 100) / 100;
  return {
    requests: run.done,
    changed: run.changed,
    seconds: round(seconds),
    cpuSeconds: round((user + system) / 1e6),
    toReading: round(seconds / reading),
    heldMs: round(held.max / 1e6),
  };
}

interface Run {
  readonly id: string;
  readonly status: string;
  readonly done: number;
  readonly total: number | null;
  readonly changed: number;
}

const TITLE = { en: 'A policy of the bench' };
const POLICY = {
  policy: 'bench',
  version: 1,
  layer: 'national_choice',
  concern: 'residency',
  title: TITLE,
  instrument: 'national-choice',
  in_force: { from: '2026-01-01' },
  rules: [
    {
      id: 'BENCH',
      title: TITLE,
      sentence: TITLE,
      holds: { fact: 'request.locations.storage', isPartOf: ['RW'] },
      otherwise: 'review',
      cites: [{ instrument: 'national-choice', article: 'bench', confidence: 'high' }],
    },
  ],
};

async function fill(client: pg.Client): Promise<void> {
  const program = compilePack(await readPackFolder(join(POLICIES, 'rwanda')));
  const file = join(POLICIES, 'cases/rwanda.json');
  const rows = casesOf(file, readFileSync(file, 'utf8')).map(({ facts }) => {
    const { stored } = decide(program, facts, { asOf: AS_OF, simulation: false });
    const { kept, parts } = textOf(stored);
    return { document: kept, effect: stored.effect, parts };
  });
  await client.query(
    `insert into decision_part select decode(sha256, 'hex'), text
     from json_to_recordset($1::json) as r(sha256 text, text text) on conflict do nothing`,
    [JSON.stringify(rows.flatMap(({ parts }) => parts))],
  );
  await client.query(
    `with cases as (
      select document, effect, row_number() over () - 1 as n, count(*) over () as cases
      from json_to_recordset($1::json) as r(document text, effect text)
    ), made as (
      insert into decision (id, simulation, effect, created_by, created_at, document, event_id)
      select uuidv7(), false, effect, 'bench', now(), document, uuidv7()
      from generate_series(0, $2::int - 1) i join cases on n = i % cases
      returning id, effect
    )
    insert into access_request (id, dataset, dataset_version, project, purpose, request, decision, effect, created_at, created_by)
    select uuidv7(), 'nhic-idsr-cases', 1, 'idsr-forecasting', 'outbreak_forecasting', '{"dataset": "nhic-idsr-cases"}', id, effect, now(), 'bench' from made`,
    [JSON.stringify(rows), REQUESTS],
  );
  await client.query('analyze');
}

const AS_OF = '2026-10-15T07:00:00.000Z';

/** Seconds for reading the same rows, by keyset in pages, once they have been read before. */
async function readAll(client: pg.Client): Promise<number> {
  let seconds = 0;
  for (let round = 0; round < 2; round++) {
    const start = performance.now();
    for (let after = NIL; ; ) {
      const { rows } = await client.query<{ id: string; document: string }>(
        'select id, document from decision where id > $1 order by id limit 1000',
        [after],
      );
      after = rows.at(-1)?.id ?? '';
      if (after === '') break;
    }
    seconds = (performance.now() - start) / 1000;
  }
  return seconds;
}

const NIL = '00000000-0000-0000-0000-000000000000';

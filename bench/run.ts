/**
 * `npm run bench`: everything is measured beside a reference in the same run, in turns, because
 * machines are shared and noisy; what counts are the ratios. Results go to bench/results/.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbedded } from '../src/db/embedded.ts';
import { demoToken } from '../src/demo.ts';
import { measureAuthzen } from './authzen.ts';
import { type Load, loadHttp, median, type Rate } from './client.ts';
import { measureDecisions } from './decisions.ts';
import { measureImpact } from './impact.ts';
import { measureUsable } from './usable.ts';
import { measureVerify } from './verify.ts';

const ROOT = join(import.meta.dirname, '..');
const POOL = 10;
const CONNECTIONS = [1, 8, 32, 128];
const ROUNDS = 3;
const BATCH = 100;
const ROUND_MS = 2_500;

interface Row {
  readonly connections: number;
  readonly requests: Rate;
  /** The same question over AuthZEN: decided, logged and durable too; the answer is short. */
  readonly evaluations: Rate;
  readonly inserts: Rate;
  readonly bareHono: Rate;
  /** The same rows and the same bytes, with nothing decided: see `floor.ts`. */
  readonly floor: Rate;
  /** Medians over the rounds of what was measured side by side. */
  readonly toInserts: number;
  readonly evaluationsToInserts: number;
  readonly toBareHono: number;
  readonly floorToInserts: number;
}

async function main(): Promise<void> {
  console.log('(a) pure decisions, one core');
  const decisions = await measureDecisions();
  console.table([decisions]);
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-bench-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const database = stack.use(await startEmbedded({ dataDir }));
  const url = database.connectionString;
  const service = await startChild(stack, ['src/main.ts'], {
    DATABASE_URL: url,
    DATA_DIR: dataDir,
    DEMO: 'on',
    PORT: '0',
    DATABASE_POOL: String(POOL),
    LOG_ORIGIN: 'bench.example/log/2026',
  });
  const bare = await startChild(stack, ['bench/bare-hono.ts'], {});
  const inserts = await startInserts(stack, url);
  const load = await requestLoad(service, dataDir);
  const evaluationLoad = asEvaluation(load);
  const bareLoad: Load = { ...load, url: `${bare}/` };

  console.log(
    '(b) requests decided, logged and durable over HTTP; (c) single-row durable inserts; a bare Hono route; a route that writes and answers as much and decides nothing (floor)',
  );
  await loadHttp(load, 8, 3_000);
  await loadHttp(evaluationLoad, 8, 2_000);
  await loadHttp(bareLoad, 8, 1_000);
  const floor = await startChild(
    stack,
    ['bench/floor.ts', url, String(POOL), String(await sizeOfAnswer(load))],
    {},
  );
  const floorLoad: Load = { ...load, url: `${floor}/` };
  await loadHttp(floorLoad, 8, 1_000);
  const rows: Row[] = [];
  for (const connections of CONNECTIONS)
    rows.push(
      await measureRow(connections, { load, evaluationLoad, bareLoad, floorLoad, inserts }),
    );
  console.table(
    rows.map((row) => ({
      connections: row.connections,
      'requests/s': Math.round(row.requests.perSecond),
      'p50 ms': round(row.requests.p50Ms),
      'p99 ms': round(row.requests.p99Ms),
      'evaluations/s': Math.round(row.evaluations.perSecond),
      'inserts/s': Math.round(row.inserts.perSecond),
      'bare Hono/s': Math.round(row.bareHono.perSecond),
      'floor/s': Math.round(row.floor.perSecond),
      'requests : inserts': round(row.toInserts),
      'evaluations : inserts': round(row.evaluationsToInserts),
      'requests : bare Hono': round(row.toBareHono),
      'floor : inserts': round(row.floorToInserts),
    })),
  );

  console.log(
    'Batches of a hundred evaluations, each decided, logged and durable, beside single-row inserts',
  );
  const batches = await measureBatches(await asBatch(evaluationLoad, service), inserts);
  console.table(batches);
  console.log('One decision among 1,000 and among 100,000 datasets, 8 connections');
  const growth = await measureGrowth(load, url);
  console.table([growth]);
  console.log('An evaluation of a space, beside a bare Hono route; searches over 100,000 entities');
  const authzen = await measureAuthzen(service, bare, dataDir);
  console.table([authzen]);
  console.log('A policy tried on 100,000 recorded requests');
  const impact = await measureImpact();
  console.table([impact]);
  console.log('The deep check of a log, one core');
  const verify = await measureVerify();
  console.table([verify]);
  const usable = await measureUsable(url);
  console.table(usable);
  const result = {
    measured_at: new Date().toISOString(),
    node: process.version,
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    decisions,
    rows,
    batches,
    growth,
    authzen,
    impact,
    verify,
    usable,
  };
  const file = join(ROOT, 'bench/results', `${result.measured_at.slice(0, 10)}.json`);
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`Written to ${file.slice(ROOT.length + 1)}`);
}

type Contestant = 'requests' | 'evaluations' | 'inserts' | 'bareHono' | 'floor';

interface Contestants {
  readonly load: Load;
  readonly evaluationLoad: Load;
  readonly bareLoad: Load;
  readonly floorLoad: Load;
  readonly inserts: (callers: number, ms: number) => Promise<Rate>;
}

async function measureRow(
  connections: number,
  { load, evaluationLoad, bareLoad, floorLoad, inserts }: Contestants,
): Promise<Row> {
  const rounds: Record<Contestant, Rate>[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rounds.push({
      requests: await loadHttp(load, connections, ROUND_MS),
      evaluations: await loadHttp(evaluationLoad, connections, ROUND_MS),
      inserts: await inserts(connections, ROUND_MS),
      bareHono: await loadHttp(bareLoad, connections, ROUND_MS / 2),
      floor: await loadHttp(floorLoad, connections, ROUND_MS),
    });
  }
  const middle = (of: (round: (typeof rounds)[number]) => number): number => median(rounds.map(of));
  const typical = (key: Contestant): Rate => ({
    perSecond: middle((each) => each[key].perSecond),
    p50Ms: middle((each) => each[key].p50Ms),
    p99Ms: middle((each) => each[key].p99Ms),
  });
  return {
    connections,
    requests: typical('requests'),
    evaluations: typical('evaluations'),
    inserts: typical('inserts'),
    bareHono: typical('bareHono'),
    floor: typical('floor'),
    toInserts: middle((each) => each.requests.perSecond / each.inserts.perSecond),
    evaluationsToInserts: middle((each) => each.evaluations.perSecond / each.inserts.perSecond),
    toBareHono: middle((each) => each.requests.perSecond / each.bareHono.perSecond),
    floorToInserts: middle((each) => each.floor.perSecond / each.inserts.perSecond),
  };
}

/** Medians over the rounds. */
interface Batches {
  readonly connections: number;
  readonly decisionsPerSecond: number;
  readonly insertsPerSecond: number;
  readonly toInserts: number;
}

async function measureBatches(batch: Load, inserts: Contestants['inserts']): Promise<Batches[]> {
  const rows: Batches[] = [];
  for (const connections of [8, 32]) {
    const rounds: { decisions: number; rows: number }[] = [];
    for (let i = 0; i < ROUNDS; i++) {
      rounds.push({
        decisions: BATCH * (await loadHttp(batch, connections, ROUND_MS)).perSecond,
        rows: (await inserts(connections, ROUND_MS)).perSecond,
      });
    }
    rows.push({
      connections,
      decisionsPerSecond: Math.round(median(rounds.map(({ decisions }) => decisions))),
      insertsPerSecond: Math.round(median(rounds.map((each) => each.rows))),
      toInserts: round(median(rounds.map((each) => each.decisions / each.rows))),
    });
  }
  return rows;
}

async function measureGrowth(
  load: Load,
  url: string,
): Promise<{ few: number; many: number; ratio: number }> {
  const client = new pg.Client(url);
  await client.connect();
  const fill = (from: number, to: number): Promise<unknown> =>
    client.query(`insert into dataset (id, version, status, publisher, sector, classification, document, search, created_at, updated_at)
      select 'bench-' || i, 1, 'active', 'nisr', 'statistics', 'internal', jsonb_build_object('title', jsonb_build_object('en', 'Bench ' || i)),
        to_tsvector('simple', 'bench ' || i), now(), now() from generate_series(${from}, ${to}) i`);
  const rates: Record<'few' | 'many', number[]> = { few: [], many: [] };
  await fill(1, 1_000);
  for (let i = 0; i < ROUNDS; i++) rates.few.push((await loadHttp(load, 8, ROUND_MS)).perSecond);
  await fill(1_001, 100_000);
  await client.query('analyze dataset, register_revision');
  for (let i = 0; i < ROUNDS; i++) rates.many.push((await loadHttp(load, 8, ROUND_MS)).perSecond);
  await client.end();
  const best = (list: readonly number[]): number => Math.round(Math.max(...list));
  return {
    few: best(rates.few),
    many: best(rates.many),
    ratio: round(best(rates.many) / best(rates.few)),
  };
}

/** A child that prints the URL it listens on. */
function startChild(
  stack: AsyncDisposableStack,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  stack.defer(() => stopChild(child));
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (url) resolve(url);
    });
    child.once('exit', (code) => reject(new Error(`${args[0] ?? ''} ended with ${code}`)));
  });
}

async function startInserts(
  stack: AsyncDisposableStack,
  url: string,
): Promise<Contestants['inserts']> {
  const child = fork(join(ROOT, 'bench/inserts.ts'), [url, String(POOL)]);
  stack.defer(() => stopChild(child));
  const next = (): Promise<unknown> => new Promise((resolve) => child.once('message', resolve));
  await next();
  return (callers, ms) => {
    const answer = next() as Promise<Rate>;
    child.send({ callers, ms });
    return answer;
  };
}

function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/** A real request of the demo, as its partner would send it. */
async function requestLoad(url: string, dataDir: string): Promise<Load> {
  const demo = JSON.parse(await readFile(join(ROOT, 'demo/scenarios.json'), 'utf8')) as {
    requests: Record<string, unknown>[];
  };
  const { scenario: _scenario, ...body } =
    demo.requests.find(({ scenario }) => scenario === 'RW-S12') ?? {};
  const token = await demoToken(dataDir, 'partner');
  return {
    url: `${url}/v1/access-requests`,
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  };
}

/** Of what the service answers to a request, in bytes. */
async function sizeOfAnswer({ url, ...request }: Load): Promise<number> {
  const answer = await fetch(url, request);
  return (await answer.arrayBuffer()).byteLength;
}

/** The same request, asked as an AuthZEN question. */
function asEvaluation({ url, body, ...load }: Load): Load {
  const { dataset, project, purpose, output, ...context } = JSON.parse(body) as Record<
    string,
    unknown
  >;
  return {
    ...load,
    url: url.replace('/v1/access-requests', '/access/v1/evaluation'),
    body: JSON.stringify({
      subject: { type: 'project', id: project },
      action: { name: 'use', properties: { purpose, output } },
      resource: { type: 'dataset', id: dataset },
      context,
    }),
  };
}

/** A hundred of the same question, each about another dataset of the catalogue, as far as they go. */
async function asBatch({ url, headers, body, method }: Load, service: string): Promise<Load> {
  const { resource: _resource, ...shared } = JSON.parse(body) as Record<string, unknown>;
  const answer = await fetch(`${service}/v1/datasets?limit=${BATCH}`, { headers });
  const { items } = (await answer.json()) as { items: { id: string }[] };
  const evaluations = Array.from({ length: BATCH }, (_, i) => ({
    resource: { type: 'dataset', id: items[i % items.length]?.id },
  }));
  return { url: `${url}s`, method, headers, body: JSON.stringify({ ...shared, evaluations }) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

await main();

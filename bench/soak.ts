/**
 * `npm run soak [MINUTES]`: the service under full load over loopback, 32 connections, ten minutes
 * where nothing else is said. After each quarter of a minute its memory is measured when it has
 * collected its garbage; the slope of the second half says whether it grows.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbedded } from '../src/db/embedded.ts';
import { demoToken } from '../src/demo.ts';
import { type Load, loadHttp } from './client.ts';

const ROOT = join(import.meta.dirname, '..');
const SLICE_MS = 15_000;
/** 32 connections: most ask for access, some read. */
const SHARES = { requests: 22, simulations: 2, datasets: 4, searches: 4 } as const;

interface Sample {
  readonly minute: number;
  readonly heapMb: number;
  readonly rssMb: number;
  readonly externalMb: number;
  readonly perSecond: number;
}

async function main(): Promise<void> {
  const minutes = Number(process.argv[2] ?? 10);
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-soak-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const database = stack.use(await startEmbedded({ dataDir }));
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--import', join(ROOT, 'bench/soak-probe.ts'), 'src/main.ts'],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        DATABASE_URL: database.connectionString,
        DATA_DIR: dataDir,
        DEMO: 'on',
        PORT: '0',
        LOG_ORIGIN: 'bench.example/soak/2026',
      },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    },
  );
  const { stdout } = child;
  if (!stdout) throw new Error('the service says nothing');
  stack.defer(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  });
  const [chunk] = (await once(stdout, 'data')) as [Buffer];
  let said = chunk.toString();
  stdout.on('data', (more: Buffer) => (said += more.toString()));
  while (!said.includes('listens on')) await new Promise((resolve) => setTimeout(resolve, 50));
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0] ?? '';
  const loads = await loadsOf(url, dataDir);
  const samples: Sample[] = [];
  const start = performance.now();
  while (performance.now() - start < minutes * 60_000) {
    const rates = await Promise.all(
      loads.map(([load, connections]) => loadHttp(load, connections, SLICE_MS)),
    );
    child.send('measure');
    const [{ heapUsed, rss, external }] = (await once(child, 'message')) as [NodeJS.MemoryUsage];
    const sample: Sample = {
      minute: round((performance.now() - start) / 60_000),
      heapMb: round(heapUsed / 2 ** 20),
      rssMb: round(rss / 2 ** 20),
      externalMb: round(external / 2 ** 20),
      perSecond: Math.round(rates.reduce((sum, { perSecond }) => sum + perSecond, 0)),
    };
    samples.push(sample);
    console.log(JSON.stringify(sample));
  }
  const settled = samples.filter(({ minute }) => minute > minutes / 2);
  const result = {
    measured_at: new Date().toISOString(),
    node: process.version,
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    minutes,
    connections: Object.values(SHARES).reduce((sum, each) => sum + each, 0),
    /** In the second half, megabytes a minute. */
    slope: {
      heap: round(slopeOf(settled.map(({ minute, heapMb }) => [minute, heapMb]))),
      rss: round(slopeOf(settled.map(({ minute, rssMb }) => [minute, rssMb]))),
    },
    samples,
  };
  console.log(`MB a minute in the second half: ${JSON.stringify(result.slope)}`);
  const file = join(ROOT, 'bench/results', `soak-${result.measured_at.slice(0, 10)}.json`);
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`Written to ${file.slice(ROOT.length + 1)}`);
}

async function loadsOf(url: string, dataDir: string): Promise<(readonly [Load, number])[]> {
  const demo = JSON.parse(await readFile(join(ROOT, 'demo/scenarios.json'), 'utf8')) as {
    requests: Record<string, unknown>[];
  };
  const { scenario: _scenario, ...body } =
    demo.requests.find(({ scenario }) => scenario === 'RW-S12') ?? {};
  const { dataset, project, agreement, ...request } = body;
  const headersOf = async (role: 'partner' | 'auditor' | 'authority') => ({
    authorization: `Bearer ${await demoToken(dataDir, role)}`,
    'content-type': 'application/json',
  });
  const [partner, auditor, authority] = [
    await headersOf('partner'),
    await headersOf('auditor'),
    await headersOf('authority'),
  ];
  const get = (path: string, headers: Load['headers']): Load => ({
    url: url + path,
    method: 'GET',
    headers,
    body: '',
  });
  const post = (path: string, sent: object): Load => ({
    url: url + path,
    method: 'POST',
    headers: partner,
    body: JSON.stringify(sent),
  });
  return [
    [post('/v1/access-requests', body), SHARES.requests],
    [
      post('/v1/decisions/simulate', { dataset, request: { ...request, project, agreement } }),
      SHARES.simulations,
    ],
    [get('/v1/datasets/nhic-idsr-cases', authority), SHARES.datasets],
    [get('/v1/audit/search', auditor), SHARES.searches],
  ];
}

/** Least squares: how much the second member grows with the first. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([at]) => at), mean(([, value]) => value)];
  const over = mean(([at, value]) => (at - x) * (value - y));
  return over / mean(([at]) => (at - x) ** 2);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

await main();

/**
 * `npm run bench:log [ENTRIES]`: reading, appending, sequencing, publishing and indexing where the
 * log has 10 million entries (or as many as are asked for), beside a log of ten thousand on the same
 * server. Takes some twenty minutes and about 2.5 kB of disk an entry, which it gives back.
 */
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { sealEvent } from '../src/audit/event.ts';
import { folderGuard } from '../src/audit/guard.ts';
import { indexBlock } from '../src/audit/indexer.ts';
import { loadLogKeys } from '../src/audit/keys.ts';
import { publish } from '../src/audit/publisher.ts';
import { BLOCK } from '../src/audit/search-store.ts';
import { sequence } from '../src/audit/sequencer.ts';
import { insertEvent } from '../src/audit/store.ts';
import { connect, type Db, transact } from '../src/db/connection.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { demoToken } from '../src/demo.ts';
import { cursorOf } from '../src/paging.ts';
import { startService } from '../src/service.ts';
import { fillLog, makeEvents, RARE_PROJECT, settled, takePalette } from './log-fill.ts';

const ROOT = join(import.meta.dirname, '..');
const FEW = 10_000;
const BYTES_AN_ENTRY = 2_500;
const ORIGIN = 'bench.example/log/2026';
const ROUNDS = 5;
const APPENDED = 2_048;
const TOGETHER = 64;

interface Size {
  readonly entries: number;
  readonly dataDir: string;
  readonly url: string;
}

/** Milliseconds for a thousand entries; of a publication, milliseconds. */
interface Costs {
  readonly append: number;
  readonly sequence: number;
  readonly publish: number;
  readonly index: number;
}

interface Page {
  readonly page: string;
  readonly items: number;
  readonly firstMs: number;
  readonly bestMs: number;
  readonly medianMs: number;
  readonly worstMs: number;
}

async function main(): Promise<void> {
  const entries = Number(process.argv[2] ?? 10_000_000);
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < 1.5 * entries * BYTES_AN_ENTRY)
    throw new Error('There is not enough room in the folder for temporary files.');
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'umutungo-bench-log-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const [few, many] = [
    await prepare(join(folder, 'few'), FEW),
    await prepare(join(folder, 'many'), entries),
  ];
  console.log('Pages, over HTTP');
  const pages = await measurePages(many);
  console.table(pages);
  console.log('Cost of a thousand entries, in milliseconds');
  const costs = await measureCosts(few, many);
  console.table(costs);
  const result = {
    measured_at: new Date().toISOString(),
    node: process.version,
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    load: loadavg()[0],
    entries: many.entries,
    pages,
    costs,
  };
  const file = join(ROOT, 'bench/results', `log-${result.measured_at.slice(0, 10)}.json`);
  await writeFile(file, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`Written to ${file.slice(ROOT.length + 1)}`);
}

/** A database with a log of this size. It is filled without durability, and stopped. */
async function prepare(dataDir: string, entries: number): Promise<Size> {
  const settings = {
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_wal_size: '8GB',
    maintenance_work_mem: '1GB',
    work_mem: '256MB',
  };
  const started = performance.now();
  const say = (line: string): void =>
    console.log(`  ${Math.round((performance.now() - started) / 1_000)} s: ${line}`);
  const blocks = Math.ceil(entries / BLOCK);
  console.log(`A log of ${blocks * BLOCK} entries`);
  await using server = await startEmbedded({ dataDir, settings });
  const url = server.connectionString;
  const clients = [new pg.Client(url), new pg.Client(url)];
  for (const client of clients) await client.connect();
  const [client] = clients;
  if (!client) throw new Error('no connection');
  {
    await using service = await serviceOn({ dataDir, url, entries });
    say('real events');
    await makeEvents(service.url, dataDir);
    await settled(client);
  }
  await takePalette(client);
  await fillLog(clients, blocks, say);
  // What was signed was signed of another log.
  await rm(join(dataDir, 'signed'), { recursive: true, force: true });
  await client.query('checkpoint');
  for (const each of clients) await each.end();
  say('done');
  return { entries: blocks * BLOCK, dataDir, url };
}

function serviceOn({ dataDir, url }: Size) {
  return startService(
    {
      host: '127.0.0.1',
      port: 0,
      dataDir,
      databaseUrl: url,
      demo: true,
      packDir: join(ROOT, 'policies/rwanda'),
      logOrigin: ORIGIN,
      logPolicy: null,
      witness: null,
      issuer: null,
      publicUrl: null,
      processes: 1,
      poolSize: 5,
    },
    () => new Date(),
    { say: () => {}, warn: (line) => console.error(line) },
  );
}

/** Every filter alone and together, frequent values and rare ones, first pages and deep ones. */
async function measurePages(size: Size): Promise<Page[]> {
  await using server = await startEmbedded({ dataDir: size.dataDir });
  await using service = await serviceOn({ ...size, url: server.connectionString });
  const client = new pg.Client(server.connectionString);
  await client.connect();
  const { rows } = await client.query<{ at: string; id: string }>(
    `select time as at, event_id as id from log_leaf join audit_event using (event_id)
     where idx = any($1) order by idx`,
    [[0.02, 0.5].map((share) => Math.floor(share * size.entries))],
  );
  const words = await frequentAndRare(client, ['rule', 'word']);
  await client.end();
  const [early, middle] = rows.map(({ at }) => new Date(at));
  if (!early || !middle) throw new Error('the log is empty');
  const token = await demoToken(size.dataDir, 'auditor', { subject: 'bench-auditor' });
  const hour = (at: Date): string =>
    `from=${at.toISOString()}&to=${new Date(at.getTime() + 3_600_000).toISOString()}`;
  const day = (at: Date): string =>
    `from=${at.toISOString()}&to=${new Date(at.getTime() + 86_400_000).toISOString()}`;
  const at = (share: number): string =>
    `cursor=${cursorOf([String(Math.floor(share * size.entries))])}`;
  const filters = [
    '',
    hour(early),
    day(middle),
    'from=2026-12-31T23:00:00Z',
    'to=2026-01-01T01:00:00Z',
    'actor=partner-0',
    'actor=partner-250',
    'actor=auditor-1',
    'actor=nobody-at-all',
    'project=idsr-forecasting',
    `project=${RARE_PROJECT}`,
    'dataset=nhic-idsr-cases',
    'dataset=no-such-dataset',
    ...words.map(({ kind, value }) => `${kind === 'rule' ? kind : 'text'}=${value}`),
    'rule=NO-SUCH-RULE',
    'effect=permit',
    'effect=deny',
    'type=getDataset',
    'type=submitAccessRequest',
    'text=dpp',
    'text=nothinglikethis',
    'text=partner%2017',
    'actor=partner-0&effect=review',
    'actor=auditor-1&effect=deny',
    'actor=auditor-1&type=submitAccessRequest',
    'dataset=nhic-idsr-cases&project=cervical-screening',
    'dataset=nhic-idsr-cases&project=idsr-forecasting&effect=deny&text=dpp',
    `dataset=nhic-idsr-cases&${hour(early)}`,
    `actor=partner-0&dataset=nhic-idsr-cases&${day(middle)}`,
    `project=${RARE_PROJECT}&effect=deny`,
    `actor=partner-250&${hour(middle)}`,
  ];
  const search = filters.flatMap((filter) =>
    ['', at(0.5), at(0.02)].map((cursor) => `search?${[filter, cursor].filter(Boolean).join('&')}`),
  );
  const before = rows.map(({ id }) => `cursor=${cursorOf([id])}`);
  const lists = [
    '',
    'type=getDataset',
    'type=reloadPack',
    'subject=nhic-idsr-cases',
    `subject=${RARE_PROJECT}`,
    'subject=nobody-at-all',
    'type=getDataset&subject=idsr-forecasting',
    `type=submitAccessRequest&subject=${RARE_PROJECT}`,
  ].flatMap((filter) =>
    ['', ...before].map((cursor) => `events?${[filter, cursor].filter(Boolean).join('&')}`),
  );
  const pages: Page[] = [];
  for (const page of [...search, ...lists]) {
    const times: number[] = [];
    let items = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const start = performance.now();
      const response = await fetch(`${service.url}/v1/audit/${page}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      const body = (await response.json()) as { items?: unknown[] };
      times.push(performance.now() - start);
      if (!body.items) throw new Error(`${page}: ${response.status} ${JSON.stringify(body)}`);
      items = body.items.length;
    }
    const [firstMs = 0] = times;
    const ordered = times.toSorted((a, b) => a - b);
    pages.push({
      page,
      items,
      firstMs: round(firstMs),
      bestMs: round(ordered[0] ?? 0),
      medianMs: round(ordered[Math.floor(ROUNDS / 2)] ?? 0),
      worstMs: round(ordered.at(-1) ?? 0),
    });
  }
  return pages.toSorted((a, b) => b.worstMs - a.worstMs);
}

/** Of each kind of terms one that is in most of the real events, and one that is in few. */
async function frequentAndRare(
  client: pg.Client,
  kinds: readonly string[],
): Promise<{ kind: string; value: string }[]> {
  const { rows } = await client.query<{ kind: string; value: string }>(
    `with term as (
       select split_part(term, ':', 1) as kind, split_part(term, ':', 2) as value,
         sum(bit_count(entries)) as n from palette_term group by term
     ), ranked as (
       select *, row_number() over (partition by kind order by n desc, value) as first,
         row_number() over (partition by kind order by n, value) as last
       from term where kind = any($1)
     )
     select kind, value from ranked where first = 1 or last = 1 order by kind, first`,
    [kinds],
  );
  return rows;
}

/** In turns on both logs; the best of the rounds, since others use the machine as well. */
async function measureCosts(few: Size, many: Size): Promise<Record<string, Costs>> {
  await using stack = new AsyncDisposableStack();
  const measures: (() => Promise<Costs>)[] = [];
  for (const size of [few, many]) measures.push(await appender(stack, size));
  const rounds: Costs[][] = [[], []];
  // One round to warm up.
  for (let i = 0; i <= ROUNDS; i++) {
    for (const [which, measure] of measures.entries()) {
      const costs = await measure();
      if (i > 0) rounds[which]?.push(costs);
    }
  }
  const [small, large] = rounds.map((all) => {
    const best = (key: keyof Costs): number => round(Math.min(...all.map((each) => each[key])));
    return {
      append: best('append'),
      sequence: best('sequence'),
      publish: best('publish'),
      index: best('index'),
    };
  });
  if (!small || !large) throw new Error('nothing was measured');
  const ratio = (key: keyof Costs): number => round(large[key] / small[key]);
  return {
    [few.entries]: small,
    [many.entries]: large,
    ratio: {
      append: ratio('append'),
      sequence: ratio('sequence'),
      publish: ratio('publish'),
      index: ratio('index'),
    },
  };
}

async function appender(
  stack: AsyncDisposableStack,
  { dataDir }: Size,
): Promise<() => Promise<Costs>> {
  const server = stack.use(await startEmbedded({ dataDir }));
  const { db } = stack.use(connect(server.connectionString, 2));
  const keys = await loadLogKeys(join(dataDir, 'keys'));
  const guard = folderGuard(join(dataDir, 'signed-here'));
  const publisher = {
    db,
    keys,
    guardOf: () => guard,
    witnesses: undefined,
    clock: () => new Date(),
  };
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  return async () => {
    const perThousand = 1_000 / APPENDED;
    const append = await timed(() => appendSome(db));
    const sequenced = await timed(async () => {
      while ((await sequence(db)) > 0);
    });
    const published = await timed(() => publish(publisher));
    const index = await timed(async () => {
      while (await indexBlock(db));
    });
    return {
      append: append * perThousand,
      sequence: sequenced * perThousand,
      publish: published,
      index: index * perThousand,
    };
  };
}

async function appendSome(db: Db): Promise<void> {
  for (let i = 0; i < APPENDED; i += TOGETHER) {
    await transact(db, async (tx) => {
      for (let j = 0; j < TOGETHER; j++) {
        const id = `bench-${i}-${j}`;
        const event = sealEvent(
          {
            type: 'submitAccessRequest',
            actor: `partner-${j}`,
            role: 'partner',
            subject_ids: [id, 'nhic-idsr-cases', 'idsr-forecasting'],
            outcome: 'deny',
            body: { access_request: id, deny: ['RW-DPP-CONSENT'], review: [], obligations: [] },
          },
          new Date().toISOString(),
          (actor) => actor,
        );
        await insertEvent(tx, event);
      }
    });
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

await main();

/**
 * Each step of writing and publishing, with the process or the database killed at that very step:
 * what was acknowledged is there, what was asked again is made once, and the log goes on.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { demoToken } from '../../src/demo.ts';
import { formatVerifierKey } from '../../src/tlog/note-key.ts';
import { type Acknowledged, requestAccess } from '../support/access-request.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import {
  type Hold,
  holdAt,
  holdReaders,
  type Line,
  lineTo,
  type OwnServer,
  startOwnServer,
} from './database.ts';
import { type ServiceProcess, spawnService } from './process.ts';

const ORIGIN = 'log.test.example/steps/2026';
const WITNESS = 'witness.steps.example';

let stack: AsyncDisposableStack;
let server: OwnServer;
let witness: TestService;
let dataDir: string;
let token: string;
let service: ServiceProcess;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  server = stack.use(await startOwnServer());
  dataDir = await mkdtemp(join(tmpdir(), 'umutungo-steps-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const checkpoints = (await loadLogKeys(join(dataDir, 'keys'))).checkpoints(ORIGIN);
  const vkeys = checkpoints.map((key) => `log ${formatVerifierKey(key)}\n`);
  const logs = join(dataDir, 'logs');
  await writeFile(logs, `${vkeys.join('')}quorum none\n`);
  const database = stack.use(await createTestDatabase());
  witness = stack.use(
    await startTestService({
      config: {
        databaseUrl: database.connectionString,
        dataDir: join(dataDir, 'witness'),
        demo: false,
        issuer: { issuer: 'x', audience: 'x', jwksUrl: new URL('http://127.0.0.1:1/') },
        witness: { name: WITNESS, logs },
      },
    }),
  );
  const [own] = (await (await fetch(`${witness.url}/witness/vkeys`)).text()).split('\n');
  const policy = `${vkeys.join('')}witness w ${own} ${witness.url}/witness\nquorum w\n`;
  await writeFile(join(dataDir, 'policy'), policy);
  service = await startService();
  token = await demoToken(dataDir, 'partner');
  await caughtUp();
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

async function startService(url: string = server.url): Promise<ServiceProcess> {
  const started = spawnService({
    DATABASE_URL: url,
    DATA_DIR: dataDir,
    DEMO: 'on',
    PORT: '0',
    DATABASE_POOL: '5',
    LOG_ORIGIN: ORIGIN,
    LOG_POLICY: join(dataDir, 'policy'),
  });
  await started.url;
  return started;
}

async function ask(key: string): Promise<Acknowledged> {
  return requestAccess(await service.url, token, key);
}

async function query<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new Client(server.url);
  await client.connect();
  try {
    return (await client.query<Row>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** Everything has its index, and is under a published checkpoint. */
async function caughtUp(): Promise<void> {
  await until(async () => {
    const [row] = await query<{ done: boolean }>(
      `select h.size = p.size and not exists (select from audit_pending) as done
       from log_head h left join log_published p using (log_id)`,
    );
    return row?.done === true;
  });
}

async function checkpoint(): Promise<string> {
  return (await fetch(`${await service.url}/log/checkpoint`)).text();
}

/** Which of the two is ended outright, and started again. */
const victims = {
  process: {
    kill: async (): Promise<void> => void (await service.end('SIGKILL')),
    start: async (): Promise<void> => void (service = await startService()),
  },
  database: {
    kill: () => server.kill(),
    start: () => server.start(),
  },
} as const;

interface Step {
  readonly hold: () => Promise<Hold>;
  /** Is the caller answered before this step? */
  readonly isAnswered: boolean;
}

const steps: Readonly<Record<string, Step>> = {
  'before the event commits': {
    hold: () => holdAt(server.url, 'audit_pending'),
    isAnswered: false,
  },
  'while events are sequenced': {
    hold: () => holdAt(server.url, 'log_head'),
    isAnswered: true,
  },
  'after sequencing, before anything is signed': {
    hold: () => holdReaders(server.url, 'log_signed'),
    isAnswered: true,
  },
  'when it is signed and kept outside the database, and not yet in it': {
    hold: () => holdAt(server.url, 'log_signed'),
    isAnswered: true,
  },
  'when the witness has cosigned, and nothing is published': {
    hold: () => holdAt(server.url, 'log_published'),
    isAnswered: true,
  },
};

let asked = 0;

describe.each(Object.entries(steps))('%s', (_name, { hold, isAnswered }) => {
  test.each(Object.entries(victims))(
    'the %s is killed',
    async (_victim, { kill, start }) => {
      const seen = await checkpoint();
      const key = `step-${asked++}`;
      const held = await hold();
      const first = ask(key).catch(() => undefined);
      await held.reached;
      if (isAnswered) expect(await first).toBeDefined();
      await kill();
      await held[Symbol.asyncDispose]();
      await start();
      const before = await first;
      expect(before !== undefined).toBe(isAnswered);
      await expectOnce(key, before, seen);
    },
    60_000,
  );
});

describe('after the event commits, before its answer', () => {
  let line: Line;

  beforeAll(async () => {
    await service.end('SIGKILL');
    line = await lineTo(server.url);
    service = await startService(line.url);
  });
  afterAll(() => line[Symbol.asyncDispose]());

  // The process is the last: it is started without the line.
  test.each(Object.entries(victims).toReversed())(
    'the %s is killed',
    async (_victim, victim) => {
      const seen = await checkpoint();
      const key = `step-${asked++}`;
      // The registers are known from here on: one statement makes a request.
      await ask(`${key}-before`);
      line.loseAnswers(true);
      const first = ask(key).catch(() => undefined);
      await until(async () => {
        const made = await query('select from idempotency_key where key = $1', [key]);
        return made.length > 0;
      });
      await victim.kill();
      expect(await first).toBeUndefined();
      line.loseAnswers(false);
      await victim.start();
      await expectOnce(key, undefined, seen);
    },
    60_000,
  );
});

/** The same request again has the answer that was given, is made once, and the log extends what it was. */
async function expectOnce(
  key: string,
  before: Acknowledged | undefined,
  seen: string,
): Promise<void> {
  let again: Acknowledged | undefined;
  await until(async () => {
    again = await ask(key).catch(() => undefined);
    return again !== undefined;
  });
  expect({ ...before, ...again }).toEqual({ ...again, ...before });
  await caughtUp();
  const made = await query<{ events: number; requests: number }>(
    `select (select count(*)::int from access_request where id = $1) as requests,
       (select count(*)::int from audit_event e join log_leaf l using (event_id)
        where e.subject_ids @> array[$2]) as events`,
    [again?.id, again?.id],
  );
  expect(made).toEqual([{ requests: 1, events: 1 }]);
  await using connection = connect(server.url, 1);
  const checkpoints = (await loadLogKeys(join(dataDir, 'keys'))).checkpoints(ORIGIN);
  const report = await verifyStoredLog(connection.db, {
    verifiers: checkpoints,
    trustedCheckpoints: [seen, await checkpoint()],
  });
  expect(report).toMatchObject({ ok: true, problems: [], pending: 0, signatureVerified: true });
}

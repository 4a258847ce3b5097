import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { startEmbedded } from '../../src/db/embedded.ts';

const FAST = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } as const;
const MODULE = new URL('../../src/db/embedded.ts', import.meta.url).href;

describe('data', () => {
  test('survives a stop and a start', async () => {
    await using dir = await temporary();
    {
      await using first = await startEmbedded({ dataDir: dir.path, settings: FAST });
      expect(first.startedByUs).toBe(true);
      await query(first.connectionString, 'create table kept as select 42 as n');
    }
    await using second = await startEmbedded({ dataDir: dir.path, settings: FAST });
    expect(second.startedByUs).toBe(true);
    expect(await query(second.connectionString, 'select n from kept')).toEqual([{ n: 42 }]);
  });

  test('is durable, sorted and cased the same everywhere, and private', async () => {
    await using dir = await temporary();
    await using database = await startEmbedded({ dataDir: dir.path });
    const [row] = await query(
      database.connectionString,
      `select current_setting('fsync') as fsync, current_setting('data_checksums') as checksums,
         current_setting('listen_addresses') as addresses, current_setting('is_superuser') as super,
         datlocprovider as provider, datlocale as locale, current_database() as name,
         lower('ÉCOLE') as lower, 'z' < 'é' as by_code_point
       from pg_database where datname = current_database()`,
    );
    expect(row).toEqual({
      fsync: 'on',
      checksums: 'on',
      addresses: '',
      super: 'on',
      provider: 'b',
      locale: 'C.UTF-8',
      name: 'umutungo',
      lower: 'école',
      by_code_point: true,
    });
    await query(database.connectionString, 'create extension pg_trgm');
    // Accented letters are letters to the search.
    const [trigrams] = await query(
      database.connectionString,
      `select similarity('ÉTÉ', 'été') as alike, similarity('été', 'ôtô') as apart`,
    );
    expect(trigrams).toEqual({ alike: 1, apart: 0 });
  });

  test('values of refused rows are not written to the log', async () => {
    const dir = shared;
    await using database = await startEmbedded({ dataDir: dir.path, settings: FAST });
    await query(database.connectionString, 'create table person (id text primary key)');
    await query(database.connectionString, `insert into person values ('1199-secret')`);
    const again = query(database.connectionString, `insert into person values ('1199-secret')`);
    await expect(again).rejects.toThrow('duplicate key');
    const log = await readFile(join(dir.path, 'postgres.log'), 'utf8');
    expect(log).toContain('duplicate key');
    expect(log).not.toContain('secret');
  });

  test('no acknowledged row is lost when the server is killed', async () => {
    const dir = shared;
    let acknowledged = 0;
    {
      await using database = await startEmbedded({ dataDir: dir.path });
      await query(database.connectionString, 'create table written (n int primary key)');
      const pool = new Pool({ connectionString: database.connectionString, max: 1 });
      pool.on('error', () => undefined);
      const writing = (async () => {
        for (;;) {
          await pool.query('insert into written values ($1)', [acknowledged + 1]);
          acknowledged += 1;
        }
      })();
      await sleep(400);
      process.kill(await postmasterPid(dir.path), 'SIGKILL');
      await expect(writing).rejects.toThrow(/terminating|terminated|ECONN/i);
      await pool.end();
    }
    expect(acknowledged).toBeGreaterThan(10);
    await using database = await startEmbedded({ dataDir: dir.path });
    const [row] = await query(
      database.connectionString,
      'select count(*)::int, max(n) from written where n <= $1',
      [acknowledged],
    );
    expect(row).toEqual({ count: acknowledged, max: acknowledged });
  });
});

describe('who stops the server', () => {
  test('the next process, when the one that started it was killed', async () => {
    const dir = shared;
    await using killed = await startProcess(dir.path);
    expect(killed.startedByUs).toBe(true);
    await query(killed.connectionString, 'create table found as select 42 as n');
    await killed.kill();
    const pid = await postmasterPid(dir.path);
    expect(isAlive(pid)).toBe(true);

    const next = await startEmbedded({ dataDir: dir.path });
    expect(next.startedByUs).toBe(false);
    expect(await query(next.connectionString, 'select n from found')).toEqual([{ n: 42 }]);
    // The session of the one that was killed ends a moment after it.
    const holds = `select count(*)::integer as n from pg_locks where locktype = 'advisory'`;
    const held = (): Promise<unknown> => query(next.connectionString, holds);
    await expect.poll(held, { timeout: 10_000 }).toEqual([{ n: 1 }]);
    await next.stop();
    await expectGone(pid);
  });

  test('two processes at once on a new directory share one server, the last one stops it', async () => {
    await using dir = await temporary();
    const [first, second] = await Promise.all([startProcess(dir.path), startProcess(dir.path)]);
    await using cleanup = new AsyncDisposableStack();
    for (const node of [first, second]) cleanup.use(node);
    expect(first.startedByUs).not.toBe(second.startedByUs);
    const pid = await postmasterPid(dir.path);
    // Also when it is the one that started the server that leaves.
    const [starter, joiner] = first.startedByUs ? [first, second] : [second, first];
    await starter.stop();
    expect(isAlive(pid)).toBe(true);
    expect(await query(joiner.connectionString, 'select 1 as n')).toEqual([{ n: 1 }]);
    await joiner.stop();
    await expectGone(pid);
    // Nothing of the cluster that lost is left.
    expect((await readdir(dir.path)).toSorted()).toEqual(['postgres', 'postgres.log', 'sock']);
  });

  test('processes that come and go at the same moment never find it gone', async () => {
    const dir = shared;
    const visit = async (delayMs: number): Promise<void> => {
      await sleep(delayMs);
      for (let round = 0; round < 4; round += 1) {
        await using database = await startEmbedded({ dataDir: dir.path, settings: FAST });
        await query(database.connectionString, 'select 1');
      }
    };
    await Promise.all([0, 5, 30, 60].map(visit));
    await expect(postmasterPid(dir.path)).rejects.toThrow('ENOENT');
  });

  test('a stop leaves no process, no socket, and may be called twice', async () => {
    const dir = shared;
    const database = await startEmbedded({ dataDir: dir.path, settings: FAST });
    const pid = await postmasterPid(dir.path);
    await Promise.all([database.stop(), database.stop()]);
    await expectGone(pid);
    expect(await readdir(join(dir.path, 'sock'))).toEqual([]);
  });

  test('Ctrl-C reaches the service and not the server', async () => {
    const dir = shared;
    await using service = await startProcess(dir.path);
    const pid = await postmasterPid(dir.path);
    // To the whole group; the service queries once more before it stops the server.
    await service.stop();
    await expectGone(pid);
  });
});

describe('remains of a crash', () => {
  test('a lock file naming another live program, and a socket nobody listens on', async () => {
    const dir = shared;
    const killed = await startEmbedded({ dataDir: dir.path, settings: FAST });
    const pid = await postmasterPid(dir.path);
    process.kill(pid, 'SIGKILL');
    await killed.stop();
    const lock = join(dir.path, 'postgres/postmaster.pid');
    const sockets = (await readdir(join(dir.path, 'sock'))).toSorted();
    expect(sockets).toEqual([sockets[0], `${sockets[0]}.lock`]);
    for (const path of [lock, join(dir.path, 'sock', `${sockets[0]}.lock`)]) {
      const lines = (await readFile(path, 'utf8')).split('\n');
      await writeFile(path, [process.pid, ...lines.slice(1)].join('\n'));
    }
    await using database = await startEmbedded({ dataDir: dir.path, settings: FAST });
    expect(database.startedByUs).toBe(true);
  });

  test('an empty lock file', async () => {
    const dir = shared;
    const lock = join(dir.path, 'postgres/postmaster.pid');
    await writeFile(lock, '');
    await utimes(lock, 1, 1);
    await using database = await startEmbedded({ dataDir: dir.path, settings: FAST });
    expect(database.startedByUs).toBe(true);
  });

  test('a first start that was killed half way', async () => {
    await using dir = await temporary();
    await using killed = spawnProcess(dir.path);
    const halfMade = async (): Promise<string | undefined> =>
      (await readdir(dir.path)).find((entry) => entry.startsWith('postgres.init-'));
    await expect.poll(halfMade, { interval: 5, timeout: 5_000 }).toBeDefined();
    await killed.kill();
    const left = await halfMade();
    expect(left).toBeDefined();
    await (await startEmbedded({ dataDir: dir.path, settings: FAST })).stop();
    // Another process could still be at it, so only an old one is removed.
    await utimes(join(dir.path, left ?? ''), 1, 1);
    await rm(join(dir.path, 'postgres'), { recursive: true });
    await using database = await startEmbedded({ dataDir: dir.path, settings: FAST });
    expect(database.startedByUs).toBe(true);
    expect(await halfMade()).toBeUndefined();
  });
});

describe('places', () => {
  test('a data directory deleted under a forgotten server is made anew beside it', async () => {
    await using dir = await temporary();
    const dataDir = join(dir.path, 'data');
    await using killed = await startProcess(dataDir);
    await killed.kill();
    const forgotten = await postmasterPid(dataDir);
    await rm(dataDir, { recursive: true });
    await using database = await startEmbedded({ dataDir, settings: FAST });
    expect(database.startedByUs).toBe(true);
    // It would find out by itself within a minute, and take its socket file with it.
    process.kill(forgotten, 'SIGQUIT');
    await expect.poll(() => isAlive(forgotten), { timeout: 10_000 }).toBe(false);
    expect(await query(database.connectionString, 'select 1 as n')).toEqual([{ n: 1 }]);
  });

  test('below a directory nobody else may enter, with characters that need quoting', async () => {
    await using dir = await temporary();
    const closed = join(dir.path, `a b,"%20é`);
    await mkdir(closed);
    await chmod(closed, 0o700);
    const dataDir = join(closed, 'data');
    await using database = await startEmbedded({ dataDir, settings: FAST });
    expect(database.connectionString).toContain(encodeURIComponent(join(dataDir, 'sock')));
    const pool = new Pool({ connectionString: database.connectionString });
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    await pool.end();
  });

  test('a path too long for a socket', async () => {
    await using dir = await temporary();
    const dataDir = join(dir.path, 'x'.repeat(100));
    await using database = await startEmbedded({ dataDir, settings: FAST });
    const socketDir = new URL(database.connectionString).searchParams.get('host') ?? '';
    expect((await stat(socketDir)).mode & 0o777).toBe(0o700);
    await using joined = await startEmbedded({ dataDir, settings: FAST });
    expect(joined.startedByUs).toBe(false);
    const [row] = await query(joined.connectionString, 'show data_directory');
    expect(row).toEqual({ data_directory: join(dataDir, 'postgres') });

    // Anybody may put something else in its place while no server runs.
    await joined.stop();
    await database.stop();
    await rm(socketDir, { recursive: true });
    await symlink(dir.path, socketDir);
    await expect(startEmbedded({ dataDir })).rejects.toThrow('is not a directory of this user');
    await unlink(socketDir);
  });
});

describe('refusals', () => {
  test('data of another version is left alone', async () => {
    await using dir = await temporary();
    await mkdir(join(dir.path, 'postgres'));
    await writeFile(join(dir.path, 'postgres/PG_VERSION'), '17\n');
    const start = startEmbedded({ dataDir: dir.path });
    await expect(start).rejects.toThrow(/written by PostgreSQL 17.*brings PostgreSQL 18/);
    expect(await readdir(join(dir.path, 'postgres'))).toEqual(['PG_VERSION']);
  });

  test('a directory of something else is left alone', async () => {
    await using dir = await temporary();
    await mkdir(join(dir.path, 'postgres'));
    await writeFile(join(dir.path, 'postgres/notes.txt'), 'mine');
    await expect(startEmbedded({ dataDir: dir.path })).rejects.toThrow('is not a PostgreSQL');
  });

  test('a server that cannot start says why', async () => {
    const dir = shared;
    const start = startEmbedded({
      dataDir: dir.path,
      settings: { ...FAST, shared_buffers: 'lots' },
    });
    await expect(start).rejects.toThrow(
      /did not start: a setting is not valid\.[^]*invalid value for parameter "shared_buffers"/,
    );
  });
});

/** Making a cluster takes a second; the tests that need not see it done share this one. */
let shared: Directory;
beforeAll(async () => {
  shared = await temporary();
  await (await startEmbedded({ dataDir: shared.path, settings: FAST })).stop();
});
afterEach(() => endLeftover(shared.path));
afterAll(() => shared[Symbol.asyncDispose]());

type Directory = { readonly path: string } & AsyncDisposable;

async function temporary(): Promise<Directory> {
  const path = await mkdtemp(join(tmpdir(), 'umutungo-test-'));
  const remove = async (): Promise<void> => {
    await endLeftover(path);
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  return { path, [Symbol.asyncDispose]: remove };
}

/** After a failed test a server may still run. */
async function endLeftover(dataDir: string): Promise<void> {
  const pid = await postmasterPid(dataDir).catch(() => undefined);
  if (pid !== undefined && pid !== process.pid && isAlive(pid)) process.kill(pid, 'SIGQUIT');
}

async function query(
  connectionString: string,
  text: string,
  values: unknown[] = [],
): Promise<unknown[]> {
  const client = new Client(connectionString);
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

async function postmasterPid(dataDir: string): Promise<number> {
  const [pid] = (await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8')).split('\n');
  return Number(pid);
}

/** An orphan may stay a zombie where no init process collects it; that is not alive. */
/** A process that has let go of its memory, and is the server no longer, takes a moment to be gone. */
async function expectGone(pid: number): Promise<void> {
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return !text.slice(text.lastIndexOf(')')).startsWith(') Z');
}

/** Starts the database and reports on one line; on SIGINT queries it once more and stops it. */
const PROGRAM = `
  import { Client } from ${JSON.stringify(import.meta.resolve('pg'))};
  import { startEmbedded } from ${JSON.stringify(MODULE)};
  const [dataDir] = process.argv.slice(1);
  const database = await startEmbedded({ dataDir, settings: ${JSON.stringify(FAST)} });
  const { connectionString, startedByUs } = database;
  const alive = setInterval(() => {}, 1000);
  process.once('SIGINT', async () => {
    const client = new Client(connectionString);
    await client.connect();
    await client.query('select 1');
    await client.end();
    await database.stop();
    clearInterval(alive);
    console.log('still answers');
  });
  console.log(JSON.stringify({ connectionString, startedByUs }));
`;

interface NodeProcess extends AsyncDisposable {
  /** The next line it prints; empty when it ended. */
  nextLine(): Promise<string>;
  /** To the process and everything in its group, as a terminal does on Ctrl-C. */
  signalGroup(signal: NodeJS.Signals): void;
  /** Waits for the end and returns the exit code. */
  exitCode(): Promise<number | null>;
  kill(): Promise<void>;
}

function spawnProcess(dataDir: string): NodeProcess {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', PROGRAM, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exitCode = async (): Promise<number | null> => {
    await exited;
    return child.exitCode;
  };
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    nextLine: async () => (await lines.next()).value ?? '',
    signalGroup: (signal) => process.kill(-(child.pid ?? Number.NaN), signal),
    exitCode,
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

interface ServiceProcess extends NodeProcess {
  readonly connectionString: string;
  readonly startedByUs: boolean;
  stop(): Promise<void>;
}

/** A second Node process that has the database open. */
async function startProcess(dataDir: string): Promise<ServiceProcess> {
  const node = spawnProcess(dataDir);
  const report: { connectionString: string; startedByUs: boolean } = JSON.parse(
    await node.nextLine(),
  );
  const stop = async (): Promise<void> => {
    node.signalGroup('SIGINT');
    expect(await node.nextLine()).toBe('still answers');
    expect(await node.exitCode()).toBe(0);
  };
  return { ...node, ...report, stop };
}

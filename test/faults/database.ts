/** A database server of one's own, to be killed, frozen, held at a step and cut off. */

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { type EmbeddedPostgres, startEmbedded } from '../../src/db/embedded.ts';
import { until } from '../support/until.ts';

export interface OwnServer extends AsyncDisposable {
  readonly url: string;
  /** Ends every process of it at once, as a loss of power would. */
  kill(): Promise<void>;
  /** Starts it again; PostgreSQL recovers by itself. */
  start(): Promise<void>;
  /** Stops every process of it in its tracks, as a network that swallows packets would; or lets them go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): Promise<void>;
}

export async function startOwnServer(): Promise<OwnServer> {
  const folder = await mkdtemp(join(tmpdir(), 'umutungo-server-'));
  let server: EmbeddedPostgres = await startEmbedded({ dataDir: folder });
  const postmaster = async (): Promise<number> => {
    const [pid] = (await readFile(join(folder, 'postgres/postmaster.pid'), 'utf8')).split('\n');
    return Number(pid);
  };
  return {
    get url() {
      return server.connectionString;
    },
    async kill() {
      const pid = await postmaster();
      process.kill(pid, 'SIGKILL');
      // Its children notice in a moment; until then the directory is in use.
      await until(() => gone(pid));
    },
    async start() {
      server = await startEmbedded({ dataDir: folder });
    },
    async signal(signal) {
      const pid = await postmaster();
      const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
      for (const each of [pid, ...children.trim().split(' ').map(Number)]) send(each, signal);
    },
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function gone(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // A worker may end of itself between the list and the signal.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const GATE = 4711;

/** Whoever comes to a step waits there: a statement on a table, in the middle of its transaction. */
export interface Hold extends AsyncDisposable {
  /** Resolves when somebody waits. */
  readonly reached: Promise<void>;
}

/**
 * Holds whoever writes to a table, before its rows are written. What holds them dies with the
 * server; disposing lets them go.
 * @param when which rows, an SQL condition on `new`.
 */
export async function holdAt(url: string, table: string, when = 'true'): Promise<Hold> {
  const client = await connected(url);
  // The gate of an earlier step is open, but a statement would still come through it.
  await client.query(`
    do $$ declare old text; begin
      for old in select tgrelid::regclass from pg_trigger where tgname = 'gate' loop
        execute format('drop trigger gate on %s', old);
      end loop;
    end $$;
    create or replace function wait_at_gate() returns trigger language plpgsql as $$
    begin perform pg_advisory_xact_lock_shared(${GATE}); return new; end $$;
    create trigger gate before insert or update on ${table}
      for each row when (${when}) execute function wait_at_gate()`);
  await client.query(`select pg_advisory_lock(${GATE})`);
  return hold(client, `locktype = 'advisory'`);
}

/** Holds whoever reads a table. */
export async function holdReaders(url: string, table: string): Promise<Hold> {
  const client = await connected(url);
  await client.query(`begin; lock table ${table} in access exclusive mode`);
  return hold(client, `relation = '${table}'::regclass`);
}

async function connected(url: string): Promise<Client> {
  const client = new Client(url);
  client.on('error', () => {});
  await client.connect();
  return client;
}

function hold(client: Client, condition: string): Hold {
  const reached = until(async () => {
    const { rows } = await client.query(
      `select from pg_locks where not granted and ${condition} limit 1`,
    );
    return rows.length > 0;
  });
  // Whoever does not wait for it has no interest in why it was not reached.
  reached.catch(() => undefined);
  return {
    reached,
    [Symbol.asyncDispose]: () => client.end().catch(() => undefined),
  };
}

/** What is between a service and its server: it passes everything on, until it is told not to. */
export interface Line extends AsyncDisposable {
  /** The address of the server through it. */
  readonly url: string;
  /** From now on answers of the server are lost, or no longer. */
  loseAnswers(isLost: boolean): void;
  /** Passes on everything that comes, so many milliseconds late. */
  delay(ms: number): void;
}

export async function lineTo(url: string): Promise<Line> {
  const address = new URL(url);
  const socket = `.s.PGSQL.${address.searchParams.get('port') ?? '5432'}`;
  const behind = join(address.searchParams.get('host') ?? '', socket);
  const folder = await mkdtemp(join(tmpdir(), 'umutungo-line-'));
  await mkdir(folder, { recursive: true });
  const open = new Set<Socket>();
  let [isLost, late] = [false, 0];
  const proxy = createServer((caller) => {
    const server = createConnection(behind);
    for (const each of [caller, server]) {
      open.add(each);
      each.on('error', () => {});
      each.on('close', () => {
        open.delete(each);
        caller.destroy();
        server.destroy();
      });
    }
    caller.on('data', (chunk) => server.write(chunk));
    server.on('data', (chunk) => {
      if (isLost) return;
      if (late > 0) setTimeout(() => caller.write(chunk), late);
      else caller.write(chunk);
    });
  });
  await new Promise<void>((resolve) => proxy.listen(join(folder, socket), resolve));
  address.searchParams.set('host', folder);
  return {
    url: address.href,
    loseAnswers: (lost) => {
      isLost = lost;
    },
    delay: (ms) => {
      late = ms;
    },
    async [Symbol.asyncDispose]() {
      for (const each of open) each.destroy();
      await new Promise((resolve) => proxy.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

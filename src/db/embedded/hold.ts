/**
 * Who stops the server. Every process that uses it holds one session with a shared advisory lock. On
 * the way out it gives the lock up and asks for it exclusively: whoever gets it is the last and stops
 * the server; anybody else only leaves. A process that was killed has lost its session, and with it
 * its say, so the server it left behind is simply used, and later stopped, by the next one. There is
 * no owner file to go stale, and process ids need not be compared across containers.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

import { type Cluster, NAME } from './cluster.ts';
import { codeOf } from './errors.ts';
import { isServer } from './lock-file.ts';
import { portOf } from './socket.ts';

/** Any number will do as long as every release keeps it: it says "I use this server". */
const HOLD_KEY = 7_852_417;
const POLL_MS = 40;
/** Fast: sessions are cut, everything is written. Then immediate: the next start recovers. */
const SHUTDOWNS = [
  { signal: 'SIGINT', patienceMs: 30_000 },
  { signal: 'SIGQUIT', patienceMs: 10_000 },
] as const;

/** A session holding the shared lock, and the server it is a session of. */
export interface Hold {
  readonly client: Client;
  readonly port: number;
  readonly serverPid: number;
}

declare module 'pg' {
  // They exist in pg 8 and are missing from its types.
  interface Client {
    ref(): void;
    unref(): void;
  }
}

/**
 * Connects and takes the shared lock. Connecting is the only test of whether a server runs: a pid
 * file may be stale, and a process may be a zombie that nobody collects.
 */
export async function takeHold(cluster: Cluster): Promise<Hold> {
  const port = await portOf(cluster.pgdata);
  const client = new Client({
    host: cluster.socketDir,
    port,
    user: NAME,
    database: 'postgres',
    ssl: false,
    application_name: `${NAME} supervisor`,
    connectionTimeoutMillis: 5_000,
    options: '-c idle_session_timeout=0 -c statement_timeout=0 -c lock_timeout=5s',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Waits while the last one out is stopping the server, then fails with it.
    const { rows } = await client.query<{ lock: string }>(
      `select pg_advisory_lock_shared($1), pg_read_file('postmaster.pid') as lock`,
      [HOLD_KEY],
    );
    const lock = await readFile(join(cluster.pgdata, 'postmaster.pid'), 'utf8');
    if (rows[0]?.lock !== lock) {
      throw new Error(`The PostgreSQL in ${cluster.socketDir} serves another data directory.`);
    }
    return { client, port, serverPid: Number.parseInt(lock, 10) };
  } catch (error) {
    client.end().catch(() => undefined);
    throw error;
  }
}

/**
 * Watches a hold, takes it anew when it is lost, and returns the function that gives it up. Without
 * its hold this process would not count, and the next one out would stop the server under it; and
 * PostgreSQL drops every session and recovers when one of its processes dies.
 */
export function keepHold(
  cluster: Cluster,
  first: Hold,
  startedPid: number | undefined,
): () => Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;

  const watch = (hold: Hold): Hold => {
    hold.client.unref();
    hold.client.once('end', () => {
      if (!signal.aborted) current = regain();
    });
    return hold;
  };

  const regain = async (): Promise<Hold | undefined> => {
    cluster.log('PostgreSQL dropped the connection, reconnecting');
    for (let tries = 0; tries < 20 && !signal.aborted; tries += 1) {
      try {
        await sleep(500, undefined, { ref: false, signal });
        return watch(await takeHold(cluster));
      } catch {
        // Once more.
      }
    }
    if (!signal.aborted) cluster.log(`PostgreSQL has stopped, see ${cluster.logFile}`);
    return undefined;
  };

  let current: Promise<Hold | undefined> = Promise.resolve(watch(first));
  return async () => {
    stopping.abort();
    const hold = (await current) ?? (await takeHold(cluster).catch(() => undefined));
    if (hold !== undefined) await leave(cluster, hold);
    // No way to ask who else is there; but what we started and cannot reach is ours to end.
    else if (startedPid !== undefined) await shutDown(cluster, startedPid);
  };
}

/** Gives up a hold; the last one out stops the server. */
export async function leave(
  cluster: Cluster,
  { client, serverPid }: Pick<Hold, 'client' | 'serverPid'>,
): Promise<void> {
  client.ref();
  try {
    if (!(await isLast(client))) {
      cluster.log('PostgreSQL is in use by another process, left running');
    } else if (!(await isServer(serverPid, cluster.pgdata))) {
      cluster.log('PostgreSQL runs in another container, left running');
    } else {
      // The exclusive lock is kept until the server is gone: whoever comes now waits, then starts it.
      await shutDown(cluster, serverPid);
      cluster.log('PostgreSQL stopped');
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Gives the shared lock up and asks for the exclusive one. False too when the server is going. */
async function isLast(client: Client): Promise<boolean> {
  try {
    await client.query('select pg_advisory_unlock_shared($1)', [HOLD_KEY]);
    const { rows } = await client.query<{ last: boolean }>(
      'select pg_try_advisory_lock($1) as last',
      [HOLD_KEY],
    );
    return rows[0]?.last === true;
  } catch {
    return false;
  }
}

async function shutDown({ pgdata }: Cluster, pid: number): Promise<void> {
  for (const { signal, patienceMs } of SHUTDOWNS) {
    const deadline = Date.now() + patienceMs;
    for (let sent = false; Date.now() < deadline; sent = true) {
      if (!(await isServer(pid, pgdata))) return;
      if (!sent) sendSignal(pid, signal);
      await sleep(POLL_MS);
    }
  }
  throw new Error(`PostgreSQL (process ${pid}) does not stop.`);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

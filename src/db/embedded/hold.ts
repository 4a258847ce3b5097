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
import { isServer } from './lock-file.ts';
import { portOf } from './socket.ts';

/** Any number will do as long as every release keeps it: it says "I use this server". */
const HOLD_KEY = 7_852_417;
const SHUTDOWN_MS = 60_000;

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

/** Connects and takes the shared lock. Connecting is the only test of whether a server runs. */
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
    // Not the one of a data directory that was moved away, when another was put in its place.
    const lock = await readFile(join(cluster.pgdata, 'postmaster.pid'), 'utf8');
    if (rows[0]?.lock !== lock) {
      throw new Error(`the server in ${cluster.socketDir} serves another data directory`);
    }
    return { client, port, serverPid: Number.parseInt(lock, 10) };
  } catch (error) {
    client.end().catch(() => undefined);
    throw error;
  }
}

/**
 * Watches a hold and returns the function that gives it up. PostgreSQL drops every session when one
 * of its processes dies: the hold is then taken anew, since without it this process would not count,
 * and the next one out would stop the server under it.
 */
export function keepHold(cluster: Cluster, first: Hold, startedByUs: boolean): () => Promise<void> {
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
    cluster.log(`PostgreSQL dropped the connection, reconnecting; see ${cluster.logFile}`);
    while (!signal.aborted) {
      await sleep(500, undefined, { ref: false, signal }).catch(() => undefined);
      const hold = await takeHold(cluster).catch(() => undefined);
      if (hold !== undefined) return watch(hold);
    }
    return undefined;
  };

  let current: Promise<Hold | undefined> = Promise.resolve(watch(first));
  return async () => {
    stopping.abort();
    const hold = await current;
    if (hold !== undefined) await leave(cluster, hold);
    // No way to ask who else is there; but what we started and cannot reach is ours to end.
    else if (startedByUs) await shutDown(cluster, first.serverPid);
  };
}

/** Gives up a hold; the last one out stops the server. */
export async function leave(cluster: Cluster, { client, serverPid }: Hold): Promise<void> {
  client.ref();
  try {
    const release = 'select pg_advisory_unlock_shared($1), pg_try_advisory_lock($1) as last';
    const { rows } = await client
      .query<{ last: boolean }>(release, [HOLD_KEY])
      .catch(() => ({ rows: [{ last: false }] }));
    // The exclusive lock is kept until the server is gone: whoever comes now waits, then starts it.
    if (rows[0]?.last) await shutDown(cluster, serverPid);
    else cluster.log('PostgreSQL is in use by another process, left running');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A fast shutdown: sessions are cut, everything is written. Not of a server in another container. */
async function shutDown({ pgdata, log }: Cluster, pid: number): Promise<void> {
  // A pool that was just closed did not wait for its sessions to end: cut, they would be errors.
  await sleep(50);
  if (!(await isServer(pid, pgdata))) return;
  process.kill(pid, 'SIGINT');
  const deadline = Date.now() + SHUTDOWN_MS;
  while (await isServer(pid, pgdata)) {
    if (Date.now() > deadline) throw new Error(`PostgreSQL (process ${pid}) does not stop.`);
    await sleep(40);
  }
  log('PostgreSQL stopped');
}

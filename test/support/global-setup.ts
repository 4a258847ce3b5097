/**
 * Finds a PostgreSQL server for the whole run and migrates one template database, which every test
 * file clones (see `postgres.ts`). In order:
 *
 * 1. `TEST_DATABASE_URL`, the URL of a server whose user may create databases;
 * 2. a container, where a Docker engine answers;
 * 3. the embedded server, in a temporary directory.
 *
 * The last two run without durability: a test run has nothing to lose.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';

import { startEmbedded } from '../../src/db/embedded.ts';

/** What the test files need to know of the server. */
export interface TestServer {
  /** A database of the server to connect to while creating others. */
  readonly adminUrl: string;
  /** The migrated database to clone. */
  readonly template: string;
  /** The same without migrations. */
  readonly emptyTemplate: string;
  /** Every database of this run starts with it; the teardown drops those left behind. */
  readonly prefix: string;
}

declare module 'vitest' {
  // An interface because that is what it merges with.
  interface ProvidedContext {
    testServer: TestServer;
  }
}

const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
} as const;
/** Sorts as the embedded server does, whatever the server's own default. */
const LOCALE = `encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8' lc_collate 'C'`;
const PREFIX = 'umutungo-test-';
const ABANDONED_MS = 6 * 60 * 60_000;
const IMAGE = 'postgres:18';
const DOCKER_SOCKET = '/var/run/docker.sock';

/** Returns the teardown, which Vitest runs also when tests failed. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await using cleanup = new AsyncDisposableStack();
  const server = await chooseServer();
  cleanup.defer(server.stop);
  console.log(`Test database: ${server.name}`);

  const prefix = `t_${randomBytes(4).toString('hex')}_`;
  const template = `${prefix}template`;
  cleanup.defer(() => dropDatabases(server.url, prefix));
  const emptyTemplate = `${prefix}empty`;
  await execute(server.url, `create database ${emptyTemplate} template template0 ${LOCALE}`);
  await execute(server.url, `create database ${template} template ${emptyTemplate}`);
  const { migrate } = await import('../../src/db/migrate.ts');
  await migrate(withDatabase(server.url, template));
  project.provide('testServer', { adminUrl: server.url, template, emptyTemplate, prefix });

  // From here on the teardown owns them; until here a failure has cleaned up.
  const owned = cleanup.move();
  return () => owned.disposeAsync();
}

interface Server {
  readonly name: string;
  readonly url: string;
  readonly stop: () => Promise<void>;
}

async function chooseServer(): Promise<Server> {
  const url = process.env['TEST_DATABASE_URL'];
  if (url !== undefined && url !== '') {
    return { name: 'the server in TEST_DATABASE_URL', url, stop: async () => undefined };
  }
  if (await dockerAnswers()) {
    const container = await startContainer();
    if (container !== undefined) return container;
  }
  return startTemporary();
}

async function startTemporary(): Promise<Server> {
  await sweep();
  const dir = await mkdtemp(join(tmpdir(), PREFIX));
  const abandon = (): void => endAndRemove(dir);
  // Vitest runs no teardown when it is interrupted.
  process.once('exit', abandon);
  const database = await startEmbedded({ dataDir: dir, settings: SETTINGS });
  const stop = async (): Promise<void> => {
    await database.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    process.off('exit', abandon);
  };
  return { name: 'the embedded PostgreSQL', url: database.connectionString, stop };
}

/** Synchronous, since it runs while the process exits. */
function endAndRemove(dir: string): void {
  const lock = join(dir, 'postgres/postmaster.pid');
  try {
    const [pid] = readFileSync(lock, 'utf8').split('\n');
    process.kill(Number(pid), 'SIGQUIT');
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let tries = 0; tries < 100 && existsSync(lock); tries += 1) Atomics.wait(clock, 0, 0, 20);
  } catch {
    // It does not run.
  }
  rmSync(dir, { recursive: true, force: true, maxRetries: 3, retryDelay: 100 });
}

/** Removes what runs left behind that were killed outright. Nothing takes hours. */
async function sweep(): Promise<void> {
  for (const entry of await readdir(tmpdir())) {
    if (!entry.startsWith(PREFIX)) continue;
    const dir = join(tmpdir(), entry);
    const { mtimeMs, uid } = await lstat(dir).catch(() => ({ mtimeMs: Infinity, uid: -1 }));
    const mine = uid === process.getuid?.();
    // Only the directory: its process id may be somebody else's by now.
    if (mine && Date.now() - mtimeMs > ABANDONED_MS)
      await rm(dir, { recursive: true, force: true });
  }
}

async function startContainer(): Promise<Server | undefined> {
  try {
    const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
    const settings = Object.entries(SETTINGS).flatMap(([name, value]) => [
      '-c',
      `${name}=${value}`,
    ]);
    const container = await new PostgreSqlContainer(IMAGE)
      .withCommand(['postgres', ...settings])
      .start();
    const stop = async (): Promise<void> => {
      await container.stop();
    };
    return { name: `a container of ${IMAGE}`, url: container.getConnectionUri(), stop };
  } catch (error) {
    // An engine without the image and without a network, for one.
    console.warn(`Test database: no container of ${IMAGE}: ${String(error)}`);
    return undefined;
  }
}

/** Asks for the engine's ping, so that Testcontainers is loaded only where it can work. */
function dockerAnswers(): Promise<boolean> {
  const host = process.env['DOCKER_HOST'];
  // An engine elsewhere (tcp, ssh) was asked for by name: let Testcontainers try.
  if (host !== undefined && host !== '' && !host.startsWith('unix://')) {
    return Promise.resolve(true);
  }
  const socketPath = host?.slice('unix://'.length) || DOCKER_SOCKET;
  if (!existsSync(socketPath)) return Promise.resolve(false);
  return new Promise((settle) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 1_000 }, (response) => {
      response.resume();
      settle(response.statusCode === 200);
    });
    ping.on('timeout', () => ping.destroy(new Error('No answer')));
    ping.on('error', () => settle(false));
    ping.end();
  });
}

async function dropDatabases(url: string, prefix: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<{ datname: string }>(
      'select datname from pg_database where starts_with(datname, $1)',
      [prefix],
    );
    for (const { datname } of rows) {
      await client.query(`drop database if exists ${datname} with (force)`);
    }
  } finally {
    await client.end();
  }
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

/** Databases for tests, each a clone of the migrated template that `global-setup.ts` made. */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, DatabaseError } from 'pg';
import { inject } from 'vitest';

/** A database of one's own; `await using` drops it. */
export interface TestDatabase extends AsyncDisposable {
  readonly connectionString: string;
  /** Drops the database and cuts the sessions that are still open in it. */
  drop(): Promise<void>;
}

/** A migrated database with no rows of anybody else, in about 50 ms. */
export function createTestDatabase(): Promise<TestDatabase> {
  return create(inject('testServer').template);
}

/** A database without any migration, for tests of the migrations themselves. */
export function createEmptyDatabase(): Promise<TestDatabase> {
  return create(inject('testServer').emptyTemplate);
}

/** A copy of a test's own database, which nobody uses any more. */
export function copyDatabase({ connectionString }: TestDatabase): Promise<TestDatabase> {
  return create(new URL(connectionString).pathname.slice(1));
}

async function create(template: string): Promise<TestDatabase> {
  const { adminUrl, prefix } = inject('testServer');
  const name = `${prefix}${randomBytes(6).toString('hex')}`;
  await withAdmin(adminUrl, (client) => cloneWithRetry(client, name, template));
  let dropped: Promise<void> | undefined;
  const drop = (): Promise<void> =>
    (dropped ??= withAdmin(adminUrl, async (client) => {
      await client.query(`drop database if exists ${name} with (force)`);
    }));
  return { connectionString: withDatabase(adminUrl, name), drop, [Symbol.asyncDispose]: drop };
}

const OBJECT_IN_USE = '55006';

/** A template cannot be cloned while anybody, such as an autovacuum worker, is connected to it. */
async function cloneWithRetry(client: Client, name: string, template: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.query(`create database ${name} template ${template}`);
      return;
    } catch (error) {
      const inUse = error instanceof DatabaseError && error.code === OBJECT_IN_USE;
      if (!inUse || tries === 50) throw error;
      await sleep(100);
    }
  }
}

async function withAdmin(url: string, work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

/** The first event that `where` finds (of `e` and `log_leaf`) is gone while `work` runs, and comes back. */
export async function withoutEvent(
  url: string,
  where: string,
  work: () => Promise<void>,
): Promise<void> {
  const client = new Client(url);
  await client.connect();
  const { rows } = await client.query(
    `select e.* from audit_event e join log_leaf using (event_id) where ${where} limit 1`,
  );
  try {
    await client.query('set session_replication_role = replica');
    await client.query('delete from audit_event where event_id = $1', [rows[0].event_id]);
    await work();
  } finally {
    const columns = Object.keys(rows[0]);
    const places = columns.map((_, i) => `$${i + 1}`).join(', ');
    await client.query(
      `insert into audit_event (${columns.join(', ')}) values (${places})`,
      Object.values(rows[0]),
    );
    await client.end();
  }
}

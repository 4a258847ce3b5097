import type { Socket } from 'node:net';
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import pg from 'pg';
import { ServiceError } from '../errors.ts';
import type { Schema } from './schema.ts';

/** For reads. */
export type Db = Kysely<Schema>;
/** For writes: a function that takes one cannot be called outside a transaction. */
export type Tx = Transaction<Schema>;

export interface Database extends AsyncDisposable {
  readonly db: Db;
}

const MAX_TRIES = 5;
const SILENCE_MS = 20_000;

// Dates stay texts, timestamps become RFC 3339 in UTC; bigints here are counts below 2^53.
const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<
  number,
  (text: string) => unknown
>([
  [pg.types.builtins.DATE, (text) => text],
  [pg.types.builtins.TIMESTAMPTZ, (text) => new Date(text).toISOString()],
  [pg.types.builtins.INT8, Number],
]);

const PREPARE_FROM = 3;
const MAX_PREPARED = 300;
const MAX_REMEMBERED = 4 * MAX_PREPARED;
/** Longer ones are put together for one question. */
const LONGEST_PREPARED = 4_000;

/**
 * A connection that prepares the statements that come again: parsing and planning cost more than
 * running them (measured on the reads of a request: 2.2 ms unprepared, 0.7 ms prepared). Behind
 * PgBouncer this needs version 1.21 or later.
 */
class PreparingClient extends pg.Client {
  /** How often a text came, or the name that it was prepared under. */
  readonly #seen = new Map<string, number | string>();
  #prepared = 0;

  // The driver's own overloads, of which Kysely uses the one with a text and values.
  override query(...args: unknown[]): never {
    const [text, values] = args;
    if (typeof text === 'string' && Array.isArray(values)) {
      const name = this.#nameOf(text);
      args.splice(0, 2, name === undefined ? { text, values } : { name, text, values });
    }
    this.#gather();
    const result: unknown = super.query(...(args as [string]));
    if (typeof text === 'string' && result instanceof Promise) {
      result.catch((error: unknown) => {
        if (STALE_PLAN.has(sqlState(error) ?? '')) this.#seen.set(text, PREPARE_FROM - 1);
      });
    }
    return result as never;
  }

  /**
   * Statements of one turn of the event loop go out in one write: each write wakes the server,
   * which costs more than the statement (12 writes a request took a fifth of this process).
   */
  #gather(): void {
    const { stream } = (this as unknown as { connection: { stream: Socket } }).connection;
    if (stream.writableCorked > 0) return;
    stream.cork();
    process.nextTick(() => stream.uncork());
  }

  /** Statements that came once and did not come again make room for others. */
  #forgetOne(): void {
    for (const [text, seen] of this.#seen) {
      if (typeof seen === 'string') continue;
      this.#seen.delete(text);
      return;
    }
  }

  #nameOf(text: string): string | undefined {
    const seen = this.#seen.get(text) ?? 0;
    if (typeof seen === 'string') return seen;
    if (this.#prepared >= MAX_PREPARED || text.length > LONGEST_PREPARED) return undefined;
    if (this.#seen.size >= MAX_REMEMBERED && seen === 0) this.#forgetOne();
    const name = seen + 1 === PREPARE_FROM ? `s${++this.#prepared}` : undefined;
    this.#seen.set(text, name ?? seen + 1);
    return name;
  }
}

/**
 * A pool on `connectionString`. Every statement and every wait for a lock or a connection is
 * bounded, so that a slow or lost database gives errors and not a queue.
 */
export function connect(connectionString: string, poolSize: number): Database {
  const pool = new pg.Pool({
    connectionString,
    max: poolSize,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 10_000,
    application_name: 'umutungo',
    // Statements that are awaited together on one connection go out together: one round trip.
    pipeline: true,
    options:
      '-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=20s -c TimeZone=UTC',
    types: { getTypeParser },
    Client: PreparingClient,
  });
  // Without listeners a connection that breaks while nobody waits for its answer would end the
  // process: an idle one, and one that a transaction holds between two statements.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
    closeWhenSilent(client);
  });
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  return { db, [Symbol.asyncDispose]: () => db.destroy() };
}

/**
 * A server that is frozen, or behind a network that swallows packets, keeps no timeout of its own:
 * a connection without a byte for longer than any statement may take is given up.
 */
function closeWhenSilent(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  stream.setTimeout(SILENCE_MS, () => {
    stream.destroy(new Error('Connection terminated: the database is silent'));
  });
}

function getTypeParser(oid: number, format?: string): (value: string) => unknown {
  const parser = format === 'binary' ? undefined : PARSERS.get(oid);
  return (
    parser ??
    (
      pg.types as { getTypeParser(oid: number, format: 'text'): (value: string) => unknown }
    ).getTypeParser(oid, 'text')
  );
}

/**
 * Runs `work` in a transaction, again if the database asks for it (serialization failure 40001,
 * deadlock 40P01). `work` must do nothing that a rollback does not undo.
 * @throws ServiceError `unavailable` when the database cannot be reached or gives no answer in time.
 */
export async function transact<T>(
  db: Db,
  work: (tx: Tx) => Promise<T>,
  isolation: 'read committed' | 'repeatable read' = 'read committed',
): Promise<T> {
  return retrying(() => db.transaction().setIsolationLevel(isolation).execute(work));
}

/**
 * Runs one transaction, or one statement that is its own, again if the database asks for it.
 * @throws as `transact`.
 */
export async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const code = sqlState(error);
      const retriable = code !== undefined && RETRIABLE.has(code);
      if (!retriable || attempt === MAX_TRIES) throw asUnavailable(error);
    }
  }
}

// Serialization failure, deadlock; a prepared statement whose tables a migration has changed.
const STALE_PLAN = new Set(['0A000', '26000']);
const RETRIABLE = new Set(['40001', '40P01', ...STALE_PLAN]);

/** The SQLSTATE of a database error, or the code of a connection error. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Is this the violation of a unique constraint? */
export function isDuplicate(error: unknown): boolean {
  return sqlState(error) === '23505';
}

// 08 connection, 53 resources (disk full, too many connections), 57 operator intervention and
// statement timeout, 55P03 lock timeout, 58 system error.
const UNAVAILABLE = /^(08|53|57|58|55P03|ECONN|ENOENT|EPIPE|ETIMEDOUT|EAI_)/;
const UNAVAILABLE_MESSAGE =
  /timeout exceeded when trying to connect|Connection terminated|terminating connection|is not queryable|Query read timeout/;

/** Connection losses, timeouts and a full disk become one error that a caller may retry. */
export function asUnavailable(error: unknown): unknown {
  const code = sqlState(error);
  const message = error instanceof Error ? error.message : '';
  if (
    (code && (UNAVAILABLE.test(code) || STALE_PLAN.has(code))) ||
    UNAVAILABLE_MESSAGE.test(message)
  ) {
    return new ServiceError(
      'unavailable',
      'The database cannot answer now. Whether a change was made before it went away is told by repeating the request with the same Idempotency-Key.',
    );
  }
  return error;
}

/** The reference for storage: single-row durable inserts by Node's `pg`, driven over IPC. */
import pg from 'pg';
import { repeat } from './client.ts';

const pool = new pg.Pool({ connectionString: process.argv[2], max: Number(process.argv[3]) });
await pool.query(
  'create table if not exists bench_row (id bigint generated always as identity primary key, body bytea not null)',
);
const body = Buffer.alloc(600, 'x');
process.on('message', ({ callers, ms }: { callers: number; ms: number }) => {
  const insert = async (): Promise<void> =>
    void (await pool.query('insert into bench_row (body) values ($1)', [body]));
  repeat(callers, ms, insert).then(
    (rate) => process.send?.(rate),
    (error: unknown) => {
      throw error;
    },
  );
});
process.send?.('ready');

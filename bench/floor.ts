/**
 * The reference for what a request writes and answers: parses the same JSON body, commits the same
 * rows in groups like the service's, into copies of its tables, and answers as much. Nobody is
 * authenticated, nothing is checked, decided, hashed, signed or sequenced. More than this rate is out
 * of reach for one process that writes and answers as much, whatever it decides.
 *
 * Run with the database's address, the pool's size and the bytes of the service's answer, where one
 * request was made already.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import pg from 'pg';
import { BATCHES } from '../src/access/submit-access-request.ts';
import { bytesArray, textArray, uuidArray } from '../src/db/arrays.ts';
import { batched } from '../src/db/batch.ts';
import { newId } from '../src/ids.ts';

const [, , connectionString, poolSize, answerSize] = process.argv;
const TABLES = ['decision', 'access_request', 'audit_event', 'audit_pending'];

interface Ids {
  readonly id: string;
  readonly decision: string;
  readonly event: string;
}

interface Row {
  readonly document: string;
  readonly request: string;
  readonly leaf: Buffer;
  readonly body: Buffer;
}

const INSERT = `
  with input as materialized (
    select i.*, r.effect, r.dataset, r.project, r.created_by, r.agreement, r.purpose, r.type, r.actor, r.role,
      r.subject_ids, r.disclosures
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
        $6::bytea[], $7::bytea[], $8::bytea[])
      as i (id, decision, event_id, document, request, leaf, body, leaf_hash), floor_row r
  ), a as (
    insert into floor_decision (id, simulation, evaluation, effect, dataset, project, created_by, created_at, document, event_id)
    select decision, false, false, effect, dataset, project, created_by, now(), document, event_id from input
  ), b as (
    insert into floor_access_request (id, dataset, dataset_version, project, agreement, purpose, request, decision,
      effect, created_at, created_by)
    select id, dataset, 1, project, agreement, purpose, request::jsonb, decision, effect, now(), created_by from input
  ), c as (
    insert into floor_audit_event (event_id, type, time, actor, role, subject_ids, outcome, leaf, body, disclosures)
    select event_id, type, now(), actor, role, subject_ids, effect, leaf, body, disclosures from input
  ), d as (insert into floor_audit_pending (event_id, leaf_hash) select event_id, leaf_hash from input)
  select id from input`;

const pool = new pg.Pool({ connectionString, max: Number(poolSize) });
await pool.query(`
  ${TABLES.map((table) => `create table floor_${table} (like ${table} including all);`).join('\n')}
  create table floor_row as
    select d.effect, d.dataset, d.project, d.created_by, d.document, r.agreement, r.purpose,
      r.request::text as request, e.type, e.actor, e.role, e.subject_ids, e.disclosures, e.leaf, e.body
    from access_request r join decision d on d.id = r.decision join audit_event e on e.event_id = d.event_id
    order by r.id desc limit 1`);
const { rows } = await pool.query<Row>('select document, request, leaf, body from floor_row');
const [row] = rows;
if (!row) throw new Error('there is no request to copy');
const leafHash = Buffer.alloc(32, 1);

const insert = batched<Ids, undefined>(
  async (all) => {
    const same = <T>(value: T): T[] => all.map(() => value);
    const values = [
      uuidArray(all.map(({ id }) => id)),
      uuidArray(all.map(({ decision }) => decision)),
      uuidArray(all.map(({ event }) => event)),
      textArray(same(row.document)),
      textArray(same(row.request)),
      bytesArray(same(row.leaf)),
      bytesArray(same(row.body)),
      bytesArray(same(leafHash)),
    ];
    await pool.query({ name: 'floor', text: INSERT, values });
    return all.map(() => ({ ok: true, value: undefined }));
  },
  { ...BATCHES, overflow: () => new Error('too many wait'), mayRunAgain: () => false },
);

const answer = JSON.stringify({ text: 'x'.repeat(Number(answerSize) - '{"text":""}'.length) });
const app = new Hono();
app.post('/', async (context) => {
  await context.req.json();
  const now = Date.now();
  await insert({ id: newId(now), decision: newId(now), event: newId(now) });
  return new Response(answer, { headers: { 'content-type': 'application/json' } });
});
serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
);

/**
 * The reference for what a request writes and answers: parses the same JSON body, commits the same
 * rows in groups like the service's, into copies of its tables, and answers as much. Nobody is
 * authenticated, nothing is checked, decided, hashed, signed or sequenced: more than this rate is
 * out of reach on this machine, whatever the service does.
 *
 * Run with the database's address and the pool's size, where one request was made already.
 */
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import pg from 'pg';
import { bytesArray, textArray, uuidArray } from '../src/db/arrays.ts';
import { batched } from '../src/db/batch.ts';
import { newId } from '../src/ids.ts';

/** Bytes of the service's answer to the same request. */
const ANSWER = Number(process.argv[4]);
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
    select i.*, like_this.* from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
        $6::bytea[], $7::bytea[], $8::bytea[])
      as i (id, decision, event_id, document, request, leaf, body, leaf_hash),
      floor_row as like_this
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

const pool = new pg.Pool({ connectionString: process.argv[2], max: Number(process.argv[3]) });
const statements = [
  ...TABLES.map((table) => `create table floor_${table} (like ${table} including all)`),
  `create table floor_row as
    select d.effect, d.dataset, d.project, d.created_by, r.agreement, r.purpose, e.type, e.actor, e.role,
      e.subject_ids, e.disclosures
    from access_request r join decision d on d.id = r.decision join audit_event e on e.event_id = d.event_id
    order by r.id desc limit 1`,
];
for (const statement of statements) {
  // oxlint-disable-next-line no-await-in-loop -- one after the other, once
  await pool.query(statement);
}
const { rows } = await pool.query<Row>(
  `select d.document, r.request::text, e.leaf, e.body
   from access_request r join decision d on d.id = r.decision join audit_event e on e.event_id = d.event_id
   order by r.id desc limit 1`,
);
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
  // As in `submit-access-request.ts`.
  {
    max: 64,
    lanes: 2,
    waiting: 4_096,
    overflow: () => new Error('too many wait'),
    mayRunAgain: () => false,
  },
);

const answer = JSON.stringify({ text: 'x'.repeat(ANSWER - '{"text":""}'.length) });
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

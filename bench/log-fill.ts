/**
 * A log of any size in minutes: real events of a real service are copied, block by block, with ids,
 * times and leaves of their own, in SQL; hashes, tiles, root and search index are what the service
 * would have made of them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { BLOCK } from '../src/audit/search-store.ts';
import { demoToken } from '../src/demo.ts';
import {
  appendPerfect,
  emptyFrontier,
  encodeFrontier,
  perfectRoot,
  rootOf,
} from '../src/tlog/merkle.ts';

/** Blocks of real events; the copies repeat them. */
const PALETTE = 64;
const LANES = 16;
const ACTORS = 300;
/** What the log is spread over. */
const YEAR_MS = 365 * 24 * 3_600_000;
const CHUNK = 400;

/** A project that stands in two entries of the whole log, whatever its size. */
export const RARE_PROJECT = 'bench-rare';

/** Makes real events: requests of many partners, what auditors read, statements of people. */
export async function makeEvents(url: string, dataDir: string): Promise<void> {
  const demo = JSON.parse(
    await readFile(join(import.meta.dirname, '../demo/scenarios.json'), 'utf8'),
  ) as {
    requests: ({ scenario: string; project: string } & Record<string, unknown>)[];
    projects: { id: string; organisation: string }[];
  };
  const organisations = new Map(demo.projects.map(({ id, organisation }) => [id, organisation]));
  const auditors = await Promise.all(
    Array.from({ length: 5 }, (_, i) => demoToken(dataDir, 'auditor', { subject: `auditor-${i}` })),
  );
  const tokens = new Map<string, Promise<string>>();
  const partner = (i: number, project: string): Promise<string> => {
    const subject = `partner-${i}`;
    const key = `${subject} ${project}`;
    const organisation = organisations.get(project);
    const made =
      tokens.get(key) ??
      demoToken(dataDir, 'partner', { subject, organisation, projects: [project] });
    tokens.set(key, made);
    return made;
  };
  const total = PALETTE * BLOCK + 500;
  let next = 0;
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (let i = next++; i < total; i = next++) {
        const isRead = i % 5 === 4;
        const asked = demo.requests[i % demo.requests.length];
        if (!asked) throw new Error('the demo has no requests');
        const { scenario: _scenario, ...body } = asked;
        // Few partners ask often, many seldom.
        const who = Math.floor(ACTORS * (((i * 7919) % 1_000) / 1_000) ** 3);
        const token = isRead
          ? (auditors[Math.floor(i / 5) % auditors.length] ?? '')
          : await partner(who, body.project);
        const sent = i % 3 === 0 ? { ...body, deidentification: 'identified' } : body;
        const response = await fetch(
          url + (isRead ? `/v1/datasets/${String(body['dataset'])}` : '/v1/access-requests'),
          {
            method: isRead ? 'GET' : 'POST',
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
            ...(isRead ? {} : { body: JSON.stringify(sent) }),
          },
        );
        if (!response.ok) throw new Error(await response.text());
        await response.arrayBuffer();
      }
    }),
  );
}

/** Waits until the service has sequenced and indexed what it has. */
export async function settled(client: pg.Client): Promise<void> {
  for (;;) {
    const { rows } = await client.query<{ pending: boolean; blocks: number; full: number }>(
      `select exists (select from audit_pending) as pending,
        (select count(*)::int from event_block) as blocks,
        (select (size / ${BLOCK})::int from log_head) as full`,
    );
    const [row] = rows;
    if (row && !row.pending && row.blocks === row.full) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Sets the real events aside, and empties the log. */
export async function takePalette(client: pg.Client): Promise<void> {
  await client.query(`
    create unlogged table palette as
      select (l.idx % ${PALETTE * BLOCK})::int as place, e.*, convert_from(e.leaf, 'UTF8') as text
      from log_leaf l join audit_event e using (event_id) where l.idx < ${PALETTE * BLOCK};
    create unique index on palette (place);
    create unlogged table palette_term as select * from event_term where block < ${PALETTE};
    analyze palette, palette_term;
    alter table audit_event disable trigger user;
    alter table log_leaf disable trigger user;
    alter table log_tile disable trigger user;
    alter table log_checkpoint disable trigger user;
    truncate audit_event, log_leaf, log_tile, event_block, event_term, audit_pending, log_checkpoint, log_published, log_signed`);
}

/**
 * Fills the log to `blocks` whole blocks.
 * @param clients connections that fill at once.
 */
export async function fillLog(
  clients: readonly pg.Client[],
  blocks: number,
  say: (line: string) => void,
): Promise<void> {
  const [client] = clients;
  if (!client) throw new Error('a connection is needed');
  const indices = await dropIndices(client);
  let next = 0;
  await Promise.all(
    clients.map(async (own) => {
      for (let from = next; from < blocks; from = next) {
        next = Math.min(from + CHUNK, blocks);
        await copyBlocks(own, from, next, blocks);
        if (Math.floor(next / 4_000) > Math.floor(from / 4_000)) say(`${next} of ${blocks} blocks`);
      }
    }),
  );
  await client.query(`
    insert into event_term (term, block, entries)
    select term, copy * ${PALETTE} + block, entries
    from palette_term, generate_series(0, ${Math.ceil(blocks / PALETTE)}) copy
    where copy * ${PALETTE} + block < ${blocks}
    order by term, 2;
    insert into event_term (term, block, entries)
    select 'subject:${RARE_PROJECT}', block, set_bit(B'0'::bit(${BLOCK}), 7, 1)
    from unnest(array[1, ${Math.floor(blocks / 2)}]) block`);
  say('indices');
  for (const definition of indices) await client.query(definition);
  await storeTiles(client, blocks);
  await client.query('vacuum (analyze) audit_event, log_leaf, log_tile, event_term, event_block');
}

/** Indices that are made again when all is there: one by one they would take hours. */
async function dropIndices(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `select indexname as name, indexdef as definition from pg_indexes
     where indexname in ('audit_event_type', 'audit_event_subjects')`,
  );
  for (const { name } of rows) await client.query(`drop index ${name}`);
  return rows.map(({ definition }) => definition);
}

async function copyBlocks(
  client: pg.Client,
  from: number,
  to: number,
  blocks: number,
): Promise<void> {
  const step = YEAR_MS / (blocks * BLOCK);
  const [first, last] = [from * BLOCK, to * BLOCK - 1];
  await client.query(`
    with entry as (
      select idx, timestamptz '2026-01-01 00:00Z' + idx * ${step} * interval '1 millisecond' as at,
        lpad(to_hex((extract(epoch from timestamptz '2026-01-01 00:00Z') * 1000)::bigint + floor(idx * ${step})::bigint), 12, '0') as ms,
        lpad(to_hex(idx), 12, '0') as tail, md5(idx::text) as nonce
      from generate_series(${first}::bigint, ${last}::bigint) idx
    ), copy as (
      select idx, date_trunc('milliseconds', at) as at,
        (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(nonce, 1, 3) || '-8' || substr(nonce, 4, 3) || '-' || tail)::uuid as id,
        p.event_id as old, p.text, p.type, p.actor, p.role, p.outcome, p.body,
        case when idx in (${BLOCK + 7}, ${Math.floor(blocks / 2) * BLOCK + 7})
          then p.subject_ids || '${RARE_PROJECT}'::text else p.subject_ids end as subject_ids
      from entry join palette p on p.place = idx % ${PALETTE * BLOCK}
    ), sealed as materialized (
      select *, convert_to(replace(text, old::text, id::text), 'UTF8') as leaf from copy
    ), event as (
      insert into audit_event (event_id, type, time, actor, role, subject_ids, outcome, leaf, body)
      select id, type, at, actor, role, subject_ids, outcome, leaf, body from sealed order by idx
    ), blocks as (
      insert into event_block (block, first_time, last_time)
      select idx / ${BLOCK}, min(at), max(at) from sealed group by 1
    )
    insert into log_leaf (log_id, idx, event_id, leaf_hash)
    select 1, idx, id, sha256('\\x00'::bytea || leaf) from sealed order by idx`);
}

/** Every full tile with its root, and the head. */
async function storeTiles(client: pg.Client, blocks: number): Promise<void> {
  let frontier = emptyFrontier;
  let roots: Buffer[] = [];
  for (let n = 0; n < blocks; n += 256) {
    const { rows } = await client.query<{ n: string; hashes: Buffer }>(
      `select idx / 256 as n, string_agg(leaf_hash, '' order by idx) as hashes from log_leaf
       where log_id = 1 and idx >= $1 and idx < $2 group by 1 order by 1`,
      [n * 256, Math.min(n + 256, blocks) * 256],
    );
    const own = rows.map(({ hashes }) => Buffer.from(perfectRoot(hashes)));
    const hashes = rows.map((row) => row.hashes);
    await insertTiles(client, { level: 0, first: n, hashes, roots: own });
    for (const root of own) frontier = appendPerfect(frontier, 8, root);
    roots.push(...own);
  }
  for (let level = 1; roots.length >= 256; level++) {
    const tiles = Array.from({ length: Math.floor(roots.length / 256) }, (_, i) =>
      Buffer.concat(roots.slice(i * 256, (i + 1) * 256)),
    );
    roots = tiles.map((hashes) => Buffer.from(perfectRoot(hashes)));
    await insertTiles(client, { level, first: 0, hashes: tiles, roots });
  }
  await client.query('update log_head set size = $1, root = $2, frontier = $3', [
    frontier.size,
    Buffer.from(rootOf(frontier)),
    Buffer.from(encodeFrontier(frontier)),
  ]);
}

interface Tiles {
  readonly level: number;
  /** The number of the first; the others follow. */
  readonly first: number;
  readonly hashes: readonly Buffer[];
  readonly roots: readonly Buffer[];
}

async function insertTiles(
  client: pg.Client,
  { level, first, hashes, roots }: Tiles,
): Promise<void> {
  await client.query(
    `insert into log_tile (log_id, level, n, hashes, root)
     select 1, $1, $2::bigint + i - 1, hashes, root
     from unnest($3::bytea[], $4::bytea[]) with ordinality as t (hashes, root, i)`,
    [level, first, hashes, roots],
  );
}

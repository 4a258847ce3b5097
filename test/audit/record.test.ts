/** The record: what an event holds, how it is proved, and what the log refuses to sign. */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import canonicalize from 'canonicalize';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { appendLeaves, emptyFrontier, encodeFrontier, rootOf } from '../../src/tlog/merkle.ts';
import { type NoteVerifier, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { verifyProofFile } from '../../src/tlog/proof-file.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

// What an auditor reads is an event: looking at the log would make it longer.
const OVERSEER = { role: 'authority' } as const;
const STEWARD = {
  role: 'steward',
  claims: { organisation: 'moh', subject: 'steward-uwase' },
} as const;

interface Event {
  readonly event_id: string;
  readonly type: string;
  readonly time: string;
  readonly actor: string;
  readonly role: string;
  readonly subject_ids: string[];
  readonly outcome: string;
  readonly index: number | null;
  readonly leaf_hash: string;
  readonly leaf: string;
  readonly body: Record<string, unknown>;
}

let service: TestService;
let database: Client;

beforeAll(async () => {
  service = await startTestService();
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  // More than one full tile of 256 hashes.
  for (let i = 0; i < 10; i++) {
    await Promise.all(Array.from({ length: 30 }, (_, k) => register(`tile-${i}-${k}`)));
  }
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
});

function register(id: string): Promise<Answer> {
  return service.ask('POST', '/v1/datasets', { ...STEWARD, body: { id, title: { en: 'Record' } } });
}

async function events(query = ''): Promise<Event[]> {
  const items: Event[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/v1/audit/events?limit=200${query}${cursor && `&cursor=${cursor}`}`;
    const { body }: Answer = await service.ask('GET', path, OVERSEER);
    items.push(...body.items);
    cursor = body.next_cursor;
  }
  return items;
}

async function logKey(): Promise<NoteVerifier> {
  const { text } = await service.ask('GET', '/log/vkey');
  const parsed = parseVerifierKey(text.trim());
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.verifier;
}

async function signedSize(): Promise<number> {
  const { text } = await service.ask('GET', '/log/checkpoint');
  return Number(text.split('\n')[1]);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('It did not come to that in 10 seconds.');
}

describe('an event', () => {
  test('has a leaf in canonical JSON that says what the event shows, under a pseudonym, and binds its body', async () => {
    const all = await events();
    const nonces = new Set<unknown>();
    for (const event of all) {
      const leaf = JSON.parse(event.leaf) as Record<string, unknown>;
      expect(canonicalize(leaf)).toBe(event.leaf);
      const { event_id, type, time, role, subject_ids, outcome } = event;
      expect(leaf).toMatchObject({ v: 1, event_id, type, time, role, subject_ids, outcome });
      expect(Object.keys(leaf)).toHaveLength(10);
      nonces.add(leaf['nonce']);
      expect(leaf['actor']).not.toBe(event.actor);
      expect(event.leaf).not.toContain(event.actor);
      const body = canonicalize(event.body) ?? '';
      expect(leaf['body_sha256']).toBe(createHash('sha256').update(body).digest('hex'));
      const hash = Buffer.from(leafHash(Buffer.from(event.leaf))).toString('base64');
      expect(event.leaf_hash).toBe(hash);
    }
    expect(nonces.size).toBe(all.length);
  });

  test('names one actor by one pseudonym, and two actors by two', async () => {
    const actors = new Map<string, Set<unknown>>();
    for (const { actor, leaf } of await events()) {
      const names = actors.get(actor) ?? new Set();
      actors.set(actor, names.add((JSON.parse(leaf) as { actor: unknown }).actor));
    }
    const names = [...actors.values()].map((each) => [...each]);
    expect(names.every((each) => each.length === 1)).toBe(true);
    expect(new Set(names.flat()).size).toBe(actors.size);
    expect(actors.size).toBeGreaterThan(2);
  });

  test('carries no words of people: titles stay in the body beside the leaf', async () => {
    const { body } = await service.ask('POST', '/v1/datasets', {
      ...STEWARD,
      body: { id: 'worded', title: { en: 'Patients of Doctor Mukamana' } },
    });
    const event = await service.ask('GET', `/v1/audit/events/${body.event_id}`, OVERSEER);
    expect(event.body.leaf).not.toContain('Mukamana');
    expect(JSON.stringify(event.body.body)).not.toContain('Mukamana');
    expect(JSON.stringify(event.body.values)).toContain('Mukamana');
  });

  test('is found by type and by what it is about, page by page, each once', async () => {
    const registered = await events('&type=registerDataset');
    expect(registered.length).toBeGreaterThan(380);
    expect(new Set(registered.map(({ event_id }) => event_id)).size).toBe(registered.length);
    expect(new Set(registered.map(({ type }) => type))).toEqual(new Set(['registerDataset']));
    const about = await events('&subject=tile-3-7');
    expect(about.map(({ subject_ids }) => subject_ids)).toEqual([['tile-3-7', 'moh']]);
    expect(await events('&subject=nothing-of-this-name')).toEqual([]);
  });

  test('cannot be asked for with characters that no database keeps', async () => {
    const answer = await service.ask('GET', '/v1/audit/events?subject=%00', OVERSEER);
    expect([200, 400]).toContain(answer.status);
  });

  test('of a partner is seen by those of the project, by overseers, and by no other', async () => {
    const claims = {
      organisation: 'jp-engineering',
      projects: ['idsr-forecasting'],
      subject: 'mine',
    };
    const { body } = await service.ask('POST', '/v1/access-requests', {
      role: 'partner',
      claims,
      body: {
        dataset: 'nhic-idsr-cases',
        project: 'idsr-forecasting',
        purpose: 'outbreak_forecasting',
      },
    });
    const path = `/v1/audit/events/${body.decision.event_id}`;
    expect((await service.ask('GET', path, { role: 'partner', claims })).status).toBe(200);
    expect((await service.ask('GET', path, { role: 'authority' })).status).toBe(200);
    const colleague = { role: 'partner', claims: { ...claims, subject: 'colleague' } } as const;
    expect((await service.ask('GET', path, colleague)).status).toBe(200);
    const stranger = {
      role: 'partner',
      claims: { ...claims, projects: ['climate-model'] },
    } as const;
    const hidden = await service.ask('GET', path, stranger);
    const missing = await service.ask(
      'GET',
      '/v1/audit/events/0199e0f0-0000-7000-8000-000000000000',
      stranger,
    );
    expect([hidden.status, hidden.text]).toEqual([404, missing.text]);
    expect((await service.ask('GET', `${path}/proof`, stranger)).status).toBe(404);
  });
});

describe('a proof', () => {
  test('of any event holds offline, with nothing but the leaf and the key of the log', async () => {
    const key = await logKey();
    const all = await events();
    await until(async () => (await signedSize()) >= all.length);
    // The first, the last, and those around the border of the tile of 256.
    const sequenced = (await events()).toSorted((a, b) => (a.index ?? 0) - (b.index ?? 0));
    expect(sequenced.map(({ index }) => index)).toEqual(sequenced.map((_, i) => i));
    const chosen = [0, 1, 127, 254, 255, 256, 257, sequenced.length - 1];
    for (const i of chosen) {
      const event = sequenced[i];
      const { text, headers } = await service.ask(
        'GET',
        `/v1/audit/events/${event?.event_id}/proof`,
        OVERSEER,
      );
      expect(headers.get('content-type')).toMatch(/^text\/plain/);
      const own = leafHash(Buffer.from(event?.leaf ?? ''));
      expect(verifyProofFile(text, own, [key])).toMatchObject({ ok: true, index: i });
      const forged = leafHash(Buffer.from((event?.leaf ?? '').replace('"v":1', '"v":2')));
      expect(verifyProofFile(text, forged, [key])).toMatchObject({ ok: false });
    }
  });

  test('of an event that no checkpoint covers yet is refused as not there yet, and comes soon', async () => {
    const { body } = await register('fresh-proof');
    const path = `/v1/audit/events/${body.event_id}/proof`;
    const first = await service.ask('GET', path, OVERSEER);
    expect([200, 409]).toContain(first.status);
    await until(async () => (await service.ask('GET', path, OVERSEER)).status === 200);
  });
});

describe('the tables of the record', () => {
  test('refuse every change and every removal', async () => {
    for (const table of ['audit_event', 'log_leaf', 'log_tile', 'log_checkpoint']) {
      const [column] = (
        await database.query<{ name: string }>(
          'select column_name as name from information_schema.columns where table_name = $1 limit 1',
          [table],
        )
      ).rows;
      for (const statement of [
        `update ${table} set ${column?.name} = ${column?.name}`,
        `delete from ${table}`,
        `truncate ${table} cascade`,
      ]) {
        await expect(database.query(statement)).rejects.toThrow('append-only');
      }
    }
  });

  test('hold signed checkpoints, each of a tree that the next extends', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 1);
    await until(async () => {
      const report = await verifyStoredLog(connection.db, { verifiers: [await logKey()] });
      expect(report.problems).toEqual([]);
      return report.pending === 0 && report.signedSize === report.size;
    });
  });
});

describe('verifying while the log is in use', () => {
  test('never calls a healthy log damaged', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 1);
    const key = await logKey();
    const load = { on: true };
    const writing = Promise.all(
      [0, 1, 2].map(async (lane) => {
        for (let i = 0; load.on; i++) await register(`live-${lane}-${i}`);
      }),
    );
    const until2s = performance.now() + 2_000;
    let runs = 0;
    for (; performance.now() < until2s; runs++) {
      const report = await verifyStoredLog(connection.db, { verifiers: [key] });
      expect(report.problems).toEqual([]);
    }
    load.on = false;
    await writing;
    expect(runs).toBeGreaterThan(5);
    expect(service.warnings).toEqual([]);
  });
});

describe('a log that was set back', () => {
  test('is not signed again: the operator is warned, the last good checkpoint stays, decisions go on', async () => {
    await register('before-damage');
    const size = await signedSize();
    await until(async () => (await signedSize()) > size);
    const kept = (await service.ask('GET', '/log/checkpoint')).text;
    // What a restore of an older backup would do to the head.
    await database.query('set session_replication_role = replica');
    await database.query('delete from log_leaf where idx >= 300');
    await database.query('delete from log_tile where n > 0');
    const { rows } = await database.query<{ frontier: Buffer; root: Buffer }>(
      'select frontier, root from log_head',
    );
    const leaves = await database.query<{ leaf_hash: Buffer }>(
      'select leaf_hash from log_leaf order by idx',
    );
    const frontier = appendLeaves(
      emptyFrontier,
      leaves.rows.map(({ leaf_hash }) => leaf_hash),
    );
    expect(rows).toHaveLength(1);
    await database.query('update log_head set size = 300, root = $1, frontier = $2', [
      Buffer.from(rootOf(frontier)),
      Buffer.from(encodeFrontier(frontier)),
    ]);
    await database.query('set session_replication_role = origin');

    await until(async () => {
      await register(`after-damage-${Math.random().toString(36).slice(2)}`);
      return service.warnings.length > 0;
    });
    expect(service.warnings[0]).toMatch(/^log: the log /);
    await sleep(700);
    expect((await service.ask('GET', '/log/checkpoint')).text).toBe(kept);
    expect((await register('still-deciding')).status).toBe(201);
    // Said once, not twice a second.
    expect(service.warnings.length).toBeLessThan(4);
  });
});

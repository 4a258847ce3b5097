/** The service is killed outright while it writes: what it acknowledged is there afterwards. */

import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { demoToken } from '../../src/demo.ts';
import { type Acknowledged, requestAccess } from '../support/access-request.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { spawnService } from './process.ts';

const ROUNDS = 6;
const LANES = 6;

interface Sender {
  readonly url: string;
  readonly token: string;
}

/** Undefined when no answer came: killed before it. */
async function send(
  { url, token }: Sender,
  key: string,
): Promise<(Acknowledged & { readonly key: string }) | undefined> {
  try {
    return { key, ...(await requestAccess(url, token, key)) };
  } catch {
    return undefined;
  }
}

test('kill -9 at random moments of writing loses nothing that was acknowledged, and the log verifies', async () => {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-crash-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const env = {
    DATABASE_URL: database.connectionString,
    DEMO: 'on',
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_ORIGIN: 'log.test.example/crash/2026',
  };
  const acknowledged: (Acknowledged & { readonly key: string })[] = [];
  const unanswered: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await using service = spawnService(env);
    const sender = { url: await service.url, token: await demoToken(dataDir, 'partner') };
    const state = { killed: false };
    const lanes = Array.from({ length: LANES }, async (_, lane) => {
      for (let i = 0; !state.killed; i++) {
        const key = `${round}-${lane}-${i}`;
        const answer = await send(sender, key);
        if (answer) acknowledged.push(answer);
        else unanswered.push(key);
      }
    });
    // At any moment of writing, on a slow machine too.
    const before = acknowledged.length;
    while (acknowledged.length < before + LANES) await sleep(5);
    await sleep(randomInt(0, 400));
    state.killed = true;
    expect(await service.end('SIGKILL')).toBe('SIGKILL');
    await Promise.all(lanes);
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(ROUNDS * LANES);

  await using service = spawnService(env);
  const sender = { url: await service.url, token: await demoToken(dataDir, 'partner') };
  // A caller who got no answer asks again with the same key: one request, made before or now.
  for (const key of unanswered) {
    const answer = await send(sender, key);
    expect(answer).toMatchObject({ key });
    if (answer) acknowledged.push(answer);
  }
  // The same question gets the answer that was given before the crash.
  const sample = acknowledged.slice(0, 10);
  expect(await Promise.all(sample.map(({ key }) => send(sender, key)))).toEqual(sample);
  expect(await service.end('SIGTERM')).toBe(0);

  const client = new Client(database.connectionString);
  await client.connect();
  stack.defer(() => client.end());
  const { rows } = await client.query<{
    key: string;
    id: string;
    event_id: string;
    leaf_hash: string;
    idx: string;
  }>(
    `select k.key, r.id, d.event_id, encode(l.leaf_hash, 'base64') as leaf_hash, l.idx
     from access_request r join decision d on d.id = r.decision
       join idempotency_key k on k.resource = r.id::text
       join log_leaf l on l.event_id = d.event_id`,
  );
  const stored = new Map(rows.map((row) => [row.id, row]));
  for (const { key, id, event_id, leaf_hash } of acknowledged) {
    expect(stored.get(id)).toMatchObject({ key, event_id, leaf_hash });
  }
  // Nothing was made twice, and nothing without an answer to somebody.
  expect(new Set(acknowledged.map(({ key }) => key)).size).toBe(acknowledged.length);
  const { rows: totals } = await client.query(
    `select (select count(*)::int from access_request) as requests,
       (select count(*)::int from decision) as decisions,
       (select count(*)::int from audit_event where type = 'submitAccessRequest') as events`,
  );
  const made = acknowledged.length;
  expect(totals).toEqual([{ requests: made, decisions: made, events: made }]);

  const { db } = stack.use(connect(database.connectionString, 1));
  expect(await verifyStoredLog(db, {})).toMatchObject({ ok: true, problems: [], pending: 0 });
}, 60_000);

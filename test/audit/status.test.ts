/** Where the log says that it stands: all of one moment, whatever is sequenced meanwhile. */

import { Client } from 'pg';
import { expect, test } from 'vitest';
import type { Log } from '../../src/audit/record.ts';
import { openLog } from '../../src/audit/sequencer.ts';
import { readStatus } from '../../src/audit/status.ts';
import { connect } from '../../src/db/connection.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';

test('an event is waiting or in the tree, and never in neither', async () => {
  await using database = await createTestDatabase();
  await using connection = connect(database.connectionString, 4);
  const { db } = connection;
  const origin = await openLog(db, 'log.test.example/status/2026', new Date());
  const log = {
    origin: () => origin,
    policy: { quorum: 'none' },
    health: () => ({ problem: null, witnesses: [] }),
  } as unknown as Log;
  const sequencer = new Client(database.connectionString);
  await sequencer.connect();
  try {
    await sequencer.query(
      `insert into audit_pending (event_id, leaf_hash) values (gen_random_uuid(), sha256('leaf'))`,
    );
    // Sequenced by somebody between what is read of the tree and what is read of the queue.
    await sequencer.query('begin');
    await sequencer.query('lock table audit_pending in access exclusive mode');
    await sequencer.query('delete from audit_pending');
    await sequencer.query('update log_head set size = 1');
    const read = readStatus(db, log);
    await until(async () => {
      const { rows } = await sequencer.query(
        `select from pg_locks where relation = 'audit_pending'::regclass and not granted`,
      );
      return rows.length > 0;
    });
    await sequencer.query('commit');
    const { size, pending } = await read;
    expect(size + pending).toBe(1);
  } finally {
    await sequencer.end();
  }
});

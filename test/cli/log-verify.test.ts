/** `umutungo log verify` as an auditor runs it: what is whole, and what each damage is called. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { formatVerifierKey } from '../../src/tlog/note-key.ts';
import { appendLeaves, emptyFrontier, encodeFrontier, rootOf } from '../../src/tlog/merkle.ts';
import { copyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService } from '../support/service.ts';
import { umutungo } from '../faults/process.ts';
import { type Ended, shell } from './shell.ts';

const ORIGIN = 'log.test.example/umutungo/2026';
/** The event that is damaged; well before the kept checkpoint. */
const VICTIM = 40;

let stack: AsyncDisposableStack;
let dataDir: string;
/** The database of a stopped service: each test damages a copy of it. */
let whole: TestDatabase;
let vkey: string;
/** A file with a checkpoint from before the last events. */
let kept: string;
let keptSize: number;
let size: number;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  dataDir = await mkdtemp(join(tmpdir(), 'umutungo-verify-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  whole = stack.use(await createTestDatabase());
  const databaseUrl = whole.connectionString;
  const service = await startTestService({ config: { databaseUrl, dataDir, logOrigin: ORIGIN } });
  const register = async (i: number): Promise<void> => {
    const body = { id: `later-${i}`, title: { en: 'Later' } };
    await service.ask('POST', '/v1/datasets', { role: 'steward', body });
  };
  const client = new Client(databaseUrl);
  await client.connect();
  /** A checkpoint over every event that there is. */
  const checkpoint = async (): Promise<string> => {
    const { rows } = await client.query<{ events: string }>(
      'select count(*) as events from audit_event',
    );
    for (;;) {
      const { text } = await service.ask('GET', '/log/checkpoint');
      if (Number(text.split('\n')[1]) >= Number(rows[0]?.events)) return text;
      await sleep(50);
    }
  };
  // Over a full tile of 256 hashes, so that tiles are there too.
  for (let i = 0; i < 150; i++) await register(i);
  const early = await checkpoint();
  // An export keeps the checkpoint that it is under: this one stays beside the last.
  await service.ask('GET', '/v1/audit/export?end=1', { role: 'authority' });
  keptSize = Number(early.split('\n')[1]);
  if (keptSize <= 256) throw new Error('The log is too short for a full tile.');
  for (let i = 150; i < 180; i++) await register(i);
  const last = await checkpoint();
  await client.end();
  size = Number(last.split('\n')[1]);
  vkey = (await service.ask('GET', '/log/vkey')).text.trim();
  await service[Symbol.asyncDispose]();
  kept = join(dataDir, 'kept.txt');
  await writeFile(kept, early);
}, 60_000);
afterAll(() => stack.disposeAsync());

/** A copy of the log whose database an administrator has in hand, triggers switched off. */
async function damaged(
  damage: (client: Client) => Promise<unknown>,
  ...options: string[]
): Promise<Ended> {
  await using copy = await copyDatabase(whole);
  const client = new Client(copy.connectionString);
  await client.connect();
  try {
    await client.query('set session_replication_role = replica');
    await damage(client);
  } finally {
    await client.end();
  }
  return await verify(copy.connectionString, ...options);
}

function verify(url: string, ...options: string[]): Promise<Ended> {
  return shell(['log', 'verify', ...options], settings(url));
}

function settings(url: string): Record<string, string> {
  return { DATABASE_URL: url, DATA_DIR: dataDir };
}

async function eventAt(client: Client, idx: number): Promise<string> {
  const { rows } = await client.query<{ event_id: string }>(
    'select event_id from log_leaf where idx = $1',
    [idx],
  );
  return rows[0]?.event_id ?? '';
}

/** Makes the head fit whatever leaves there are, as a careful forger would. */
async function forgeHead(client: Client): Promise<{ size: number; root: Uint8Array }> {
  const { rows } = await client.query<{ leaf_hash: Buffer }>(
    'select leaf_hash from log_leaf order by idx',
  );
  const hashes = rows.map(({ leaf_hash }) => leaf_hash);
  const frontier = appendLeaves(emptyFrontier, hashes);
  const root = rootOf(frontier);
  await client.query('update log_head set size = $1, root = $2, frontier = $3', [
    frontier.size,
    Buffer.from(root),
    Buffer.from(encodeFrontier(frontier)),
  ]);
  await client.query('delete from log_tile');
  return { size: frontier.size, root };
}

/** Changes the past in every place where it is written, checkpoints included. */
async function rewriteHistory(client: Client, folder: string): Promise<void> {
  const event = await eventAt(client, VICTIM);
  const { rows } = await client.query<{ leaf: Buffer }>(
    `update audit_event set role = 'auditor',
       leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '"role":"authority"', '"role":"auditor"'), 'UTF8')
     where event_id = $1 returning leaf`,
    [event],
  );
  const leaf = rows[0]?.leaf ?? Buffer.alloc(0);
  await client.query('update log_leaf set leaf_hash = $1 where idx = $2', [
    Buffer.from(leafHash(leaf)),
    VICTIM,
  ]);
  const head = await forgeHead(client);
  await client.query('delete from log_checkpoint');
  await client.query('delete from log_published');
  const checkpoints = (await loadLogKeys(folder)).checkpoints(ORIGIN);
  const note = signCheckpoint({ origin: ORIGIN, ...head }, checkpoints);
  await client.query(
    'insert into log_published (log_id, size, root, note, signed_at, published_at) values (1, $1, $2, $3, now(), now())',
    [head.size, Buffer.from(head.root), note],
  );
}

/** Cuts the log below the kept checkpoint, with every later checkpoint. */
async function cut(client: Client): Promise<void> {
  await client.query(
    'delete from audit_event where event_id in (select event_id from log_leaf where idx >= $1)',
    [keptSize - 5],
  );
  await client.query('delete from log_leaf where idx >= $1', [keptSize - 5]);
  await client.query('delete from log_checkpoint where size > $1', [keptSize - 5]);
  await client.query('delete from log_published');
  await forgeHead(client);
}

function rewrite(client: Client): Promise<void> {
  return rewriteHistory(client, join(dataDir, 'keys'));
}

describe('a whole log', () => {
  test('is one line that says what was checked, and that without a key it proves self-consistency only', async () => {
    const { code, stdout } = await umutungo(['log', 'verify'], settings(whole.connectionString));
    expect(stdout).toMatch(
      /^OK \d+ events, their hashes and bodies, the root \S{44} of size \d+, \d+ checkpoints/,
    );
    expect(stdout).toContain(`OK ${size} events`);
    expect(stdout).toContain('self-consistent only');
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(0);
  });

  test('with the kept key and checkpoint is proved against them', async () => {
    const { code, stdout } = await verify(
      whole.connectionString,
      '--vkey',
      vkey,
      '--checkpoint',
      kept,
    );
    expect(stdout).toMatch(/^OK .*: signed by the key given, extends the checkpoint given\.\n$/);
    expect(stdout).not.toContain('self-consistent only');
    expect(code).toBe(0);
  });

  test('takes the key from a file too', async () => {
    const file = join(dataDir, 'vkey.txt');
    await writeFile(file, `${vkey}\n`);
    const { code, stdout } = await verify(whole.connectionString, '--vkey', file);
    expect(stdout).toContain('signed by the key given');
    expect(code).toBe(0);
  });

  test('as JSON has the whole report', async () => {
    const { code, stdout } = await verify(whole.connectionString, '--json', '--vkey', vkey);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      size,
      entriesChecked: size,
      signedSize: size,
      signatureVerified: true,
      pending: 0,
      problems: [],
    });
    expect(code).toBe(0);
  });
});

describe('damage is found, named, and exits with 1', () => {
  interface Damage {
    readonly what: string;
    readonly codes: readonly string[];
    /** Whether the line names the victim by index and event. */
    readonly named: boolean;
    readonly work: (client: Client) => Promise<unknown>;
  }
  const DAMAGES: readonly Damage[] = [
    {
      what: 'an edited leaf',
      codes: ['leaf_hash_mismatch'],
      named: true,
      work: async (client) =>
        client.query(
          `update audit_event set leaf = convert_to(replace(convert_from(leaf, 'UTF8'), 'success', 'failure'), 'UTF8') where event_id = $1`,
          [await eventAt(client, VICTIM)],
        ),
    },
    {
      what: 'an edited leaf whose stored hash was edited with it',
      codes: ['root_mismatch', 'checkpoint_root_mismatch'],
      named: true,
      work: async (client) => {
        const leaf = Buffer.from('{"v":1}');
        await client.query('update audit_event set leaf = $1 where event_id = $2', [
          leaf,
          await eventAt(client, VICTIM),
        ]);
        await client.query('update log_leaf set leaf_hash = $1 where idx = $2', [
          Buffer.from(leafHash(leaf)),
          VICTIM,
        ]);
      },
    },
    {
      what: 'an edited body',
      codes: ['body_digest_mismatch'],
      named: true,
      work: async (client) =>
        client.query(
          `update audit_event set body = convert_to(replace(convert_from(body, 'UTF8'), '"salt"', '"Salt"'), 'UTF8') where event_id = $1`,
          [await eventAt(client, VICTIM)],
        ),
    },
    {
      what: 'an edited value beside a body',
      codes: ['value_not_bound'],
      named: true,
      work: async (client) =>
        client.query(
          `update audit_event set disclosures = reverse(disclosures) where event_id = $1`,
          [await eventAt(client, VICTIM)],
        ),
    },
    {
      what: 'a value that went without an erasure',
      codes: ['value_missing'],
      named: true,
      work: async (client) =>
        client.query('update audit_event set disclosures = null where event_id = $1', [
          await eventAt(client, VICTIM),
        ]),
    },
    {
      what: 'a body that went without an erasure',
      codes: ['value_missing'],
      named: true,
      work: async (client) =>
        client.query('update audit_event set body = null, disclosures = null where event_id = $1', [
          await eventAt(client, VICTIM),
        ]),
    },
    {
      what: 'an erasure that no event records',
      codes: ['erasure_unfounded'],
      named: true,
      work: async (client) => {
        const victim = await eventAt(client, VICTIM);
        await client.query(
          `insert into erased_value
           select event_id, convert_from(leaf, 'UTF8')::jsonb ->> 'body_sha256', null, time, event_id
           from audit_event where event_id = $1`,
          [victim],
        );
        await client.query(
          'update audit_event set body = null, disclosures = null where event_id = $1',
          [victim],
        );
      },
    },
    {
      what: 'an edited column that lists and filters read',
      codes: ['row_differs_from_leaf'],
      named: true,
      work: async (client) =>
        client.query(`update audit_event set outcome = 'permit' where event_id = $1`, [
          await eventAt(client, VICTIM),
        ]),
    },
    {
      what: 'a deleted event',
      codes: ['event_missing', 'index_gap'],
      named: true,
      work: async (client) =>
        client.query('delete from audit_event where event_id = $1', [
          await eventAt(client, VICTIM),
        ]),
    },
    {
      what: 'a deleted event whose leaf was deleted with it',
      codes: ['index_gap'],
      named: false,
      work: async (client) => {
        await client.query('delete from audit_event where event_id = $1', [
          await eventAt(client, VICTIM),
        ]);
        await client.query('delete from log_leaf where idx = $1', [VICTIM]);
      },
    },
    {
      what: 'a leaf that was taken out of the tree, with everything after it moved down and a new head',
      codes: ['event_lost', 'checkpoint_root_mismatch'],
      named: false,
      work: async (client) => {
        await client.query('delete from log_leaf where idx = $1', [VICTIM]);
        await client.query('update log_leaf set idx = -idx where idx > $1', [VICTIM]);
        await client.query('update log_leaf set idx = -idx - 1 where idx < 0');
        await forgeHead(client);
      },
    },
    {
      what: 'two swapped leaves',
      codes: ['root_mismatch', 'checkpoint_root_mismatch'],
      named: false,
      work: async (client) => {
        await client.query('update log_leaf set idx = -1 where idx = $1', [VICTIM]);
        await client.query('update log_leaf set idx = $1 where idx = $2', [VICTIM, VICTIM + 1]);
        await client.query('update log_leaf set idx = $1 where idx = -1', [VICTIM + 1]);
      },
    },
    {
      what: 'two swapped leaves under a rewritten head',
      codes: ['checkpoint_root_mismatch'],
      named: false,
      work: async (client) => {
        await client.query('update log_leaf set idx = -1 where idx = $1', [VICTIM]);
        await client.query('update log_leaf set idx = $1 where idx = $2', [VICTIM, VICTIM + 1]);
        await client.query('update log_leaf set idx = $1 where idx = -1', [VICTIM + 1]);
        await forgeHead(client);
      },
    },
    {
      what: 'a truncated tail',
      codes: ['log_truncated'],
      named: false,
      work: async (client) => {
        await client.query(
          'delete from audit_event where event_id in (select event_id from log_leaf where idx >= $1)',
          [size - 5],
        );
        await client.query('delete from log_leaf where idx >= $1', [size - 5]);
      },
    },
    {
      what: 'a truncated tail under a rewritten head',
      codes: ['checkpoint_ahead_of_log'],
      named: false,
      work: async (client) => {
        await client.query(
          'delete from audit_event where event_id in (select event_id from log_leaf where idx >= $1)',
          [size - 5],
        );
        await client.query('delete from log_leaf where idx >= $1', [size - 5]);
        await forgeHead(client);
      },
    },
    {
      what: 'a head that was set back, with the leaves left behind it',
      codes: ['entries_beyond_head'],
      named: false,
      work: async (client) => {
        await client.query('delete from log_published');
        await client.query(
          'update log_head set (size, root) = (select size, root from log_checkpoint order by size desc limit 1)',
        );
      },
    },
    {
      what: 'an event that was taken off the queue before it had an index',
      codes: ['event_lost'],
      named: false,
      work: (client) =>
        client.query(
          `insert into audit_event select gen_random_uuid(), type, time, actor, role, subject_ids, outcome, leaf, body, disclosures from audit_event limit 1`,
        ),
    },
  ];

  for (const { what, codes, named, work } of DAMAGES) {
    test(`finds ${what}`, async () => {
      let event = '';
      const { code, stdout } = await damaged(async (client) => {
        event = await eventAt(client, VICTIM);
        await work(client);
      });
      expect(code).toBe(1);
      for (const each of codes) expect(stdout).toContain(`DAMAGED ${each}`);
      expect(stdout).not.toMatch(/^OK/m);
      expect(stdout.includes(`at index ${VICTIM} (event ${event})`)).toBe(named);
    });
  }

  test('a truncated log without its later checkpoints, against the checkpoint that was kept', async () => {
    // Self-consistent, which is why an auditor keeps checkpoints.
    const alone = await damaged(cut);
    expect(alone.stdout).toContain('self-consistent only');
    const against = await damaged(cut, '--vkey', vkey, '--checkpoint', kept);
    expect(against.stdout).toContain('DAMAGED log_truncated');
    expect(against.code).toBe(1);
  });

  test('a history rewritten under the same key, against the checkpoint that was kept', async () => {
    const signed = await damaged(rewrite, '--vkey', vkey);
    expect(signed.stdout).toMatch(/^OK .*signed by the key given/);
    const against = await damaged(rewrite, '--vkey', vkey, '--checkpoint', kept);
    expect(against.stdout).toContain('DAMAGED split_view');
    expect(against.code).toBe(1);
  });

  test('a history rewritten by somebody without the key', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'umutungo-forger-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const forge = (client: Client): Promise<void> => rewriteHistory(client, folder);
    const { code, stdout } = await damaged(forge, '--vkey', vkey);
    expect(stdout).toContain('DAMAGED checkpoint_signature');
    expect(code).toBe(1);
  });

  test('the key of another log', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'umutungo-otherkey-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const checkpoints = (await loadLogKeys(folder)).checkpoints(ORIGIN);
    const { code, stdout } = await verify(
      whole.connectionString,
      '--vkey',
      formatVerifierKey(checkpoints[0]),
    );
    expect(stdout).toContain('DAMAGED checkpoint_signature');
    expect(code).toBe(1);
  });
});

describe('what cannot be checked exits with 2 and says why', () => {
  test('a key that is none', async () => {
    const args = ['log', 'verify', '--vkey', 'no+verifier+key'];
    const { code, stdout, stderr } = await umutungo(args, settings(whole.connectionString));
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('--vkey is no verifier key');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('a checkpoint file that is not there', async () => {
    const { code, stderr } = await verify(
      whole.connectionString,
      '--checkpoint',
      join(dataDir, 'nothing.txt'),
    );
    expect(code).toBe(2);
    expect(stderr).toContain('nothing.txt');
  });

  test('a database that does not answer', async () => {
    const { code, stderr } = await verify('postgresql://nobody@127.0.0.1:1/nothing');
    expect(code).toBe(2);
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('a checkpoint file that holds something else is damage, not silence', async () => {
    const file = join(dataDir, 'garbage.txt');
    await writeFile(file, 'hello\n');
    const { code, stdout } = await verify(
      whole.connectionString,
      '--vkey',
      vkey,
      '--checkpoint',
      file,
    );
    expect(stdout).toContain('DAMAGED checkpoint_malformed');
    expect(code).toBe(1);
  });
});

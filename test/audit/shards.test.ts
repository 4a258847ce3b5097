/**
 * The turn of a year: the log goes on in a shard of its own, whose first event names the end of the
 * one before it, and both are served, proved and verified for ever.
 */

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compactVerify, importJWK } from 'jose';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { verifyStoredLog } from '../../src/audit/verify.ts';
import { connect } from '../../src/db/connection.ts';
import { encodeEntryBundle } from '../../src/tlog/bundle.ts';
import { openCheckpoint, signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { openNote } from '../../src/tlog/note.ts';
import { formatVerifierKey, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { verifyProofFile } from '../../src/tlog/proof-file.ts';
import { newTiles, tilePath } from '../../src/tlog/tiles.ts';
import { type Ended, shell } from '../cli/shell.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { tilesOf, treeRoot } from '../tlog/reference.ts';

const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');
const OLD = 'log.test.example/umutungo/2025';
const NEW = 'log.test.example/umutungo/2026';
const BEFORE = new Date('2025-12-31T22:00:00Z');
const AFTER = new Date('2026-01-01T00:00:01Z');

// The tokens of the demo end after today: a turn that has been is tried.
let now = BEFORE;
let service: TestService;
let database: Client;
let work: string;
let copy: string;
let kept: string;
/** What the service said of datasets that were registered before the turn and after it. */
const registered: Record<'before' | 'after', Registered[]> = { before: [], after: [] };
let listedBefore: Listed;

interface Registered {
  readonly id: string;
  readonly event_id: string;
  readonly leaf_hash: string;
  readonly receipt: string;
}

interface Listed {
  readonly items: readonly {
    readonly year: number;
    readonly origin: string;
    readonly is_final: boolean;
    readonly size: number;
    readonly root: string;
    readonly vkeys: readonly string[];
  }[];
  readonly next: { readonly origin: string; readonly vkeys: readonly string[] };
}

let named = 0;
async function register(to: TestService = service): Promise<Registered> {
  const id = `sharded-${named++}`;
  const { status, body } = await to.ask('POST', '/v1/datasets', {
    role: 'steward',
    claims: { organisation: 'moh' },
    body: { id, title: { en: 'Sharded' } },
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  const { event_id, leaf_hash, receipt } = body;
  return { id, event_id, leaf_hash, receipt };
}

/** The tree has everything, and its checkpoint is published. */
function caughtUp(on: TestService = service): Promise<void> {
  return until(async () => {
    const { size, pending, published } = (
      await on.ask('GET', '/v1/audit/status', { role: 'authority' })
    ).body;
    return pending === 0 && published?.size === size;
  });
}

async function text(path: string): Promise<string> {
  const { status, text: found } = await service.ask('GET', path);
  expect(status, `${path}: ${found}`).toBe(200);
  return found;
}

async function mirror(): Promise<Ended> {
  return shell(['log', 'mirror', `${service.url}/log`, copy, '--token', await token()]);
}

// Not an auditor's: what an auditor reads is an event, and the log would grow while it is copied.
const token = (): Promise<string> => service.token('authority');

/** The verifier of one file, as a process of its own. */
function alone(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [VERIFIER, ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

beforeAll(async () => {
  service = await startTestService({ clock: () => now, config: { logOrigin: OLD } });
  database = new Client(service.config.databaseUrl ?? '');
  await database.connect();
  work = await mkdtemp(join(tmpdir(), 'umutungo-shards-'));
  copy = join(work, 'copy');
  kept = join(work, 'kept-vkeys');
  for (let i = 0; i < 8; i++) registered.before.push(await register());
  await caughtUp();
  await writeFile(kept, await text('/log/vkeys'));
  listedBefore = (await service.ask('GET', '/log/shards')).body;
  await mirror();
  now = AFTER;
  for (let i = 0; i < 8; i++) registered.after.push(await register());
  await until(async () => (await text('/log/checkpoint')).startsWith(NEW));
  await caughtUp();
}, 60_000);
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

describe('the turn', () => {
  test('ends the old shard with all that was there, and begins the new one with an event that names its end', async () => {
    const { rows } = await database.query(
      `select h.*, e.type, convert_from(e.body, 'utf8')::json as body from log_head h
       join log_leaf l on l.log_id = h.log_id and l.idx = 0 join audit_event e using (event_id) order by 1`,
    );
    const [old, fresh] = rows;
    expect(rows.map(({ origin, year }) => [origin, year])).toEqual([
      [OLD, 2025],
      [NEW, 2026],
    ]);
    expect(fresh.base).toBe(old.size);
    expect(fresh.type).toBe('turnLog');
    expect(fresh.body.previous).toEqual({
      origin: OLD,
      size: Number(old.size),
      root: old.root.toString('base64'),
    });
    await expect(
      database.query("update log_head set root = sha256('') where year = 2025"),
    ).rejects.toThrow('is final');
  });

  test('publishes the final checkpoint, signed, at an address that stays', async () => {
    const list: Listed = (await service.ask('GET', '/log/shards')).body;
    expect(list.items.map(({ origin, is_final }) => [origin, is_final])).toEqual([
      [OLD, true],
      [NEW, false],
    ]);
    for (const { year, origin, size, root, vkeys } of list.items) {
      const verifiers = vkeys.map(verifierOf);
      const opened = openCheckpoint(await text(`/log/shards/${year}/checkpoint`), verifiers);
      if (!opened.ok) throw new Error(opened.reason);
      expect(opened.checkpoint).toMatchObject({ origin, size });
      expect(Buffer.from(opened.checkpoint.root).toString('base64')).toBe(root);
      expect(await text(`/log/shards/${year}/vkeys`)).toBe(`${vkeys.join('\n')}\n`);
      expect(await text(`/log/shards/${year}/tlog-policy`)).toContain(`log ${vkeys[0]}`);
    }
    expect(await text('/log/vkeys')).toBe(await text('/log/shards/2026/vkeys'));
    expect(await text('/log/previous')).toBe(await text('/log/shards/2026/previous'));
    for (const path of ['shards/2025/previous', 'shards/2024/checkpoint', 'shards/2024/vkeys'])
      expect((await service.ask('GET', `/log/${path}`)).status).toBe(404);
    const size = list.items[0]?.size;
    const proof = await service.ask('GET', `/log/shards/2025/consistency?from=3&to=${size}`);
    expect(proof.body.proof.length).toBeGreaterThan(0);
  });

  test('was announced: witnesses can have the keys of the next shard before it begins', async () => {
    const list: Listed = (await service.ask('GET', '/log/shards')).body;
    expect(listedBefore.next).toEqual({ origin: NEW, vkeys: list.items[1]?.vkeys });
    expect(listedBefore.items.map(({ origin }) => origin)).toEqual([OLD]);
  });

  test('leaves receipts and proofs that name the shard of their event', async () => {
    const { keys } = (await service.ask('GET', '/log/jwks.json')).body;
    const list: Listed = (await service.ask('GET', '/log/shards')).body;
    for (const each of [...registered.before, ...registered.after]) {
      const { body: event } = await service.ask('GET', `/v1/audit/events/${each.event_id}`, {
        role: 'authority',
      });
      const { payload } = await compactVerify(each.receipt, await importJWK(keys[0]));
      const shard = list.items.find(({ year }) => year === event.shard);
      const receipt = JSON.parse(Buffer.from(payload).toString());
      expect(receipt).toMatchObject({ iss: shard?.origin, leaf_hash: each.leaf_hash });
      const { text: proof } = await service.ask('GET', `/v1/audit/events/${each.event_id}/proof`, {
        role: 'authority',
      });
      const leaf = Buffer.from(each.leaf_hash, 'base64');
      const verifiers = (shard?.vkeys ?? []).map(verifierOf);
      expect(verifyProofFile(proof, leaf, verifiers)).toMatchObject({
        ok: true,
        index: event.index,
        checkpoint: { origin: shard?.origin },
      });
    }
    for (const { event_id } of registered.before) {
      const { body } = await service.ask('GET', `/v1/audit/events/${event_id}`, {
        role: 'authority',
      });
      expect(body.shard).toBe(2025);
    }
  });

  test('a clock that jumps back, and forth again, goes on in the newer shard', async () => {
    for (const at of [BEFORE, AFTER, BEFORE]) {
      now = at;
      const { event_id } = await register();
      await caughtUp();
      const { body } = await service.ask('GET', `/v1/audit/events/${event_id}`, {
        role: 'authority',
      });
      expect(body.shard).toBe(2026);
    }
    now = AFTER;
    const { rows } = await database.query('select year from log_head order by 1');
    expect(rows.map(({ year }) => year)).toEqual([2025, 2026]);
  });
});

describe('searching', () => {
  test('goes over both shards without a seam', async () => {
    const found: { index: number; shard: number; event_id: string }[] = [];
    let cursor: string | null = '';
    do {
      const page = `/v1/audit/search?type=registerDataset&limit=3${cursor ? `&cursor=${cursor}` : ''}`;
      const { body } = await service.ask('GET', page, { role: 'authority' });
      found.push(...body.items);
      cursor = body.next_cursor;
    } while (cursor !== null);
    const { rows } = await database.query(
      `select h.year as shard, l.idx::int as index, e.event_id from audit_event e
       join log_leaf l using (event_id) join log_head h using (log_id)
       where e.type = 'registerDataset' order by l.log_id desc, l.idx desc`,
    );
    expect(found.map(({ shard, index, event_id }) => ({ shard, index, event_id }))).toEqual(rows);
    expect(new Set(rows.map(({ shard }) => shard)).size).toBe(2);
  });
});

describe('verifying', () => {
  test('the database: all shards and the links between them, with the key that was kept of the first', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 2);
    const verifiers = (await readFile(kept, 'utf8')).trim().split('\n').map(verifierOf);
    const report = await verifyStoredLog(connection.db, { verifiers });
    expect(report).toMatchObject({ ok: true, problems: [], signatureVerified: true });
    expect(report.shards.map(({ origin }) => origin)).toEqual([OLD, NEW]);
    expect(report.entriesChecked).toBe(report.shards.reduce((sum, { size }) => sum + size, 0));
  });

  test('a copy that was begun before the turn, and the log where it is', async () => {
    expect(await mirror()).toMatchObject({ code: 0 });
    const checkpoint = join(copy, 'checkpoint');
    for (const from of [copy, `${service.url}/log`]) {
      const options = ['--vkey', kept, '--checkpoint', checkpoint, '--token', await token()];
      const { code, stdout } = await shell(['log', 'verify', from, ...options]);
      expect([code, stdout]).toEqual([0, expect.stringContaining('2 shards, each linked')]);
      expect(stdout).toContain('signed by the key given, extends the checkpoint given');
    }
    const theirs = await alone(copy, '--vkey', kept, '--checkpoint', checkpoint);
    expect([theirs.code, theirs.stdout]).toEqual([
      0,
      expect.stringContaining('2 shards, each linked'),
    ]);
    // One alone says what it continues.
    const one = join(copy, 'shards/2026');
    const newer = join(work, 'newer-vkeys');
    await writeFile(newer, await text('/log/vkeys'));
    for (const said of [
      await shell(['log', 'verify', one, '--vkey', newer]),
      await alone(one, '--vkey', newer),
    ]) {
      expect([said.code, said.stdout]).toEqual([0, expect.stringMatching(`continues ${OLD}`)]);
    }
  });

  test.each<[string, (folder: string) => Promise<unknown>]>([
    ['the end of the old one is cut', (folder) => cutEnd(folder)],
    [
      'the first event of the new one is said to say something else',
      async (folder) => {
        const file = join(folder, 'shards/2026/previous');
        await writeFile(file, (await readFile(file, 'utf8')).replace('"size":', '"size":1'));
      },
    ],
    ['what it says is gone', (folder) => rm(join(folder, 'shards/2026/previous'))],
  ])('a copy in which %s is found to be damaged by both verifiers', async (_name, damage) => {
    const folder = await mkdtemp(join(work, 'damaged-'));
    await cp(copy, folder, { recursive: true });
    await damage(folder);
    const ours = await shell(['log', 'verify', folder, '--vkey', kept]);
    const theirs = await alone(folder, '--vkey', kept);
    for (const { code, stdout } of [ours, theirs]) {
      expect([code, stdout]).toEqual([1, expect.stringContaining('DAMAGED shard_not_linked in')]);
    }
  });

  test('a database whose old shard was rewritten after its end', async () => {
    await using connection = connect(service.config.databaseUrl ?? '', 2);
    await database.query('set session_replication_role = replica');
    try {
      await database.query('update log_head set size = size - 1 where year = 2025');
      const report = await verifyStoredLog(connection.db, {});
      expect(report.problems.map(({ code }) => code)).toContain('shard_not_linked');
    } finally {
      await database.query('update log_head set size = size + 1 where year = 2025');
      await database.query('set session_replication_role = default');
    }
    expect((await verifyStoredLog(connection.db, {})).ok).toBe(true);
  });
});

describe('an export', () => {
  test('of events in several shards is refused with what to ask for instead, and each verifies', async () => {
    const all = await service.ask('GET', '/v1/audit/export', { role: 'authority' });
    expect(all.status).toBe(400);
    expect(all.body.errors).toEqual([
      { path: 'shard', expected: expect.stringMatching(/one of 2025, 2026: .* ask once for each/) },
    ]);
    let entries = 0;
    for (const year of [2025, 2026]) {
      const asked = `/v1/audit/export?shard=${year}`;
      const { text: lines } = await service.ask('GET', asked, { role: 'authority' });
      const file = join(work, `${year}.jsonl`);
      await writeFile(file, lines);
      const vkeys = join(work, `${year}-vkeys`);
      await writeFile(vkeys, await text(`/log/shards/${year}/vkeys`));
      const { code, stdout } = await alone(file, '--vkey', vkeys);
      expect([code, stdout]).toEqual([0, expect.stringContaining('signed by the key given')]);
      expect(stdout.includes(`continues ${OLD}`)).toBe(year === 2026);
      entries += lines.split('\n').length - 3;
    }
    const { rows } = await database.query('select sum(size)::int as size from log_head');
    expect(entries).toBe(rows[0].size);
  });

  test('of events in one shard finds it', async () => {
    const { id } = registered.before[0] ?? {};
    const { text: lines } = await service.ask('GET', `/v1/audit/export?dataset=${id}`, {
      role: 'authority',
    });
    const [header, row] = lines.split('\n').map((line) => line && JSON.parse(line));
    expect(header).toMatchObject({ origin: OLD, shard: 2025 });
    expect(JSON.parse(row.leaf).subject_ids).toContain(id);
    // What came in while the year turned may be in either.
    now = new Date(AFTER.getTime() + 3_600_000);
    await register();
    await caughtUp();
    const later = `/v1/audit/export?from=${now.toISOString()}`;
    const { text: others } = await service.ask('GET', later, { role: 'authority' });
    expect(JSON.parse(others.split('\n')[0] ?? '')).toMatchObject({ origin: NEW });
  });
});

test('the end of a shard and the beginning of the next are cosigned by witnesses that were told of it', async () => {
  await using stack = new AsyncDisposableStack();
  const origin = 'log.test.example/cosigned/2025';
  const dataDir = join(work, 'cosigned');
  const keys = await loadLogKeys(join(dataDir, 'keys'));
  const vkeys = [origin, origin.replace('2025', '2026')].map((name) =>
    keys.checkpoints(name).map((key) => `log ${formatVerifierKey(key)}\n`),
  );
  await writeFile(join(dataDir, 'logs'), `${vkeys.flat().join('')}quorum none\n`);
  const witness = stack.use(
    await startTestService({
      config: {
        dataDir: join(dataDir, 'witness'),
        demo: false,
        issuer: { issuer: 'x', audience: 'x', jwksUrl: new URL('http://127.0.0.1:1/') },
        witness: { name: 'witness.shards.example', logs: join(dataDir, 'logs') },
      },
    }),
  );
  const [own = ''] = (await (await fetch(`${witness.url}/witness/vkeys`)).text()).split('\n');
  const logPolicy = join(dataDir, 'policy');
  await writeFile(
    logPolicy,
    `${vkeys[0]?.join('')}witness w ${own} ${witness.url}/witness\nquorum w\n`,
  );
  let at = BEFORE;
  const cosigned = stack.use(
    await startTestService({ clock: () => at, config: { dataDir, logOrigin: origin, logPolicy } }),
  );
  await caughtUp(cosigned);
  at = AFTER;
  await until(async () => (await cosigned.ask('GET', '/log/shards')).body.items.length === 2);
  await until(async () => (await cosigned.ask('GET', '/log/shards')).body.items[0].is_final);
  for (const year of [2025, 2026]) {
    const { text: note } = await cosigned.ask('GET', `/log/shards/${year}/checkpoint`);
    expect(openNote(note, [verifierOf(own)])).toMatchObject({ ok: true });
    expect(note).toContain(`/cosigned/${year}\n`);
  }
}, 60_000);

function verifierOf(vkey: string) {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.verifier;
}

/** The copy's root is made one of a shorter log that the operator signed. */
async function cutEnd(folder: string): Promise<void> {
  const checkpoints = (await loadLogKeys(join(service.config.dataDir, 'keys'))).checkpoints(OLD);
  const note = await readFile(join(folder, 'checkpoint'), 'utf8');
  const size = Number(note.split('\n')[1]) - 1;
  const { rows } = await database.query<{ leaf_hash: Buffer }>(
    'select leaf_hash from log_leaf where log_id = 1 and idx < $1 order by idx',
    [size],
  );
  const root = treeRoot(rows.map(({ leaf_hash }) => leaf_hash));
  for (const name of await readdir(folder)) {
    if (name.startsWith('checkpoint.')) await rm(join(folder, name));
  }
  await writeFile(
    join(folder, 'checkpoint'),
    signCheckpoint({ origin: OLD, size, root }, checkpoints),
  );
  // Partial tiles have a name for each size.
  for (const tile of newTiles(0, size)) {
    const { readTile } = tilesOf(rows.map(({ leaf_hash }) => leaf_hash));
    const file = join(folder, tilePath(tile));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, await readTile(tile.level, tile.n, tile.width));
    if (tile.level > 0) continue;
    const entries = await database.query<{ leaf: Buffer }>(
      'select leaf from log_leaf join audit_event using (event_id) where log_id = 1 and idx >= $1 and idx < $2 order by idx',
      [tile.n * 256, tile.n * 256 + tile.width],
    );
    const bundle = join(folder, tilePath({ ...tile, level: 'entries' }));
    await mkdir(dirname(bundle), { recursive: true });
    await writeFile(bundle, encodeEntryBundle(entries.rows.map(({ leaf }) => leaf)));
  }
}

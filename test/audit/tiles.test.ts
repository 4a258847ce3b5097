/** The log as a standard: what is under `/log/`, read as software that others wrote reads it. */

import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folderGuard } from '../../src/audit/guard.ts';
import { type LogKeys, loadLogKeys } from '../../src/audit/keys.ts';
import { checkLogKeys, type Publisher, publish } from '../../src/audit/publisher.ts';
import { openLog, sequence } from '../../src/audit/sequencer.ts';
import { readCheckpoints, readNewestCheckpoint } from '../../src/audit/log-store.ts';
import { insertEvent } from '../../src/audit/store.ts';
import { sealEvent } from '../../src/audit/event.ts';
import { connect, transact } from '../../src/db/connection.ts';
import { ROLES } from '../../src/principal.ts';
import { decodeEntryBundle } from '../../src/tlog/bundle.ts';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import type { Checkpoint } from '../../src/tlog/checkpoint-text.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { appendLeaves, emptyFrontier, perfectRoot, rootOf } from '../../src/tlog/merkle.ts';
import { parseNote } from '../../src/tlog/note.ts';
import { type NoteVerifier, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { newTiles, tilePath } from '../../src/tlog/tiles.ts';
import { mirrorLog } from '../support/mirror.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';

let service: TestService;
let folder: string;

beforeAll(async () => {
  service = await startTestService();
  folder = await mkdtemp(join(tmpdir(), 'umutungo-tiles-'));
  // More than two full tiles of 256 hashes.
  for (let i = 0; i < 14; i++) {
    await Promise.all(
      Array.from({ length: 30 }, (_, k) =>
        service.ask('POST', '/v1/datasets', {
          role: 'steward',
          claims: { organisation: 'moh' },
          body: { id: `tiles-${i}-${k}`, title: { en: 'Tiles' } },
        }),
      ),
    );
  }
  while ((await published()).size <= 512) await sleep(50);
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function verifiers(): Promise<NoteVerifier[]> {
  const { text } = await service.ask('GET', '/log/vkeys');
  return text
    .trimEnd()
    .split('\n')
    .map((vkey) => {
      const parsed = parseVerifierKey(vkey);
      if (!parsed.ok) throw new Error(parsed.reason);
      return parsed.verifier;
    });
}

async function published(): Promise<Checkpoint> {
  const { text } = await service.ask('GET', '/log/checkpoint');
  const opened = openCheckpoint(text, await verifiers());
  if (!opened.ok) throw new Error(opened.reason);
  return opened.checkpoint;
}

async function bytes(path: string, token?: string): Promise<Buffer> {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${service.url}/log/${path}`, { headers });
  expect([path, answer.status]).toEqual([path, 200]);
  return Buffer.from(await answer.arrayBuffer());
}

function split(hashes: Buffer): Buffer[] {
  return Array.from({ length: hashes.length / 32 }, (_, i) => hashes.subarray(i * 32, i * 32 + 32));
}

describe('a checkpoint', () => {
  test('is signed with Ed25519 and with ML-DSA-44, and either key alone verifies it', async () => {
    const keys = await verifiers();
    expect(keys.map(({ type }) => type)).toEqual([0x01, 0x06]);
    const answer = await service.ask('GET', '/log/checkpoint');
    expect(parseNote(answer.text)?.signatures).toHaveLength(2);
    for (const key of keys) expect(openCheckpoint(answer.text, [key]).ok).toBe(true);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=1');
  });

  test('has its Ed25519 key at /log/vkey as well, for those who know that one only', async () => {
    const { text } = await service.ask('GET', '/log/vkey');
    expect((await service.ask('GET', '/log/vkeys')).text.startsWith(text)).toBe(true);
  });
});

describe('hash tiles', () => {
  test('hold the leaves of every entry and the roots of the tiles below, up to the signed root', async () => {
    const { size, root } = await published();
    const token = await service.token('auditor');
    let frontier = emptyFrontier;
    const roots: Buffer[] = [];
    for (const tile of newTiles(0, size)) {
      const hashes = await bytes(tilePath(tile));
      expect(hashes).toHaveLength(tile.width * 32);
      if (tile.level > 0) {
        expect(split(hashes)).toEqual(roots.slice(0, tile.width));
        continue;
      }
      const bundle = await bytes(tilePath({ ...tile, level: 'entries' }), token);
      const leaves = (decodeEntryBundle(bundle) ?? []).map(leafHash);
      expect(leaves.map((leaf) => Buffer.from(leaf))).toEqual(split(hashes));
      if (tile.width === 256) roots.push(Buffer.from(perfectRoot(hashes)));
      frontier = appendLeaves(frontier, leaves);
    }
    expect(frontier.size).toBe(size);
    expect(Buffer.from(rootOf(frontier))).toEqual(Buffer.from(root));
  });

  test('of any smaller width are the beginning of the full one, for readers of older checkpoints', async () => {
    const full = await bytes('tile/0/000');
    for (const width of [1, 7, 255]) {
      expect(await bytes(`tile/0/000.p/${width}`)).toEqual(full.subarray(0, width * 32));
    }
  });

  test('may be kept by any cache for ever; entries by no shared one', async () => {
    const kept = async (path: string, token = ''): Promise<unknown> => {
      const { headers } = await fetch(`${service.url}/log/${path}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return [headers.get('cache-control'), headers.get('content-type')];
    };
    const type = 'application/octet-stream';
    const forever = 'public, max-age=31536000, immutable';
    expect(await kept('tile/0/000')).toEqual([forever, type]);
    expect(await kept('tile/1/000.p/1')).toEqual([forever, type]);
    const entries = await kept('tile/entries/000', await service.token('auditor'));
    expect(entries).toEqual(['private, max-age=604800, immutable', type]);
  });

  test('that the published log does not have are not there', async () => {
    const { size } = await published();
    const last = Math.floor(size / 256);
    const missing = [
      `tile/0/${String(last).padStart(3, '0')}`,
      `tile/0/${String(last + 1).padStart(3, '0')}.p/1`,
      'tile/0/x999/999',
      'tile/1/000',
      'tile/2/000.p/1',
      'tile/63/000.p/1',
      // Paths that no tile has.
      'tile/0/0',
      'tile/00/000',
      'tile/64/000',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/x000/001',
      'tile/0/000/',
      'tile/',
      'tile/data/000',
    ];
    for (const path of missing) {
      const answer = await fetch(`${service.url}/log/${path}`);
      expect([path, answer.status]).toEqual([path, 404]);
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  });
});

describe('entry bundles', () => {
  test('are for auditors and the authority', async () => {
    const path = '/log/tile/entries/000';
    const stranger = await fetch(service.url + path);
    expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    for (const role of ROLES) {
      const { status } = await service.ask('GET', path, { role });
      expect([role, status]).toEqual([role, ['auditor', 'authority'].includes(role) ? 200 : 403]);
    }
  });

  test('are refused to whoever may not read them before it is said whether they are there', async () => {
    expect((await service.ask('GET', '/log/tile/entries/x999/999')).status).toBe(401);
    const auditor = { role: 'auditor' } as const;
    expect((await service.ask('GET', '/log/tile/entries/x999/999', auditor)).status).toBe(404);
  });
});

describe('keys', () => {
  const origin = 'log.test.example/rotation/2026';
  const event = (i: number) =>
    sealEvent(
      { type: 'test', actor: 'a', role: 'r', subject_ids: [`${i}`], outcome: 'success', body: {} },
      '2026-01-01T00:00:00.000Z',
      (actor) => actor,
    );

  test('a log that had one key gets the second one; what the first one signed stays valid', async () => {
    await using database = await createTestDatabase();
    await using connection = connect(database.connectionString, 2);
    const { db } = connection;
    const keysFolder = join(folder, 'rotation');
    await openLog(db, origin, new Date(Date.UTC(2026, 0, 1)));
    const keys = await loadLogKeys(keysFolder);
    const guard = folderGuard(join(folder, 'signed'));
    // A quarter of an hour apart: of those that are closer not each is kept.
    let minutes = 0;
    const clock = () => new Date(Date.UTC(2026, 0, 1, 0, (minutes += 15)));
    const both: Publisher = { db, keys, guardOf: () => guard, witnesses: undefined, clock };
    const [ed25519] = keys.checkpoints(origin);
    const one = { ...keys, checkpoints: () => [ed25519] } as unknown as LogKeys;
    const append = async (i: number): Promise<void> => {
      await transact(db, (tx) => insertEvent(tx, event(i)));
      await sequence(db);
    };
    await append(1);
    await publish({ ...both, keys: one });
    expect(parseNote((await readNewestCheckpoint(db))?.note ?? '')?.signatures).toHaveLength(1);

    await checkLogKeys(db, both);
    await append(2);
    await publish(both);
    const notes = (await readCheckpoints(db, 1, 10)).map(({ note }) => note);
    expect(notes.map((note) => parseNote(note)?.signatures.length)).toEqual([2, 1]);
    for (const note of notes) expect(openCheckpoint(note, keys.checkpoints(origin)).ok).toBe(true);

    await append(3);
    await publish({ ...both, clock: () => new Date(Date.UTC(2026, 0, 1, 0, minutes + 1)) });
    await append(4);
    await publish({ ...both, clock: () => new Date(Date.UTC(2026, 0, 1, 0, minutes + 2)) });
    expect((await readCheckpoints(db, 1, 10)).map(({ size }) => size)).toEqual([4, 2, 1]);

    // A replica that made a second key of its own is not one of this log.
    await cp(keysFolder, join(folder, 'other'), { recursive: true });
    await rm(join(folder, 'other/log-ml-dsa-44.pem'));
    const other = await loadLogKeys(join(folder, 'other'));
    await expect(checkLogKeys(db, { keys: other })).rejects.toThrow('not those of the log');
  });
});

/** Where Debian's golang-golang-x-mod-dev puts the library, and where Go itself keeps it. */
function goLibrary(): { readonly folder: string; readonly language: string } | undefined {
  try {
    const told = execFileSync('go', ['env', 'GOROOT', 'GOVERSION'], { encoding: 'utf8' });
    const [root = '', version = ''] = told.trim().split('\n');
    const found = [
      '/usr/share/gocode/src/golang.org/x/mod',
      join(root, 'src/cmd/vendor/golang.org/x/mod'),
    ].find((each) => existsSync(join(each, 'sumdb/tlog')));
    const language = /^go(\d+\.\d+)/.exec(version)?.[1];
    return found !== undefined && language !== undefined ? { folder: found, language } : undefined;
  } catch {
    return undefined;
  }
}

const library = goLibrary();
if (library === undefined) {
  console.log(
    'Skipped: the log read with golang.org/x/mod, because there is no Go (apt-get install golang-go golang-golang-x-mod-dev).',
  );
}

test.runIf(library !== undefined)(
  "Go's own library reads the log: its note, every entry's inclusion, every size's consistency, our proofs",
  async () => {
    const copy = join(folder, 'mirror');
    const token = await service.token('auditor');
    const size = await mirrorLog(service.url, token, copy);
    const program = join(folder, 'go');
    await cp(join(import.meta.dirname, 'foreign'), program, { recursive: true });
    for (const part of ['note', 'tlog']) {
      await cp(join(library?.folder ?? '', 'sumdb', part), join(program, 'mod/sumdb', part), {
        recursive: true,
        filter: (file) => !file.endsWith('_test.go'),
      });
    }
    const module = (name: string): string => `go ${library?.language}\nmodule ${name}\n`;
    await writeFile(join(program, 'mod/go.mod'), module('golang.org/x/mod'));
    const needs = 'require golang.org/x/mod v0.0.0\nreplace golang.org/x/mod => ./mod\n';
    await writeFile(join(program, 'go.mod'), module('foreign') + needs);
    const { body } = await service.ask('GET', '/v1/audit/events?limit=20&type=registerDataset', {
      role: 'auditor',
    });
    const proofs: string[] = [];
    for (const [i, { event_id, index }] of body.items.entries()) {
      if (index === null || index >= size) continue;
      const { text } = await service.ask('GET', `/v1/audit/events/${event_id}/proof`, {
        role: 'auditor',
      });
      proofs.push(join(folder, `${i}.tlog-proof`));
      await writeFile(proofs.at(-1) ?? '', text);
    }
    expect(proofs.length).toBeGreaterThan(0);
    const vkey = (await service.ask('GET', '/log/vkey')).text.trim();
    const { stdout } = await promisify(execFile)('go', ['run', '.', copy, vkey, ...proofs], {
      cwd: program,
      env: {
        ...process.env,
        GOFLAGS: '-mod=mod',
        GOPROXY: 'off',
        GOTOOLCHAIN: 'local',
        GOWORK: 'off',
      },
    });
    const whole = `${size} entries, ${size + proofs.length} inclusion proofs, ${size} trees consistent`;
    expect(stdout.trim()).toBe(whole);
  },
  120_000,
);

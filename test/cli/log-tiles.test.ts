/**
 * A published log as an auditor has it: copied into a folder, verified there and over HTTP by
 * `umutungo log verify`, and by the verifier of one file that shares no code with it.
 */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { progressLine } from '../../src/cli/progress.ts';
import { decodeEntryBundle, encodeEntryBundle } from '../../src/tlog/bundle.ts';
import { signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { newTiles, tilePath } from '../../src/tlog/tiles.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { tilesOf, treeRoot } from '../tlog/reference.ts';
import { type Ended, shell } from './shell.ts';

const ORIGIN = 'log.test.example/umutungo/2026';
const VERIFIER = join(import.meta.dirname, '../../verifier/verify.mjs');

let service: TestService;
let work: string;
let whole: string;
let vkeys: string;
let token: string;
let size: number;

beforeAll(async () => {
  service = await startTestService({ config: { logOrigin: ORIGIN } });
  work = await mkdtemp(join(tmpdir(), 'umutungo-log-tiles-'));
  whole = join(work, 'whole');
  // Not an auditor's: what an auditor reads is an event, and the log would grow while it is copied.
  token = await service.token('authority');
  vkeys = join(work, 'vkeys');
  await writeFile(vkeys, (await service.ask('GET', '/log/vkeys')).text);
  await register(250);
  await mirror(whole);
  // A second visit, so that there is a kept checkpoint of an earlier size.
  await register(60);
  await mirror(whole);
  size = await sizeOf(whole);
}, 60_000);
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

let registered = 0;
async function register(count: number): Promise<void> {
  const before = await published();
  await Promise.all(
    Array.from({ length: count }, () =>
      service.ask('POST', '/v1/datasets', {
        role: 'steward',
        claims: { organisation: 'moh' },
        body: { id: `copied-${registered++}`, title: { en: 'Copied' } },
      }),
    ),
  );
  while ((await published()) < before + count) await sleep(50);
}

async function published(): Promise<number> {
  return Number((await service.ask('GET', '/log/checkpoint')).text.split('\n')[1]);
}

async function sizeOf(folder: string): Promise<number> {
  return Number((await readFile(join(folder, 'checkpoint'), 'utf8')).split('\n')[1]);
}

function mirror(folder: string): Promise<Ended> {
  return shell(['log', 'mirror', `${service.url}/log`, folder, '--token', token]);
}

/** The verifier of one file, as a process of its own. */
function alone(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [VERIFIER, ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

/** Both verifiers on a copy of the log that somebody has damaged. */
async function damaged(damage: (folder: string) => Promise<unknown>, ...options: string[]) {
  const folder = await mkdtemp(join(work, 'damaged-'));
  await cp(whole, folder, { recursive: true });
  await damage(folder);
  const ours = await shell(['log', 'verify', folder, '--vkey', vkeys, ...options]);
  const theirs = await alone(folder, '--vkey', vkeys, ...options);
  expect([ours.code, theirs.code], ours.stdout + theirs.stdout + theirs.stderr).toEqual([1, 1]);
  return [ours.stdout, theirs.stdout] as const;
}

/** Rewrites the entries of a folder, with the tiles over them where `tiles` says so. */
async function rewrite(
  folder: string,
  change: (entries: Uint8Array[]) => Uint8Array[],
  { tiles }: { readonly tiles: boolean },
): Promise<Uint8Array[]> {
  const at = await sizeOf(folder);
  const entries: Uint8Array[] = [];
  for (const tile of newTiles(0, at)) {
    if (tile.level > 0) continue;
    const file = join(folder, tilePath({ ...tile, level: 'entries' }));
    entries.push(...(decodeEntryBundle(await readFile(file)) ?? []));
  }
  const changed = change(entries);
  const { readTile } = tilesOf(changed.map(leafHash));
  for (const tile of newTiles(0, at)) {
    if (tiles)
      await writeFile(join(folder, tilePath(tile)), await readTile(tile.level, tile.n, tile.width));
    if (tile.level > 0) continue;
    const bundle = encodeEntryBundle(changed.slice(tile.n * 256, tile.n * 256 + tile.width));
    await writeFile(join(folder, tilePath({ ...tile, level: 'entries' })), bundle);
  }
  return changed;
}

async function operatorSigns(folder: string, entries: readonly Uint8Array[]): Promise<void> {
  const checkpoints = (await loadLogKeys(join(service.config.dataDir, 'keys'))).checkpoints(ORIGIN);
  const root = treeRoot(entries.map(leafHash));
  const note = signCheckpoint({ origin: ORIGIN, size: entries.length, root }, checkpoints);
  await writeFile(join(folder, 'checkpoint'), note);
  for (const name of await readdir(folder)) {
    if (name.startsWith('checkpoint.')) await rm(join(folder, name));
  }
}

const edit = (index: number) => (entries: Uint8Array[]) =>
  entries.with(
    index,
    Buffer.from(
      Buffer.from(entries[index] ?? '')
        .toString()
        .replace('success', 'SUCCESS'),
    ),
  );

describe('a whole log', () => {
  test('is verified offline by both, against the key and the earlier checkpoints in the folder', async () => {
    const ours = await shell(['log', 'verify', whole, '--vkey', vkeys]);
    expect([ours.code, ours.stdout]).toEqual([
      0,
      expect.stringMatching(
        new RegExp(
          `^OK ${size} entries, the tiles over them.*, 3 checkpoints: signed by the key given, extends the checkpoint given\\.\n$`,
        ),
      ),
    ]);
    const theirs = await alone(whole, '--vkey', vkeys);
    expect([theirs.code, theirs.stdout]).toEqual([
      0,
      expect.stringContaining('signed by the key given, extends the checkpoints given'),
    ]);
  });

  test('is verified online, without a copy', async () => {
    const answer = await shell([
      'log',
      'verify',
      `${service.url}/log`,
      '--vkey',
      vkeys,
      '--checkpoint',
      join(whole, 'checkpoint'),
      '--token',
      token,
    ]);
    expect([answer.code, answer.stdout]).toEqual([0, expect.stringMatching(/^OK \d+ entries/)]);
  });

  test('is verified by the policy that the log publishes', async () => {
    const answer = await shell(['log', 'verify', whole, '--policy', join(whole, 'tlog-policy')]);
    expect([answer.code, answer.stdout]).toEqual([
      0,
      expect.stringContaining('cosigned by the quorum "none"'),
    ]);
  });

  test('without a key is said to be self-consistent and no more', async () => {
    const ours = await shell(['log', 'verify', whole]);
    expect([ours.code, ours.stdout]).toEqual([0, expect.stringContaining('self-consistent only')]);
    const theirs = await alone(whole);
    expect([theirs.code, theirs.stdout]).toEqual([
      0,
      expect.stringContaining('self-consistent only'),
    ]);
  });

  test('takes either key alone', async () => {
    for (const vkey of (await readFile(vkeys, 'utf8')).trim().split('\n')) {
      expect((await shell(['log', 'verify', whole, '--vkey', vkey])).code).toBe(0);
      expect((await alone(whole, '--vkey', vkey)).code).toBe(0);
    }
  });
});

describe('a copy', () => {
  test('goes on where it was broken off, and fetches nothing twice', async () => {
    const folder = join(work, 'resumed');
    await cp(whole, folder, { recursive: true });
    await rm(join(folder, 'tile/0/000'));
    await rm(join(folder, 'checkpoint'));
    const { code, stdout } = await mirror(folder);
    expect(code).toBe(0);
    // The one that was gone, and partial ones where the log has grown since: never all of them.
    const [, fresh, all] = /\b(\d+) of (\d+) tiles (?:was|were) new/.exec(stdout) ?? [];
    expect(Number(fresh)).toBeGreaterThanOrEqual(1);
    expect(Number(fresh)).toBeLessThan(Number(all));
    expect((await shell(['log', 'verify', folder, '--vkey', vkeys])).code).toBe(0);
  });

  test('of a log that has become shorter is refused, and left as it was', async () => {
    const folder = join(work, 'longer');
    await cp(whole, folder, { recursive: true });
    const longer = (await readFile(join(folder, 'checkpoint'), 'utf8')).replace(
      `\n${size}\n`,
      '\n99999\n',
    );
    await writeFile(join(folder, 'checkpoint'), longer);
    const { code, stderr } = await mirror(folder);
    expect([code, stderr]).toEqual([2, expect.stringContaining('the log was truncated')]);
    expect(await readFile(join(folder, 'checkpoint'), 'utf8')).toBe(longer);
  });

  test('takes the token of an auditor, and says so', async () => {
    const partner = await service.token('partner');
    const { code, stderr } = await shell([
      'log',
      'mirror',
      `${service.url}/log`,
      join(work, 'none'),
      '--token',
      partner,
    ]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("an auditor's --token")]);
  });
});

describe('damage is found and named by both', () => {
  test('an edited event', async () => {
    for (const said of await damaged((folder) => rewrite(folder, edit(40), { tiles: false }))) {
      expect(said).toContain('DAMAGED tile_hash_mismatch at index 40');
    }
  });

  test('swapped leaves', async () => {
    const swap = (entries: Uint8Array[]) =>
      entries.with(40, entries[270] ?? Buffer.alloc(0)).with(270, entries[40] ?? Buffer.alloc(0));
    for (const said of await damaged((folder) => rewrite(folder, swap, { tiles: false }))) {
      expect(said).toMatch(/DAMAGED leaves_swapped at index 40: .*270/);
    }
  });

  test('an edited event with the tiles over it', async () => {
    for (const said of await damaged((folder) => rewrite(folder, edit(40), { tiles: true }))) {
      expect(said).toContain('DAMAGED root_mismatch');
    }
  });

  test('a truncated tail', async () => {
    const cut = async (folder: string): Promise<void> => {
      const name = (await readdir(folder)).find(
        (each) => /^checkpoint\.\d+$/.test(each) && !each.endsWith(`.${size}`),
      );
      await writeFile(join(folder, 'checkpoint'), await readFile(join(folder, name ?? '')));
    };
    for (const said of await damaged(cut)) expect(said).toContain('DAMAGED log_truncated');
    const lost = async (folder: string): Promise<void> => {
      const [tail = ''] = (await readdir(join(folder, 'tile/entries'))).filter(
        (name) => name.endsWith('.p') && name !== '000.p',
      );
      await rm(join(folder, 'tile/entries', tail), { recursive: true });
    };
    for (const said of await damaged(lost)) expect(said).toContain('DAMAGED bundle_missing');
  });

  test('a rewritten head', async () => {
    const head = async (folder: string): Promise<void> => {
      const file = join(folder, 'checkpoint');
      const lines = (await readFile(file, 'utf8')).split('\n');
      await writeFile(file, lines.with(2, Buffer.alloc(32, 7).toString('base64')).join('\n'));
    };
    for (const said of await damaged(head)) expect(said).toContain('DAMAGED checkpoint_signature');
  });

  test('a split view: the operator signs another past', async () => {
    const fork = async (folder: string): Promise<void> =>
      operatorSigns(folder, await rewrite(folder, edit(40), { tiles: true }));
    const kept = ['--checkpoint', join(whole, 'checkpoint')];
    for (const said of await damaged(fork, ...kept)) expect(said).toContain('DAMAGED split_view');
  });
});

test('progress is shown on a terminal, and taken away at the end', () => {
  const { stderr } = process;
  const { isTTY } = stderr;
  let said = '';
  const write = vi.spyOn(stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
  stderr.isTTY = true;
  try {
    const progress = progressLine('entries checked');
    progress(512, 1024);
    progress(undefined);
  } finally {
    stderr.isTTY = isTTY;
    write.mockRestore();
  }
  expect(said).toBe('\r\u001b[K512 of 1024 (50 %) entries checked\r\u001b[K');
});

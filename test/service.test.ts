/** The service as it is started: by `node src/main.ts`, with its own database, and stopped again. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { spawnService, umutungo } from './faults/process.ts';
import { createTestDatabase, type TestDatabase } from './support/postgres.ts';

const ROLES = ['steward', 'partner', 'auditor', 'authority', 'holder'];

let stack: AsyncDisposableStack;
let dataDir: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  dataDir = await folder();
});
afterAll(() => stack.disposeAsync());

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'umutungo-start-'));
  stack.defer(() => rm(made, { recursive: true, force: true, maxRetries: 3 }));
  return made;
}

/** Servers whose command line names this directory. */
async function databasesOf(dir: string): Promise<string[]> {
  if (process.platform !== 'linux')
    return existsSync(join(dir, 'postgres/postmaster.pid')) ? [dir] : [];
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(dir)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

/** What must be the same after a restart. */
async function stateOf(url: string, dir: string): Promise<unknown> {
  // Not an auditor, whose reading would be one event more each time.
  const { stdout } = await umutungo(['token', '--role', 'authority'], { DATA_DIR: dir });
  const headers = { authorization: `Bearer ${stdout.trim()}` };
  const ids: string[] = [];
  for (let path = '/v1/audit/events?limit=200'; path !== ''; ) {
    const response = await fetch(url + path, { headers });
    expect(response.status).toBe(200);
    const { items } = (await response.json()) as {
      items: { event_id: string; leaf_hash: string }[];
    };
    ids.push(...items.map(({ event_id, leaf_hash }) => `${event_id} ${leaf_hash}`));
    path = /<(\S+)>/.exec(response.headers.get('link') ?? '')?.[1] ?? '';
  }
  const datasets = await (await fetch(`${url}/v1/datasets?limit=200`, { headers })).text();
  const [vkey, receipts] = await Promise.all(
    ['/log/vkey', '/log/jwks.json'].map(async (path) => (await fetch(url + path)).text()),
  );
  return { ids, datasets, vkey, receipts };
}

describe('with its own database', () => {
  let first: unknown;

  test('the first start fills the demo and prints the address and a command for each role that works', async () => {
    await using service = spawnService({ DATA_DIR: dataDir, PORT: '0' });
    const url = await service.url;
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    for (const role of ROLES) {
      const line =
        service
          .output()
          .split('\n')
          .find((each) => each.includes(`--role ${role})`)) ?? '';
      const address = /'(http\S+)'/.exec(line)?.[1] ?? '';
      const { stdout, code } = await umutungo(['token', '--role', role], { DATA_DIR: dataDir });
      expect(code).toBe(0);
      const answer = await fetch(address, {
        headers: { authorization: `Bearer ${stdout.trim()}` },
      });
      expect([role, answer.status]).toEqual([role, 200]);
    }
    first = await stateOf(url, dataDir);
    expect((first as { ids: string[] }).ids.length).toBeGreaterThan(130);
    expect(await service.end('SIGINT')).toBe(0);
    expect(service.output()).toContain('Stopped.');
    expect(await databasesOf(dataDir)).toEqual([]);
  }, 60_000);

  test('a second start finds everything as it was, and fills nothing again', async () => {
    await using service = spawnService({ DATA_DIR: dataDir, PORT: '0' });
    const url = await service.url;
    expect(await stateOf(url, dataDir)).toEqual(first);
    expect(service.output()).not.toMatch(/filled|loaded/i);
    expect(await service.end('SIGTERM')).toBe(0);
    expect(await databasesOf(dataDir)).toEqual([]);
  }, 60_000);

  test('a start after a kill -9 finds everything as it was, with the server that was left behind', async () => {
    {
      await using killed = spawnService({ DATA_DIR: dataDir, PORT: '0' });
      await killed.url;
      expect(await killed.end('SIGKILL')).toBe('SIGKILL');
    }
    await using service = spawnService({ DATA_DIR: dataDir, PORT: '0' });
    expect(await stateOf(await service.url, dataDir)).toEqual(first);
    expect(await service.end('SIGINT')).toBe(0);
    expect(await databasesOf(dataDir)).toEqual([]);
  }, 60_000);

  test('the stopped log is verified from the shell, and the database is stopped again', async () => {
    const { code, stdout } = await umutungo(['log', 'verify'], { DATA_DIR: dataDir });
    expect(stdout).toMatch(/^OK \d+ events/);
    expect(code).toBe(0);
    expect(await databasesOf(dataDir)).toEqual([]);
  });

  test('a port that is taken is a plain error, and leaves no database running', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await once(blocker, 'listening');
    const address = blocker.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    await using service = spawnService({ DATA_DIR: dataDir, PORT: String(port) });
    expect(await service.ended).toBe(1);
    blocker.close();
    expect(service.output()).toContain(`Port ${port} is taken. Set PORT to another one.`);
    expect(service.output()).not.toMatch(/^\s+at /m);
    expect(await databasesOf(dataDir)).toEqual([]);
  });

  test('it goes on, and stops cleanly, when nobody reads any more what it says', async () => {
    await using service = spawnService({ DATA_DIR: dataDir, PORT: '0' });
    const url = await service.url;
    service.child.stdout?.destroy();
    service.child.stderr?.destroy();
    service.child.kill('SIGINT');
    expect(await service.ended).toBe(0);
    await expect(fetch(`${url}/readyz`)).rejects.toThrow('fetch failed');
    expect(await databasesOf(dataDir)).toEqual([]);
  });

  test('several processes share one port, one that is killed is replaced, and all of them stop', async () => {
    const dir = await folder();
    await using service = spawnService({ DATA_DIR: dir, PORT: '0', PROCESSES: '3' });
    const url = await service.url;
    const children = async (): Promise<string[]> => {
      const { pid } = service.child;
      const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
      const commands = await Promise.all(
        list
          .trim()
          .split(' ')
          .map(async (each) => {
            const command = await readFile(`/proc/${each}/cmdline`, 'utf8').catch(() => '');
            return [each, command] as const;
          }),
      );
      return commands.flatMap(([each, text]) => (text.includes('main.ts') ? [each] : []));
    };
    const until = async (reached: () => Promise<boolean>): Promise<void> => {
      while (!(await reached())) await sleep(50);
    };
    const asked = async (): Promise<number> => {
      // Each of these comes over a connection of its own.
      const answers = await Promise.all(
        Array.from({ length: 6 }, () =>
          fetch(`${url}/readyz`, { headers: { connection: 'close' } }).then(
            ({ status }) => status,
            () => 0,
          ),
        ),
      );
      return Math.min(...answers);
    };
    await until(async () => (await children()).length === 3);
    const before = await children();
    process.kill(Number(before[1]), 'SIGKILL');
    await until(async () => {
      const now = await children();
      return now.length === 3 && !now.includes(before[1] ?? '') && (await asked()) === 200;
    });
    expect(service.output()).toContain('A process of the service has ended (SIGKILL)');
    const alive = await children();
    expect(await service.end('SIGINT')).toBe(0);
    expect(alive.filter((each) => existsSync(`/proc/${each}`))).toEqual([]);
    expect(await databasesOf(dir)).toEqual([]);
  }, 120_000);

  test('Ctrl-C during the first start leaves no database running', async () => {
    const fresh = await folder();
    await using early = spawnService({ DATA_DIR: fresh, PORT: '0' });
    while (!early.output().includes('PostgreSQL started')) await sleep(20);
    await early.end('SIGINT');
    const left = await databasesOf(fresh);
    // The next start uses the server that was left behind, and stops it.
    await using service = spawnService({ DATA_DIR: fresh, PORT: '0' });
    await service.url;
    await service.end('SIGINT');
    expect(left).toEqual([]);
  }, 120_000);

  test('a start that was interrupted is finished by the next one', async () => {
    const fresh = await folder();
    await using early = spawnService({ DATA_DIR: fresh, PORT: '0' });
    while (!early.output().includes('PostgreSQL started')) await sleep(20);
    await sleep(400);
    await early.end('SIGKILL');
    await using service = spawnService({ DATA_DIR: fresh, PORT: '0' });
    const { ids } = (await stateOf(await service.url, fresh)) as { ids: string[] };
    // The other one had been read by an auditor once.
    expect(ids).toHaveLength((first as { ids: string[] }).ids.length - 1);
    expect(await service.end('SIGINT')).toBe(0);
    expect(await databasesOf(fresh)).toEqual([]);
  }, 120_000);
});

describe('the configuration', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
  });

  test('is checked whole: every mistake is named at once, and nothing is started', async () => {
    const dir = join(dataDir, 'never-made');
    await using service = spawnService({
      DATA_DIR: dir,
      DATABASE_URL: database.connectionString,
      PORT: '99999',
      DATABASE_POOL: 'many',
      DEMO: 'perhaps',
      PACK: 'atlantis',
      LOG_ORIGIN: 'https://log.example.org',
    });
    expect(await service.ended).toBe(1);
    const output = service.output();
    for (const name of [
      'PORT=99999',
      'DATABASE_POOL=many',
      'DEMO=perhaps',
      'PACK=atlantis',
      'LOG_ORIGIN=',
      'AUTH_ISSUER',
      'AUTH_JWKS_URL',
    ]) {
      expect(output).toContain(name);
    }
    expect(output).toMatch(/^Configuration:/);
    expect(output).not.toMatch(/^\s+at /m);
    expect(existsSync(dir)).toBe(false);
  });

  test("has the demo off where there is a database of one's own, and then asks for an issuer", async () => {
    await using service = spawnService({
      DATA_DIR: await folder(),
      DATABASE_URL: database.connectionString,
      PORT: '0',
    });
    expect(await service.ended).toBe(1);
    expect(service.output()).toContain(
      'AUTH_ISSUER: the issuer of tokens is required outside demo mode',
    );
  });

  test("with another country's pack at home starts without the demo's records, and says so", async () => {
    const dir = await folder();
    await using own = await createTestDatabase();
    await using service = spawnService({
      DATA_DIR: dir,
      DATABASE_URL: own.connectionString,
      DEMO: 'on',
      PACK: 'kenya',
      PORT: '0',
    });
    const url = await service.url;
    expect(service.output()).toContain(
      `The demo's records are of the pack "rwanda", which is not the home pack: nothing is filled in.`,
    );
    expect(service.output()).not.toContain('curl');
    const { stdout } = await umutungo(['token', '--role', 'auditor'], { DATA_DIR: dir });
    const pack = await fetch(`${url}/v1/pack`, {
      headers: { authorization: `Bearer ${stdout.trim()}` },
    });
    expect(await pack.json()).toMatchObject({ pack: 'kenya', home: 'KE' });
  });

  test('without the demo accepts no token of the demo issuer, and fills nothing', async () => {
    const dir = await folder();
    await using service = spawnService({
      DATA_DIR: dir,
      DATABASE_URL: database.connectionString,
      PORT: '0',
      AUTH_ISSUER: 'https://issuer.example.org',
      AUTH_JWKS_URL: 'http://127.0.0.1:1/jwks.json',
    });
    const url = await service.url;
    expect(service.output()).not.toContain('Demo');
    const { stdout } = await umutungo(['token', '--role', 'authority'], { DATA_DIR: dir });
    const answer = await fetch(`${url}/v1/organisations`, {
      headers: { authorization: `Bearer ${stdout.trim()}` },
    });
    expect([401, 503]).toContain(answer.status);
    expect(await service.end('SIGTERM')).toBe(0);
    const none = await umutungo(['token', '--role', 'authority'], {
      DATA_DIR: dir,
      DATABASE_URL: database.connectionString,
    });
    expect(none.code).toBe(2);
    const verified = await umutungo(['log', 'verify'], {
      DATA_DIR: dir,
      DATABASE_URL: database.connectionString,
    });
    expect(verified.stdout).toMatch(/^OK 11 events/);
  });

  test('refuses a log whose keys it does not have', async () => {
    await using fresh = await createTestDatabase();
    const env = { DATABASE_URL: fresh.connectionString, DEMO: 'on', PORT: '0' };
    const own = await folder();
    await using earlier = spawnService({ ...env, DATA_DIR: own });
    await earlier.url;
    await earlier.end('SIGTERM');
    await using stranger = spawnService({ ...env, DATA_DIR: await folder() });
    expect(await stranger.ended).toBe(1);
    expect(stranger.output()).toContain('DATA_DIR/keys');
    await using again = spawnService({ ...env, DATA_DIR: own });
    expect(await again.url).toMatch(/^http/);
    expect(await again.end('SIGTERM')).toBe(0);
  });

  test('keeps the demo on loopback unless it is told that this is meant', async () => {
    await using fresh = await createTestDatabase();
    const env = {
      DATA_DIR: await folder(),
      DATABASE_URL: fresh.connectionString,
      DEMO: 'on',
      PORT: '0',
      HOST: '0.0.0.0',
    };
    await using refused = spawnService(env);
    expect(await refused.ended).toBe(1);
    expect(refused.output()).toContain('HOST=0.0.0.0');
    expect(refused.output()).toContain('ALLOW_REMOTE_DEMO=yes');
    await using other = spawnService({ ...env, ALLOW_REMOTE_DEMO: 'true' });
    expect(await other.ended).toBe(1);
    await using meant = spawnService({ ...env, ALLOW_REMOTE_DEMO: 'yes' });
    expect(await meant.url).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
    expect(await meant.end('SIGTERM')).toBe(0);
  });
});

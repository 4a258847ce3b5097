/** `umutungo log mirror` that is killed (SIGKILL), wherever it is, and run again. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { umutungo } from './process.ts';

const ROOT = join(import.meta.dirname, '../..');
const ORIGIN = 'log.test.example/mirrored/2026';

type Files = ReadonlyMap<string, Buffer>;

let service: TestService;
let work: string;
/** The log, as it was copied by a copying that nobody killed. */
let whole: Files;
let server: Server;
/** What becomes of a request: true, where it has been answered here. */
let instead: (path: string, bytes: Buffer, response: ServerResponse) => boolean = () => false;

beforeAll(async () => {
  service = await startTestService({ config: { logOrigin: ORIGIN } });
  const dataset = (i: number) =>
    service.ask('POST', '/v1/datasets', {
      role: 'steward',
      claims: { organisation: 'moh' },
      body: { id: `mirrored-${i}`, title: { en: 'Mirrored' } },
    });
  await Promise.all(Array.from({ length: 270 }, (_, i) => dataset(i)));
  const size = async () =>
    Number((await service.ask('GET', '/log/checkpoint')).text.split('\n')[1]);
  await until(async () => (await size()) > 270);
  work = await mkdtemp(join(tmpdir(), 'umutungo-mirror-'));
  const folder = join(work, 'whole');
  const token = await service.token('authority');
  const args = ['log', 'mirror', `${service.url}/log`, folder, '--token', token];
  const { code, stderr } = await umutungo(args, {});
  if (code !== 0) throw new Error(stderr);
  whole = await filesIn(folder);
  // From here on the log is those files: nothing is new while it is copied.
  server = createServer((request, response) => {
    const path = (request.url ?? '').slice('/log/'.length);
    const bytes = whole.get(path);
    if (!bytes) return void response.writeHead(404).end();
    if (!instead(path, bytes, response)) response.end(bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}, 60_000);
afterEach(() => {
  instead = () => false;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await service[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

/** All files of a folder, by path. */
async function filesIn(folder: string): Promise<Files> {
  const names = await readdir(folder, { recursive: true });
  const files = new Map<string, Buffer>();
  for (const name of names.toSorted((a, b) => (a < b ? -1 : 1))) {
    const file = join(folder, name);
    if ((await stat(file)).isFile()) files.set(name, await readFile(file));
  }
  return files;
}

function command(folder: string): string[] {
  const { port } = server.address() as AddressInfo;
  return ['log', 'mirror', `http://127.0.0.1:${port}/log`, folder];
}

/** Copies until `killed` says so. */
async function copyAndKill(folder: string, killed: (kill: () => void) => void): Promise<void> {
  const args = ['src/cli/main.ts', ...command(folder)];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'ignore' });
  const ended = once(child, 'close');
  killed(() => child.kill('SIGKILL'));
  expect(await ended).toEqual([null, 'SIGKILL']);
}

/** What is there under its own name is there whole. */
async function expectNoHalf(folder: string): Promise<void> {
  const files = await filesIn(folder).catch((): Files => new Map());
  for (const [name, bytes] of files) {
    if (!name.endsWith('.part')) expect(whole.get(name)?.equals(bytes), name).toBe(true);
  }
}

async function expectWhole(folder: string): Promise<void> {
  expect(await umutungo(command(folder), {})).toMatchObject({ code: 0, stderr: '' });
  const files = await filesIn(folder);
  expect([...files.keys()]).toEqual([...whole.keys()]);
  await expectNoHalf(folder);
  const vkeys = join(folder, 'vkeys');
  const ours = await umutungo(['log', 'verify', folder, '--vkey', vkeys], {});
  expect(ours).toMatchObject({ code: 0, stdout: expect.stringContaining('signed by the key') });
}

test('at every file, before and in the middle of it, it ends with the same folder', async () => {
  const folder = join(work, 'killed');
  // Each time it is killed a file further on, with half of it sent, and a moment later.
  for (let run = 0; run < whole.size - 1; run++) {
    await copyAndKill(folder, (kill) => {
      let asked = 0;
      instead = (path, bytes, response) => {
        if (++asked <= run % 3) return false;
        response.writeHead(200, { 'content-length': bytes.length });
        // After a tile more is asked for: it cannot end before it is killed.
        if (run % 2 === 0 || !path.startsWith('tile/'))
          response.write(bytes.subarray(0, bytes.length / 2));
        else response.end(bytes);
        void sleep(run).then(kill);
        // Whatever it asks for until then is not answered.
        instead = () => true;
        return true;
      };
    });
    await expectNoHalf(folder);
  }
  instead = () => false;
  await expectWhole(folder);
}, 120_000);

test('what is there and is not whole is fetched again, and what killed copying has left is gone', async () => {
  const folder = join(work, 'torn');
  await cp(join(work, 'whole'), folder, { recursive: true });
  const tiles = [...whole.keys()].filter((name) => name.startsWith('tile/'));
  for (const [i, name] of tiles.entries()) {
    const bytes = whole.get(name) ?? Buffer.alloc(0);
    await writeFile(join(folder, name), bytes.subarray(0, i % 2 === 0 ? 0 : bytes.length - 1));
  }
  await writeFile(join(folder, '00112233aabb.part'), 'half of something');
  await expectWhole(folder);
});

test('an answer that is not whole is no file', async () => {
  const folder = join(work, 'short');
  instead = (path, bytes, response) => {
    if (!path.startsWith('tile/entries/000')) return false;
    response.end(bytes.subarray(0, bytes.length - 1));
    return true;
  };
  expect(await umutungo(command(folder), {})).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("The log's tile/entries/000 is not whole."),
  });
  await expectNoHalf(folder);
  instead = () => false;
  await expectWhole(folder);
});

/** The disk of what is kept outside the database is full, and has room again. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { demoToken } from '../../src/demo.ts';
import { requestAccess } from '../support/access-request.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { until } from '../support/until.ts';
import { spawnService } from './process.ts';

let stack: AsyncDisposableStack;
let dataDir: string;
let env: Readonly<Record<string, string>>;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  dataDir = await mkdtemp(join(tmpdir(), 'umutungo-full-'));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  env = {
    DATABASE_URL: database.connectionString,
    DEMO: 'on',
    DATA_DIR: dataDir,
    PORT: '0',
    LOG_ORIGIN: 'log.test.example/full/2026',
  };
});
afterEach(() => stack.disposeAsync());

/** May this user mount a small disk of their own? */
function mayMount(): boolean {
  try {
    execFileSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('Nothing is tested of a full disk: no disk can be mounted here.');
    return false;
  }
}

const small = (folder: string): string =>
  `mkdir -p ${folder}; mount -t tmpfs -o size=64k tmpfs ${folder}`;
const fill = (folder: string): string => `cat /dev/zero > ${folder}/ballast 2> /dev/null`;

test.runIf(mayMount())(
  'a service whose keys cannot be written does not start, leaves no half of one, and starts when there is room',
  async () => {
    const keys = join(dataDir, 'keys');
    const tries = [
      small(keys),
      fill(keys),
      `'${process.execPath}' src/main.ts; echo "ended with $?, left: $(ls -A ${keys})"`,
      `rm ${keys}/ballast`,
    ];
    await using service = spawnService(env, tries.join('; '));
    await service.url;
    expect(service.output()).toContain('ENOSPC');
    expect(service.output()).toContain('ended with 1, left: ballast\n');
  },
  60_000,
);

test.runIf(mayMount())(
  'a copy of the log that does not fit leaves no half of a file, and goes on where there is room',
  async () => {
    await using service = spawnService(env);
    const url = await service.url;
    const token = await demoToken(dataDir, 'authority');
    const folder = join(dataDir, 'copy');
    const umutungo = `'${process.execPath}' src/cli/main.ts log`;
    const mirror = `${umutungo} mirror ${url}/log ${folder} --token ${token}`;
    const isPublished = async (): Promise<boolean> =>
      (await (await fetch(`${url}/log/checkpoint`)).text()).includes('\n');
    await until(isPublished);
    const script = [
      small(folder),
      `head -c 48k /dev/zero > ${folder}/ballast`,
      `${mirror}; echo "ended with $?"`,
      `echo "left:" $(cd ${folder}; find . -type f | sort)`,
      `mount -o remount,size=64m ${folder}`,
      `${mirror}; echo "ended with $?"`,
      `${umutungo} verify ${folder} --vkey ${folder}/vkeys; echo "verified with $?"`,
    ];
    const output = execFileSync('unshare', ['-rm', 'sh', '-c', script.join('; ')], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(output).toMatch(/^ended with 2$/m);
    expect(output).toMatch(/^left: \.\/ballast( \.\/tile\/\S+)*$/m);
    expect(output).not.toContain('.part');
    expect(output).toMatch(/^ended with 0$/m);
    expect(output).toMatch(/^verified with 0$/m);
  },
  60_000,
);

test.runIf(mayMount())(
  'while checkpoints cannot be kept none is signed and decisions go on; then the log catches up',
  async () => {
    const signed = join(dataDir, 'signed');
    await using service = spawnService(env, small(signed));
    const url = await service.url;
    const seen = join(`/proc/${service.child.pid}/root`, signed);
    const [token, authority] = [
      await demoToken(dataDir, 'partner'),
      await demoToken(dataDir, 'authority'),
    ];
    const status = async () => {
      const headers = { authorization: `Bearer ${authority}` };
      return (await fetch(`${url}/v1/audit/status`, { headers })).json() as Promise<{
        problem: string | null;
        size: number;
        published: { size: number } | null;
      }>;
    };
    const isPublished = async (): Promise<boolean> => {
      const { size, published, problem } = await status();
      return published?.size === size && problem === null;
    };
    await until(isPublished);
    const before = await status();
    execFileSync('sh', ['-c', `${fill(seen)}; true`]);
    await requestAccess(url, token, 'while-full');
    await until(async () => (await status()).problem?.includes('ENOSPC') === true);
    await requestAccess(url, token, 'still-full');
    expect((await status()).published).toEqual(before.published);
    const [folder = ''] = (await readdir(seen)).filter((name) => name !== 'ballast');
    expect(await readdir(join(seen, folder))).toHaveLength(1);
    await rm(join(seen, 'ballast'));
    await until(isPublished);
    expect((await status()).size).toBeGreaterThan(before.size);
  },
  60_000,
);

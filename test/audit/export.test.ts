/** Exports: whole or said to be broken off, named, and proved by a program that shares no code. */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withoutEvent } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { shell } from '../cli/shell.ts';

const ROOT = join(import.meta.dirname, '../..');
const OVERSEER = { role: 'authority' } as const;
const FILTER = 'dataset=exported-7';

let service: TestService;
let work: string;
let vkeys: string;
let size: number;

beforeAll(async () => {
  service = await startTestService();
  work = await mkdtemp(join(tmpdir(), 'umutungo-export-'));
  vkeys = join(work, 'vkeys');
  await writeFile(vkeys, (await service.ask('GET', '/log/vkeys')).text);
  for (let i = 0; i < 300; i += 30) {
    await Promise.all(
      Array.from({ length: 30 }, (_, k) =>
        service.ask('POST', '/v1/datasets', {
          role: 'steward',
          claims: { organisation: 'moh', subject: '=cmd|steward' },
          body: { id: `exported-${i + k}`, title: { en: 'An "export", with\na break' } },
        }),
      ),
    );
  }
  for (;;) {
    const { body } = await service.ask('GET', '/v1/audit/status', OVERSEER);
    size = body.published.size;
    if (body.pending === 0 && size === body.size) break;
    await sleep(50);
  }
}, 60_000);
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

async function exported(query: string): Promise<string> {
  const { status, text } = await service.ask('GET', `/v1/audit/export?${query}`, OVERSEER);
  expect(status, text.slice(0, 300)).toBe(200);
  return text;
}

async function exportedBytes(query: string): Promise<Buffer> {
  const headers = { authorization: `Bearer ${await service.token('authority')}` };
  const answer = await fetch(`${service.url}/v1/audit/export?${query}`, { headers });
  return Buffer.from(await answer.arrayBuffer());
}

let files = 0;
/** The verifier of one file on a text: its exit code and what it says. */
async function verified(text: string, ...options: string[]): Promise<[number, string]> {
  const file = join(work, `${files++}.jsonl`);
  await writeFile(file, text);
  const program = join(work, 'verify.mjs');
  await writeFile(program, (await service.ask('GET', '/log/verify.mjs')).text);
  return new Promise((resolve) => {
    const args = [program, file, '--vkey', vkeys, ...options];
    execFile(process.execPath, args, (error, stdout, stderr) =>
      resolve([error ? Number(error.code) : 0, stdout + stderr]),
    );
  });
}

const rowsOf = (text: string): string[] => text.trimEnd().split('\n').slice(1, -1);

describe('a JSONL export', () => {
  test('of everything is whole, names what it is, and is verified against the key', async () => {
    const text = await exported('');
    const [first = '', ...rest] = text.trimEnd().split('\n');
    const header = JSON.parse(first);
    expect(header).toMatchObject({
      format: 'umutungo-export@v1',
      from: 0,
      filtered: false,
      filter: {},
    });
    expect(header.to).toBe(Number(header.checkpoint.split('\n')[1]));
    expect(JSON.parse(rest.at(-1) ?? '')).toMatchObject({ end: true, count: header.to });
    expect(await verified(text)).toEqual([
      0,
      expect.stringMatching(/^OK \d+ entries, all of their range,.*signed by the key given/),
    ]);
  });

  test('of any range is verified, and not with any of its rows missing, doubled, swapped or changed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: size - 12 }),
        fc.integer({ min: 3, max: 12 }),
        fc.nat(),
        fc.constantFrom('missing', 'doubled', 'swapped', 'changed'),
        async (start, length, at, damage) => {
          const text = await exported(`size=${size}&start=${start}&end=${start + length}`);
          expect((await verified(text))[0]).toBe(0);
          const lines = text.split('\n');
          const row = 1 + (at % (length - 1));
          const [one = '', next = ''] = [lines[row], lines[row + 1]];
          const damaged = {
            missing: lines.toSpliced(row, 1),
            doubled: lines.toSpliced(row, 0, one),
            swapped: lines.with(row, next).with(row + 1, one),
            changed: lines.with(row, one.replace('\\"outcome\\":\\"', '\\"outcome\\":\\"x')),
          }[damage];
          expect((await verified(damaged.join('\n')))[0], damage).toBe(1);
        },
      ),
      { numRuns: 8 },
    );
  });

  test('with a filter proves each of its entries, and says that it cannot prove that there are no others', async () => {
    const text = await exported(FILTER);
    expect(JSON.parse(text.split('\n')[0] ?? '')).toMatchObject({
      filtered: true,
      filter: { dataset: 'exported-7' },
      complete: expect.stringContaining('that there are no others is not'),
    });
    expect(rowsOf(text)).toHaveLength(1);
    expect(await verified(text)).toEqual([
      0,
      expect.stringContaining('OK 1 entry that a filter chose'),
    ]);
    expect(await verified(text.replace('registerDataset', 'retireDataset'))).toEqual([
      1,
      expect.stringContaining('DAMAGED proof_mismatch'),
    ]);
    const body = text.replace(/\\"salt\\":\\"/, '\\"salt\\":\\"x');
    expect(await verified(body)).toEqual([1, expect.stringContaining('body_digest_mismatch')]);
    const edited = text.replace(/"disclosures":\["./, '"disclosures":["Z');
    expect(await verified(edited)).toEqual([1, expect.stringContaining('value_not_bound')]);
    const gone = text.replace(/"disclosures":\["[\w-]*",/, '"disclosures":[');
    expect(await verified(gone)).toEqual([1, expect.stringContaining('value_missing')]);
  });

  test('that was broken off is not taken for a whole one', async () => {
    const text = await exported('end=20');
    for (const cut of [text.length - 2, Math.floor(text.length / 2), text.indexOf('\n') + 1]) {
      expect((await verified(text.slice(0, cut)))[0]).toBeGreaterThan(0);
    }
    const whole = `${text.trimEnd().split('\n').slice(0, -1).join('\n')}\n`;
    expect(await verified(whole)).toEqual([1, expect.stringContaining('export_truncated')]);
  });

  test('goes on from any row with the same bytes', async () => {
    for (const query of [`size=${size}&start=3&end=280`, `size=${size}&type=registerDataset`]) {
      const text = await exported(query);
      const lines = text.split('\n');
      for (const row of [0, 1, 150, rowsOf(text).length]) {
        const last = row === 0 ? undefined : JSON.parse(lines[row] ?? '').index;
        const index = last === undefined ? (query.includes('start') ? 3 : 0) : last + 1;
        const rest = await exported(`${query}&resume_row=${row}&resume_index=${index}`);
        expect(`${lines.slice(0, row + 1).join('\n')}\n${rest}`).toBe(text);
      }
    }
  });

  test('of what the log does not have is refused', async () => {
    for (const query of [
      'size=5000000',
      'end=5000000',
      'start=9&end=8',
      'format=xml',
      'start=-1',
    ]) {
      const { status } = await service.ask('GET', `/v1/audit/export?${query}`, OVERSEER);
      expect([query, status]).toEqual([query, 400]);
    }
  });

  test('fails, and does not end, when an event is gone', async () => {
    await withoutEvent(service.config.databaseUrl ?? '', 'idx = 100', async () => {
      const headers = { authorization: `Bearer ${await service.token('authority')}` };
      const answer = await fetch(`${service.url}/v1/audit/export?size=${size}`, { headers });
      await expect(answer.text()).rejects.toThrow('terminated');
    });
    expect((await verified(await exported(`size=${size}`)))[0]).toBe(0);
  });
});

describe('a CSV export', () => {
  test('has a row an event, says what it is, and that it is whole', async () => {
    const text = await exported(`format=csv&size=${size}&type=registerDataset`);
    const lines = text.trimEnd().split('\r\n');
    expect(lines[0]).toMatch(
      new RegExp(
        `^# umutungo-export@v1 of .*under the checkpoint of size ${size} and root \\S{44}$`,
      ),
    );
    expect(lines[1]).toContain('{"type":"registerDataset"}');
    expect(lines[2]).toBe(
      'index,event_id,time,type,actor,role,outcome,subject_ids,rules,leaf_hash,body',
    );
    expect(lines.at(-1)).toBe(`# end, ${lines.length - 4} rows`);
    expect(lines.length).toBeGreaterThan(300);
  });

  test('has no cell that a spreadsheet takes for a formula', async () => {
    const text = await exported(`format=csv&${FILTER}`);
    expect(text).toContain(",'=cmd|steward,");
    expect(text).not.toMatch(/(^|,)"?[=+@-]/m);
  });
});

describe('umutungo log export', () => {
  const run = (api: string, out: string, token: string, ...more: string[]) =>
    shell(['log', 'export', api, '--out', out, '--token', token, ...more]);

  test('writes a whole file with the verifier beside it', async () => {
    const out = join(work, 'whole.jsonl');
    const { code, stdout } = await run(
      service.url,
      out,
      await service.token('auditor'),
      '--filter',
      `size=${size}`,
    );
    expect([code, stdout]).toEqual([0, expect.stringContaining(`${size} events, whole`)]);
    expect(await readFile(out, 'utf8')).toBe(await exported(`size=${size}`));
    expect((await stat(join(work, 'verify.mjs'))).size).toBeGreaterThan(1_000);
    expect((await run(service.url, out, await service.token('auditor'))).code).toBe(2);
  });

  test('goes on where a connection broke off, and comes to the same file', async () => {
    const out = join(work, 'broken.jsonl');
    const whole = await exported(`size=${size}`);
    // A door that hangs up after a while, in the middle of a line.
    const door = createServer((request, response) => {
      void (async () => {
        const { authorization = '' } = request.headers;
        const answer = await fetch(service.url + (request.url ?? ''), {
          headers: { authorization },
        });
        const bytes = Buffer.from(await answer.arrayBuffer());
        response.writeHead(answer.status);
        response.write(bytes.subarray(0, 100_000), () => {
          if (bytes.length > 100_000) response.destroy();
          else response.end();
        });
      })();
    });
    await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
    const api = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
    const token = await service.token('authority');
    let tries = 0;
    for (let code = 2; code !== 0; tries++) {
      ({ code } = await run(api, out, token, '--filter', `size=${size}`));
      if (code !== 0) await expect(stat(out)).rejects.toThrow('ENOENT');
      if (tries > 60) throw new Error('it never came to its end');
    }
    door.close();
    expect(tries).toBeGreaterThan(2);
    expect(await readFile(out, 'utf8')).toBe(whole);
  });

  test.each(['csv', 'ocsf', 'parquet'] as const)(
    'makes %s of the JSONL that it fetched, the same bytes as those of the API',
    async (format) => {
      const out = join(work, `made.${format}`);
      const token = await service.token('authority');
      const filter = ['--filter', `size=${size}`, '--filter', 'type=registerDataset'];
      const args = [...filter, '--format', format];
      const { code, stdout, stderr } = await run(service.url, out, token, ...args);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).not.toContain('anew');
      const query = `size=${size}&type=registerDataset`;
      expect(await readFile(`${out}.jsonl`, 'utf8')).toBe(await exported(query));
      expect(await readFile(out)).toEqual(await exportedBytes(`${query}&format=${format}`));
      expect((await verified(await readFile(`${out}.jsonl`, 'utf8')))[0]).toBe(0);
      // Broken off while it was made: what was fetched is not fetched again.
      await rm(out);
      await writeFile(`${out}.part`, 'half of it');
      const again = await run('http://127.0.0.1:9', out, token, ...filter, '--format', format);
      expect([again.code, again.stderr]).toEqual([0, '']);
      expect(again.stdout).toContain(`The ${format} is written anew from ${out}.jsonl`);
      expect(await readFile(out)).toEqual(await exportedBytes(`${query}&format=${format}`));
      await rm(out);
      const other = await run(service.url, out, token, '--format', format);
      expect([other.code, other.stderr]).toEqual([
        2,
        expect.stringContaining('is of another filter'),
      ]);
    },
  );

  test('that is killed in the middle of a Parquet file makes the same one anew', async () => {
    const out = join(work, 'killed.parquet');
    await writeFile(`${out}.jsonl`, await exported(`size=${size}`));
    // What it writes stops in a pipe until somebody reads on: it is killed in the middle.
    execFileSync('mkfifo', [`${out}.part`]);
    const options = ['--filter', `size=${size}`, '--format', 'parquet', '--out', out];
    const args = ['src/cli/main.ts', 'log', 'export', 'http://127.0.0.1:9', ...options];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'ignore' });
    const ended = once(child, 'close');
    const pipe = await open(`${out}.part`, 'r');
    const { buffer, bytesRead } = await pipe.read(Buffer.alloc(1_000));
    child.kill('SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);
    await pipe.close();
    await rm(`${out}.part`);
    await writeFile(`${out}.part`, buffer.subarray(0, bytesRead));
    const token = await service.token('authority');
    const again = await run('http://127.0.0.1:9', out, token, ...options.slice(0, 4));
    expect([again.code, again.stderr]).toEqual([0, '']);
    expect(again.stdout).toContain('The parquet is written anew');
    const bytes = await exportedBytes(`size=${size}&format=parquet`);
    // More than a pipe holds.
    expect(bytes.length).toBeGreaterThan(100_000);
    expect(await readFile(out)).toEqual(bytes);
    expect(buffer.subarray(0, bytesRead)).toEqual(bytes.subarray(0, bytesRead));
    await expect(stat(`${out}.part`)).rejects.toThrow('ENOENT');
  });

  test('makes nothing of a JSONL that is not whole', async () => {
    const out = join(work, 'cut.parquet');
    const token = await service.token('authority');
    const lines = (await exported(`size=${size}`)).split('\n');
    for (const cut of [lines.slice(0, 20), lines.toSpliced(20, 1)]) {
      await writeFile(`${out}.jsonl`, `${cut.join('\n')}\n`);
      const { code, stderr } = await run(service.url, out, token, '--format', 'parquet');
      expect([code, stderr]).toEqual([2, expect.stringContaining('is not whole')]);
      await expect(stat(out)).rejects.toThrow('ENOENT');
    }
  });

  test.each(['start=3', 'end=9', 'size=2'])('does not mix a part with %s', async (range) => {
    const out = join(work, `${range}.jsonl`);
    await writeFile(`${out}.part`, (await exported('')).split('\n').slice(0, 5).join('\n'));
    const token = await service.token('authority');
    const { code, stderr } = await run(service.url, out, token, '--filter', range);
    expect([code, stderr]).toEqual([2, expect.stringContaining('is of another range')]);
  });

  test('does not mix a part with another filter', async () => {
    const out = join(work, 'mixed.jsonl');
    await writeFile(
      `${out}.part`,
      (await exported(FILTER)).split('\n').slice(0, 1).join('\n') + '\n',
    );
    const { code, stderr } = await run(service.url, out, await service.token('authority'));
    expect([code, stderr]).toEqual([2, expect.stringContaining('is of another filter')]);
    await copyFile(`${out}.part`, join(work, 'kept.part'));
  });
});

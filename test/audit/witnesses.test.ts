/** Outside witnesses of the log, and this service as a witness of others: all over real HTTP. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadLogKeys } from '../../src/audit/keys.ts';
import { sha256 } from '../../src/ids.ts';
import { formatAddCheckpoint } from '../../src/tlog/add-checkpoint.ts';
import { openCheckpoint, signCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { openNote } from '../../src/tlog/note.ts';
import { formatVerifierKey, keyIdOf, type NoteSigner } from '../../src/tlog/note-key.ts';
import { cosignersOf, openUnderPolicy, parsePolicy, type Policy } from '../../src/tlog/policy.ts';
import { consistencyProof } from '../../src/tlog/prove.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { testLeaves, tilesOf, treeRoot, vectorText, verifierOf } from '../tlog/reference.ts';

const ORIGIN = 'log.test.example/witnessed/2026';
// What an auditor reads is an event: asking whether the log has caught up would make it longer.
const OVERSEER = { role: 'authority' } as const;
const ISSUER = { issuer: 'x', audience: 'x', jwksUrl: new URL('http://127.0.0.1:1/') };

let stack: AsyncDisposableStack;
let folder: string;
let keys: readonly NoteSigner[];

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'umutungo-witnesses-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  keys = (await loadLogKeys(join(folder, 'log/keys'))).checkpoints(ORIGIN);
});
afterAll(() => stack.disposeAsync());

/** A witness that can be stopped and started again where it was. */
interface TestWitness extends AsyncDisposable {
  readonly url: string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function startWitness(name: string, logs: readonly string[]): Promise<TestWitness> {
  await using own = new AsyncDisposableStack();
  const database = own.use(await createTestDatabase());
  const file = join(folder, `${name}.logs`);
  await writeFile(file, [...logs.map((vkey) => `log ${vkey}`), 'quorum none\n'].join('\n'));
  const config = {
    databaseUrl: database.connectionString,
    dataDir: join(folder, name),
    demo: false,
    issuer: ISSUER,
    witness: { name: `${name}.example`, logs: file },
    logOrigin: `log.${name}.example/own/2026`,
  };
  let running: TestService | undefined = await startTestService({ config });
  const { url } = running;
  const port = Number(new URL(url).port);
  own.defer(async () => running?.[Symbol.asyncDispose]());
  const kept = own.move();
  return {
    url: `${url}/witness`,
    async stop() {
      await running?.[Symbol.asyncDispose]();
      running = undefined;
    },
    async start() {
      running = await startTestService({ config: { ...config, port } });
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error('It did not come to that in 10 seconds.');
}

const text = async (url: string): Promise<string> => (await fetch(url)).text();

describe('a log with three witnesses, of which it needs two', () => {
  let witnesses: TestWitness[];
  let database: TestDatabase;
  let service: TestService;
  let config: Parameters<typeof startTestService>[0] & object;
  let policy: Policy;

  beforeAll(async () => {
    const vkeys = keys.map(formatVerifierKey);
    witnesses = await Promise.all(['w1', 'w2', 'w3'].map((name) => startWitness(name, vkeys)));
    for (const each of witnesses) stack.use(each);
    const lines = await Promise.all(
      witnesses.map(async ({ url }, i) => {
        // Two of the witnesses are known by their Ed25519 key, one by its ML-DSA-44 key.
        const [ed25519, mlDsa44] = (await text(`${url}/vkeys`)).split('\n');
        return `witness W${i + 1} ${i === 2 ? mlDsa44 : ed25519} ${url}`;
      }),
    );
    const file = join(folder, 'policy');
    await writeFile(file, [...lines, 'group two 2 W1 W2 W3', 'quorum two\n'].join('\n'));
    database = stack.use(await createTestDatabase());
    config = {
      config: {
        databaseUrl: database.connectionString,
        dataDir: join(folder, 'log'),
        logOrigin: ORIGIN,
        logPolicy: file,
      },
    };
    service = await startTestService(config);
    stack.defer(async () => service[Symbol.asyncDispose]());
    const parsed = parsePolicy(await text(`${service.url}/log/tlog-policy`));
    if (!parsed.ok) throw new Error(parsed.reason);
    policy = parsed.policy;
  });

  const published = async (): Promise<number> =>
    Number((await text(`${service.url}/log/checkpoint`)).split('\n')[1]);
  const status = async () => (await service.ask('GET', '/v1/audit/status', OVERSEER)).body;
  const register = (id: string) =>
    service.ask('POST', '/v1/datasets', {
      role: 'steward',
      claims: { organisation: 'moh' },
      body: { id, title: { en: 'Witnessed' } },
    });
  const caughtUp = async (): Promise<boolean> => {
    const { size, pending, published: newest } = await status();
    return pending === 0 && newest?.size === size;
  };

  test('publishes checkpoints that its published policy accepts, and proofs under them', async () => {
    const { body } = await register('witnessed-one');
    await until(caughtUp);
    const note = await text(`${service.url}/log/checkpoint`);
    expect(openUnderPolicy(note, policy)).toMatchObject({ ok: true });
    expect(cosignersOf(note, policy).length).toBeGreaterThanOrEqual(2);
    const proof = await service.ask('GET', `/v1/audit/events/${body.event_id}/proof`, OVERSEER);
    expect(openUnderPolicy(proof.text.split('\n\n').slice(1).join('\n\n'), policy).ok).toBe(true);
    expect(await status()).toMatchObject({ quorum: 'two', problem: null, origin: ORIGIN });
  });

  test('publishes with one of them away', async () => {
    await witnesses[0]?.stop();
    const before = await published();
    await register('witnessed-two');
    await until(async () => (await published()) > before);
    expect(cosignersOf(await text(`${service.url}/log/checkpoint`), policy)).toEqual(['W2', 'W3']);
  });

  test('below the quorum keeps the last good checkpoint, raises an alarm, and decides on', async () => {
    await witnesses[1]?.stop();
    await until(caughtUp);
    const kept = await text(`${service.url}/log/checkpoint`);
    expect((await register('witnessed-three')).status).toBe(201);
    await until(async () => (await status()).problem !== null);
    const { problem, witnesses: states, size, published: newest } = await status();
    expect(problem).toMatch(/^too few witnesses cosigned.*W1: .*W2: /);
    expect(states.map(({ problem: each }: { problem: string | null }) => each === null)).toEqual([
      false,
      false,
      true,
    ]);
    expect(newest.size).toBeLessThan(size);
    expect((await register('witnessed-four')).status).toBe(201);
    expect(await text(`${service.url}/log/checkpoint`)).toBe(kept);
    expect(service.warnings.filter((line) => line.startsWith('log: too few'))).not.toEqual([]);
  });

  test('recovers by itself when they are back, and asks from where each of them is', async () => {
    await witnesses[0]?.start();
    await until(caughtUp);
    await witnesses[1]?.start();
    await register('witnessed-five');
    await until(caughtUp);
    expect((await status()).problem).toBeNull();
    expect(openUnderPolicy(await text(`${service.url}/log/checkpoint`), policy).ok).toBe(true);
  });

  test('after a restart asks them again, from the sizes that they tell', async () => {
    await service[Symbol.asyncDispose]();
    service = await startTestService(config);
    await register('witnessed-six');
    await until(caughtUp);
    const { witnesses: states } = await status();
    expect(states.some(({ size }: { size: number }) => size > 0)).toBe(true);
    // Each has a second, for both of its answers: on a busy machine that may be too short, and they are
    // asked again. Of sizes there is nothing to be warned of.
    const others = service.warnings.filter((line) => !line.includes('no answer within a second'));
    expect(others).toEqual([]);
  });

  test('with another past under the same keys gets no cosignature: nobody sees it', async () => {
    await service[Symbol.asyncDispose]();
    const cosigned = await text(`${witnesses[2]?.url}/${sha256(ORIGIN)}/checkpoint`);
    const seen = Number(cosigned.split('\n')[1]);
    // The operator makes a new database, and takes away what the service had kept beside the old one.
    await rm(join(folder, 'log/signed'), { recursive: true });
    const forged = stack.use(await createTestDatabase());
    service = await startTestService({
      config: { ...config.config, databaseUrl: forged.connectionString },
    });
    await until(async () => (await status()).problem !== null);
    expect((await status()).problem).toContain(`it has cosigned ${seen} entries, this log has `);
    for (let i = 0; (await status()).size <= seen; i++) await register(`forged-${i}`);
    await until(async () => (await status()).problem?.includes('422'));
    expect((await service.ask('GET', '/log/checkpoint')).status).toBe(503);
  });
});

describe('as a witness', () => {
  const vectors = JSON.parse(vectorText('witness/add-checkpoint-sequence.json'));
  const ownLeaves = testLeaves(40);
  const { readTile } = tilesOf(ownLeaves);
  let witness: TestWitness;

  const post = async (body: string): Promise<{ status: number; type: string; text: string }> => {
    const answer = await fetch(`${witness.url}/add-checkpoint`, { method: 'POST', body });
    return {
      status: answer.status,
      type: answer.headers.get('content-type') ?? '',
      text: await answer.text(),
    };
  };
  const call = async (from: number, size: number, root = treeRoot(ownLeaves.slice(0, size))) =>
    post(
      formatAddCheckpoint({
        oldSize: from,
        proof: await consistencyProof(from, size, readTile),
        checkpoint: signCheckpoint({ origin: ORIGIN, size, root }, keys),
      }),
    );

  beforeAll(async () => {
    const publicKey = Buffer.from(vectors.logEd25519PublicKeyHex, 'hex');
    const id = keyIdOf(vectors.logOrigin, 1, publicKey).toString(16).padStart(8, '0');
    const key = Buffer.concat([Uint8Array.of(1), publicKey]).toString('base64');
    const logs = [`${vectors.logOrigin}+${id}+${key}`, ...keys.map(formatVerifierKey)];
    witness = stack.use(await startWitness('server', logs));
  });

  test("answers litewitness's sequence, with the size of a conflict in its own type", async () => {
    for (const { body, status, bodyEquals, trap, ...step } of vectors.steps) {
      const wanted =
        trap === undefined ? (step['statusInSpec_tlog-witness_v1.0.0'] ?? status) : 400;
      const answer = await post(body);
      expect(answer.status, answer.text).toBe(wanted);
      if (status === 409) {
        expect(answer).toMatchObject({ type: 'text/x.tlog.size', text: bodyEquals });
      }
      if (status === 200) expect(answer.text).toMatch(/^— server\.example \S+\n— server\.example /);
    }
  });

  test('cosigns with both of its keys, and gives monitors what it cosigned', async () => {
    const answer = await call(0, 10);
    expect(answer.status).toBe(200);
    const kept = await text(`${witness.url}/${sha256(ORIGIN)}/checkpoint`);
    expect(kept.endsWith(answer.text)).toBe(true);
    expect(openCheckpoint(kept, keys)).toMatchObject({ ok: true, checkpoint: { size: 10 } });
    const vkeys = (await text(`${witness.url}/vkeys`)).trim().split('\n').map(verifierOf);
    expect(vkeys.map(({ type }) => type)).toEqual([4, 6]);
    for (const vkey of vkeys) expect(openNote(kept, [vkey]).ok).toBe(true);
    expect((await fetch(`${witness.url}/${sha256('other')}/checkpoint`)).status).toBe(404);
  });

  test('cosigns one of two trees of a size, however many ask for both at once', async () => {
    const sound = treeRoot(ownLeaves.slice(0, 10));
    const fork = leafHash(Buffer.from('fork'));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => call(10, 10, i % 2 === 0 ? fork : sound)),
    );
    expect(answers.map(({ status }) => status)).toEqual(
      answers.map((_, i) => (i % 2 === 0 ? 422 : 200)),
    );
  });

  test('never goes back: of calls from one size at once, those after the first get the new size', async () => {
    const sizes = [11, 15, 20, 25, 30, 35, 40];
    const answers = await Promise.all(sizes.map((size) => call(10, size)));
    const taken = sizes.filter((_, i) => answers[i]?.status === 200);
    expect(taken).toHaveLength(1);
    for (const [i, { status, text: body }] of answers.entries()) {
      if (status !== 200)
        expect([sizes[i], status, body]).toEqual([sizes[i], 409, `${taken[0]}\n`]);
    }
    const kept = await text(`${witness.url}/${sha256(ORIGIN)}/checkpoint`);
    expect(Number(kept.split('\n')[1])).toBe(taken[0]);
  });

  test('remembers over a restart', async () => {
    const [, before] = (await text(`${witness.url}/${sha256(ORIGIN)}/checkpoint`)).split('\n');
    await witness.stop();
    await witness.start();
    expect(await call(5, 40)).toMatchObject({ status: 409, text: `${before}\n` });
    expect(await call(Number(before), 40)).toMatchObject({ status: 200 });
  });

  test('refuses what is no text, and what is too long', async () => {
    const bad = await fetch(`${witness.url}/add-checkpoint`, {
      method: 'POST',
      body: new Uint8Array([0xff, 0xfe]),
    });
    expect(bad.status).toBe(400);
    expect((await post(`old 0\n\n${'x'.repeat(300_000)}`)).status).toBe(413);
    expect((await post('hello')).status).toBe(400);
  });
});

test('a service that is no witness has none of its addresses', async () => {
  await using service = await startTestService();
  const answer = await service.ask('POST', '/witness/add-checkpoint', { body: 'old 0\n\n' });
  expect([answer.status, (await service.ask('GET', '/witness/vkeys')).status]).toEqual([404, 404]);
});

test('a policy with a mistake stops the start, and the line is named', async () => {
  const file = join(folder, 'broken.policy');
  await writeFile(file, '# fine\nquorum nobody\n');
  await expect(startTestService({ config: { logPolicy: file } })).rejects.toThrow(
    `LOG_POLICY: ${file}, line 2: unknown_name`,
  );
});

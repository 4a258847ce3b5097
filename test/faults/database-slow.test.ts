/** The database is slow, or answers nobody: requests wait no longer than they may, and not in any number. */

import { connect as connectTo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ACCESS_REQUEST } from '../support/access-request.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { type Line, lineTo, type OwnServer, startOwnServer } from './database.ts';

/** As many may wait for their turn; two batches of 64 are under way. */
const QUEUE = 4_096;
const LANES = 40;

let stack: AsyncDisposableStack;
let server: OwnServer;
let line: Line;
let service: TestService;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  server = stack.use(await startOwnServer());
  line = stack.use(await lineTo(server.url));
  service = stack.use(await startTestService({ config: { databaseUrl: line.url } }));
  await until(isWell);
});
afterAll(() => stack.disposeAsync());

function submit(): Promise<Answer> {
  return service.ask('POST', '/v1/access-requests', { role: 'partner', body: ACCESS_REQUEST });
}

async function isWell(): Promise<boolean> {
  return (await submit()).status === 201;
}

/** Sends requests one after the other on a connection, without waiting for answers, which it counts. */
async function pipeline(requests: number): Promise<{ socket: Socket; statuses: number[] }> {
  const { hostname, port } = new URL(service.url);
  const body = JSON.stringify(ACCESS_REQUEST);
  const head = [
    'POST /v1/access-requests HTTP/1.1',
    `host: ${hostname}:${port}`,
    `authorization: Bearer ${await service.token('partner')}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ].join('\r\n');
  const socket = connectTo({ host: hostname, port: Number(port) });
  const statuses: number[] = [];
  let rest = '';
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1');
    const found = [...rest.matchAll(/HTTP\/1\.1 (\d{3}) /g)];
    statuses.push(...found.map(([, status]) => Number(status)));
    // What may be the beginning of the next status line.
    rest = rest.slice(Math.max(rest.length - 12, (found.at(-1)?.index ?? -12) + 12));
  });
  socket.write(`${head}\r\n\r\n${body}`.repeat(requests));
  return { socket, statuses };
}

test('a slow database makes answers late, and none wrong', async () => {
  line.delay(300);
  const started = performance.now();
  const answers = await Promise.all(Array.from({ length: 60 }, () => submit()));
  line.delay(0);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ body }) => body.id)).size).toBe(60);
  expect(performance.now() - started).toBeGreaterThan(300);
});

test.runIf(process.platform === 'linux')(
  'beyond as many as may wait, the next is refused at once; those who wait are answered',
  async () => {
    await server.signal('SIGSTOP');
    const lanes = await Promise.all(
      Array.from({ length: LANES }, () => pipeline(Math.ceil((QUEUE + 200) / LANES))),
    );
    try {
      // Refused while the database is frozen: by the queue, and by no timeout of the database.
      let refused: Answer | undefined;
      for (let tries = 0; refused === undefined && tries < 100; tries++) {
        const probe = submit();
        refused = await Promise.race([probe, sleep(50).then(() => undefined)]);
      }
      expect(refused?.status).toBe(503);
      expect(refused?.headers.has('retry-after')).toBe(true);
      expect(refused?.body.detail).toContain('Too many requests are waiting');
      expect((await service.ask('GET', '/livez')).status).toBe(200);
    } finally {
      await server.signal('SIGCONT');
    }
    await until(isWell);
    const answered = (): number[] => lanes.flatMap(({ statuses }) => statuses);
    await until(async () => answered().length >= QUEUE);
    expect(answered().filter((status) => status !== 201 && status !== 503)).toEqual([]);
    expect(answered().filter((status) => status === 201).length).toBeGreaterThan(QUEUE / 2);
    for (const { socket } of lanes) socket.destroy();
    expect(service.warnings.filter((warning) => warning.includes('TypeError'))).toEqual([]);
  },
  60_000,
);

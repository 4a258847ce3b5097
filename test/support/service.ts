/** The whole service over real HTTP on a database of its own, with the demo in it. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../src/config.ts';
import { type DemoClaims, demoToken } from '../../src/demo.ts';
import { loadContract } from '../../src/http/contract.ts';
import { PROBLEMS } from '../../src/http/problems.ts';
import type { Role } from '../../src/principal.ts';
import { type Service, startService } from '../../src/service.ts';
import { createTestDatabase } from './postgres.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into bodies of any shape
  readonly body: any;
}

export interface Ask {
  readonly role?: Role;
  readonly claims?: DemoClaims;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string or bytes as they are. */
  readonly body?: unknown;
}

export interface TestService extends AsyncDisposable {
  readonly url: string;
  readonly config: Config;
  readonly warnings: string[];
  /** One request; its answer must be one that the contract documents. */
  ask(method: string, path: string, ask?: Ask): Promise<Answer>;
  token(role: Role, claims?: DemoClaims): Promise<string>;
}

const contract = loadContract();

export interface TestServiceOptions {
  readonly clock?: () => Date;
  readonly config?: Partial<Config>;
}

export async function startTestService({
  clock = () => new Date(),
  config: overrides = {},
}: TestServiceOptions = {}): Promise<TestService> {
  await using stack = new AsyncDisposableStack();
  const database =
    overrides.databaseUrl === undefined ? stack.use(await createTestDatabase()) : undefined;
  const dataDir = overrides.dataDir ?? (await mkdtemp(join(tmpdir(), 'umutungo-service-')));
  if (overrides.dataDir === undefined)
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const config: Config = {
    host: '127.0.0.1',
    port: 0,
    dataDir,
    databaseUrl: database?.connectionString ?? null,
    demo: true,
    packDir: join(import.meta.dirname, '../../policies/rwanda'),
    logOrigin: 'log.test.example/umutungo/2026',
    logPolicy: null,
    witness: null,
    issuer: null,
    poolSize: 5,
    processes: 1,
    publicUrl: null,
    ...overrides,
  };
  const warnings: string[] = [];
  const service: Service = stack.use(
    await startService(config, clock, { say: () => {}, warn: (line) => warnings.push(line) }),
  );
  const tokens = new Map<string, Promise<string>>();
  const token = (role: Role, claims: DemoClaims = {}): Promise<string> => {
    const key = JSON.stringify([role, claims]);
    const made = tokens.get(key) ?? demoToken(dataDir, role, claims);
    tokens.set(key, made);
    return made;
  };
  const owned = stack.move();
  return {
    url: service.url,
    config,
    warnings,
    token,
    ask: (method, path, ask = {}) => send(service.url, { method, path, ask, token }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Sending {
  readonly method: string;
  readonly path: string;
  readonly ask: Ask;
  readonly token: TestService['token'];
}

async function send(url: string, { method, path, ask, token }: Sending): Promise<Answer> {
  const { role, claims, body } = ask;
  const headers = new Headers(ask.headers);
  const bearer = ask.token ?? (role && (await token(role, claims)));
  if (bearer !== undefined) headers.set('authorization', `Bearer ${bearer}`);
  const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
  if (body !== undefined && !headers.has('content-type'))
    headers.set('content-type', 'application/json');
  const payload = (raw ? body : JSON.stringify(body)) as
    | string
    | Uint8Array<ArrayBuffer>
    | undefined;
  const response = await fetch(url + path, {
    method,
    headers,
    redirect: 'manual',
    ...(payload === undefined ? {} : { body: payload }),
  });
  const text = await response.text();
  const mediaType = response.headers.get('content-type')?.split(';')[0] ?? '';
  const parsed: unknown = mediaType.endsWith('json') && text !== '' ? JSON.parse(text) : text;
  checkDocumented({ method, path, status: response.status, mediaType, body: parsed });
  return { status: response.status, headers: response.headers, text, body: parsed };
}

interface Documented {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly mediaType: string;
  readonly body: unknown;
}

/** @throws when the contract does not have this answer for this operation. */
function checkDocumented({ method, path, status, mediaType, body }: Documented): void {
  const pathname = path.split('?')[0] ?? '';
  const operation = contract.operations.find(
    (each) =>
      each.method === method &&
      new RegExp(`^${each.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(pathname),
  );
  if (mediaType === 'application/problem+json') {
    const problem = body as { code: keyof typeof PROBLEMS; status: number };
    if (PROBLEMS[problem.code]?.status !== status)
      throw new Error(`${method} ${path}: ${status} ${problem.code} is no documented problem`);
  }
  if (!operation) return;
  const validate = contract.responseValidator(operation.id, status, mediaType);
  if (!validate)
    throw new Error(
      `${operation.id}: status ${status} ${mediaType} is not documented: ${JSON.stringify(body).slice(0, 500)}`,
    );
  if (!validate(body))
    throw new Error(
      `${operation.id} ${status} does not fit the contract: ${JSON.stringify(validate.errors?.slice(0, 3))}`,
    );
}

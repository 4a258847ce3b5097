import { execFile } from 'node:child_process';
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const ISSUER = 'https://login.test.example';
const AUDIENCE = 'umutungo-test';
const START = Date.parse('2026-11-02T08:00:00Z');
const TOKEN_CACHE_MS = 30_000;
const KEYS_CACHE_MS = 5 * 60_000;
const COOLDOWN_MS = 10_000;

interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
}

function newKey(kid: string, alg = 'ES256'): SigningKey {
  const { privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, alg, privateKey };
}

async function publicJwk({ kid, alg, privateKey }: SigningKey): Promise<JWK> {
  return { ...(await exportJWK(createPublicKey(privateKey))), kid, alg, use: 'sig' };
}

const mine = newKey('key-1');
const rsa = newKey('key-rsa', 'RS256');

/** The issuer's key set, served for real; tests change what it answers. */
interface Jwks {
  keys: JWK[];
  answer: 'keys' | 'error' | 'html' | 'other_json' | 'silence';
  fetched: number;
}
const jwks: Jwks = { keys: [], answer: 'keys', fetched: 0 };
let issuer: Server;
let service: TestService;
let jwksUrl: URL;

function listen(): Server {
  return createServer((_request, response) => {
    jwks.fetched += 1;
    if (jwks.answer === 'silence') return;
    const [status, type, body] = {
      keys: [200, 'application/json', JSON.stringify({ keys: jwks.keys })] as const,
      error: [500, 'application/json', '{"error": "broken"}'] as const,
      html: [200, 'text/html', '<h1>Maintenance</h1>'] as const,
      other_json: [200, 'application/json', '{"keys": "none today"}'] as const,
    }[jwks.answer];
    response.writeHead(status, { 'content-type': type, connection: 'close' }).end(body);
  });
}

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: START });
  jwks.keys = [await publicJwk(mine), await publicJwk(rsa)];
  issuer = listen().listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  jwksUrl = new URL(`http://127.0.0.1:${(issuer.address() as AddressInfo).port}/keys`);
  const config = { demo: false, issuer: { issuer: ISSUER, audience: AUDIENCE, jwksUrl } };
  service = await startTestService({ config });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  issuer.closeAllConnections();
  issuer.close();
  vi.useRealTimers();
});

function advance(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

const seconds = (): number => Math.floor(Date.now() / 1000);
const base = (): JWTPayload => ({
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'someone',
  exp: seconds() + 3_600,
  role: 'auditor',
});

type Claims = Readonly<Record<string, unknown>>;

/** A token of `key` with other claims than a good one; `undefined` leaves one out. */
function sign(claims: Claims = {}, key: SigningKey = mine, header: object = {}): Promise<string> {
  const entries = Object.entries({ ...base(), ...claims }).filter(
    ([, value]) => value !== undefined,
  );
  return new SignJWT(Object.fromEntries(entries) as JWTPayload)
    .setProtectedHeader({ alg: key.alg, kid: key.kid, ...header })
    .sign(key.privateKey);
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function symmetric(secret: string | Buffer): string {
  const signed = `${encode({ alg: 'HS256', kid: mine.kid })}.${encode(base())}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

const read = (token: string): Promise<Answer> => service.ask('GET', '/v1/pack', { token });

async function expectRefused(token: string, why: RegExp): Promise<void> {
  const answer = await read(token);
  expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_token' } });
  expect(answer.body.detail).toMatch(why);
  expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  // It is a secret all the same.
  expect(answer.text).not.toContain(token.padEnd(20, ' ').slice(0, 20));
}

describe('a token is accepted', () => {
  const accepted: Readonly<Record<string, () => Promise<string>>> = {
    'signed with ES256': () => sign(),
    'signed with RS256': () => sign({}, rsa),
    'with several audiences, this service among them': () => sign({ aud: ['other', AUDIENCE] }),
    'a moment after its expiry, as clocks differ': () => sign({ exp: seconds() - 3 }),
    'of a steward with an organisation': () => sign({ role: 'steward', organisation: 'moh' }),
    'of a partner with an organisation and no projects': () =>
      sign({ role: 'partner', organisation: 'jp-engineering' }),
  };
  test.each(Object.entries(accepted))('%s', async (_name, make) => {
    expect(await read(await make())).toMatchObject({ status: 200 });
  });

  test('whatever the case of the scheme', async () => {
    const authorization = `bearer ${await sign()}`;
    expect(await service.ask('GET', '/v1/pack', { headers: { authorization } })).toMatchObject({
      status: 200,
    });
  });
});

describe('a token is refused', () => {
  const stranger = newKey('key-of-nobody');
  const impostor = newKey(mine.kid);
  const none = (alg: string, kid?: string): string =>
    `${encode({ alg, ...(kid && { kid }) })}.${encode(base())}.`;
  const refused: Readonly<Record<string, readonly [() => string | Promise<string>, RegExp]>> = {
    expired: [() => sign({ exp: seconds() - 60 }), /expired/],
    'not valid yet': [() => sign({ nbf: seconds() + 3_600 }), /claim/],
    'signed by a key that the issuer does not have': [() => sign({}, stranger), /key/],
    "signed by another's key with the same kid": [() => sign({}, impostor), /signature/],
    'whose header brings its own key': [
      async () => sign({}, impostor, { jwk: await publicJwk(impostor) }),
      /signature/,
    ],
    'whose header says where its key is': [
      () => sign({}, stranger, { jku: 'http://127.0.0.1:1/keys' }),
      /key/,
    ],
    'with alg none': [() => none('none'), /algorithm|malformed/],
    'with alg none and a known kid': [() => none('none', mine.kid), /algorithm|malformed/],
    'with alg None in another spelling': [() => none('nOnE', mine.kid), /algorithm|malformed/],
    'with HS256 and the public key as PEM for a secret': [
      () => symmetric(createPublicKey(mine.privateKey).export({ type: 'spki', format: 'pem' })),
      /algorithm/,
    ],
    'with HS256 and the public key as DER for a secret': [
      () => symmetric(createPublicKey(mine.privateKey).export({ type: 'spki', format: 'der' })),
      /algorithm/,
    ],
    'with HS256 and the JWK for a secret': [
      async () => symmetric(JSON.stringify(await publicJwk(mine))),
      /algorithm/,
    ],
    'with another algorithm than its key': [
      () => sign({}, { ...rsa, kid: mine.kid }),
      /key|signature/,
    ],
    'with a critical header that nobody knows': [
      async () => {
        const [, payload, signature] = (await sign()).split('.');
        return `${encode({ alg: 'ES256', kid: mine.kid, crit: ['x'], x: 1 })}.${payload}.${signature}`;
      },
      /./,
    ],
    'of another issuer': [() => sign({ iss: 'https://login.evil.example' }), /issuer/],
    'of an issuer whose name begins the same': [() => sign({ iss: `${ISSUER}/` }), /issuer/],
    'for another audience': [() => sign({ aud: 'another-service' }), /audience/],
    'without issuer': [() => sign({ iss: undefined }), /claim/],
    'without audience': [() => sign({ aud: undefined }), /claim/],
    'without exp': [() => sign({ exp: undefined }), /claim/],
    'with exp as text': [() => sign({ exp: 'tomorrow' }), /claim|malformed/],
    'without sub': [() => sign({ sub: undefined }), /claim/],
    'with an empty sub': [() => sign({ sub: '' }), /sub/],
    'with a sub that is no text': [() => sign({ sub: 7 }), /./],
    'with an endless sub': [() => sign({ sub: 's'.repeat(201) }), /sub/],
    'without role': [() => sign({ role: undefined }), /role/],
    'with an unknown role': [() => sign({ role: 'admin' }), /role/],
    'with a role in another case': [() => sign({ role: 'Auditor' }), /role/],
    'with a list of roles': [() => sign({ role: ['auditor'] }), /role/],
    'of a steward without organisation': [() => sign({ role: 'steward' }), /organisation/],
    'of a partner without organisation': [
      () => sign({ role: 'partner', projects: ['p'] }),
      /organisation/,
    ],
    'of a holder without organisation': [() => sign({ role: 'holder' }), /organisation/],
    'of a steward of no possible organisation': [
      () => sign({ role: 'steward', organisation: '*' }),
      /organisation/,
    ],
    'of a steward of a list of organisations': [
      () => sign({ role: 'steward', organisation: ['moh'] }),
      /organisation/,
    ],
    'changed after it was signed': [
      async () => {
        const [header, , signature] = (await sign({ role: 'holder', organisation: 'moh' })).split(
          '.',
        );
        return `${header}.${encode(base())}.${signature}`;
      },
      /signature/,
    ],
    'whose payload is no object': [
      () => `${encode({ alg: 'ES256', kid: mine.kid })}.${encode('auditor')}.AAAA`,
      /./,
    ],
    'of garbage': [() => 'garbage', /no JWT/],
    'of garbage in three parts': [() => 'a.b.c', /malformed|verified/],
    'in five parts (encrypted)': [() => 'a.b.c.d.e', /no JWT/],
    empty: [() => '', /no JWT/],
    'of 10 kB': [() => sign({ filler: 'x'.repeat(10_000) }), /no JWT/],
  };
  test.each(Object.entries(refused))('%s', async (_name, [make, why]) => {
    await expectRefused(await make(), why);
  });

  test('in any other scheme', async () => {
    for (const authorization of [
      'Basic c29tZW9uZTpwYXNz',
      `Token ${await sign()}`,
      await sign(),
      'Bearer',
      'Bearer a b',
    ]) {
      const answer = await service.ask('GET', '/v1/pack', { headers: { authorization } });
      expect(answer, authorization).toMatchObject({ status: 401, body: { code: 'invalid_token' } });
    }
  });

  test('nowhere but in the header', async () => {
    const answer = await service.ask('GET', `/v1/pack?access_token=${await sign()}`);
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
  });

  test('once it expires, although it was accepted a moment ago', async () => {
    const token = await sign({ exp: seconds() + 10 });
    expect(await read(token)).toMatchObject({ status: 200 });
    advance(16_000);
    await expectRefused(token, /expired/);
  });
});

test('projects that a token cannot mean are none of its projects', async () => {
  const token = await sign({
    role: 'partner',
    organisation: 'x',
    projects: ['*', '', 7, null, 'a,b', '../p'],
  });
  expect(await service.ask('GET', '/v1/access-requests', { token })).toMatchObject({
    status: 200,
    body: { items: [] },
  });
});

describe('keys', () => {
  beforeEach(async () => {
    jwks.answer = 'keys';
    jwks.keys = [await publicJwk(mine)];
    advance(KEYS_CACHE_MS + COOLDOWN_MS);
    await read(await sign());
  });

  test('a token of a new key is accepted once the issuer publishes it', async () => {
    const next = newKey('key-2');
    const token = await sign({}, next);
    advance(COOLDOWN_MS + 1);
    await expectRefused(token, /key/);
    jwks.keys = [await publicJwk(mine), await publicJwk(next)];
    advance(COOLDOWN_MS + 1);
    expect(await read(token)).toMatchObject({ status: 200 });
    expect(await read(await sign())).toMatchObject({ status: 200 });
  });

  test('a key that the issuer took back stops working', async () => {
    const next = newKey('key-3');
    const token = await sign();
    jwks.keys = [await publicJwk(next)];
    advance(KEYS_CACHE_MS + TOKEN_CACHE_MS);
    await expectRefused(token, /key/);
    expect(await read(await sign({}, next))).toMatchObject({ status: 200 });
  });

  test('a token that was accepted is looked at again after half a minute', async () => {
    const next = newKey('key-4');
    const token = await sign();
    expect(await read(token)).toMatchObject({ status: 200 });
    jwks.keys = [await publicJwk(next)];
    // An unknown key makes the set be fetched, and the old one is gone.
    advance(COOLDOWN_MS + 1);
    expect(await read(await sign({}, next))).toMatchObject({ status: 200 });
    advance(TOKEN_CACHE_MS);
    await expectRefused(token, /key/);
  });

  test('forged key names do not make the issuer be asked each time', async () => {
    advance(COOLDOWN_MS + 1);
    const before = jwks.fetched;
    for (let i = 0; i < 20; i++) await expectRefused(await sign({}, newKey(`forged-${i}`)), /key/);
    expect(jwks.fetched - before).toBeLessThanOrEqual(1);
  });

  test.each(['error', 'html', 'other_json'] as const)(
    'an issuer that answers with %s is 503, and the next good answer heals it',
    async (answer) => {
      jwks.answer = answer;
      advance(KEYS_CACHE_MS + TOKEN_CACHE_MS);
      const down = await read(await sign());
      expect(down).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(Number(down.headers.get('retry-after'))).toBeGreaterThan(0);
      jwks.answer = 'keys';
      expect(await read(await sign())).toMatchObject({ status: 200 });
    },
  );

  test('an issuer that cannot be reached is 503, and its return heals it', async () => {
    const { port } = issuer.address() as AddressInfo;
    issuer.closeAllConnections();
    issuer.close();
    advance(KEYS_CACHE_MS + TOKEN_CACHE_MS);
    expect(await read(await sign())).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    issuer = listen().listen(port, '127.0.0.1');
    await once(issuer, 'listening');
    expect(await read(await sign())).toMatchObject({ status: 200 });
  });

  test('an issuer that never answers costs a caller three seconds, not for ever', async () => {
    jwks.answer = 'silence';
    advance(KEYS_CACHE_MS + TOKEN_CACHE_MS);
    const started = performance.now();
    expect(await read(await sign())).toMatchObject({ status: 503, body: { code: 'unavailable' } });
    expect(performance.now() - started).toBeLessThan(6_000);
    jwks.answer = 'keys';
    issuer.closeAllConnections();
    expect(await read(await sign())).toMatchObject({ status: 200 });
  });

  test('an issuer that is away does not turn away those whose keys are known', async () => {
    jwks.answer = 'error';
    advance(KEYS_CACHE_MS / 2);
    expect(await read(await sign())).toMatchObject({ status: 200 });
  });
});

describe('outside demo mode the demo issuer does not exist', () => {
  test('the service makes no key for it', async () => {
    await expect(access(join(service.config.dataDir, 'demo'))).rejects.toThrow('ENOENT');
  });

  test('its tokens are refused', async () => {
    jwks.answer = 'keys';
    await expectRefused(await service.token('authority'), /./);
  });

  const outside: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['DEMO=off', { DEMO: 'off', AUTH_ISSUER: ISSUER, AUTH_JWKS_URL: 'http://127.0.0.1:1/keys' }],
    [
      'a database of its own',
      {
        DATABASE_URL: 'postgres://127.0.0.1:1/x',
        AUTH_ISSUER: ISSUER,
        AUTH_JWKS_URL: 'http://127.0.0.1:1/keys',
      },
    ],
  ];
  test.each(outside)(
    '`umutungo token` prints none with %s, and makes no key',
    async (_name, env) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-token-'));
      const run = await runToken({ ...env, DATA_DIR: dataDir });
      expect(run).toMatchObject({ code: 2, stdout: '' });
      expect(run.stderr).toMatch(/demo mode only/);
      await expect(access(join(dataDir, 'demo'))).rejects.toThrow('ENOENT');
      await rm(dataDir, { recursive: true });
    },
  );

  test('`umutungo token` prints one in demo mode', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'umutungo-token-'));
    const run = await runToken({ DATA_DIR: dataDir });
    expect(run).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+\n$/),
    });
    await rm(dataDir, { recursive: true });
  });
});

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runToken(env: Readonly<Record<string, string>>): Promise<Run> {
  const main = join(import.meta.dirname, '../../src/cli/main.ts');
  const { PATH = '' } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, 'token', '--role', 'auditor'],
      { env: { PATH, ...env } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      },
    );
  });
}

test('no refused token was a defect', () => {
  expect(service.warnings).toEqual([]);
});

import { request } from 'node:http';
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES } from '../../src/principal.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { operations, samplePath } from './operations.ts';
import { accessRequest, bodies, consent, type Sample, samples } from './samples.ts';

let service: TestService;
let client: Client;
let tables: string[];

beforeAll(async () => {
  service = await startTestService();
  client = new Client(service.config.databaseUrl ?? '');
  await client.connect();
  // The sequencer works on its own tables all the time; an event in them is one in audit_event.
  const { rows } = await client.query<{ tablename: string }>(
    `select tablename from pg_tables where schemaname = 'public' and tablename !~ '^(log_|audit_pending|kysely_)'`,
  );
  tables = rows.map(({ tablename }) => tablename);
});
afterAll(async () => {
  await client.end();
  await service[Symbol.asyncDispose]();
});

test('what is counted is every table that a request can change', () => {
  expect(tables).toEqual(
    expect.arrayContaining([
      'audit_event',
      'dataset',
      'access_request',
      'decision',
      'idempotency_key',
    ]),
  );
});

/** How many rows there are in each table. */
async function stored(): Promise<unknown> {
  const counts = tables.map((table) => `(select count(*) from ${table}) as ${table}`);
  return (await client.query(`select ${counts.join(', ')}`)).rows[0];
}

const INTERNALS =
  /node_modules|\.ts\b|\n\s+at |\bat [\w.]+ \(|postgres|kysely|\bajv\b|SQLSTATE|select |insert into|relation "|TypeError|RangeError|SyntaxError/i;

interface Expected {
  readonly status?: number;
  readonly code?: string;
  /** The place that one of the errors names. */
  readonly at?: string;
  readonly expected?: RegExp;
}

function expectProblem(answer: Answer, wanted: Expected): void {
  const { status, text, body } = answer;
  expect(status, text.slice(0, 1_000)).toBe(wanted.status ?? 400);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(text).not.toMatch(INTERNALS);
  expect(body).toMatchObject({
    type: expect.stringMatching(/^https:\/\//),
    title: expect.any(String),
    status,
  });
  if (wanted.code !== undefined) expect(body.code).toBe(wanted.code);
  if (wanted.at !== undefined)
    expect(body.errors?.map(({ path }: { path: string }) => path)).toContain(wanted.at);
  if (wanted.expected !== undefined) {
    const error = body.errors.find(
      ({ path }: { path: string }) => wanted.at === undefined || path === wanted.at,
    );
    expect(error.expected).toMatch(wanted.expected);
  }
}

/** The answer is the problem expected, and nothing was stored. */
async function expectRefused(work: () => Promise<Answer>, wanted: Expected): Promise<void> {
  const before = await stored();
  expectProblem(await work(), wanted);
  expect(await stored()).toEqual(before);
}

interface Raw {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly chunks?: Iterable<string | Uint8Array>;
}

/** A request as no well-behaved client sends it: any path, any headers, a body in chunks. */
function raw({ method, path, headers = {}, chunks = [] }: Raw): Promise<Answer> {
  const { hostname, port } = new URL(service.url);
  return new Promise((resolve, reject) => {
    let answered = false;
    const sending = request({ hostname, port, method, path, headers, agent: false }, (response) => {
      answered = true;
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const got = new Headers();
        for (const [name, value] of Object.entries(response.headers)) got.set(name, String(value));
        const json = got.get('content-type')?.endsWith('json') === true && text !== '';
        resolve({
          status: response.statusCode ?? 0,
          headers: got,
          text,
          body: json ? JSON.parse(text) : text,
        });
      });
    });
    // The service may answer and hang up before it has been sent everything.
    sending.on('error', (error) => {
      if (!answered) reject(error);
    });
    for (const chunk of chunks) sending.write(chunk);
    sending.end();
  });
}

async function bearer(role: (typeof ROLES)[number]): Promise<Record<string, string>> {
  return {
    authorization: `Bearer ${await service.token(role)}`,
    'content-type': 'application/json',
  };
}

const withBody = operations.filter(({ takesBody }) => takesBody);

describe('what is no JSON is refused by every operation that takes a body', () => {
  const malformed: Readonly<Record<string, readonly [string | Uint8Array, Expected]>> = {
    'nothing at all': ['', { expected: /JSON/ }],
    'a space': [' ', { expected: /JSON/ }],
    'broken off': ['{"id": "x"', { expected: /JSON/ }],
    'a word': ['nope', { expected: /JSON/ }],
    'single quotes': ["{'id': 'x'}", { expected: /JSON/ }],
    'a comma too many': ['{"id": "x",}', { expected: /JSON/ }],
    'a comment': ['{"id": 1 /* x */}', { expected: /JSON/ }],
    NaN: ['{"id": NaN}', { expected: /JSON/ }],
    'a number with a leading zero': ['{"id": 01}', { expected: /JSON/ }],
    'two values': ['{} {}', { expected: /JSON/ }],
    'a form': ['id=x&title=y', { expected: /JSON/ }],
    'a raw control character in a text': ['{"id": "a\u0000b"}', { expected: /JSON/ }],
    'bytes that are no UTF-8': [
      Uint8Array.of(0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d),
      { expected: /UTF-8/ },
    ],
    'an overlong encoding': [Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), { expected: /UTF-8/ }],
    'UTF-16': [Buffer.from('\ufeff{"id": "x"}', 'utf16le'), { expected: /UTF-8|JSON/ }],
    'a lone surrogate in a text': ['{"id": "a\\ud800"}', { at: '/id', expected: /surrogate/ }],
    'a lone surrogate in a name': ['{"a\\udc00": 1}', { expected: /surrogate/ }],
    'a member twice': ['{"id": "x", "id": "y"}', { at: '/id', expected: /once/ }],
    'a member twice, once escaped': [
      '{"id": "x", "\\u0069d": "y"}',
      { at: '/id', expected: /once/ },
    ],
    'a member twice, deep inside': [
      '{"a": [1, {"b": {"c": 1, "d": 2, "c": 3}}]}',
      { at: '/a/1/b/c', expected: /once/ },
    ],
    'a member with a slash twice': ['{"a/b": 1, "a/b": 2}', { at: '/a~1b', expected: /once/ }],
    '__proto__ twice': ['{"__proto__": 1, "__proto__": 2}', { at: '/__proto__', expected: /once/ }],
    '41 levels': [`${'['.repeat(41)}${']'.repeat(41)}`, { expected: /40 levels/ }],
    'a million levels': [
      `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`,
      { expected: /40 levels|JSON/ },
    ],
    'a million levels of objects': [
      `${'{"a":'.repeat(300_000)}1${'}'.repeat(300_000)}`,
      { expected: /40 levels|JSON/ },
    ],
  };

  test.each(Object.entries(malformed))('%s', async (_name, [body, wanted]) => {
    const before = await stored();
    for (const operation of withBody) {
      const [role] = operation.roles;
      const ask: Ask = { body, headers: { 'if-match': '"1"' }, ...(role && { role }) };
      const answer = await service.ask(operation.method, samplePath(operation), ask);
      expectProblem(answer, { code: 'malformed_request', ...wanted });
    }
    expect(await stored()).toEqual(before);
  });

  test.each([
    ['null', 'null'],
    ['a list', '[]'],
    ['a text', '"x"'],
    ['a number', '1'],
    ['true', 'true'],
  ])('%s is not an object', async (_name, body) => {
    for (const operation of withBody) {
      const [role] = operation.roles;
      const answer = await service.ask(operation.method, samplePath(operation), {
        body,
        headers: { 'if-match': '"1"' },
        ...(role && { role }),
      });
      expectProblem(answer, { code: 'invalid_request', at: '', expected: /object/ });
    }
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/jsonx',
    'json',
    '*/*',
  ])('a body of type %s is 415, or 400 where AuthZEN says so', async (type) => {
    for (const operation of withBody) {
      const [role] = operation.roles;
      const ask: Ask = {
        body: '{}',
        headers: { 'content-type': type, 'if-match': '"1"' },
        ...(role && { role }),
      };
      const answer = await service.ask(operation.method, samplePath(operation), ask);
      expectProblem(
        answer,
        operation.isAuthzen
          ? { status: 400, code: 'malformed_request' }
          : { status: 415, code: 'unsupported_media_type' },
      );
      expect(answer.body.detail).toContain('application/json');
    }
  });

  test('a body without a type is 415', async () => {
    const { authorization = '' } = await bearer('steward');
    const answer = await raw({
      method: 'POST',
      path: '/v1/datasets',
      headers: { authorization },
      chunks: ['{}'],
    });
    expectProblem(answer, { status: 415, code: 'unsupported_media_type' });
  });

  test('a merge patch is no body of a POST', async () => {
    const answer = await service.ask('POST', '/v1/datasets', {
      role: 'steward',
      body: '{}',
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    expectProblem(answer, { status: 415, code: 'unsupported_media_type' });
  });

  test('a byte order mark is ignored, as RFC 8259 section 8.1 has it, and not stored', async () => {
    const { id, ...rest } = bodies.dataset();
    const answer = await service.ask('POST', '/v1/datasets', {
      role: 'steward',
      body: `\ufeff${JSON.stringify({ id, ...rest })}`,
    });
    expect(answer).toMatchObject({ status: 201, body: { id } });
    expect(answer.text).not.toContain('\ufeff');
  });

  test('a body where none belongs is refused', async () => {
    const headers = { ...(await bearer('authority')), 'content-length': '2' };
    await expectRefused(
      () => raw({ method: 'POST', path: '/v1/pack/reload', headers, chunks: ['{}'] }),
      {
        code: 'invalid_request',
        at: '',
        expected: /no body/,
      },
    );
  });
});

describe('a body that is too large is 413, before it has all been read', () => {
  const MEGABYTE = ' '.repeat(1024 * 1024);
  function* megabytes(count: number): Generator<string> {
    for (let i = 0; i < count; i++) yield MEGABYTE;
  }

  test('10 MB with a Content-Length', async () => {
    const headers = {
      ...(await bearer('steward')),
      'content-length': String(10 * MEGABYTE.length),
    };
    await expectRefused(
      () => raw({ method: 'POST', path: '/v1/datasets', headers, chunks: megabytes(10) }),
      { status: 413, code: 'body_too_large' },
    );
  });

  test('10 MB in chunks, without', async () => {
    const headers = { ...(await bearer('steward')), 'transfer-encoding': 'chunked' };
    await expectRefused(
      () => raw({ method: 'POST', path: '/v1/datasets', headers, chunks: megabytes(10) }),
      { status: 413, code: 'body_too_large' },
    );
  });

  test('10 MB of good JSON through an ordinary client', async () => {
    const body = { ...bodies.dataset(), description: { en: 'x'.repeat(10 * 1024 * 1024) } };
    await expectRefused(() => service.ask('POST', '/v1/datasets', { role: 'steward', body }), {
      status: 413,
      code: 'body_too_large',
    });
  });

  test('10 MB of somebody without a token is 401', async () => {
    const headers = {
      'content-length': String(10 * MEGABYTE.length),
      'content-type': 'application/json',
    };
    await expectRefused(
      () => raw({ method: 'POST', path: '/v1/datasets', headers, chunks: megabytes(10) }),
      { status: 401, code: 'unauthenticated' },
    );
  });

  test('and the service goes on', async () => {
    expect(await service.ask('GET', '/v1/pack', { role: 'holder' })).toMatchObject({ status: 200 });
  });
});

const datasets = { method: 'POST', path: '/v1/datasets', role: 'steward' } as const;
const requests = { method: 'POST', path: '/v1/access-requests', role: 'partner' } as const;
const simulate = { method: 'POST', path: '/v1/decisions/simulate', role: 'steward' } as const;
const consents = {
  method: 'POST',
  path: '/v1/datasets/nhic-idsr-cases/consent-records',
  role: 'steward',
} as const;
const party = (kind: keyof typeof bodies) =>
  ({ method: 'POST', path: `/v1/${kind}s`, role: 'authority' }) as const;
const change = {
  method: 'PATCH',
  path: '/v1/datasets/nhic-idsr-cases',
  role: 'steward',
  headers: { 'if-match': '"1"' },
} as const;

type Case = Expected & Pick<Sample, 'method' | 'path' | 'role'> & Ask;

const dataset = (members: object, wanted: Expected): Case => ({
  ...datasets,
  body: { ...bodies.dataset(), ...members },
  ...wanted,
});
const asking = (members: object, wanted: Expected): Case => ({
  ...requests,
  body: { ...accessRequest, ...members },
  ...wanted,
});
const consenting = (members: object, wanted: Expected): Case => ({
  ...consents,
  body: { ...consent, subject: 'p-bad', ...members },
  ...wanted,
});
const registering = (
  kind: Exclude<keyof typeof bodies, 'dataset'>,
  members: object,
  wanted: Expected,
): Case => ({ ...party(kind), body: { ...bodies[kind](), ...members }, ...wanted });
const simulating = (body: object, wanted: Expected): Case => ({ ...simulate, body, ...wanted });
/** Text that JSON.parse turns into an own member of this name, which a literal would not. */
const own = (name: string, body: object): string =>
  JSON.stringify(body).replace(/^\{/, `{"${name}": {"x": 1},`);

describe('wrong values are refused, with their place and what was expected', () => {
  const cases: Readonly<Record<string, Case>> = {
    'a missing member': {
      ...datasets,
      body: { title: { en: 'x' } },
      code: 'invalid_request',
      at: '/id',
      expected: /required/,
    },
    'a number for a text': asking(
      { purpose: 7 },
      { code: 'invalid_request', at: '/purpose', expected: /string/ },
    ),
    'a text for a flag': asking(
      { onward_transfer: 'no' },
      { at: '/onward_transfer', expected: /boolean/ },
    ),
    'a text for a list': asking(
      { locations: { storage: 'RW' } },
      { at: '/locations/storage', expected: /array/ },
    ),
    'a list for an object': asking({ locations: [] }, { at: '/locations', expected: /object/ }),
    'a flag for a number': dataset(
      { subject_count: true },
      { code: 'invalid_facts', at: '/subject_count', expected: /number/ },
    ),
    'a negative count': dataset(
      { subject_count: -1 },
      { at: '/subject_count', expected: /number from 0/ },
    ),
    'a fraction for a count': dataset(
      { subject_count: 1.5 },
      { at: '/subject_count', expected: /whole number/ },
    ),
    'a share above one': registering(
      'project',
      { knowledge_transfer: { local_engineer_share: 1.01 } },
      { at: '/knowledge_transfer/local_engineer_share', expected: /<= 1/ },
    ),
    'an unknown word': dataset(
      { classification: 'confidental' },
      {
        code: 'invalid_facts',
        at: '/classification',
        expected: /one of .*did you mean confidential\?/,
      },
    ),
    'an unknown status': dataset(
      { status: 'actve' },
      { at: '/status', expected: /one of draft, active.*did you mean active\?/ },
    ),
    'a member that does not exist, in a request': asking(
      { purpos: 'x' },
      { code: 'invalid_request', at: '/purpos', expected: /did you mean purpose\?/ },
    ),
    'a member that does not exist, deep in a request': asking(
      { output: { typ: 'model_weights' } },
      { at: '/output/typ', expected: /did you mean type\?/ },
    ),
    'a member that does not exist, in a dataset': dataset(
      { clasification: 'public' },
      { code: 'invalid_facts', at: '/clasification', expected: /did you mean classification\?/ },
    ),
    'a member that does not exist, in an organisation': registering(
      'organisation',
      { contry: 'RW' },
      { at: '/contry', expected: /did you mean country\?/ },
    ),
    'a member that does not exist, in an agreement': registering(
      'agreement',
      { bindin: true },
      { at: '/bindin', expected: /did you mean binding\?/ },
    ),
    'a member that does not exist, in a project': registering(
      'project',
      { organization: 'moh' },
      { at: '/organization', expected: /did you mean organisation\?/ },
    ),
    'a member that does not exist, in a record': registering(
      'registration',
      { fields: { no: 'N', rol: 'both' } },
      { code: 'invalid_facts', at: '/fields/rol', expected: /did you mean role\?/ },
    ),
    'a member that does not exist, in a consent record': consenting(
      { by_parents: true },
      { at: '/by_parents', expected: /did you mean by_parent\?/ },
    ),
    'a member that does not exist, in a simulation': simulating(
      { dataset: 'nhic-idsr-cases', request: { purpos: 'x' } },
      { code: 'invalid_facts', at: '/request/purpos', expected: /did you mean purpose\?/ },
    ),
    'a member that does not exist, in the dataset of a simulation': simulating(
      { dataset: { sectr: 'health' }, request: {} },
      { at: '/dataset/sectr', expected: /did you mean sector\?/ },
    ),
    'a kind of record that does not exist': registering(
      'authorisation',
      { kind: 'dpai' },
      { code: 'invalid_facts', at: '/kind', expected: /one of .*dpia/ },
    ),
    '30 February, in a request': asking(
      { duration: { from: '2026-02-30' } },
      { at: '/duration/from', expected: /date that exists/ },
    ),
    '30 February, in a dataset': dataset(
      { retention_until: '2026-02-30' },
      { at: '/retention_until', expected: /date that exists/ },
    ),
    '30 February, in an agreement': registering(
      'agreement',
      { valid_until: '2027-02-30' },
      { at: '/valid_until', expected: /date that exists/ },
    ),
    '29 February 2027': registering(
      'agreement',
      { valid_until: '2027-02-29' },
      { at: '/valid_until', expected: /date that exists/ },
    ),
    '30 February, in a record': registering(
      'registration',
      { fields: { no: 'N', valid_until: '2026-02-30' } },
      { at: '/fields/valid_until', expected: /date that exists/ },
    ),
    '30 February, in a consent record': consenting(
      { at: '2026-02-30T00:00:00Z' },
      { at: '/at', expected: /RFC 3339/ },
    ),
    'an instant without offset': consenting(
      { at: '2026-02-03T00:00:00' },
      { at: '/at', expected: /RFC 3339.*offset/ },
    ),
    'an instant of hour 24': consenting(
      { at: '2026-02-03T24:00:00Z' },
      { at: '/at', expected: /RFC 3339/ },
    ),
    'an offset that no place has': consenting(
      { at: '2026-02-03T00:00:00+23:59' },
      { at: '/at', expected: /RFC 3339/ },
    ),
    'an instant before the first year': consenting(
      { at: '0001-01-01T00:00:00+01:00' },
      { at: '/at', expected: /RFC 3339/ },
    ),
    'year 0': registering(
      'agreement',
      { valid_from: '0000-01-01' },
      { at: '/valid_from', expected: /date that exists/ },
    ),
    'a date with time': registering(
      'agreement',
      { valid_from: '2026-01-01T00:00:00Z' },
      { at: '/valid_from', expected: /date that exists/ },
    ),
    'an agreement that ends before it begins': registering(
      'agreement',
      { valid_from: '2027-01-01', valid_until: '2026-01-01' },
      { code: 'invalid_facts', at: '/valid_until', expected: /on or after/ },
    ),
    'a country that does not exist': asking(
      { locations: { storage: ['RW', 'ZZ'] } },
      { at: '/locations/storage/1', expected: /ISO 3166/ },
    ),
    'a country in lower case': registering(
      'organisation',
      { country: 'rw' },
      { at: '/country', expected: /ISO 3166/ },
    ),
    'a country of three letters': asking(
      { recipients: [{ name: 'x', country: 'RWA', role: 'processor' }] },
      { at: '/recipients/0/country', expected: /ISO 3166/ },
    ),
    'a country that does not exist, in a simulation': simulating(
      { dataset: {}, request: { locations: { processing: ['XX'] } } },
      { at: '/request/locations/processing/0', expected: /ISO 3166/ },
    ),
    'a country twice': asking(
      { locations: { storage: ['RW', 'RW'] } },
      { at: '/locations/storage', expected: /duplicate/ },
    ),
    'a huge number': {
      ...datasets,
      body: JSON.stringify({ ...bodies.dataset(), subject_count: 0 }).replace(
        '"subject_count":0',
        '"subject_count":1e400',
      ),
      code: 'invalid_facts',
      at: '/subject_count',
      expected: /whole number/,
    },
    'a number that JSON cannot hold exactly': dataset(
      { subject_count: 2 ** 53 },
      { at: '/subject_count', expected: /whole number/ },
    ),
    'a size beyond numbers': dataset(
      { distribution: [{ byte_size: 1e300 }] },
      { at: '/distribution/0/byte_size', expected: /</ },
    ),
    'NUL in a title': dataset(
      { title: { en: 'a\u0000b' } },
      { at: '/title/en', expected: /control characters/ },
    ),
    'NUL in a fact': dataset({ licence: 'a\u0000b' }, { at: '/licence', expected: /text/ }),
    'NUL in a fact by language': dataset(
      { licence: { en: 'a\u0000b' } },
      { at: '/licence/en', expected: /control characters/ },
    ),
    'NUL in a keyword': dataset(
      { keyword: ['ok', 'a\u0000'] },
      { at: '/keyword/1', expected: /control characters/ },
    ),
    'NUL in an id': dataset({ id: 'a\u0000' }, { at: '/id', expected: /control characters/ }),
    'NUL in the name of a member': dataset({ 'a\u0000': 1 }, { at: '/a\u0000' }),
    'an escape character in a title': dataset(
      { title: { en: '\u001b[31mred' } },
      { at: '/title/en', expected: /control characters/ },
    ),
    'a right-to-left override in a title': dataset(
      { title: { en: 'invoice\u202egpj.exe' } },
      { at: '/title/en', expected: /control characters/ },
    ),
    'a line separator in a title': dataset(
      { title: { en: 'a\u2028b' } },
      { at: '/title/en', expected: /control characters/ },
    ),
    'NUL in the provider of a request': asking(
      { hosting: { provider: 'a\u0000' } },
      { at: '/hosting/provider', expected: /control characters/ },
    ),
    'NUL in the recipient of a request': asking(
      { recipients: [{ name: '\u0000' }] },
      { at: '/recipients/0/name', expected: /control characters/ },
    ),
    'NUL in a purpose': asking({ purpose: 'a\u0000' }, { at: '/purpose' }),
    'NUL in an organisation': registering(
      'organisation',
      { name: { en: '\u0007' } },
      { at: '/name/en', expected: /control characters/ },
    ),
    'NUL in a record': registering(
      'registration',
      { fields: { no: 'a\u0000' } },
      { at: '/fields/no', expected: /text/ },
    ),
    'NUL in a list of texts in a record': registering(
      'authorisation',
      { kind: 'ncsa_transfer_authorisation', fields: { no: 'N', recipients: ['a\u0000'] } },
      { at: '/fields/recipients/0' },
    ),
    'NUL in a subject': consenting(
      { subject: 'p\u0000' },
      { at: '/subject', expected: /control characters/ },
    ),
    'NUL in a simulated fact': simulating(
      { dataset: { licence: 'a\u0000' }, request: {} },
      { at: '/dataset/licence', expected: /text/ },
    ),
    'a name for a subject': consenting(
      { subject: 'Jeanne Mukamana' },
      { at: '/subject', expected: /pseudonym/ },
    ),
    'a language that is a sentence': dataset({ title: { 'en us': 'x' } }, { at: '/title' }),
    'a title without any language': dataset({ title: {} }, { at: '/title' }),
    'an endless title': dataset(
      { title: { en: 'x'.repeat(20_001) } },
      { at: '/title/en', expected: /20000/ },
    ),
    'an endless fact': dataset(
      { licence: 'x'.repeat(20_001) },
      { at: '/licence', expected: /text/ },
    ),
    'an endless list': dataset(
      { keyword: Array.from({ length: 101 }, () => 'x') },
      { at: '/keyword', expected: /100/ },
    ),
    'an endless id': dataset({ id: 'x'.repeat(101) }, { at: '/id', expected: /Lower-case/ }),
    'a path for an id': dataset({ id: '../../etc/passwd' }, { at: '/id', expected: /Lower-case/ }),
    'SQL for an id': dataset(
      { id: "x'; drop table dataset; --" },
      { at: '/id', expected: /Lower-case/ },
    ),
    'a script for an address': dataset(
      { landing_page: 'no url' },
      { at: '/landing_page', expected: /URI/ },
    ),
    'a publisher that is another': dataset(
      { publisher: 'nisr' },
      { at: '/publisher', expected: /moh/ },
    ),
    'consent records of nobody': {
      ...consents,
      path: `${consents.path}/bulk`,
      body: { records: [] },
      code: 'invalid_request',
      at: '/records',
      expected: /1/,
    },
    'the third of many consent records': {
      ...consents,
      path: `${consents.path}/bulk`,
      body: {
        records: [1, 2, 3].map((i) => ({
          ...consent,
          subject: `p-${i}`,
          status: i === 3 ? 'maybe' : 'given',
        })),
      },
      code: 'invalid_request',
      at: '/records/2/status',
      expected: /one of given/,
    },
    '10,001 consent records': {
      ...consents,
      path: `${consents.path}/bulk`,
      body: { records: Array.from({ length: 10_001 }, () => 0) },
      code: 'invalid_request',
      at: '/records',
      expected: /10000/,
    },
    '__proto__ in a request': {
      ...requests,
      body: own('__proto__', accessRequest),
      code: 'invalid_request',
      at: '/__proto__',
      expected: /nothing of this name/,
    },
    'constructor in a request': {
      ...requests,
      body: own('constructor', accessRequest),
      code: 'invalid_request',
      at: '/constructor',
      expected: /nothing of this name/,
    },
    '__proto__ in a dataset': {
      ...datasets,
      body: own('__proto__', bodies.dataset()),
      code: 'invalid_facts',
      at: '/__proto__',
      expected: /one of/,
    },
    'constructor in a dataset': {
      ...datasets,
      body: own('constructor', bodies.dataset()),
      code: 'invalid_facts',
      at: '/constructor',
      expected: /one of/,
    },
    'toString in a dataset': {
      ...datasets,
      body: own('toString', bodies.dataset()),
      code: 'invalid_facts',
      at: '/toString',
      expected: /one of/,
    },
    '__proto__ in an organisation': {
      ...party('organisation'),
      body: own('__proto__', bodies.organisation()),
      code: 'invalid_request',
      at: '/__proto__',
      expected: /nothing of this name/,
    },
    'hasOwnProperty in an organisation': {
      ...party('organisation'),
      body: own('hasOwnProperty', bodies.organisation()),
      code: 'invalid_request',
      at: '/hasOwnProperty',
      expected: /nothing of this name/,
    },
    '__proto__ in a record': {
      ...party('registration'),
      body: `{"id": "r-proto", "kind": "ncsa_registration", "organisation": "moh", "fields": {"__proto__": {"x": 1}}}`,
      code: 'invalid_facts',
      at: '/fields/__proto__',
    },
    '__proto__ in a simulation': {
      ...simulate,
      body: '{"dataset": {"__proto__": {"classification": "public"}}, "request": {}}',
      code: 'invalid_facts',
      at: '/dataset/__proto__',
    },
    'constructor in the languages of a title': {
      ...datasets,
      body: '{"id": "x", "title": {"constructor": "x"}}',
      code: 'invalid_request',
      at: '/title',
    },
    'an empty patch': { ...change, body: {}, code: 'invalid_request', at: '', expected: /1/ },
    'a patch that takes the title away': {
      ...change,
      body: { title: null },
      code: 'invalid_request',
      at: '/title',
      expected: /required/,
    },
    'a patch that retires': {
      ...change,
      body: { status: 'retired' },
      code: 'invalid_request',
      at: '/status',
      expected: /one of draft, active/,
    },
    'a patch of the id': {
      ...change,
      body: { id: 'another' },
      code: 'invalid_request',
      at: '/id',
      expected: /nhic-idsr-cases/,
    },
    'a patch of the publisher': {
      ...change,
      body: { publisher: 'nisr' },
      code: 'invalid_request',
      at: '/publisher',
      expected: /moh/,
    },
    'a patch of the version': {
      ...change,
      body: { version: 9 },
      code: 'invalid_request',
      at: '/version',
      expected: /1/,
    },
    'a patch of the time': {
      ...change,
      body: { created_at: '2020-01-01T00:00:00Z' },
      code: 'invalid_request',
      at: '/created_at',
    },
    '__proto__ in a patch': {
      ...change,
      body: '{"__proto__": {"classification": "public"}}',
      code: 'invalid_facts',
      at: '/__proto__',
    },
    'NUL in a patch': {
      ...change,
      body: { licence: '\u0000' },
      code: 'invalid_request',
      at: '/licence',
      expected: /control characters/,
    },
    'a patch of the id of a party': {
      ...party('project'),
      method: 'PATCH',
      path: '/v1/projects/idsr-forecasting',
      headers: { 'if-match': '"1"' },
      body: { id: 'another' },
      code: 'invalid_request',
      at: '/id',
      expected: /idsr-forecasting/,
    },
    'a patch that takes a required member of a party away': {
      ...party('project'),
      method: 'PATCH',
      path: '/v1/projects/idsr-forecasting',
      headers: { 'if-match': '"1"' },
      body: { organisation: null },
      code: 'invalid_request',
      at: '/organisation',
      expected: /required/,
    },
  };

  test.each(Object.entries(cases))(
    '%s',
    async (_name, { method, path, role, body, headers, ...wanted }) => {
      await expectRefused(
        () => service.ask(method, path, { role, body, ...(headers && { headers }) }),
        wanted,
      );
    },
  );
});

describe('what only the registers may say is refused in an access request', () => {
  const register: Readonly<Record<string, readonly [object, string]>> = {
    sector: [{ sector: 'health' }, '/sector'],
    'the moment of the decision': [{ as_of: '2026-01-01T00:00:00Z' }, '/as_of'],
    'its own id': [{ id: 'x' }, '/id'],
    'the requester': [{ requester: { country: 'RW' } }, '/requester'],
    'a proof of concept': [{ poc: { stage: 'pilot' } }, '/poc'],
    'an impact assessment': [{ dpia: { ref: 'D', date: '2026-01-01' } }, '/dpia'],
    'an ethics approval': [{ ethics_approval: { ref: 'E' } }, '/ethics_approval'],
    'a transfer authorisation': [
      { ncsa_transfer_authorisation: { no: 'N' } },
      '/ncsa_transfer_authorisation',
    ],
    'a storage authorisation': [
      { ncsa_storage_authorisation: { no: 'N' } },
      '/ncsa_storage_authorisation',
    ],
    'a disclosure test': [
      { output: { ...accessRequest.output, disclosure_test: { result: 'passed' } } },
      '/output/disclosure_test',
    ],
    'the terms of the agreement': [
      { agreement: { binding: true, kinds: ['processor_contract'] } },
      '/agreement',
    ],
    'the training that it promises': [
      { knowledge_transfer: { training_hours: 1_000 } },
      '/knowledge_transfer',
    ],
    'the benefit that it shares': [{ benefit_sharing: true }, '/benefit_sharing'],
    'facts of the dataset': [{ dataset: { classification: 'public' } }, '/dataset'],
    'consent of the dataset': [{ consent: { coverage_pct: 100 } }, '/consent'],
    'the decision': [{ decision: { effect: 'permit' } }, '/decision'],
  };
  test.each(Object.entries(register))('%s', async (_name, [members, at]) => {
    await expectRefused(
      () =>
        service.ask('POST', '/v1/access-requests', {
          role: 'partner',
          body: { ...accessRequest, ...members },
        }),
      { code: 'invalid_request', at },
    );
  });
});

describe('a caller whose organisation or projects are not registered', () => {
  const ghost = { organisation: 'ghost-of-nobody', projects: ['ghost-project'], subject: 'ghost' };
  test.each([
    ['a dataset', 'steward', '/v1/datasets', () => bodies.dataset()],
    [
      'a request',
      'partner',
      '/v1/access-requests',
      () => ({ ...accessRequest, project: 'ghost-project' }),
    ],
    [
      'a simulation',
      'partner',
      '/v1/decisions/simulate',
      () => ({ dataset: 'nhic-idsr-cases', request: { project: 'ghost-project' } }),
    ],
  ] as const)('is told so for %s', async (_name, role, path, body) => {
    const before = await stored();
    const answer = await service.ask('POST', path, { role, claims: ghost, body: body() });
    expectProblem(answer, { status: 422, code: 'unknown_reference' });
    expect(await stored()).toEqual(before);
  });
});

/** Lists that are short, and answered whole. */
const WHOLE = ['listPolicies', 'listPolicyTemplates', 'listFacts', 'listTerms', 'listShards'];

describe('parameters', () => {
  const cursor = (value: unknown): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const lists = operations.filter(
    ({ id, method }) => method === 'GET' && id.startsWith('list') && !WHOLE.includes(id),
  );

  const limits = [
    '-1',
    '0',
    '201',
    '1.5',
    'abc',
    '',
    '1;drop table dataset',
    '9'.repeat(30),
    'NaN',
    '10&limit=20',
    '%00',
  ];
  test.each(limits)('limit=%s is refused by every list', async (limit) => {
    for (const operation of lists) {
      const answer = await service.ask('GET', `${samplePath(operation)}?limit=${limit}`, {
        role: 'auditor',
      });
      expectProblem(answer, {
        code: 'invalid_request',
        at: 'limit',
        expected: /integer|>= 1|<= 200/,
      });
    }
  });

  const DATE_OUT_OF_RANGE = cursor(['2026-01-01T00:00:00+23:59', 'x']);
  const uuid = '00000000-0000-7000-8000-000000000000';
  const forged: Readonly<Record<string, string>> = {
    empty: '',
    'a word': 'next',
    'not base64': '%ff%fe',
    'an empty list': cursor([]),
    'a number': cursor([1]),
    'no list': cursor({ id: 'x' }),
    null: cursor('null'),
    nested: cursor([['x']]),
    'too many parts': cursor(['a', 'b', 'c']),
    'JSON that breaks off': cursor('["a'),
    SQL: cursor(["' or 1=1 --"]),
    NUL: cursor(['\u0000']),
    'NUL in two parts': cursor(['\u0000', '\u0000']),
    'a date out of range': DATE_OUT_OF_RANGE,
    'a date that does not exist': cursor(['2026-02-30T00:00:00Z', '..', '..']),
    'too long': 'a'.repeat(501),
    'deep nesting': cursor('['.repeat(150)),
  };
  test.each(Object.entries(forged))(
    'a cursor that is %s is refused by every list',
    async (_name, value) => {
      for (const operation of lists) {
        // A purpose and a subject may be any text, and so may an entity's type and id.
        const isText = ['listConsentRecords', 'listSpaceEntities'].includes(operation.id);
        if (isText && value === DATE_OUT_OF_RANGE) continue;
        const answer = await service.ask('GET', `${samplePath(operation)}?cursor=${value}`, {
          role: 'auditor',
        });
        expectProblem(answer, { code: 'invalid_request', at: 'cursor' });
      }
    },
  );

  test("another list's cursor is refused, or a place in this one, and never a defect", async () => {
    const cursors = [
      cursor([uuid]),
      cursor(['moh']),
      cursor(['2026-01-01T00:00:00.000Z', 'x']),
      cursor(['5']),
      cursor(['moh', '5']),
      cursor(['purpose', 'p-1']),
    ];
    for (const operation of lists) {
      const path = samplePath(operation);
      const statuses = await Promise.all(
        cursors.map(
          async (each) =>
            (await service.ask('GET', `${path}?cursor=${each}`, { role: 'auditor' })).status,
        ),
      );
      expect(
        statuses.every((status) => status === 200 || status === 400),
        path,
      ).toBe(true);
      expect(statuses, path).toContain(200);
      expect(statuses, path).toContain(400);
    }
  });

  test('an unknown or repeated query parameter is refused by every operation, and named', async () => {
    let seen = 0;
    for (const operation of operations) {
      const [role] = operation.roles;
      const asked = async (query: string): Promise<Answer> =>
        service.ask(operation.method, `${samplePath(operation)}?${query}`, {
          ...(role && { role }),
          ...(operation.takesBody && { body: '{}' }),
        });
      for (const name of ['surprise', '__proto__', 'constructor', 'Limit']) {
        expectProblem(await asked(`${name}=1`), {
          code: 'invalid_request',
          at: name,
          expected: /nothing of this name/,
        });
        seen += 1;
      }
      expectProblem(await asked('surprise=1&surprise=2'), {
        code: 'invalid_request',
        at: 'surprise',
      });
    }
    expect(seen).toBe(operations.length * 4);
  });

  const queries: Readonly<Record<string, readonly [string, Expected]>> = {
    'q twice': ['/v1/datasets?q=a&q=b', { at: 'q', expected: /string/ }],
    'an empty q': ['/v1/datasets?q=', { at: 'q', expected: /1/ }],
    'an endless q': [`/v1/datasets?q=${'x'.repeat(201)}`, { at: 'q', expected: /200/ }],
    'NUL in q': ['/v1/datasets?q=%00', { at: 'q', expected: /control characters/ }],
    'NUL in a subject': [
      '/v1/audit/events?subject=%00',
      { at: 'subject', expected: /control characters/ },
    ],
    'NUL in a publisher': ['/v1/datasets?publisher=moh%00', { at: 'publisher' }],
    'SQL for a publisher': [
      "/v1/datasets?publisher=moh'%20or%201=1",
      { at: 'publisher', expected: /Lower-case/ },
    ],
    'a status that does not exist': [
      '/v1/datasets?status=activ',
      { at: 'status', expected: /did you mean active\?/ },
    ],
    'SQL for a sector': ["/v1/datasets?sector=x');--", { at: 'sector' }],
    'an effect that does not exist': [
      '/v1/access-requests?effect=allow',
      { at: 'effect', expected: /permit, deny, review/ },
    ],
    'an event type with a space': [
      '/v1/audit/events?type=a%20b',
      { at: 'type', expected: /operation/ },
    ],
    'half a consistency proof': ['/log/consistency?from=1', { at: 'to', expected: /required/ }],
    'a consistency proof from below zero': ['/log/consistency?from=-1&to=1', { at: 'from' }],
    'a consistency proof backwards': [
      '/log/consistency?from=2&to=1',
      { at: 'from', expected: /at most/ },
    ],
    'a consistency proof beyond the log': [
      '/log/consistency?from=1&to=9007199254740991',
      { at: 'to', expected: /at most/ },
    ],
    'a consistency proof beyond numbers': ['/log/consistency?from=1&to=1e400', { at: 'to' }],
  };
  test.each(Object.entries(queries))('%s', async (_name, [path, wanted]) => {
    expectProblem(await service.ask('GET', path, { role: 'auditor' }), {
      code: 'invalid_request',
      ...wanted,
    });
  });

  const paths: Readonly<Record<string, readonly [string, number]>> = {
    'a path up for an id': ['/v1/datasets/..%2f..%2fetc%2fpasswd', 400],
    'a path up': ['/v1/datasets/../../etc/passwd', 404],
    'SQL for an id': ["/v1/datasets/x'%20or%20'1'='1", 400],
    'NUL for an id': ['/v1/datasets/%00', 400],
    'broken escapes for an id': ['/v1/datasets/%E0%A4%A', 400],
    'bytes that are no UTF-8 for an id': ['/v1/datasets/%ff%fe', 400],
    '__proto__ for an id': ['/v1/datasets/__proto__', 400],
    'a constructor for an id that could be one': ['/v1/datasets/constructor', 404],
    'an endless id': [`/v1/datasets/${'x'.repeat(5_000)}`, 400],
    'an id in upper case': ['/v1/datasets/NHIC-IDSR-CASES', 400],
    'no UUID': ['/v1/access-requests/7', 400],
    'a UUID in upper case': ['/v1/access-requests/00000000-0000-7000-8000-00000000000A', 400],
    'SQL for a UUID': ["/v1/decisions/'%3b--", 400],
    'version 0': ['/v1/datasets/nhic-idsr-cases/versions/0', 400],
    'version -1': ['/v1/datasets/nhic-idsr-cases/versions/-1', 400],
    'version 1.5': ['/v1/datasets/nhic-idsr-cases/versions/1.5', 400],
    'a version beyond 32 bits': ['/v1/datasets/nhic-idsr-cases/versions/2147483648', 400],
    'a version that there is not': ['/v1/datasets/nhic-idsr-cases/versions/2147483647', 404],
    'a policy up the path': ['/v1/policies/..%2fpack/versions/1', 400],
    'a policy that there is not': ['/v1/policies/constructor/versions/1', 404],
    'a slash at the end': ['/v1/datasets/', 404],
    'two slashes at the start': ['//v1/datasets', 404],
    'the wrong case': ['/V1/datasets', 404],
    'an asset up the path': ['/docs/..%2f..%2fpackage.json', 404],
    'an asset up the path, in dots': ['/docs/%2e%2e%2fpackage.json', 404],
    'an asset called constructor': ['/docs/constructor', 404],
    'an asset of the package that is not served': ['/docs/package.json', 404],
    'a file of the service': ['/.env', 404],
    nothing: ['/nothing/here', 404],
  };
  test.each(Object.entries(paths))('%s', async (_name, [path, status]) => {
    const answer = await raw({
      method: 'GET',
      path,
      headers: { authorization: `Bearer ${await service.token('auditor')}` },
    });
    expectProblem(answer, { status, code: status === 404 ? 'not_found' : 'invalid_request' });
  });

  test('a URL that is longer than any is refused without harm', async () => {
    const headers = { authorization: `Bearer ${await service.token('auditor')}` };
    expectProblem(
      await raw({ method: 'GET', path: `/v1/datasets?q=${'x'.repeat(9_000)}`, headers }),
      { code: 'invalid_request', at: 'q' },
    );
    const answer = await raw({
      method: 'GET',
      path: `/v1/datasets?q=${'x'.repeat(100_000)}`,
      headers,
    });
    expect(answer).toMatchObject({ status: 431, text: '' });
  });

  const keys: Readonly<Record<string, readonly [Record<string, string>, Expected]>> = {
    'an empty Idempotency-Key': [
      { 'idempotency-key': '' },
      { code: 'invalid_request', at: 'Idempotency-Key' },
    ],
    'an endless Idempotency-Key': [
      { 'idempotency-key': 'k'.repeat(201) },
      { code: 'invalid_request', at: 'Idempotency-Key', expected: /200/ },
    ],
  };
  test.each(Object.entries(keys))('%s', async (_name, [headers, wanted]) => {
    await expectRefused(
      async () =>
        raw({
          method: 'POST',
          path: '/v1/access-requests',
          headers: { ...(await bearer('partner')), ...headers },
          chunks: [JSON.stringify(accessRequest)],
        }),
      wanted,
    );
  });

  test('an Idempotency-Key with another body is refused, and the first request stays the only one', async () => {
    const send = (body: object): Promise<Answer> =>
      service.ask('POST', '/v1/access-requests', {
        role: 'partner',
        body,
        headers: { 'idempotency-key': 'clé-\u00e9' },
      });
    expect(await send(accessRequest)).toMatchObject({ status: 201 });
    await expectRefused(() => send({ ...accessRequest, onward_transfer: true }), {
      status: 422,
      code: 'idempotency_key_reused',
      at: 'Idempotency-Key',
      expected: /new key/,
    });
    await expectRefused(
      () =>
        service.ask('POST', '/v1/access-requests', {
          role: 'partner',
          body: `${JSON.stringify(accessRequest)} `,
          headers: { 'idempotency-key': 'clé-\u00e9' },
        }),
      { status: 422 },
    );
  });

  const tags = [
    '*',
    'W/"1"',
    '1',
    '"0"',
    '"01"',
    '"1", "2"',
    '"99999999999999999999"',
    '"1\'"',
    '"-1"',
  ];
  test.each(tags)('If-Match: %s is no version that anybody has read', async (tag) => {
    for (const [path, role, body] of [
      ['/v1/datasets/nhic-idsr-cases', 'steward', { licence: 'x' }],
      ['/v1/projects/idsr-forecasting', 'authority', { benefit_sharing: true }],
    ] as const) {
      await expectRefused(
        () => service.ask('PATCH', path, { role, body, headers: { 'if-match': tag } }),
        { status: 412, code: 'precondition_failed' },
      );
    }
    await expectRefused(
      () =>
        service.ask('POST', '/v1/datasets/nhic-idsr-cases/retire', {
          role: 'steward',
          headers: { 'if-match': tag },
        }),
      { status: 412, code: 'precondition_failed' },
    );
  });

  test('an endless If-Match is refused', async () => {
    await expectRefused(
      () =>
        service.ask('PATCH', '/v1/datasets/nhic-idsr-cases', {
          role: 'steward',
          body: { licence: 'x' },
          headers: { 'if-match': 'x'.repeat(101) },
        }),
      { code: 'invalid_request', at: 'If-Match' },
    );
  });
});

describe('methods', () => {
  const byPath = Object.entries(Object.groupBy(operations, ({ path }) => path));

  test.each(byPath)('%s takes those of the contract, and says which', async (_path, here = []) => {
    const [first] = here;
    if (!first) throw new Error('a path without operations');
    const path = samplePath(first);
    const allowed = here.map(({ method }) => method);
    // Another path's pattern may fit this one too: /v1/decisions/{id} and /v1/decisions/simulate.
    const fits = operations.filter((each) =>
      new RegExp(`^${each.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    );
    for (const method of [
      'GET',
      'POST',
      'PUT',
      'PATCH',
      'DELETE',
      'OPTIONS',
      'PROPFIND',
      'TRACE',
    ]) {
      if (fits.some((each) => each.method === method)) continue;
      const answer = await raw({ method, path });
      expectProblem(answer, { status: 405, code: 'method_not_allowed' });
      expect(answer.headers.get('allow')?.split(', ').toSorted()).toEqual(allowed.toSorted());
    }
  });

  test('HEAD answers as GET does, without the body', async () => {
    for (const operation of operations.filter(({ method }) => method === 'GET')) {
      const [role] = operation.roles;
      const headers: Record<string, string> = role
        ? { authorization: `Bearer ${await service.token(role)}` }
        : {};
      const path = samplePath(operation);
      const [head, get] = [
        await raw({ method: 'HEAD', path, headers }),
        await raw({ method: 'GET', path, headers }),
      ];
      expect(head.status, path).toBe(get.status);
      expect(head.text).toBe('');
      expect(head.headers.get('content-type'), path).toBe(get.headers.get('content-type'));
      expect(head.headers.get('etag')).toBe(get.headers.get('etag'));
    }
  });

  test('a method cannot be smuggled in a header', async () => {
    const headers = {
      ...(await bearer('steward')),
      'x-http-method-override': 'PATCH',
      'if-match': '"1"',
    };
    await expectRefused(
      () =>
        raw({
          method: 'POST',
          path: '/v1/datasets/nhic-idsr-cases',
          headers,
          chunks: ['{"licence": "x"}'],
        }),
      { status: 405 },
    );
  });
});

/** Places in a JSON value, as keys from its root. */
function placesOf(
  value: unknown,
  at: readonly (string | number)[] = [],
): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [at];
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? value.map((each, i) => [i, each])
    : Object.entries(value);
  return [at, ...entries.flatMap(([key, member]) => placesOf(member, [...at, key]))];
}

function replaced(
  value: unknown,
  [key, ...rest]: readonly (string | number)[],
  by: unknown,
): unknown {
  if (key === undefined) return by;
  const container = value as Record<string | number, unknown>;
  const member = replaced(container[key], rest, by);
  return Array.isArray(value)
    ? value.map((each, i) => (i === key ? member : (each as unknown)))
    : { ...container, [key]: member };
}

describe('anything at all', () => {
  const NASTY = [
    '',
    '\u0000',
    '\ud800',
    '__proto__',
    "'; --",
    '../..',
    '2026-02-30',
    '9999-12-31T23:59:59.999999999-15:59',
    '0001-01-01T00:00:00+15:59',
    -0,
    2 ** 53,
    -1,
    1e-320,
    5e-324,
  ];
  const anyValue = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<unknown>(...NASTY) },
    { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 300 }) },
  );
  const RUNS = {
    numRuns: 12,
    interruptAfterTimeLimit: 10_000,
    markInterruptAsFailure: false,
  } as const;
  const seed = Date.now() & 0x7fff_ffff;
  console.log(`Random requests of seed ${seed}`);

  test.each(withBody.filter(({ id }) => samples[id]))(
    'a body of $id with anything at any place is never a defect',
    async ({ id }) => {
      await fc.assert(
        fc.asyncProperty(fc.nat(), anyValue, async (n, value) => {
          const sample = await samples[id]?.(service);
          if (!sample) throw new Error(id);
          const places = placesOf(sample.body);
          const body = JSON.stringify(
            replaced(sample.body, places[n % places.length] ?? [], value),
          );
          const answer = await service.ask(sample.method, sample.path, { ...sample, body });
          expect(answer.status, answer.text).toBeLessThan(500);
        }),
        { ...RUNS, seed },
      );
    },
  );

  test.each(operations)(
    'a query of $id with anything in it is never a defect',
    async (operation) => {
      const names = [
        'limit',
        'cursor',
        'q',
        'publisher',
        'sector',
        'status',
        'subject',
        'type',
        'from',
        'to',
        'purpose',
        'project',
        'organisation',
        'effect',
      ];
      const name = fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 20 }));
      const [role] = operation.roles;
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.tuple(
              name,
              fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('1', '\u0000', "'")),
            ),
            { minLength: 1, maxLength: 3 },
          ),
          async (pairs) => {
            const query = new URLSearchParams(
              pairs.map(([key, value]): [string, string] => [key, value]),
            );
            const answer = await service.ask(
              operation.method,
              `${samplePath(operation)}?${query.toString()}`,
              { ...(role && { role }) },
            );
            expect(answer.status, answer.text).toBeLessThan(500);
          },
        ),
        { ...RUNS, seed },
      );
    },
  );

  test.each(operations.filter(({ path }) => path.includes('{')))(
    'a path of $id with anything in it is never a defect',
    async (operation) => {
      const [role] = operation.roles;
      await fc.assert(
        fc.asyncProperty(
          fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
          async (text) => {
            const segment = encodeURIComponent(text.toWellFormed());
            if (segment === '.' || segment === '..') return;
            const path = operation.path.replaceAll(/\{\w+\}/g, segment);
            const answer = await service.ask(operation.method, path, { ...(role && { role }) });
            expect(answer.status, answer.text).toBeLessThan(500);
          },
        ),
        { ...RUNS, numRuns: 6, seed },
      );
    },
  );
});

test('what is stored after all this can be read', async () => {
  for (const operation of operations.filter(({ method }) => method === 'GET')) {
    const [role] = operation.roles;
    let path: string | null = samplePath(operation);
    while (path) {
      const answer: Answer = await service.ask('GET', path, { ...(role && { role }) });
      expect(answer.status, answer.text).toBeLessThan(500);
      path = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1] ?? null;
    }
  }
});

test('nothing here was a defect', () => {
  expect(service.warnings).toEqual([]);
});

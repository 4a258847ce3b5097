import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import canonicalize from 'canonicalize';
import { compactVerify, createLocalJWKSet } from 'jose';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bodyOf } from '../../src/audit/event.ts';
import { openCheckpoint } from '../../src/tlog/checkpoint.ts';
import { leafHash } from '../../src/tlog/leaf.ts';
import { type NoteVerifier, parseVerifierKey } from '../../src/tlog/note-key.ts';
import { verifyProofFile } from '../../src/tlog/proof-file.ts';
import { verifyConsistency } from '../../src/tlog/proof.ts';
import { type Answer, type Ask, startTestService, type TestService } from '../support/service.ts';
import { operations, samplePath } from './operations.ts';
import { accessRequest, consent, type Sample, samples } from './samples.ts';

const PACK = join(import.meta.dirname, '../../policies/rwanda');
const LEAF_MEMBERS = [
  'v',
  'event_id',
  'type',
  'time',
  'actor',
  'role',
  'subject_ids',
  'outcome',
  'body_sha256',
  'nonce',
];

/** Mutating operations whose event is not made by the sample of `samples.ts`, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  importPolicy: 'reads a text and keeps nothing',
  comparePolicies: 'compares two texts and keeps nothing',
  reloadPack: 'leaves an event only when a file changed; it has a test of its own here',
  ...Object.fromEntries(
    operations
      .filter(({ isAuthzen, method }) => isAuthzen && method !== 'GET')
      .map(({ id }) => [id, 'answers in AuthZEN words; its events: national-point, spaces tests']),
  ),
};

let service: TestService;
let client: Client;
let packDir: string;
let verifier: NoteVerifier;

beforeAll(async () => {
  packDir = await mkdtemp(join(tmpdir(), 'umutungo-pack-'));
  await cp(PACK, packDir, { recursive: true });
  service = await startTestService({ config: { packDir } });
  client = new Client(service.config.databaseUrl ?? '');
  await client.connect();
  const vkey = parseVerifierKey((await service.ask('GET', '/log/vkey')).text.trim());
  if (!vkey.ok) throw new Error(vkey.reason);
  ({ verifier } = vkey);
});
afterAll(async () => {
  await client.end();
  await service[Symbol.asyncDispose]();
  await rm(packDir, { recursive: true });
});

interface StoredEvent {
  readonly event_id: string;
  readonly type: string;
  readonly leaf: Buffer;
  readonly body: Buffer;
  readonly disclosures: string;
  readonly actor: string;
}

async function events(): Promise<StoredEvent[]> {
  return (await client.query<StoredEvent>('select * from audit_event order by event_id')).rows;
}

/** The events that `work` left, and its answer. */
async function leaves(
  work: () => Promise<Answer>,
): Promise<{ answer: Answer; left: StoredEvent[] }> {
  const before = new Set((await events()).map(({ event_id }) => event_id));
  const answer = await work();
  return { answer, left: (await events()).filter(({ event_id }) => !before.has(event_id)) };
}

const ask = ({ method, path, ...rest }: Sample): Promise<Answer> => service.ask(method, path, rest);
const mutating = operations.filter(({ method }) => method !== 'GET');
const covered = mutating.filter(({ id }) => samples[id]);

async function sampleOf(id: string): Promise<Sample> {
  const make = samples[id];
  if (!make) throw new Error(`no sample of ${id}`);
  return make(service);
}

describe('the ratchet', () => {
  test('has a sample, or an exception with a reason, of each mutating operation, and none is stale', () => {
    expect(mutating.length).toBeGreaterThanOrEqual(17);
    const known = [...Object.keys(samples), ...Object.keys(EXCEPTIONS)];
    expect(known.toSorted()).toEqual(mutating.map(({ id }) => id).toSorted());
  });
});

describe.each(covered)('$id', ({ id, path, method, roles, takesBody }) => {
  test('leaves exactly one event, of its name, when it succeeds, and says where it is', async () => {
    const sample = await sampleOf(id);
    const { answer, left } = await leaves(() => ask(sample));
    expect([200, 201], answer.text).toContain(answer.status);
    expect(left.map(({ type }) => type)).toEqual([id]);
    const [event] = left;
    const recorded = answer.body.decision ?? answer.body;
    expect(recorded).toMatchObject({
      event_id: event?.event_id,
      leaf_hash: Buffer.from(leafHash(event?.leaf ?? new Uint8Array())).toString('base64'),
      index: null,
    });
    await expectReceipt(recorded);
  });

  const wrongRole = (['auditor', 'holder', 'partner'] as const).find(
    (role) => !roles.includes(role),
  );
  const changes: Readonly<Record<string, (sample: Sample) => Sample>> = {
    'nobody says who they are (401)': (sample) => ({ ...sample, role: 'holder', token: 'a.b.c' }),
    'the role is another (403)': (sample) => ({ ...sample, role: wrongRole ?? 'holder' }),
    'a query parameter is unknown (400)': (sample) => ({
      ...sample,
      path: `${sample.path}?surprise=1`,
    }),
    ...(takesBody && {
      'the body is broken (400)': (sample: Sample) => ({ ...sample, body: '{"a": ' }),
      'the body does not fit (400)': (sample: Sample) => ({ ...sample, body: [] }),
      'the body is of another type (415)': (sample: Sample) => ({
        ...sample,
        headers: { ...sample.headers, 'content-type': 'text/plain' },
      }),
    }),
    ...(path.includes('{') && {
      'there is no such thing (404)': (sample: Sample) => ({
        ...sample,
        path: sample.path.replace(/^(\/v1\/[a-z-]+\/)[^/]+/, '$1no-such-thing'),
      }),
    }),
    ...((method === 'PATCH' || path.endsWith('/retire')) && {
      'the version is an older one (412)': (sample: Sample) => ({
        ...sample,
        headers: { 'if-match': '"77"' },
      }),
      'the version is not said (428)': (sample: Sample) => ({ ...sample, headers: {} }),
    }),
  };
  test.each(Object.entries(changes))('leaves none when %s', async (name, change) => {
    const sample = change(await sampleOf(id));
    const { answer, left } = await leaves(() => ask(sample));
    expect(`(${answer.status})`, answer.text).toBe(/\(\d+\)/.exec(name)?.[0]);
    expect(left).toEqual([]);
  });
});

describe('what fails late leaves no event either', () => {
  const ds = '/v1/datasets/nhic-idsr-cases/consent-records';
  const request = (change: object): Ask & { path: string } => ({
    path: '/v1/access-requests',
    role: 'partner',
    body: { ...accessRequest, ...change },
  });
  const late: Readonly<Record<string, Ask & { path: string; status: number }>> = {
    'an id that is taken': {
      path: '/v1/organisations',
      role: 'authority',
      status: 409,
      body: { id: 'moh', name: { en: 'x' }, country: 'RW', legal_form: 'public_body' },
    },
    'a dataset id that is taken': {
      path: '/v1/datasets',
      role: 'steward',
      status: 409,
      body: { id: 'nhic-idsr-cases', title: { en: 'x' } },
    },
    'a fact that does not exist': {
      path: '/v1/datasets',
      role: 'steward',
      status: 400,
      body: { id: 'new-one', title: { en: 'x' }, colour: 'red' },
    },
    'a project of nobody': {
      path: '/v1/projects',
      role: 'authority',
      status: 422,
      body: {
        id: 'p-x',
        organisation: 'nobody',
        title: { en: 'x' },
        purposes: [],
        sector: 'health',
        stage: 'pilot',
      },
    },
    'a request for an unknown dataset': { ...request({ dataset: 'no-such-dataset' }), status: 422 },
    'a request under an unknown agreement': {
      ...request({ agreement: 'no-such-agreement' }),
      status: 422,
    },
    'a request with an impossible value': {
      ...request({ deidentification: 'sort-of' }),
      status: 400,
    },
    'a simulation with an unknown fact': {
      path: '/v1/decisions/simulate',
      role: 'steward',
      status: 400,
      body: { dataset: { colour: 'red' }, request: {} },
    },
    'one subject twice among many': {
      path: `${ds}/bulk`,
      role: 'steward',
      status: 400,
      body: { records: [1, 2].map(() => ({ ...consent, subject: 'p-twice' })) },
    },
    'consent of tomorrow': {
      path: ds,
      role: 'steward',
      status: 400,
      body: { ...consent, subject: 'p-tomorrow', at: '2999-01-01T00:00:00Z' },
    },
  };
  test.each(Object.entries(late))('%s', async (_name, { path, status, ...rest }) => {
    const { answer, left } = await leaves(() => service.ask('POST', path, rest));
    expect(answer.status, answer.text).toBe(status);
    expect(left).toEqual([]);
  });

  test('a consent statement older than the one on record', async () => {
    const statement = { ...consent, subject: 'p-older' };
    expect(await service.ask('POST', ds, { role: 'steward', body: statement })).toMatchObject({
      status: 200,
    });
    const { answer, left } = await leaves(() =>
      service.ask('POST', ds, {
        role: 'steward',
        body: { ...statement, at: '2025-01-01T00:00:00Z' },
      }),
    );
    expect(answer).toMatchObject({ status: 409, body: { code: 'older_than_recorded' } });
    expect(left).toEqual([]);
  });

  test('a retry with the same Idempotency-Key: one request, one event, the same answer', async () => {
    for (const [path, role, body] of [
      ['/v1/access-requests', 'partner', accessRequest],
      ['/v1/datasets', 'steward', { id: 'idempotent-ds', title: { en: 'x' } }],
    ] as const) {
      const again = (): Promise<Answer> =>
        service.ask('POST', path, { role, body, headers: { 'idempotency-key': 'k-1' } });
      const first = await leaves(again);
      expect(first.left).toHaveLength(1);
      const second = await leaves(again);
      expect(second.left).toEqual([]);
      const withoutIndex = (answer: Answer): unknown => {
        const { index: _index, ...rest } = answer.body.decision ?? answer.body;
        return rest;
      };
      expect(withoutIndex(second.answer)).toEqual(withoutIndex(first.answer));
      expect(second.answer.headers.get('location')).toBe(first.answer.headers.get('location'));
    }
  });
});

describe('reloadPack', () => {
  const reload = (): Promise<Answer> =>
    service.ask('POST', '/v1/pack/reload', { role: 'authority' });

  test('leaves no event when no file changed', async () => {
    const { answer, left } = await leaves(reload);
    expect(answer).toMatchObject({ status: 200, body: { changed: [] } });
    expect(left).toEqual([]);
  });

  test('leaves none when a file has a mistake, and the last good version stays', async () => {
    const file = join(packDir, 'rules/agreement.yaml');
    const good = await readFile(file, 'utf8');
    const before = await service.ask('GET', '/v1/pack', { role: 'auditor' });
    await writeFile(file, good.replace('effect: deny', 'effect: dney'));
    const { answer, left } = await leaves(reload);
    expect(answer).toMatchObject({ status: 422, body: { code: 'invalid_policy' } });
    expect(answer.body.errors[0].path).toMatch(/rules\/agreement\.yaml:\d+:\d+$/);
    expect(answer.body.errors[0].rule).toBe('AGR-BIND');
    expect(left).toEqual([]);
    await writeFile(file, good.replace('Accords contraignants', 'Les accords contraignants'));
    expect((await leaves(reload)).left).toEqual([]);
    await writeFile(file, good);
    expect((await service.ask('GET', '/v1/pack', { role: 'auditor' })).text).toBe(before.text);
  });

  test('leaves its event, and one of each new version that a file has', async () => {
    const file = join(packDir, 'rules/agreement.yaml');
    await writeFile(file, (await readFile(file, 'utf8')).replace('version: 1', 'version: 2'));
    const { answer, left } = await leaves(reload);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        changed: ['rw-agreement'],
        event_id: left.find(({ type }) => type === 'reloadPack')?.event_id,
      },
    });
    expect(left.map(({ type }) => type).toSorted()).toEqual(['enterPolicyVersion', 'reloadPack']);
    await expectReceipt(answer.body);
  });
});

describe('reading', () => {
  const reads = operations.filter(({ method }) => method === 'GET');

  test('leaves no event', async () => {
    expect(reads.length).toBeGreaterThan(25);
    const before = await events();
    for (const operation of reads) {
      const role = operation.roles.find((each) => each !== 'auditor');
      await service.ask('GET', samplePath(operation), { ...(role && { role }) });
    }
    expect((await events()).length).toBe(before.length);
  });

  test('by an auditor leaves one, of the operation, with what was asked for beside the leaf', async () => {
    const overseen = reads.filter(({ roles }) => roles.includes('auditor'));
    expect(overseen.length).toBeGreaterThan(20);
    for (const operation of overseen) {
      const path = samplePath(operation);
      const { answer, left } = await leaves(() => service.ask('GET', path, { role: 'auditor' }));
      const kept = left.map(({ type }) => type);
      expect([operation.id, kept]).toEqual([
        operation.id,
        answer.status === 200 ? [operation.id] : [],
      ]);
    }
    const { left } = await leaves(() =>
      service.ask('GET', '/v1/audit/search?text=names%20of%20people', { role: 'auditor' }),
    );
    const [event] = left;
    expect(String(event?.leaf)).not.toContain('people');
    expect(String(event?.body)).not.toContain('people');
    expect(event && bodyOf(event)).toMatchObject({ query: { text: 'names of people' } });
  });

  test('of entries in tiles by an auditor leaves one as well', async () => {
    await sleep(1_000);
    const { left } = await leaves(() =>
      service.ask('GET', '/log/tile/entries/000.p/1', { role: 'auditor' }),
    );
    expect(left.map(({ type }) => type)).toEqual(['readEntries']);
  });
});

/** The receipt is the log's own word for this event (RFC 7515), by a key that it publishes. */
async function expectReceipt({
  event_id,
  leaf_hash,
  receipt,
}: Record<string, string>): Promise<void> {
  const { body } = await service.ask('GET', '/log/jwks.json');
  const { payload, protectedHeader } = await compactVerify(receipt ?? '', createLocalJWKSet(body));
  expect(protectedHeader).toMatchObject({ alg: 'EdDSA', typ: 'receipt+jwt' });
  const claims = JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>;
  expect(claims).toEqual({
    iss: service.config.logOrigin,
    iat: expect.any(Number),
    event_id,
    leaf_hash,
  });
  const [head = '', , signature] = (receipt ?? '').split('.');
  const forged = Buffer.from(JSON.stringify({ ...claims, event_id: 'another' })).toString(
    'base64url',
  );
  await expect(
    compactVerify(`${head}.${forged}.${signature}`, createLocalJWKSet(body)),
  ).rejects.toThrow('signature');
}

describe('each leaf', () => {
  test('has the members of the format and no other, in canonical JSON', async () => {
    const all = await events();
    expect(all.length).toBeGreaterThan(150);
    for (const { leaf, event_id, type } of all) {
      const text = leaf.toString('utf8');
      const parsed = JSON.parse(text) as Record<string, unknown>;
      expect(canonicalize(parsed)).toBe(text);
      expect(Object.keys(parsed).toSorted()).toEqual(LEAF_MEMBERS.toSorted());
      expect(parsed).toMatchObject({ v: 1, event_id, type });
    }
  });

  test('holds identifiers, hashes and closed words only: no free text, no name, no person', async () => {
    const allowed: Readonly<Record<string, RegExp>> = {
      event_id: /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      type: /^[a-z][A-Za-z]+$/,
      time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
      actor: /^[\w-]{22}$/,
      role: /^(steward|partner|auditor|authority|holder|service)$/,
      outcome: /^(success|permit|deny|review)$/,
      body_sha256: /^[0-9a-f]{64}$/,
      nonce: /^[\w-]{22}$/,
    };
    for (const { leaf } of await events()) {
      const {
        v: _v,
        subject_ids,
        ...texts
      } = JSON.parse(leaf.toString()) as Record<string, string> & { subject_ids: string[] };
      for (const [name, value] of Object.entries(texts))
        expect(value, name).toMatch(allowed[name] ?? /^$/);
      for (const id of subject_ids) expect(id).toMatch(/^[a-z0-9][a-z0-9_-]{0,99}$/);
      // Not of a nonce or a pseudonym, in which chance may write anything.
      expect(subject_ids.join(' ')).not.toMatch(/demo-(steward|partner|authority)|\bp-\d/);
      expect(leaf.toString()).not.toMatch(/Mukamana|Uwase|Tokyo/);
    }
  });

  test('has a nonce of its own', async () => {
    const nonces = (await events()).map(
      ({ leaf }) => (JSON.parse(leaf.toString()) as { nonce: string }).nonce,
    );
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  test('names the same actor with the same pseudonym, and different ones differently', async () => {
    const actors = new Map<string, Set<string>>();
    for (const { leaf, ...row } of await events()) {
      const { actor } = bodyOf(row) as { actor: string };
      const { actor: pseudonym } = JSON.parse(leaf.toString()) as { actor: string };
      actors.set(actor, (actors.get(actor) ?? new Set()).add(pseudonym));
    }
    expect(actors.size).toBeGreaterThanOrEqual(4);
    expect([...actors.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set([...actors.values()].flatMap((each) => [...each])).size).toBe(actors.size);
  });

  test('binds its body, which has a salt of its own', async () => {
    const salts = new Set<string>();
    const all = await events();
    for (const { leaf, body } of all) {
      const { body_sha256 } = JSON.parse(leaf.toString()) as { body_sha256: string };
      expect(createHash('sha256').update(body).digest('hex')).toBe(body_sha256);
      const parsed = JSON.parse(body.toString()) as { salt: string };
      expect(canonicalize(parsed)).toBe(body.toString());
      salts.add(parsed.salt);
    }
    expect(salts.size).toBe(all.length);
  });

  test('binds by digests, and does not hold, what names people and what they wrote', async () => {
    const seen = new Set<string>();
    const texts = (value: unknown, path: string): [string, string][] =>
      typeof value === 'string'
        ? [[path, value]]
        : Object.entries(value ?? {}).flatMap(([name, each]) => texts(each, `${path}/${name}`));
    for (const { type, body } of await events()) {
      seen.add(type);
      const { _sd, ...rest } = JSON.parse(body.toString()) as Record<string, unknown>;
      expect(_sd, type).toEqual(expect.arrayContaining([expect.stringMatching(/^[\w-]{43}$/)]));
      for (const [path, text] of texts(rest, '')) {
        expect(text, `${type} ${path}`).toMatch(/^[A-Za-z0-9_/-][\w.:/+-]{0,99}$/);
        expect(text, `${type} ${path}`).not.toMatch(
          /Mukamana|Uwase|Tokyo|^demo-(steward|partner|auth)/,
        );
      }
    }
    expect([...seen]).toEqual(expect.arrayContaining(covered.map(({ id }) => id)));
  });

  test('of consent names no subject, in the leaf or beside it', async () => {
    const { rows } = await client.query<{ leaf: Buffer; body: Buffer }>(
      "select leaf, body from audit_event where type like 'recordConsent%'",
    );
    expect(rows.length).toBeGreaterThan(2);
    for (const { leaf, body } of rows)
      expect(leaf.toString() + body.toString()).not.toMatch(/p-(\d|older|twice)/);
  });
});

describe('the log', () => {
  async function proofOf(id: string): Promise<Answer> {
    for (let tries = 0; tries < 100; tries++) {
      const answer = await service.ask('GET', `/v1/audit/events/${id}/proof`, {
        role: 'authority',
      });
      if (answer.status === 200) return answer;
      expect(answer).toMatchObject({ status: 409, body: { code: 'not_sequenced' } });
      await sleep(50);
    }
    throw new Error('never sequenced');
  }

  test('takes an event within moments and proves it to whoever has the key, against no other leaf', async () => {
    const request = await ask(await sampleOf('submitAccessRequest'));
    const { event_id, leaf_hash } = request.body.decision;
    const proof = await proofOf(event_id);
    const { body: event } = await service.ask('GET', `/v1/audit/events/${event_id}`, {
      role: 'authority',
    });
    expect(event.index).toBeTypeOf('number');
    expect(event.leaf_hash).toBe(leaf_hash);
    const hash = leafHash(Buffer.from(event.leaf));
    expect(verifyProofFile(proof.text, hash, [verifier])).toMatchObject({
      ok: true,
      index: event.index,
      checkpoint: { origin: service.config.logOrigin },
    });
    expect(
      verifyProofFile(proof.text, leafHash(Buffer.from(`${event.leaf} `)), [verifier]),
    ).toMatchObject({ ok: false });
    const bound = createHash('sha256')
      .update(canonicalize(event.body) ?? '')
      .digest('hex');
    expect(JSON.parse(event.leaf)).toMatchObject({ body_sha256: bound });
    expect(
      (await service.ask('GET', `/v1/access-requests/${request.body.id}`, { role: 'partner' })).body
        .decision,
    ).toMatchObject({
      index: event.index,
      receipt: request.body.decision.receipt,
    });
  });

  test('proves every event, early and late ones', async () => {
    const all = await events();
    await proofOf(all.at(-1)?.event_id ?? '');
    for (const { event_id, leaf } of [
      all[0],
      all[1],
      all[Math.floor(all.length / 2)],
      all.at(-1),
    ].flatMap((each) => each ?? [])) {
      const { text } = await proofOf(event_id);
      expect(verifyProofFile(text, leafHash(leaf), [verifier])).toMatchObject({ ok: true });
    }
  });

  test('proves to the partner who asked, and to no other, that it has their request', async () => {
    const { body } = await ask(await sampleOf('submitAccessRequest'));
    const path = `/v1/audit/events/${body.decision.event_id}/proof`;
    await proofOf(body.decision.event_id);
    expect(await service.ask('GET', path, { role: 'partner' })).toMatchObject({ status: 200 });
    const other = {
      subject: 'somebody-else',
      organisation: 'example-lab',
      projects: ['climate-model'],
    };
    expect(await service.ask('GET', path, { role: 'partner', claims: other })).toMatchObject({
      status: 404,
    });
  });

  test('extends itself: proofs between the sizes of its checkpoints verify', async () => {
    const stored = await client.query<{ size: string; note: string }>(
      'select size, note from log_checkpoint union select size, note from log_published order by size',
    );
    const opened = stored.rows.flatMap(({ note }) => {
      const result = openCheckpoint(note, [verifier]);
      return result.ok ? result.checkpoint : [];
    });
    expect(opened.length).toBe(stored.rows.length);
    expect(opened.length).toBeGreaterThan(1);
    for (const [i, earlier] of opened.entries()) {
      for (const later of opened.slice(i)) {
        const path = `/log/consistency?from=${earlier.size}&to=${later.size}`;
        const { body } = await service.ask('GET', path);
        const proof = (body.proof as string[]).map((hash) => Buffer.from(hash, 'base64'));
        const claim = {
          from: earlier.size,
          to: later.size,
          fromRoot: earlier.root,
          toRoot: later.root,
          proof,
        };
        expect(verifyConsistency(claim), path).toEqual({ ok: true });
        if (earlier.size === later.size) continue;
        const wrong = { ...claim, fromRoot: later.root };
        expect(verifyConsistency(wrong)).toMatchObject({ ok: false });
      }
    }
  });

  test('publishes a checkpoint that its key signed and that covers every event', async () => {
    const [last] = (await events()).slice(-1);
    await proofOf(last?.event_id ?? '');
    const { text } = await service.ask('GET', '/log/checkpoint');
    const result = openCheckpoint(text, [verifier]);
    expect(result).toMatchObject({
      ok: true,
      checkpoint: { origin: service.config.logOrigin, size: (await events()).length },
    });
  });
});

test('nothing here was a defect', () => {
  expect(service.warnings).toEqual([]);
});

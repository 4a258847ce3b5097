import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROLES } from '../../src/principal.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { operations, samplePath } from './operations.ts';

/** Operations that nobody has to say who they are for, and why. */
const OPEN: Readonly<Record<string, string>> = {
  getLiveness: 'a supervisor has no token, and it says nothing of anybody',
  getReadiness: 'a load balancer has no token, and it says nothing of anybody',
  getContract: 'the contract is public',
  getDocs: 'the contract is public',
  getCheckpoint:
    'whoever doubts the operator must be able to watch the log: only a size and a hash',
  listShards: 'origins, sizes and public keys, for whoever watches the log',
  getPrevious: 'size and hash of the tree that came before, and a salt',
  getShardCheckpoint: 'as getCheckpoint',
  getShardVerifierKeys: 'public keys',
  getShardTrustPolicy: 'as getTrustPolicy',
  getShardPrevious: 'as getPrevious',
  getShardConsistencyProof: 'as getConsistencyProof',
  getVerifierKey: 'a public key',
  getVerifierKeys: 'public keys',
  getVerifier: 'a program that whoever doubts the operator runs',
  getTrustPolicy: 'what whoever verifies the log is to ask for',
  getReceiptKeys: 'public keys',
  getConsistencyProof: 'hashes of the tree, for whoever watches the log',
  getDecisionPoint: 'AuthZEN clients look for it first; it follows from the address alone',
  getDecisionPointOfSpace: 'the same; it is there for every name and so tells of no space',
};

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service[Symbol.asyncDispose]());

describe('the contract says for each operation who may call it', () => {
  test('the walk sees them all', () => {
    expect(operations.length).toBeGreaterThan(40);
    expect(new Set(operations.map(({ id }) => id)).size).toBe(operations.length);
  });

  test('operations that are open to everybody are those of the list, no more and no fewer', () => {
    const open = operations.filter((each) => each.open).map(({ id }) => id);
    expect(open.toSorted()).toEqual(Object.keys(OPEN).toSorted());
    const unguarded = operations.filter(({ roles }) => roles.length === 0).map(({ id }) => id);
    expect(unguarded.toSorted()).toEqual(open.toSorted());
  });

  test('roles are those of the service, each once', () => {
    for (const { id, roles } of operations) {
      expect([...new Set(roles)], id).toEqual(roles);
      expect(
        roles.filter((role) => !ROLES.includes(role)),
        id,
      ).toEqual([]);
    }
  });
});

/** As wrong as can be besides: who may not call learns nothing else. */
const nonsense = (method: string): { path: string; body?: string } =>
  method === 'GET' ? { path: '?no=such&no=parameter' } : { path: '?no=such', body: '{"broken' };

const guarded = operations.filter(({ open }) => !open);

describe.each(guarded)('$id', (operation) => {
  const { method, roles } = operation;
  const path = samplePath(operation);
  const wrong = nonsense(method);

  test('is 401 without a token, before anything else is looked at', async () => {
    for (const ask of [
      { path, body: operation.takesBody ? '{}' : undefined },
      { path: path + wrong.path, body: wrong.body },
    ]) {
      const answer = await service.ask(method, ask.path, { body: ask.body });
      expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  test('is 401 with a forged token', async () => {
    const [header, payload] = (await service.token(roles[0] ?? 'auditor')).split('.');
    const token = `${header}.${payload}.${Buffer.alloc(64, 7).toString('base64url')}`;
    const answer = await service.ask(method, path + wrong.path, { token, body: wrong.body });
    expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_token' } });
    expect(answer.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  });

  test('is neither 401 nor 403 for its roles when the input is wrong', async () => {
    for (const role of roles) {
      const answer = await service.ask(method, path + wrong.path, { role, body: wrong.body });
      expect(answer.status, `${role}: ${answer.text}`).toBe(400);
    }
  });
});

const forbidden = guarded.flatMap((operation) =>
  ROLES.filter((role) => !operation.roles.includes(role)).map((role) => ({ operation, role })),
);

test.each(forbidden)(
  '$operation.id is 403 for $role, whatever else is wrong',
  async ({ operation, role }) => {
    const { method } = operation;
    const path = samplePath(operation);
    const wrong = nonsense(method);
    for (const ask of [{ path }, { path: path + wrong.path, body: wrong.body }]) {
      const answer = await service.ask(method, ask.path, { role, body: ask.body });
      expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    }
  },
);

test('no answer to somebody unknown or unauthorised was a defect', () => {
  expect(service.warnings).toEqual([]);
});

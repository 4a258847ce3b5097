import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadContract } from '../../src/http/contract.ts';
import { PROBLEMS } from '../../src/http/problems.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { contractDocument, operations } from './operations.ts';

const ROOT = join(import.meta.dirname, '../..');
const GENERATE = join(ROOT, 'tools/generate.sh');
const GENERATOR = join(ROOT, 'tools/node_modules/.bin/openapi-typescript');

let service: TestService;
beforeAll(async () => {
  service = await startTestService({
    config: {
      demo: false,
      issuer: { issuer: 'x', audience: 'x', jwksUrl: new URL('http://127.0.0.1:1/') },
    },
  });
});
afterAll(() => service[Symbol.asyncDispose]());

describe('the contract', () => {
  test('lists every code that a problem can have, and no other', () => {
    const { schemas } = contractDocument['components'] as {
      schemas: Record<
        string,
        { properties: Record<string, { enum: string[]; description: string }> }
      >;
    };
    const code = schemas['Problem']?.properties['code'];
    expect(code?.enum.toSorted()).toEqual(Object.keys(PROBLEMS).toSorted());
    for (const [name, { status }] of Object.entries(PROBLEMS))
      expect(code?.description).toContain(`- \`${name}\`: ${status}`);
  });

  test('documents for every operation what may go wrong', () => {
    const needsDatabase = operations.filter(({ path }) => path.startsWith('/v1/'));
    const paths = contractDocument['paths'] as Record<
      string,
      Record<string, { responses: Record<string, unknown> }>
    >;
    for (const { id, path, method } of operations) {
      expect(paths[path]?.[method.toLowerCase()]?.responses, id).toHaveProperty('4XX');
    }
    for (const { id, path, method } of needsDatabase) {
      expect(paths[path]?.[method.toLowerCase()]?.responses, id).toHaveProperty('503');
    }
  });

  test('is what the service answers by: the same operations, methods, paths and roles', () => {
    const seen = loadContract().operations.map(({ id, method, path, roles }) => ({
      id,
      method,
      path,
      roles,
    }));
    expect(seen).toEqual(
      operations.map(({ id, method, path, roles }) => ({ id, method, path, roles })),
    );
  });

  test('is served as JSON, equal to the file', async () => {
    const answer = await service.ask('GET', '/openapi.json');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.body).toEqual(contractDocument);
  });

  test.runIf(existsSync(GENERATOR))(
    'has the generated types that lie beside it',
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'umutungo-types-'));
      const file = join(folder, 'openapi.ts');
      await promisify(execFile)(GENERATE, [file]);
      const [fresh, kept] = await Promise.all(
        [file, join(ROOT, 'src/generated/openapi.ts')].map((each) => readFile(each, 'utf8')),
      );
      await rm(folder, { recursive: true });
      expect(kept === fresh, 'src/generated/openapi.ts has drifted from openapi/openapi.yaml').toBe(
        true,
      );
    },
    60_000,
  );

  if (!existsSync(GENERATOR))
    console.log(
      'Skipped: the drift of src/generated/openapi.ts, because tools/node_modules is not installed (npm ci in tools/).',
    );
});

describe('/docs', () => {
  const assetsOf = (html: string): string[] =>
    [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');

  test('is a page whose every asset is local and there', async () => {
    const page = await service.ask('GET', '/docs');
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    const assets = assetsOf(page.text);
    expect(assets.length).toBeGreaterThanOrEqual(4);
    for (const path of assets) {
      expect(path).toMatch(/^\/[^/]/);
      const asset = await fetch(service.url + path);
      expect(asset.status, path).toBe(200);
      expect((await asset.arrayBuffer()).byteLength, path).toBeGreaterThan(50);
    }
    expect(page.text).not.toMatch(/https?:|<script>|\son\w+=/);
  });

  test('has assets of their own types, with nothing to sniff', async () => {
    const types: Readonly<Record<string, RegExp>> = {
      '/docs/swagger-ui.css': /^text\/css/,
      '/docs/swagger-ui-bundle.js': /^text\/javascript/,
      '/docs/init.js': /^text\/javascript/,
      '/docs/favicon-32x32.png': /^image\/png/,
    };
    for (const [path, type] of Object.entries(types)) {
      const { headers } = await fetch(service.url + path);
      expect(headers.get('content-type'), path).toMatch(type);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });

  test('begins with no other host: the style sheet imports none, the start script names none', async () => {
    const css = await (await fetch(`${service.url}/docs/swagger-ui.css`)).text();
    expect(css).not.toMatch(/@import|url\((?!["']?data:)/);
    const init = await (await fetch(`${service.url}/docs/init.js`)).text();
    expect(init).not.toMatch(/https?:/);
    expect(init).toContain('validatorUrl: null');
  });

  test.each(['/docs', '/openapi.json', '/livez', '/v1/datasets', '/nothing/here'])(
    '%s is sent with a policy that lets nothing come from elsewhere',
    async (path) => {
      const { headers } = await fetch(service.url + path);
      const policy = new Map(
        (headers.get('content-security-policy') ?? '').split(';').map((each) => {
          const [name = '', ...sources] = each.trim().split(' ');
          return [name, sources.join(' ')] as const;
        }),
      );
      expect(policy.get('default-src')).toBe("'none'");
      expect(policy.get('frame-ancestors')).toBe("'none'");
      if (path === '/docs') {
        expect(policy.get('script-src')).toBe("'self'");
        expect(policy.get('connect-src')).toBe("'self'");
        expect(policy.get('base-uri')).toBe("'none'");
      }
      const sources = [...policy.values()].flatMap((each) => each.split(' '));
      expect(
        sources.filter(
          (source) => !["'none'", "'self'", "'unsafe-inline'", 'data:'].includes(source),
        ),
      ).toEqual([]);
      expect(headers.get('x-frame-options')).toBe('DENY');
      expect(headers.get('x-powered-by')).toBeNull();
    },
  );

  test('is where the root leads', async () => {
    const answer = await fetch(service.url, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs']);
  });
});

/** Operations whose good answers a cache may keep, and for how long. */
const CACHED: Readonly<Record<string, string>> = {
  getCheckpoint: 'public, max-age=1',
};

test.each(operations.filter(({ method, id }) => method === 'GET' && !(id in CACHED)))(
  '$id is kept by no cache',
  async ({ path }) => {
    for (const answer of [
      await fetch(service.url + path),
      await fetch(service.url + path, { headers: { authorization: 'Bearer a.b.c' } }),
    ]) {
      expect(answer.headers.get('cache-control')).toBe('no-store');
    }
  },
);

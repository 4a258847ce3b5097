import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { umutungo } from '../faults/process.ts';
import { shell } from './shell.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'policy-test-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Runs `policy test`, with no settings. */
async function policyTest(...args: readonly string[]) {
  const { stdout, ...ended } = await shell(['policy', 'test', ...args]);
  return { ...ended, lines: stdout.trimEnd().split('\n') };
}

async function written(name: string, content: unknown): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

/** Public tables: nothing denies, asks for review or obliges. */
const open = {
  dataset: {
    classification: 'public',
    personal_data: 'none',
    deidentification: 'aggregate',
    permitted_purposes: ['any'],
    storage_policy: 'any',
  },
  request: {
    purpose: 'academic_research',
    locations: { storage: ['JP'], processing: ['JP'], access_from: ['JP'] },
    output: { type: 'statistics' },
  },
};
const permit = { decision: 'permit', deny: [], review: [], obligations: [] };
const scenario = (id: string, expected: unknown, more: object = {}): object => ({
  id,
  ...open,
  expected,
  ...more,
});

/** What is said of each case of one file. */
async function said(...scenarios: readonly object[]): Promise<Record<string, string>> {
  const { lines } = await policyTest(await written('said.json', scenarios));
  const cases = lines.slice(0, -1).map((line) => /^(ok {2}|FAIL) (\S+) {2}(.*)$/.exec(line) ?? []);
  return Object.fromEntries(
    cases.map(([, state, id, text]) => [id ?? '', `${state?.trim()} ${text}`]),
  );
}

describe('policy test', () => {
  test('passes the shipped cases: a line a case, then the sum, and exit code 0', async () => {
    const files = ['policies/cases/rwanda.json', 'policies/cases/rules.yaml'];
    const { code, stdout, stderr } = await umutungo(['policy', 'test', ...files], {});
    const lines = stdout.trimEnd().split('\n');
    expect(stderr).toBe('');
    expect(lines.at(-1)).toBe(`${lines.length - 1} passed, 0 failed`);
    expect(lines.slice(0, -1).every((line) => line.startsWith('ok   '))).toBe(true);
    expect(lines[0]).toBe('ok   RW-S01  permit');
    expect(code).toBe(0);
  });

  test('fails with exit code 1 when one case is not as expected, and says in which way', async () => {
    const file = await written('one.json', [
      scenario('good', permit),
      scenario('bad', { decision: 'deny' }),
    ]);
    const { code, lines } = await policyTest(file);
    expect(lines).toEqual([
      'ok   good  permit',
      'FAIL bad  expected deny, got permit ()',
      '1 passed, 1 failed',
    ]);
    expect(code).toBe(1);
    const quiet = await policyTest('--quiet', file);
    expect([quiet.code, quiet.lines]).toEqual([1, lines.slice(1)]);
  });

  test('compares each set exactly: neither a rule too many nor one too few goes unnoticed', async () => {
    const denied = {
      ...open,
      dataset: { ...open.dataset, storage_policy: 'rw_only', classification: 'internal' },
    };
    const exact = {
      decision: 'deny',
      deny: ['AGR-BIND', 'SOV-STORE'],
      review: ['SOV-JURIS'],
      obligations: ['OBL-NOREID'],
    };
    const of = (id: string, changed: object): object => ({
      id,
      ...denied,
      expected: { ...exact, ...changed },
    });
    expect(
      await said(
        of('exact', {}),
        of('another-order', { deny: ['SOV-STORE', 'AGR-BIND'] }),
        of('too-few', { deny: ['AGR-BIND', 'SOV-STORE', 'AGR-TERM'] }),
        of('too-many', { deny: ['AGR-BIND'], review: [] }),
        of('no-obligation', { obligations: [] }),
        of('objects', { review: [{ code: 'SOV-JURIS' }], obligations: [{ code: 'OBL-LOG' }] }),
      ),
    ).toEqual({
      exact: 'ok deny',
      'another-order': 'ok deny',
      'too-few': 'FAIL deny: -AGR-TERM',
      'too-many': 'FAIL deny: +SOV-STORE; review: +SOV-JURIS',
      'no-obligation': 'FAIL obligations: +OBL-NOREID',
      objects: 'ok deny',
    });
  });

  test('passes nothing that it could not compare', async () => {
    expect(
      await said(
        scenario('no-decision', { deny: [] }),
        scenario('no-expectation', undefined),
        scenario('a-word', { ...permit, deny: 'AGR-BIND' }),
        scenario('mixed', { ...permit, review: ['SOV-JURIS', { code: 'SOV-KT' }] }),
        scenario('misspelt', { ...permit, obligation: ['OBL-LOG'] }),
      ),
    ).toEqual({
      'no-decision': 'FAIL expected a "decision", got permit ()',
      'no-expectation': 'FAIL expected a "decision", got permit ()',
      'a-word': 'FAIL deny: expected a list of rule ids',
      mixed: 'FAIL review: expected a list of rule ids',
      misspelt: 'FAIL unknown key "obligation" (did you mean obligations?)',
    });
  });

  test('decides a variant with the facts that it changes, and lets it inherit nothing expected', async () => {
    const answers = await said(
      scenario('parent', permit, {
        variants: [
          {
            id: 'flat',
            change: { 'dataset.storage_policy': 'rw_only' },
            decision: 'deny',
            deny: ['SOV-STORE'],
          },
          {
            id: 'nested',
            change: { 'dataset.storage_policy': null },
            expected: { decision: 'deny' },
          },
          {
            id: 'created',
            change: { 'dataset.sovereignty.outputs_allowed': [] },
            decision: 'deny',
            deny: ['SOV-OUTPUT'],
          },
          { id: 'independent', change: { 'request.purpose': 'x' }, decision: 'permit' },
          { id: 'silent', change: { 'request.purpose': 'x' } },
        ],
      }),
    );
    expect(answers).toEqual({
      parent: 'ok permit',
      flat: 'ok deny',
      nested: 'ok deny',
      created: 'ok deny',
      independent: 'ok permit',
      silent: 'FAIL expected a "decision", got permit ()',
    });
  });

  test('counts a fact that does not exist, or cannot be, as a failure that names its path', async () => {
    const { dataset, request } = open;
    const expected = permit;
    expect(
      await said(
        { id: 'unknown', dataset: { ...dataset, clasification: 'public' }, request, expected },
        {
          id: 'impossible',
          dataset,
          request: { ...request, as_of: '2026-02-30T00:00:00Z' },
          expected,
        },
        scenario('parent', permit, {
          variants: [{ id: 'changed', change: { 'request.locations.storge': ['RW'] }, ...permit }],
        }),
        { id: 'nothing', expected },
      ),
    ).toEqual({
      unknown: expect.stringMatching(
        /^FAIL \/dataset\/clasification: .*did you mean classification\?/,
      ),
      impossible: expect.stringMatching(/^FAIL \/request\/as_of: expected an RFC 3339 date-time/),
      parent: 'ok permit',
      changed: expect.stringMatching(
        /^FAIL \/request\/locations\/storge: .*did you mean storage\?/,
      ),
      nothing: expect.stringMatching(/^FAIL expected permit, got deny/),
    });
  });

  test('does not take the clock for the moment of a case that states none', async () => {
    const lab = { 'request.poc': { stage: 'scale', max_subjects: 0, end: '2999-12-31' } };
    expect(
      await said(
        scenario('parent', permit, {
          variants: [{ id: 'unknown', change: lab, decision: 'needs_review', review: ['SOV-POC'] }],
        }),
      ),
    ).toMatchObject({ unknown: 'ok needs_review' });
  });

  test('reads YAML and JSON alike, one case or a list', async () => {
    const yaml = await written(
      'one.yaml',
      `id: one\ndataset: ${JSON.stringify(open.dataset)}\nrequest: ${JSON.stringify(open.request)}\nexpected:\n  decision: permit\n  deny: []\n`,
    );
    const json = await written('list.json', [scenario('two', permit)]);
    const { code, lines } = await policyTest(yaml, json);
    expect([code, lines]).toEqual([
      0,
      ['ok   one  permit', 'ok   two  permit', '2 passed, 0 failed'],
    ]);
  });

  test.each([
    ['a file that is not there', 'missing.json', undefined, /missing\.json/],
    ['broken JSON', 'broken.json', '[', /broken\.json/],
    ['broken YAML', 'broken.yaml', 'a: [', /broken\.yaml/],
    ['a case without a name', 'nameless.json', '[{}]', /nameless\.json: case 1 has no "id"/],
    [
      'a variant without a change',
      'same.json',
      '[{"id":"a","variants":[{"id":"b"}]}]',
      /same\.json: a variant of a has no/,
    ],
  ])('ends with exit code 2 and names the file: %s', async (_name, file, text, message) => {
    const path = text === undefined ? join(folder, file) : await written(file, text);
    const { code, stderr, lines } = await policyTest(path);
    expect([code, lines]).toEqual([2, ['']]);
    expect(stderr).toMatch(message);
  });

  test('does not pass a file without cases, nor no file at all', async () => {
    expect(await policyTest(await written('empty.json', '[]'))).toMatchObject({
      code: 1,
      lines: ['0 passed, 0 failed'],
    });
    expect(await policyTest()).toMatchObject({ code: 2 });
  });

  test('decides ten thousand cases in seconds', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => scenario(`case-${i}`, permit));
    const file = await written('many.json', many);
    const start = performance.now();
    const { code, lines } = await policyTest(file);
    expect([code, lines.length, lines.at(-1)]).toEqual([0, 10_001, '10000 passed, 0 failed']);
    expect(performance.now() - start).toBeLessThan(15_000);
  });
});

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shell } from './shell.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const LAB = 'living-lab.yaml';
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'policy-'));
  await cp(join(root, 'policies/templates'), folder, { recursive: true });
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs `policy …`, with no settings. */
const policy = (...args: readonly string[]) => shell(['policy', ...args]);

/** A copy of a template, and of its cases, with a change. */
async function changed(name: string, from: string, to: string): Promise<string> {
  const text = await readFile(join(folder, LAB), 'utf8');
  expect(text).toContain(from);
  const file = join(folder, `${name}.yaml`);
  await writeFile(file, text.replace(from, to));
  await cp(join(folder, 'living-lab.cases.yaml'), join(folder, `${name}.cases.yaml`));
  return file;
}

describe('policy check', () => {
  test('finds nothing in the way of the pack, nor of a template', async () => {
    expect(await policy('check')).toMatchObject({ code: 0, stderr: '' });
    const { code, stdout } = await policy('check', join(folder, LAB));
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/may be approved, 3 of 3 cases pass/),
    ]);
  });

  test('names file, line, column and what was meant, of a fact that does not exist', async () => {
    const file = await changed('wrong-fact', 'request.poc.max_subjects', 'request.poc.max_subject');
    const { code, stderr } = await policy('check', file);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /wrong-fact\.yaml:\d+:\d+ OWN-LAB-SIZE: there is no fact .*did you mean request\.poc\.max_subjects/,
    );
  });

  test('says where constraints cannot be met together', async () => {
    const file = await changed(
      'never',
      'holds: { fact: request.poc.max_subjects, lteq: 5000 }',
      'holds: { and: [{ fact: request.poc.max_subjects, lteq: 5 }, { fact: request.poc.max_subjects, gt: 9 }] }',
    );
    const { code, stdout } = await policy('check', file);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /never\.yaml:\d+:\d+ error constraints_conflict OWN-LAB-SIZE: .*max_subjects/,
    );
    expect(stdout).toContain('may not be approved');
  });

  test('says which cases fail, and that there must be one', async () => {
    const file = await changed('other', 'otherwise: deny', 'otherwise: review');
    const failing = await policy('check', file);
    expect(failing.code).toBe(1);
    expect(failing.stdout).toMatch(/FAIL ENDED: OWN-LAB-STAGE: expected deny, got review/);
    await rm(join(folder, 'other.cases.yaml'));
    const untested = await policy('check', file);
    expect(untested).toMatchObject({ code: 1 });
    expect(untested.stdout).toMatch(/there is no case beside it, in .*other\.cases\.yaml/);
  });

  test('ends with 2 where there is no such file', async () => {
    expect(await policy('check', join(folder, 'nothing.yaml'))).toMatchObject({
      code: 2,
      stdout: '',
    });
  });
});

describe('policy render', () => {
  test('reads a policy in English and in French', async () => {
    const english = await policy('render', join(folder, LAB));
    expect(english.code).toBe(0);
    expect(english.stdout).toContain('## OWN-LAB-STAGE: A trial with an end');
    const french = await policy('render', join(folder, LAB), '--language', 'fr');
    expect(french.stdout).toContain('## OWN-LAB-STAGE : Un essai avec une fin');
    expect(await policy('render', join(folder, LAB), '--language', 'x1')).toMatchObject({
      code: 2,
    });
  });

  test("reads the pack's own files", async () => {
    const { code, stdout } = await policy('render', 'policies/rwanda/rules/agreement.yaml');
    expect([code, stdout]).toEqual([0, expect.stringContaining('AGR-BIND')]);
  });
});

describe('policy diff', () => {
  test('says nothing differs of the same policy', async () => {
    expect(await policy('diff', join(folder, LAB), join(folder, LAB))).toMatchObject({ code: 0 });
  });

  test('says which rules and which cases do, beside the pack and in it', async () => {
    const file = await changed('stricter', 'lteq: 5000', 'lteq: 50');
    const { code, stdout } = await policy('diff', join(folder, LAB), file);
    expect(code).toBe(1);
    expect(stdout).toMatch(/OWN-LAB-SIZE changed\n- .*5,?000\n\+ .*50\n/);
    expect(stdout).toMatch(/ENDED: stays deny {2}\+OWN-LAB-SIZE \(review\)/);

    const own = join(root, 'policies/rwanda/rules/agreement.yaml');
    const next = join(folder, 'agreement.yaml');
    const text = await readFile(own, 'utf8');
    await writeFile(next, text.replace('holds: AGR-BIND', 'applies: AGR-BIND'));
    const cases = join(root, 'policies/cases/rules.yaml');
    const changes = await policy('diff', own, next, '--cases', cases);
    expect(changes.code).toBe(1);
    expect(changes.stdout).toMatch(/^AGR-TERM changed$/m);
    expect(changes.stdout).toMatch(
      /^AGR-BIND: vital interests, no agreement: review → deny  \+AGR-TERM \(deny\)$/m,
    );
  });
});

test('policy test takes policies beside the pack', async () => {
  const cases = join(folder, 'living-lab.cases.yaml');
  expect(await policy('test', cases, '--policy', join(folder, LAB))).toMatchObject({ code: 0 });
  const { code, stdout } = await policy('test', cases);
  expect([code, stdout]).toEqual([
    1,
    expect.stringMatching(/there is no rule "OWN-LAB-STAGE" here/),
  ]);
});

describe('policy export, import and compare', () => {
  test('what is exported is imported equal, and compares as equal', async () => {
    const original = join(folder, LAB);
    for (const [format, ending] of [
      ['jsonld', 'jsonld'],
      ['turtle', 'ttl'],
    ] as const) {
      const exported = await policy('export', original, '--format', format);
      expect(exported).toMatchObject({ code: 0, stderr: '' });
      const file = join(folder, `exported.${ending}`);
      await writeFile(file, exported.stdout);
      const imported = await policy('import', file);
      expect(imported).toMatchObject({ code: 0, stderr: '' });
      await writeFile(join(folder, 'imported.yaml'), imported.stdout);
      expect(await policy('diff', original, join(folder, 'imported.yaml'))).toMatchObject({
        stdout: expect.stringContaining('the text reads the same'),
      });
      const { code, stdout } = await policy('compare', original, file);
      expect([code, stdout]).toEqual([0, expect.stringContaining('alike: yes')]);
    }
  });

  test('compare shows a request on which two versions differ', async () => {
    const file = await changed('smaller', 'lteq: 5000', 'lteq: 4000');
    const { code, stdout } = await policy('compare', file, join(folder, LAB));
    expect(code).toBe(1);
    expect(stdout).toMatch(/whatever A permits, B permits: yes/);
    expect(stdout).toMatch(/whatever B permits, A permits: no, as .*max_subjects.* shows/);
  });

  test('import says what has no meaning, and takes what IRIs stand for', async () => {
    const file = join(folder, 'DUO_0000022.ttl');
    await cp(join(root, 'test/vectors/duo-odrl-dpv/DUO_0000022.ttl'), file);
    expect(await policy('import', file)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/TemplateDataset.*a placeholder/),
    });
    const bind = (name: string, value: string): string =>
      `https://w3id.org/duodrl#Template${name}=${value}`;
    const imported = await policy(
      'import',
      file,
      '--owner',
      'moh',
      '--bind',
      bind('Dataset', 'ds-1'),
      bind('Location', 'RW'),
    );
    expect(imported).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(imported.stdout)).toMatchObject({ layer: 'steward', owner: 'moh' });
  });
});

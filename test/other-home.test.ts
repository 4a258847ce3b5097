/** The service with another country at home: nothing but files under `policies/` is different. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPackDir } from '../src/config.ts';
import { type Answer, startTestService, type TestService } from './support/service.ts';

const NOW = new Date('2026-10-15T09:00:00+03:00');
const POLICIES = join(import.meta.dirname, '../policies');
const AUTHORITY = { role: 'authority' } as const;
const STEWARD = { role: 'steward', claims: { organisation: 'county-health' } } as const;
const PARTNER = {
  role: 'partner',
  claims: { organisation: 'lab', projects: ['surveillance'] },
} as const;

let service: TestService;
beforeAll(async () => {
  service = await startTestService({
    clock: () => NOW,
    config: { packDir: join(POLICIES, 'kenya') },
  });
  for (const [path, body] of Object.entries(REGISTERS)) {
    const { status, text } = await made(path, body);
    if (status !== 201) throw new Error(`${path}: ${text}`);
  }
});
afterAll(() => service[Symbol.asyncDispose]());

function made(path: string, body: unknown, by: object = AUTHORITY): Promise<Answer> {
  return service.ask('POST', `/v1/${path.split(' ')[0]}`, { ...by, body });
}

const title = { en: 'Illustrative' };
const PROJECT = {
  organisation: 'lab',
  title,
  purposes: ['public_health_surveillance'],
  sector: 'health',
  stage: 'pilot',
};
const REGISTERS: Readonly<Record<string, object>> = {
  'organisations county': {
    id: 'county-health',
    name: title,
    country: 'KE',
    legal_form: 'public_body',
  },
  'organisations lab': { id: 'lab', name: title, country: 'JP', legal_form: 'university' },
  agreements: {
    id: 'agreement',
    title,
    kinds: ['dsa', 'processor_contract'],
    binding: true,
    sectors: ['health'],
    purposes: ['public_health_surveillance'],
    valid_from: '2026-01-01',
    valid_until: '2027-12-31',
    signatories: ['county-health', 'lab'],
  },
  projects: { id: 'surveillance', ...PROJECT },
  registrations: {
    id: 'registration',
    kind: 'odpc_registration',
    organisation: 'lab',
    fields: { no: 'illustrative', valid_until: '2027-06-30' },
  },
};

const DATASET = {
  id: 'clinic-visits',
  status: 'active',
  title,
  sector: 'health',
  classification: 'restricted',
  personal_data: 'indirect',
  deidentification: 'pseudonymised',
  sensitive_data: false,
  strategic_interest: ['primary_or_secondary_health'],
  subject_groups: ['adults'],
  subject_count: 10,
  lawful_basis: 'consent',
  permitted_purposes: ['public_health_surveillance'],
};
const ASKED = {
  dataset: 'clinic-visits',
  project: 'surveillance',
  agreement: 'agreement',
  role: 'processor',
  purpose: 'public_health_surveillance',
  locations: { storage: ['JP'], processing: ['JP'], access_from: ['JP'] },
  recipients: [],
  output: { type: 'statistics', release_to: ['KE'] },
  automated_decision: 'none',
};

function ask(changes: object = {}): Promise<Answer> {
  return made('access-requests', { ...ASKED, ...changes }, PARTNER);
}

describe('from an empty register', () => {
  test("has nothing of another country's demo in it", async () => {
    const { body } = await service.ask('GET', '/v1/organisations?limit=200', AUTHORITY);
    const ids = body.items.map(({ id }: { id: string }) => id);
    expect(ids).toEqual(['county-health', 'lab']);
    expect(service.warnings).toEqual([]);
  });

  test('the facts of its own pack are the facts of its datasets, and no others', async () => {
    expect(await made('datasets', DATASET, STEWARD)).toMatchObject({ status: 201 });
    const foreign = await made(
      'datasets',
      { ...DATASET, id: 'foreign', storage_policy: 'any' },
      STEWARD,
    );
    expect(foreign).toMatchObject({ status: 400 });
    expect(foreign.body.errors[0].path).toBe('/storage_policy');
  });

  test('consent is recorded, and counts as in every country', async () => {
    const records = Array.from({ length: 10 }, (_, i) => ({
      purpose: 'public_health_surveillance',
      subject: `pseudonym-${i}`,
      status: 'given',
      at: '2026-10-01T00:00:00Z',
      covers_transfer_abroad: true,
    }));
    const path = '/v1/datasets/clinic-visits/consent-records/bulk';
    const answer = await service.ask('POST', path, { ...STEWARD, body: { records } });
    expect(answer.status).toBeLessThan(300);
  });

  test('a request is decided by its law, with what would turn the answer', async () => {
    const { status, body } = await ask();
    expect(status).toBe(201);
    const { decision } = body;
    expect(decision).toMatchObject({ effect: 'deny', pack: { pack: 'kenya' } });
    expect(decision.deny).toEqual(expect.arrayContaining(['KE-STRATEGIC', 'KE-TRANSFER']));
    expect(JSON.stringify(decision.instruments)).toContain('Data Protection Act, 2019');
    const sentences = decision.remedies.flatMap(
      ({ changes }: { changes: { sentence: { en: string } }[] }) =>
        changes.map(({ sentence }) => sentence.en),
    );
    expect(sentences).toContain('Store a serving copy in Kenya too.');
    const explained = await service.ask('GET', `/v1/decisions/${decision.id}/explanation`, PARTNER);
    expect(explained.status).toBe(200);
    expect(explained.text).toContain('reg. 26');
  });

  test('and permitted with a serving copy at home and the consent of the people', async () => {
    const { body } = await ask({
      locations: { ...ASKED.locations, storage: ['KE', 'JP'] },
      transfer_ground: 'consent',
    });
    expect(body.decision).toMatchObject({
      effect: 'permit',
      expiry: { name: 'registration', date: '2027-06-30' },
    });
    expect(body.decision.obligations.map(({ rule }: { rule: string }) => rule)).toContain(
      'KE-STRATEGIC',
    );
    const again = await service.ask('GET', `/v1/decisions/${body.decision.id}/replay`, {
      role: 'auditor',
    });
    expect(again.body).toMatchObject({ same: true });
  });

  test('what a project may use is asked of the same facts, in SQL', async () => {
    const query =
      '/v1/datasets?usable_by=surveillance&agreement=agreement&role=processor&purpose=public_health_surveillance' +
      '&recipients=&output_type=statistics&release_to=KE&automated_decision=none&process_in=JP&access_from=JP';
    const usable = async (more: string): Promise<string[]> => {
      const { status, body } = await service.ask('GET', query + more, PARTNER);
      expect(status).toBe(200);
      return body.items.map(({ id }: { id: string }) => id);
    };
    expect(await usable('&store_in=KE&transfer_ground=consent')).toEqual(['clinic-visits']);
    expect(await usable('&store_in=JP&transfer_ground=consent')).toEqual([]);
    expect(await usable('&store_in=KE')).toEqual([]);
  });
});

describe('what the registers keep and the pack has no fact for', () => {
  test('is refused where somebody would rely on it, and stays where the contract asks for it', async () => {
    const limited = { id: 'limited', ...PROJECT, poc: { max_subjects: 10, end: '2027-01-01' } };
    const refused = await made('projects', limited);
    expect(refused).toMatchObject({ status: 400 });
    expect(refused.body.errors).toEqual([
      { path: '/poc', expected: 'nothing: the pack kenya has no such facts' },
    ]);
    const { body } = await service.ask('GET', '/v1/projects/surveillance', AUTHORITY);
    expect(body.stage).toBe('pilot');
  });

  test('and the caller of a request cannot state it', async () => {
    const { status, body } = await ask({ hosting: { operator_jurisdiction: 'KE' } });
    expect(status).toBe(400);
    expect(body.errors[0].path).toBe('/hosting');
  });

  test('nor does a template read it that is offered', async () => {
    const { body } = await service.ask('GET', '/v1/policy-templates', STEWARD);
    const names = body.items.map(({ template }: { template: string }) => template);
    expect(names).toEqual(['agreement-only', 'consent-based', 'in-country-only', 'open']);
  });
});

describe('a database of one country', () => {
  test('stays with its law when it is started with the pack of another', async () => {
    const { databaseUrl, dataDir } = service.config;
    await using mistaken = await startTestService({
      clock: () => NOW,
      config: { databaseUrl, dataDir, packDir: join(POLICIES, 'rwanda') },
    });
    expect(mistaken.warnings.join()).toContain('The country of a database never changes.');
    const { body } = await mistaken.ask('GET', '/v1/pack', AUTHORITY);
    expect(body).toMatchObject({ pack: 'kenya', home: 'KE' });
  });
});

describe('which country is at home', () => {
  const chosen = (policies: string, named?: string): { dir: string; problems: string[] } => {
    const problems: string[] = [];
    return { dir: readPackDir(policies, named, problems), problems };
  };

  test('says the file "home", and the setting PACK before it', () => {
    expect(chosen(POLICIES)).toEqual({ dir: join(POLICIES, 'rwanda'), problems: [] });
    expect(chosen(POLICIES, 'kenya')).toEqual({ dir: join(POLICIES, 'kenya'), problems: [] });
  });

  test('is never guessed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'umutungo-home-'));
    await mkdir(join(folder, 'atlantis'));
    await writeFile(join(folder, 'atlantis/pack.yaml'), '');
    expect(chosen(folder).problems).toEqual([
      'PACK is not set, and policies/home says "": the home pack is one of atlantis',
    ]);
    await writeFile(join(folder, 'home'), 'lemuria\n');
    expect(chosen(folder).problems).toEqual([
      'PACK is not set, and policies/home says "lemuria": the home pack is one of atlantis',
    ]);
    expect(chosen(folder, '../atlantis').problems).toEqual([
      'PACK=../atlantis: the home pack is one of atlantis',
    ]);
    await writeFile(join(folder, 'home'), 'atlantis\n');
    expect(chosen(folder).problems).toEqual([]);
    await rm(folder, { recursive: true });
  });
});

/** A request of each mutating operation that succeeds with the demo, made new each time. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Role } from '../../src/principal.ts';
import type { Ask, TestService } from '../support/service.ts';

export interface Sample extends Ask {
  readonly method: 'POST' | 'PATCH' | 'PUT';
  readonly path: string;
  readonly role: Role;
}

let counter = 0;
const freshId = (prefix: string): string => `${prefix}-${(counter += 1)}`;

export const accessRequest = {
  dataset: 'nhic-idsr-cases',
  project: 'idsr-forecasting',
  agreement: 'agr-illus-16',
  role: 'processor',
  purpose: 'outbreak_forecasting',
  transfer_ground: 'ncsa_authorisation',
  locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW', 'JP'] },
  hosting: {
    provider: 'National Data Centre',
    operator_jurisdiction: 'RW',
    keys_held_by: 'rw_state',
  },
  recipients: [{ name: 'Tokyo team', country: 'JP', role: 'processor' }],
  onward_transfer: false,
  fields_scope: 'minimum',
  deidentification: 'pseudonymised',
  output: { type: 'model_weights', release_to: ['RW'], custody: 'rw_state' },
  automated_decision: 'none',
  duration: { from: '2026-12-01', until: '2027-10-14' },
  safeguards: ['secure_enclave'],
} as const;

export const consent = {
  purpose: 'outbreak_forecasting',
  status: 'given',
  at: '2026-03-02T09:30:00+02:00',
} as const;

type Body = { readonly id: string } & Readonly<Record<string, unknown>>;
type Registered =
  | 'dataset'
  | 'organisation'
  | 'agreement'
  | 'project'
  | 'registration'
  | 'authorisation';

/** Good bodies for registering each kind; a title with words that must not get into a leaf. */
export const bodies: Readonly<Record<Registered, () => Body>> = {
  dataset: () => ({
    id: freshId('ds'),
    title: { en: 'Patient Mukamana of Huye' },
    classification: 'internal',
  }),
  organisation: () => ({
    id: freshId('org'),
    name: { en: 'Kigali Labs Ltd' },
    country: 'RW',
    legal_form: 'private_company',
  }),
  agreement: () => ({
    id: freshId('agr'),
    title: { en: 'Between two parties' },
    kinds: ['processor_contract'],
    binding: true,
    sectors: ['health'],
    purposes: ['outbreak_forecasting'],
    valid_from: '2026-01-01',
    valid_until: '2027-12-31',
    signatories: ['moh', 'jp-engineering'],
  }),
  project: () => ({
    id: freshId('prj'),
    organisation: 'jp-engineering',
    title: { en: 'A new idea' },
    purposes: ['outbreak_forecasting'],
    sector: 'health',
    stage: 'pilot',
  }),
  registration: () => ({
    id: freshId('reg'),
    kind: 'ncsa_registration',
    organisation: 'jp-engineering',
    fields: { no: 'N 1', role: 'both', valid_until: '2028-03-31' },
  }),
  authorisation: () => ({
    id: freshId('aut'),
    kind: 'dpia',
    project: 'idsr-forecasting',
    fields: { ref: 'D 1', date: '2026-05-12' },
  }),
};

/** What the five registers of parties have of a kind, and a change of one of its members. */
const PATCHES = {
  organisation: { name: { en: 'A better name' } },
  agreement: { title: { en: 'A better title' } },
  project: { title: { en: 'A better title' } },
  registration: { revoked: true },
  authorisation: { revoked: true },
} as const;
type Kind = keyof typeof PATCHES;

async function made(
  service: TestService,
  path: string,
  role: Role,
  body: { id: string },
): Promise<{ path: string; etag: string }> {
  const answer = await service.ask('POST', path, { role, body });
  if (answer.status !== 201) throw new Error(answer.text);
  return { path: `${path}/${body.id}`, etag: answer.headers.get('etag') ?? '' };
}

function ofKind(kind: Kind): Readonly<Record<string, (service: TestService) => Promise<Sample>>> {
  const name = kind.charAt(0).toUpperCase() + kind.slice(1);
  const path = `/v1/${kind}s`;
  return {
    [`register${name}`]: async () => ({
      method: 'POST',
      path,
      role: 'authority',
      body: bodies[kind](),
    }),
    [`change${name}`]: async (service) => {
      const row = await made(service, path, 'authority', bodies[kind]());
      const headers = { 'if-match': row.etag };
      return { method: 'PATCH', path: row.path, role: 'authority', headers, body: PATCHES[kind] };
    },
  };
}

const newDataset = (service: TestService): Promise<{ path: string; etag: string }> =>
  made(service, '/v1/datasets', 'steward', bodies.dataset());
const subject = (): string => freshId('p');

/** A policy of the ministry with a case that passes, and what follows in a state of its life. */
export function policyText(policy: string = freshId('policy')): {
  document: string;
  cases: string;
} {
  const title = { en: 'Policy of Mukamana' };
  const cites = [{ instrument: 'national-choice', article: 'test', confidence: 'high' }];
  const id = policy.toUpperCase();
  return {
    document: JSON.stringify({
      policy,
      version: 1,
      layer: 'steward',
      owner: 'moh',
      concern: 'residency',
      title,
      instrument: 'national-choice',
      in_force: { from: '2026-01-01' },
      target: { fact: 'dataset.id', eq: 'no-such-dataset' },
      rules: [{ id, title, sentence: title, outcome: 'review', cites }],
    }),
    cases: '[{ id: NOTHING, dataset: {}, request: {}, expected: { decision: deny } }]',
  };
}

async function drafted(service: TestService): Promise<{ path: string; etag: string }> {
  const body = policyText();
  const answer = await service.ask('POST', '/v1/policies', { role: 'steward', body });
  if (answer.status !== 201) throw new Error(answer.text);
  return {
    path: answer.headers.get('location') ?? '',
    etag: answer.headers.get('etag') ?? '',
  };
}

async function policySample(
  service: TestService,
  step: 'check' | 'approve' | 'withdraw',
): Promise<Sample> {
  const { path, etag } = await drafted(service);
  const headers = { 'if-match': etag };
  if (step === 'approve') await service.ask('POST', `${path}/check`, { role: 'steward', headers });
  const role = step === 'approve' ? 'authority' : 'steward';
  return { method: 'POST', path: `${path}/${step}`, role, headers };
}

/** An event of somebody else that is in the log, and its whole body asked for. */
async function erasureAsked(service: TestService): Promise<object> {
  const answer = await service.ask('POST', '/v1/datasets', {
    role: 'steward',
    body: bodies.dataset(),
  });
  for (let tries = 0; tries < 200; tries++) {
    const path = `/v1/audit/events/${answer.body.event_id}`;
    const event = await service.ask('GET', path, { role: 'authority' });
    if (event.body.index !== null) break;
    await sleep(20);
  }
  const values = [{ event_id: answer.body.event_id, paths: ['/dataset/document/title'] }];
  return { scope: { values }, reason: 'subject_request' };
}

const newSpace = () => ({
  id: freshId('space'),
  title: { en: 'Space of Mukamana' },
  attributes: { 'resource.properties.owner': { type: 'text', source: 'stored' } },
  policies: { open: 'policy: open\nrules:\n  - { id: OPEN, outcome: permit }\n' },
});

/** By operation. `reloadPack` is not among them: what it needs is a changed file. */
export const samples: Readonly<Record<string, (service: TestService) => Promise<Sample>>> = {
  registerSpace: async () => ({
    method: 'POST',
    path: '/v1/spaces',
    role: 'steward',
    body: newSpace(),
  }),
  changeSpace: async (service) => {
    const { path, etag } = await made(service, '/v1/spaces', 'steward', newSpace());
    const headers = { 'if-match': etag };
    return { method: 'PATCH', path, role: 'steward', headers, body: { logged: true } };
  },
  retireSpace: async (service) => {
    const { path, etag } = await made(service, '/v1/spaces', 'steward', newSpace());
    const headers = { 'if-match': etag };
    return { method: 'POST', path: `${path}/retire`, role: 'steward', headers };
  },
  changeSpaceEntities: async (service) => {
    const { path } = await made(service, '/v1/spaces', 'steward', newSpace());
    const body = { put: [{ type: 'record', id: 'one', properties: { owner: 'Mukamana' } }] };
    return { method: 'POST', path: `${path}/entities`, role: 'steward', body };
  },
  registerDataset: async () => ({
    method: 'POST',
    path: '/v1/datasets',
    role: 'steward',
    body: bodies.dataset(),
  }),
  changeDataset: async (service) => {
    const { path, etag } = await newDataset(service);
    return {
      method: 'PATCH',
      path,
      role: 'steward',
      headers: { 'if-match': etag },
      body: { classification: 'public' },
    };
  },
  retireDataset: async (service) => {
    const { path, etag } = await newDataset(service);
    return {
      method: 'POST',
      path: `${path}/retire`,
      role: 'steward',
      headers: { 'if-match': etag },
    };
  },
  recordConsent: async () => ({
    method: 'POST',
    path: '/v1/datasets/nhic-idsr-cases/consent-records',
    role: 'steward',
    body: { ...consent, subject: subject() },
  }),
  recordConsents: async () => ({
    method: 'POST',
    path: '/v1/datasets/nhic-idsr-cases/consent-records/bulk',
    role: 'steward',
    body: { records: [subject(), subject()].map((each) => ({ ...consent, subject: each })) },
  }),
  requestErasure: async (service) => ({
    method: 'POST',
    path: '/v1/audit/erasures',
    role: 'authority',
    body: await erasureAsked(service),
  }),
  approveErasure: async (service) => {
    const { body } = await service.ask('POST', '/v1/audit/erasures', {
      role: 'authority',
      claims: { subject: 'another-person' },
      body: await erasureAsked(service),
    });
    const path = `/v1/audit/erasures/${body.erasure.id}/approve`;
    return { method: 'POST', path, role: 'authority' };
  },
  refuseErasure: async (service) => {
    const { body } = await service.ask('POST', '/v1/audit/erasures', {
      role: 'authority',
      claims: { subject: 'another-person' },
      body: await erasureAsked(service),
    });
    const path = `/v1/audit/erasures/${body.erasure.id}/refuse`;
    return { method: 'POST', path, role: 'authority', body: { reason: 'not_founded' } };
  },
  withdrawErasure: async (service) => {
    const { body } = await service.ask('POST', '/v1/audit/erasures', {
      role: 'authority',
      body: await erasureAsked(service),
    });
    const path = `/v1/audit/erasures/${body.erasure.id}/withdraw`;
    return { method: 'POST', path, role: 'authority' };
  },
  placeHold: async () => ({
    method: 'POST',
    path: '/v1/audit/holds',
    role: 'authority',
    body: { scope: { person: 'Dr Uwase' }, reason: 'investigation', reference: 'F-1' },
  }),
  liftHold: async (service) => {
    const scope = { project: 'idsr-forecasting' };
    const body = { scope, reason: 'court_proceedings' };
    const placed = await service.ask('POST', '/v1/audit/holds', { role: 'authority', body });
    const path = `/v1/audit/holds/${placed.body.hold.id}/lift`;
    return { method: 'POST', path, role: 'authority' };
  },
  ...ofKind('organisation'),
  ...ofKind('agreement'),
  ...ofKind('project'),
  ...ofKind('registration'),
  ...ofKind('authorisation'),
  draftPolicy: async () => ({
    method: 'POST',
    path: '/v1/policies',
    role: 'steward',
    body: policyText(),
  }),
  changePolicyDraft: async (service) => {
    const { path, etag } = await drafted(service);
    const body = policyText(path.split('/')[3]);
    return { method: 'PUT', path, role: 'steward', headers: { 'if-match': etag }, body };
  },
  checkPolicyVersion: (service) => policySample(service, 'check'),
  approvePolicyVersion: (service) => policySample(service, 'approve'),
  withdrawPolicyVersion: (service) => policySample(service, 'withdraw'),
  assessPolicyImpact: async (service) => {
    const { path } = await drafted(service);
    return { method: 'POST', path: `${path}/impact`, role: 'steward' };
  },
  assessCutOff: async (service) => {
    const { path, etag } = await newDataset(service);
    const headers = { 'if-match': etag };
    const retired = await service.ask('POST', `${path}/retire`, { role: 'steward', headers });
    const event = `/v1/audit/events/${retired.body.event_id}`;
    return { method: 'POST', path: `${event}/cut-offs`, role: 'auditor' };
  },
  submitAccessRequest: async () => ({
    method: 'POST',
    path: '/v1/access-requests',
    role: 'partner',
    body: accessRequest,
  }),
  simulateDecision: async () => ({
    method: 'POST',
    path: '/v1/decisions/simulate',
    role: 'partner',
    body: {
      dataset: { classification: 'public', personal_data: 'none' },
      request: { purpose: 'academic_research', hosting: { provider: 'Dr Uwase' } },
    },
  }),
};

/** A dataset of people who are asked for their consent one by one; without an id. */
export const clinicVisits = {
  status: 'active',
  title: { en: 'Weekly clinic visits' },
  sector: 'health',
  classification: 'confidential',
  personal_data: 'indirect',
  deidentification: 'pseudonymised',
  subject_groups: ['adults', 'patients'],
  subject_count: 3,
  lawful_basis: 'consent',
  consent: { model: 'individual', withdrawal_filterable: false },
  permitted_purposes: ['outbreak_forecasting'],
  storage_policy: 'rw_only',
  retention_until: '2028-12-31',
  sovereignty: { outputs_allowed: ['statistics'], foreign_jurisdiction: 'forbid' },
} as const;

/** Every type of event has its place in OCSF, and what it becomes there is valid. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXPORT_FORMAT, type ExportRow } from '../../src/audit/export-form.ts';
import { splitDisclosures } from '../../src/audit/disclosures.ts';
import { OCSF } from '../../src/audit/export-ocsf.ts';
import { OCSF_EVENTS } from '../../src/audit/ocsf-events.ts';
import { sealEvent } from '../../src/audit/event.ts';
import { operations } from '../http/operations.ts';
import { ocsfProblems } from './ocsf-schema.ts';

const SRC = join(import.meta.dirname, '../../src');

/** Operations that leave no event of their own name, and why. */
const NO_EVENT: Readonly<Record<string, string>> = {
  importPolicy: 'reads a text and keeps nothing',
  comparePolicies: 'compares two texts and keeps nothing',
  evaluateAccessesInSpace: 'leaves one of evaluateAccessInSpace for each question',
  requestAccess: 'leaves one of submitAccessRequest',
};

/** Types that are no operation of the contract, and where they come from. */
const NO_OPERATION: Readonly<Record<string, string>> = {
  enterPolicyVersion: 'a reload of the pack leaves one for each policy',
  expireErasure: 'a request for an erasure that nobody approved in time',
  turnLog: 'the service begins a shard of the log with it',
  readEntries: 'the bundles of the log, beside the contract',
};

describe('the table', () => {
  test('has each operation that somebody has to be known for, and nothing that is no event', () => {
    const named = operations.filter(({ open }) => !open).map(({ id }) => id);
    const expected = [...named.filter((id) => !NO_EVENT[id]), ...Object.keys(NO_OPERATION)];
    expect(Object.keys(OCSF_EVENTS).toSorted()).toEqual(expected.toSorted());
    expect(Object.keys(NO_EVENT).filter((id) => !named.includes(id))).toEqual([]);
  });

  test('has each type that the source gives to an event', () => {
    const given = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.startsWith('generated'))
      .flatMap((path) => [
        ...readFileSync(join(SRC, path), 'utf8').matchAll(
          /\b(?:type|operation): '([a-z]+(?:[A-Z][a-z]+)+)'/g,
        ),
      ])
      .map(([, type = '']) => type);
    expect(new Set(given).size).toBeGreaterThan(20);
    expect([...new Set(given)].filter((type) => !OCSF_EVENTS[type])).toEqual([]);
  });
});

const HEADER = {
  format: EXPORT_FORMAT,
  shard: 2026,
  origin: 'log.test.example/2026',
  from: 0,
  to: 1,
  filtered: false,
  filter: {},
  complete: '',
  checkpoint: '',
  signed_at: '2026-11-24T08:00:00.000Z',
  vkeys: '',
  left: [],
} as const;

function rowOf(type: string, outcome: string, body: object, subjects: string[]): ExportRow {
  const event = sealEvent(
    {
      type,
      actor: 'demo|steward',
      role: 'steward',
      subject_ids: subjects,
      outcome,
      body: body as Record<string, unknown>,
    },
    '2026-11-24T07:00:00.123Z',
    () => 'pseudonym-1',
  );
  return {
    index: 7,
    leaf_hash: event.leaf_hash.toString('base64'),
    leaf: event.leaf.toString('utf8'),
    body: event.body.toString('utf8'),
    disclosures: splitDisclosures(event.disclosures),
  };
}

// oxlint-disable-next-line typescript/no-explicit-any -- looked into as what it should be
async function projected(row: ExportRow): Promise<any[]> {
  async function* rows() {
    yield row;
  }
  const lines: string[] = [];
  for await (const line of OCSF.write({ header: HEADER, rows: rows(), right: () => [] })) {
    lines.push(String(line));
  }
  return lines.map((line) => JSON.parse(line));
}

describe('an event in OCSF', () => {
  test.each([...Object.keys(OCSF_EVENTS), 'somethingNew'])('%s is valid', async (type) => {
    const rules = { deny: ['RW-DPP-STORE'], review: [], obligations: ['RW-DPP-RETAIN'] };
    for (const [outcome, body, subjects] of [
      ['success', {}, []],
      ['success', { statuses: { given: 3 } }, ['a', 'b']],
      ['permit', rules, ['a']],
      ['deny', rules, ['a']],
      ['review', rules, ['a']],
    ] as const) {
      const lines = await projected(rowOf(type, outcome, body, [...subjects]));
      expect(lines).toHaveLength(3);
      expect(lines.flatMap(ocsfProblems)).toEqual([]);
      const known = OCSF_EVENTS[type];
      const class_uid = known ? { entity_management: 3004, api_activity: 6003 }[known.class] : 0;
      expect(lines[1]).toMatchObject({ class_uid, metadata: { event_code: type } });
    }
  });

  test('is tied to the tree: its bytes, their digest, its index and its leaf hash', async () => {
    const row = rowOf('registerDataset', 'success', {}, ['hmis']);
    const leaf = JSON.parse(row.leaf);
    expect((await projected(row))[1]).toMatchObject({
      time: Date.parse('2026-11-24T07:00:00.123Z'),
      type_uid: 300_401,
      status_id: 1,
      actor: { user: { uid: 'pseudonym-1', name: 'demo|steward', type: 'steward' } },
      entity: { type: 'Dataset', uid: 'hmis' },
      metadata: { version: '1.8.0', uid: leaf.event_id, sequence: 7, log_name: HEADER.origin },
      raw_data: row.leaf,
      unmapped: { leaf_hash: row.leaf_hash },
    });
  });

  test('says of a decision what was answered and by which rules', async () => {
    const body = { deny: ['RW-DPP-STORE'], review: [], obligations: [] };
    const [, event] = await projected(rowOf('submitAccessRequest', 'deny', body, ['r', 'd']));
    expect(event).toMatchObject({ type_uid: 300_401, status_id: 2, status_code: 'deny' });
    expect(event.actor.authorizations).toEqual([
      { decision: 'deny' },
      { decision: 'deny', policy: { uid: 'RW-DPP-STORE' } },
    ]);
  });

  test.each([
    [{ given: 2 }, 300_406],
    [{ withdrawn: 1 }, 300_407],
    [{ given: 1, withdrawn: 1 }, 300_403],
  ])('says of consent %j whether it was given or withdrawn', async (statuses, type_uid) => {
    const [, event] = await projected(rowOf('recordConsents', 'success', { statuses }, ['d']));
    expect(event.type_uid).toBe(type_uid);
  });
});

test('the judge refuses what is no OCSF', async () => {
  const [, event] = await projected(rowOf('registerDataset', 'success', {}, ['hmis']));
  for (const bad of [
    { ...event, time: '2026' },
    { ...event, entity: undefined },
    { ...event, activity_id: 98 },
    { ...event, surprise: 1 },
    { ...event, class_uid: 1 },
  ]) {
    expect(ocsfProblems(JSON.parse(JSON.stringify(bad)))).not.toEqual([]);
  }
});

/** Who had access to a dataset on a day: what was permitted by then and had not ended. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AT_HOME } from '../support/access-request.ts';
import { clinicVisits } from '../http/samples.ts';
import { type Answer, startTestService, type TestService } from '../support/service.ts';

const OVERSEER = { role: 'authority' } as const;
let now = new Date('2026-11-10T10:00:00Z');
let service: TestService;

beforeAll(async () => {
  service = await startTestService({ clock: () => now });
});
afterAll(() => service[Symbol.asyncDispose]());

const REQUEST = { dataset: 'clinic-visits', ...AT_HOME };

async function ask(
  change: object = {},
): Promise<{ id: string; effect: string; until: string | undefined }> {
  const { body, text } = await service.ask('POST', '/v1/access-requests', {
    role: 'partner',
    body: { ...REQUEST, ...change },
  });
  const { id, decision } = body;
  if (!decision) throw new Error(text);
  return { id, effect: decision.effect, until: decision.expiry?.date };
}

async function had(on: string, limit = 50): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const path = `/v1/datasets/clinic-visits/access?on=${on}&limit=${limit}${cursor && `&cursor=${cursor}`}`;
    const { body, status, text }: Answer = await service.ask('GET', path, OVERSEER);
    expect(status, text).toBe(200);
    ids.push(...body.items.map(({ id }: { id: string }) => id));
    cursor = body.next_cursor;
  }
  return ids;
}

describe('access on a day', () => {
  let permitted: { id: string; effect: string; until: string | undefined };

  beforeAll(async () => {
    const { consent: _consent, ...publicDuty } = clinicVisits;
    await service.ask('POST', '/v1/datasets', {
      role: 'steward',
      claims: { organisation: 'moh' },
      body: {
        ...publicDuty,
        id: 'clinic-visits',
        subject_count: 1200,
        lawful_basis: 'public_duty',
      },
    });
    permitted = await ask();
    const denied = await ask({
      locations: { storage: ['JP'], processing: ['JP'], access_from: ['JP'] },
    });
    if (permitted.effect !== 'permit' || denied.effect !== 'deny' || !permitted.until) {
      throw new Error(`${permitted.effect} until ${permitted.until}, ${denied.effect}`);
    }
  });

  test('is had from the day of the answer to its last day, and by nobody who was denied', async () => {
    const until = permitted.until ?? '';
    const after = new Date(Date.parse(until) + 86_400_000).toISOString().slice(0, 10);
    expect(await had('2026-11-09')).toEqual([]);
    expect(await had('2026-11-10')).toEqual([permitted.id]);
    expect(await had(until)).toEqual([permitted.id]);
    expect(await had(after)).toEqual([]);
  });

  test('begins on the day of the pack’s own time zone', async () => {
    // Kigali is two hours ahead: it is the 12th there.
    now = new Date('2026-11-11T23:00:00Z');
    const { id } = await ask();
    expect(await had('2026-11-11')).toEqual([permitted.id]);
    expect(await had('2026-11-12')).toEqual([id, permitted.id]);
    const { body } = await service.ask('GET', '/v1/datasets/clinic-visits/access', OVERSEER);
    expect(body.items.map((item: { id: string }) => item.id)).toEqual([id, permitted.id]);
    expect(body.items[0]).toMatchObject({
      project: 'idsr-forecasting',
      purpose: 'outbreak_forecasting',
      until: permitted.until,
    });
  });

  test('is the same in pages of any size', async () => {
    for (let i = 0; i < 4; i++) await ask();
    const whole = await had('2026-11-12');
    expect(whole).toHaveLength(6);
    for (const limit of [1, 2, 5]) expect(await had('2026-11-12', limit)).toEqual(whole);
  });

  test('names the event that proves it', async () => {
    const { body } = await service.ask(
      'GET',
      '/v1/datasets/clinic-visits/access?on=2026-11-10',
      OVERSEER,
    );
    const [{ event_id: id, decision_id: decision }] = body.items;
    const event = await service.ask('GET', `/v1/audit/events/${id}`, OVERSEER);
    expect(event.body.subject_ids).toContain(decision);
  });

  test('of a dataset that is not there is 404', async () => {
    const { status } = await service.ask('GET', '/v1/datasets/none/access', OVERSEER);
    expect(status).toBe(404);
  });
});

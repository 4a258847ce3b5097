/** Requests for an erasure: how they are made, and how those end that are not carried out. */
import type { EventInput } from '../audit/event.ts';
import { isNameOf } from '../audit/keys.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { lockEvents } from '../audit/store.ts';
import type { Tx } from '../db/connection.ts';
import type { ErasureScope } from '../db/schema.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import { newId } from '../ids.ts';
import { type Principal, SERVICE } from '../principal.ts';
import { finalShard } from './prune.ts';
import {
  type ErasureWriter,
  groundOf,
  lastMoved,
  neglectedSince,
  retentionOf,
} from './retention.ts';
import { changeErasure, type Erasure, insertErasure, lockErasure, readNeglected } from './store.ts';
import { pathsIn } from './targets.ts';

type Asked = Pick<Erasure, 'scope' | 'reason' | 'reference'>;

/**
 * Asks that values go out of the record; another person carries it out. The event names what is
 * asked for, but no person.
 * @throws ServiceError `unknown_reference` for a reason that the pack does not have, an event or
 * a value of it that is not there, `invalid_request` for an event that comes twice.
 */
export async function requestErasure(
  writer: ErasureWriter,
  { actor, role }: Principal,
  { scope, reason, reference }: Asked,
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  return change(writer, async (tx) => {
    const now = writer.clock().toISOString();
    const id = newId(Date.parse(now));
    groundOf(await retentionOf(writer, tx), reason);
    if (scope.actor === null || scope.consent?.subject === null) {
      throw new ServiceError('invalid_request', 'The scope names nobody.', [
        { path: '/scope', expected: 'a person, or events' },
      ]);
    }
    await refuseUnknown(tx, scope);
    if (scope.shard !== undefined) await finalShard(tx, scope.shard);
    const recorded = await record(tx, writer.log, now, {
      type: 'requestErasure',
      actor,
      role,
      subject_ids: [id],
      outcome: 'success',
      body: { erasure: id, reason, reference, scope: unnamed(scope) },
    });
    const erasure: Erasure = {
      id,
      status: 'requested',
      scope,
      reason,
      reference,
      requested_by: actor,
      requested_at: now,
      request_event: recorded.event_id,
      approved_by: null,
      approved_at: null,
      event_id: null,
      erased: 0,
      refusal: null,
      ended_by: null,
      ended_at: null,
      end_event: null,
    };
    await insertErasure(tx, erasure);
    return { erasure, recorded };
  });
}

async function refuseUnknown(tx: Tx, { values = [] }: ErasureScope): Promise<void> {
  const ids = values.map(({ event_id }) => event_id);
  const known = new Map((await lockEvents(tx, ids)).map((event) => [event.event_id, event]));
  for (const [i, { event_id, paths = [] }] of values.entries()) {
    const event = known.get(event_id);
    if (!event) throw unknownReference(`/scope/values/${i}/event_id`, 'an event that is there');
    if (ids.indexOf(event_id) !== i) {
      throw new ServiceError('invalid_request', 'An event comes twice.', [
        { path: `/scope/values/${i}/event_id`, expected: 'each event once' },
      ]);
    }
    const there = pathsIn(event.disclosures ?? '');
    const at = paths.findIndex((path) => !there.includes(path));
    if (at >= 0) {
      const expected = `a value that lies beside the body: ${there.join(', ') || 'there is none'}`;
      throw unknownReference(`/scope/values/${i}/paths/${at}`, expected);
    }
  }
}

/** An erasure that is still to be carried out, locked. @throws ServiceError `not_found`, `wrong_status`. */
export async function lockOpen(tx: Tx, id: string): Promise<Erasure> {
  const erasure = await lockErasure(tx, id);
  if (!erasure) throw notFound();
  if (erasure.status === 'requested') return erasure;
  throw new ServiceError('wrong_status', `The erasure is not open: it is ${erasure.status}.`);
}

/**
 * Refuses an erasure, as its second person. Nothing goes (what had gone stays gone); whom it was
 * about is no longer said.
 * @throws ServiceError `second_person_required`, `wrong_status`.
 */
export async function refuseErasure(
  writer: Writer,
  { actor, role }: Principal,
  id: string,
  { refusal, reference }: { readonly refusal: Refusal; readonly reference: string | null },
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  return change(writer, async (tx) => {
    const erasure = await lockOpen(tx, id);
    if (isNameOf(actor, erasure.requested_by, writer.log.keys)) {
      throw new ServiceError(
        'second_person_required',
        'Nobody refuses what they asked for themselves: they withdraw it.',
      );
    }
    const event = { type: 'refuseErasure', actor, role, body: { reason: refusal, reference } };
    return endErasure(tx, writer, erasure, { status: 'refused', refusal, event });
  });
}

/** Withdraws an erasure, as whoever asked for it. @throws ServiceError `forbidden`, `wrong_status`. */
export async function withdrawErasure(
  writer: Writer,
  { actor, role }: Principal,
  id: string,
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  return change(writer, async (tx) => {
    const erasure = await lockOpen(tx, id);
    if (!isNameOf(actor, erasure.requested_by, writer.log.keys))
      throw new ServiceError('forbidden', 'Only who asked for it withdraws it; others refuse it.');
    const event = { type: 'withdrawErasure', actor, role, body: {} };
    return endErasure(tx, writer, erasure, { status: 'withdrawn', refusal: null, event });
  });
}

const EXPIRED_AT_ONCE = 100;

/**
 * Ends the erasures that waited for their second person longer than the pack lets them. Any number
 * of replicas may do so at once, and as often as they like: each ends once.
 */
export async function expireErasures(writer: ErasureWriter): Promise<void> {
  const now = writer.clock();
  // Mostly nothing is open, and no policies have to be compiled to know it.
  if ((await readNeglected(writer.db, now.toISOString(), 1)).length === 0) return;
  const { retention } = (await writer.inForce(writer.db)).pack;
  const before = retention && neglectedSince(retention, now);
  if (before === undefined) return;
  const { actor, role } = SERVICE;
  for (const id of await readNeglected(writer.db, before.toISOString(), EXPIRED_AT_ONCE)) {
    // oxlint-disable-next-line no-await-in-loop -- each in a transaction of its own
    await change(writer, async (tx) => {
      const erasure = await lockErasure(tx, id);
      // Somebody was faster.
      if (erasure?.status !== 'requested' || lastMoved(erasure) > before) return;
      const event = { type: 'expireErasure', actor, role, body: {} };
      await endErasure(tx, writer, erasure, { status: 'expired', refusal: null, event });
    });
  }
}

export type Refusal = NonNullable<Erasure['refusal']>;

interface Ending extends Pick<Erasure, 'refusal'> {
  readonly status: 'refused' | 'withdrawn' | 'expired';
  readonly event: Pick<EventInput, 'type' | 'actor' | 'role' | 'body'>;
}

/** Ends one that is not carried out: it says no longer whom it was about. */
async function endErasure(
  tx: Tx,
  { log, clock }: Writer,
  erasure: Erasure,
  { status, refusal, event }: Ending,
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  const { id } = erasure;
  const now = clock().toISOString();
  const recorded = await record(tx, log, now, {
    ...event,
    subject_ids: [id],
    outcome: 'success',
    body: { erasure: id, ...event.body },
  });
  const ended = {
    status,
    scope: unnamed(erasure.scope),
    refusal,
    ended_by: event.actor,
    ended_at: now,
    end_event: recorded.event_id,
  };
  await changeErasure(tx, id, ended);
  return { erasure: { ...erasure, ...ended }, recorded };
}

/** A scope without the person in it. */
export function unnamed({ values, actor, consent, shard }: ErasureScope): ErasureScope {
  if (values) return { values };
  if (shard !== undefined) return { shard };
  if (actor !== undefined) return { actor: null };
  return consent ? { consent: { ...consent, subject: null } } : {};
}

/** Legal holds: what they cover, how they are placed and how they end. */
import { readHeads } from '../audit/log-store.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import type { EventRow } from '../audit/store.ts';
import type { Tx } from '../db/connection.ts';
import type { HoldScope } from '../db/schema.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import { newId } from '../ids.ts';
import type { Principal } from '../principal.ts';
import { insertHold, type LegalHold, liftedHold, lockHold } from './store.ts';

/** Does a hold cover an event? @param pseudonym as it stands in leaves. */
export function holds(
  { dataset, project, person, entries }: HoldScope,
  event: Pick<EventRow, 'subject_ids' | 'actor' | 'idx' | 'year' | 'log_id'>,
  pseudonym: (actor: string) => string,
): boolean {
  if (entries) {
    const { start, end = Infinity, shard } = entries;
    const { idx, year, log_id } = event;
    // What has no index yet may get one in the range.
    if (idx === null || year === null || log_id === null) return true;
    const later = shard === undefined ? log_id - 1 : year - shard;
    return later === 0 ? idx >= start && idx < end : later > 0 && end === Infinity;
  }
  if (typeof person === 'string') return event.actor === pseudonym(person);
  return event.subject_ids.includes(dataset ?? project ?? '');
}

/** Does a hold cover the consent records of a person about a dataset? */
export function holdsConsent(
  { dataset, person, project, entries }: HoldScope,
  consent: { readonly dataset: string; readonly subject: string },
): boolean {
  if (project !== undefined || entries) return false;
  return dataset === consent.dataset || person === consent.subject;
}

/** Keeps what a scope covers from being erased, from now on. */
export async function placeHold(
  writer: Writer,
  { actor, role }: Principal,
  { scope: asked, reason, reference }: Pick<LegalHold, 'scope' | 'reason' | 'reference'>,
): Promise<{ readonly hold: LegalHold; readonly recorded: Recorded }> {
  return change(writer, async (tx) => {
    const now = writer.clock().toISOString();
    const id = newId(Date.parse(now));
    const scope = await inShard(tx, asked);
    const { dataset, project, person, entries } = scope;
    if (person === null) {
      throw new ServiceError('invalid_request', 'The scope names nobody.', [
        { path: '/scope', expected: 'a person, or what else is to be kept' },
      ]);
    }
    const recorded = await record(tx, writer.log, now, {
      type: 'placeHold',
      actor,
      role,
      subject_ids: [id, ...[dataset, project].filter((each) => each !== undefined)],
      outcome: 'success',
      body: {
        hold: id,
        reason,
        reference,
        ...(entries ? { entries } : {}),
        ...(person === undefined ? {} : { subject: person }),
      },
    });
    const hold = {
      id,
      scope,
      reason,
      reference,
      placed_by: actor,
      placed_at: now,
      event_id: recorded.event_id,
    };
    await insertHold(tx, hold);
    return { hold: { ...hold, lifted_by: null, lifted_at: null, lift_event: null }, recorded };
  });
}

/** Entries are those of the shard that is named, or that grows. */
async function inShard(tx: Tx, scope: LegalHold['scope']): Promise<LegalHold['scope']> {
  const { entries } = scope;
  if (!entries) return scope;
  const years = (await readHeads(tx)).map(({ year }) => year);
  const { shard = years.at(-1) } = entries;
  if (shard === undefined || !years.includes(shard)) {
    throw unknownReference('/scope/entries/shard', `one of ${years.join(', ')}`);
  }
  return { ...scope, entries: { ...entries, shard } };
}

/** Ends a hold. @throws ServiceError `wrong_status` where it has ended. */
export async function liftHold(
  writer: Writer,
  { actor, role }: Principal,
  id: string,
): Promise<{ readonly hold: LegalHold; readonly recorded: Recorded }> {
  return change(writer, async (tx) => {
    const hold = await lockHold(tx, id);
    if (!hold) throw notFound();
    if (hold.lifted_at !== null) throw new ServiceError('wrong_status', 'The hold was lifted.');
    const now = writer.clock().toISOString();
    const recorded = await record(tx, writer.log, now, {
      type: 'liftHold',
      actor,
      role,
      subject_ids: [id],
      outcome: 'success',
      body: { hold: id },
    });
    const lifted = { lifted_by: actor, lifted_at: now, lift_event: recorded.event_id };
    await liftedHold(tx, id, lifted);
    return { hold: { ...hold, ...lifted }, recorded };
  });
}

/** Which events an erasure reaches, what goes out of each, and what keeps it there. */
import { joinDisclosures, readDisclosure, seal, splitDisclosures } from '../audit/disclosures.ts';
import type { Target } from '../audit/erase.ts';
import { bodyOf } from '../audit/event.ts';
import { readHead } from '../audit/log-store.ts';
import type { Writer } from '../audit/record.ts';
import { eachEvent } from '../audit/search.ts';
import { TURN } from '../audit/shards.ts';
import { lockEvents } from '../audit/store.ts';
import type { Tx } from '../db/connection.ts';
import type { ErasureScope } from '../db/schema.ts';
import { ServiceError } from '../errors.ts';
import type { Retention } from '../pdp/document.ts';
import { holds, holdsConsent } from './hold.ts';
import type { LegalHold } from './store.ts';

/** Events of one erasure at most: each is locked and looked at. */
const MAX_EVENTS = 1_000;
/** Where a body names who acted, and whom a hold that it places is about. */
export const ACTOR = '/actor';
export const HELD_PERSON = '/subject';

/** The events that an erasure reaches, and whether there are more of them than fit in one. */
export async function eventsOf(
  { db, log }: Writer,
  { values = [], actor }: ErasureScope,
): Promise<{ readonly ids: readonly string[]; readonly more: boolean }> {
  if (typeof actor !== 'string') return { ids: values.map((each) => each.event_id), more: false };
  const ids: string[] = [];
  const head = await readHead(db);
  const size = head ? head.base + head.size : 0;
  const query = { actor: log.keys.pseudonym(actor) };
  for await (const event of eachEvent(db, query, { from: 0, to: size })) {
    if (!namesActor(event)) continue;
    if (ids.length === MAX_EVENTS) return { ids, more: true };
    ids.push(event.event_id);
  }
  return { ids, more: false };
}

/** Events of releases that had everything in the body have the name there. */
function namesActor({ body, disclosures }: Target['event']): boolean {
  if (body === null) return false;
  return disclosures === null || pathsIn(disclosures).includes(ACTOR);
}

/** Where an event has what would lie beside the body of one that is sealed today. */
export function erasableIn(event: Target['event']): string[] {
  return pathsIn(event.disclosures ?? joinDisclosures(seal(bodyOf(event)).disclosures));
}

export function pathsIn(disclosures: string): string[] {
  return splitDisclosures(disclosures).flatMap((text) => readDisclosure(text)?.path ?? []);
}

export async function targetsOf(
  tx: Tx,
  { values = [], actor }: ErasureScope,
  ids: readonly string[],
): Promise<Target[]> {
  const paths = new Map(values.map((each) => [each.event_id, each.paths]));
  const byName = typeof actor === 'string';
  const targets = (await lockEvents(tx, ids)).map((event) => {
    const whole = event.disclosures === null;
    return { event, paths: byName ? (whole ? undefined : [ACTOR]) : paths.get(event.event_id) };
  });
  for (const { event, paths: asked } of targets) {
    if (event.idx === null) {
      throw new ServiceError('not_sequenced', 'An event is not in the log yet. Try again shortly.');
    }
    if (event.type === 'approveErasure' && asked === undefined) {
      throw new ServiceError('wrong_status', 'What was erased stays known: the event stays.');
    }
    if (event.type === TURN && asked === undefined) {
      throw new ServiceError('wrong_status', 'It links two shards of the log: the event stays.');
    }
    if (event.disclosures === null && asked !== undefined) {
      throw new ServiceError(
        'wrong_status',
        `The event ${event.event_id} has its values in its body: it is erased as a whole.`,
      );
    }
  }
  return targets;
}

/** Does an erasure take a value out of an event? */
export function takes({ paths }: Target, path: string): boolean {
  return paths === undefined || paths.includes(path);
}

/** Does it say who did what? That is what the record is kept for. */
function isAccountable(target: Target): boolean {
  return takes(target, ACTOR);
}

/** Whoever may erase does not erase what they did themselves. */
export function refuseOwnTraces(
  { log }: Writer,
  targets: readonly Target[],
  people: readonly string[],
): void {
  // Of whoever asked the name may have gone already.
  const own = new Set(people.flatMap((each) => [each, log.keys.pseudonym(each)]));
  if (!targets.some((each) => isAccountable(each) && own.has(each.event.actor))) return;
  throw new ServiceError(
    'second_person_required',
    'Nobody erases their own traces: two other people have to.',
  );
}

export function refuseHeld(
  { log }: Writer,
  standing: readonly LegalHold[],
  targets: readonly Target[],
  { consent }: ErasureScope,
): void {
  const person = consent?.subject;
  for (const { id, scope, event_id } of standing) {
    const held =
      targets.some(({ event }) => holds(scope, event, log.keys.pseudonym)) ||
      // Whom it is about has to be known while it stands.
      targets.some((each) => each.event.event_id === event_id && takes(each, HELD_PERSON)) ||
      (consent !== undefined &&
        typeof person === 'string' &&
        holdsConsent(scope, { dataset: consent.dataset, subject: person }));
    if (!held) continue;
    throw new ServiceError('legal_hold', `The hold ${id} covers some of it: nothing was erased.`);
  }
}

export function refuseEarly(
  targets: readonly Target[],
  { record_years }: Retention,
  now: Date,
): void {
  for (const target of targets) {
    const until = new Date(target.event.time);
    until.setUTCFullYear(until.getUTCFullYear() + record_years);
    if (!isAccountable(target) || until <= now) continue;
    throw new ServiceError(
      'retention_runs',
      `Who did what stays on record for ${record_years} years: that of the event ${target.event.event_id} until ${until.toISOString()}. Nothing was erased.`,
    );
  }
}

import { joinDisclosures, readDisclosure, seal, splitDisclosures } from '../audit/disclosures.ts';
import { erase, type Taken, takenFrom, type Target } from '../audit/erase.ts';
import { bodyOf, type EventInput } from '../audit/event.ts';
import { bodyOfTurn, TURN } from '../audit/shards.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { eachEvent } from '../audit/search.ts';
import { lockForErasing } from '../audit/search-store.ts';
import { type Head, readHead, readHeads } from '../audit/log-store.ts';
import { lockEvents } from '../audit/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import type { ErasureScope } from '../db/schema.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import { newId } from '../ids.ts';
import type { Retention } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { type Principal, SERVICE } from '../principal.ts';
import { holds, holdsConsent } from './hold.ts';
import { finalShard, refuseShard } from './prune.ts';
import {
  changeErasure,
  deleteConsents,
  type Erasure,
  eraseActor,
  eraseFromVersions,
  insertErasure,
  insertHold,
  type LegalHold,
  liftedHold,
  lockConsents,
  lockErasure,
  lockHold,
  lockHolds,
  readErasure,
  readNeglected,
} from './store.ts';

export interface ErasureWriter extends Writer {
  /** The program of the policies in force now; its pack says how long the record is kept. */
  readonly inForce: (db: Db) => Promise<Program>;
}

/** Events of one erasure at most: each is locked and looked at. */
const MAX_EVENTS = 1_000;
const ACTOR = '/actor';
const DATASET = '/dataset/document/';

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

/**
 * Carries an erasure out, as its second person: the values and their salts are deleted from the
 * events, from what is searched and from other copies, in the transaction of the event that says
 * so. An actor has their name erased from at most 1,000 events at once; while there are more, the
 * erasure stays `requested`. Of a shard the bodies go afterwards, by `pruneShards`.
 * @throws ServiceError `second_person_required`, `legal_hold`, `retention_runs`, `not_sequenced`,
 * `wrong_status`.
 */
export async function approveErasure(
  writer: ErasureWriter,
  principal: Principal,
  id: string,
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  const asked = await readErasure(writer.db, id);
  if (!asked) throw notFound();
  const found = await eventsOf(writer, asked.scope);
  return change(writer, async (tx) => {
    const erasure = await lockOpen(tx, id);
    if (erasure.requested_by === principal.actor) {
      throw new ServiceError(
        'second_person_required',
        'Nobody approves what they asked for themselves: another person has to.',
      );
    }
    const retention = await retentionOf(writer, tx);
    if (isNeglected(erasure, retention, writer.clock()))
      throw new ServiceError('wrong_status', 'It has expired: ask for it again.');
    const ground = groundOf(retention, erasure.reason);
    const standing = await lockHolds(tx);
    if (erasure.scope.shard !== undefined) {
      const shard = await finalShard(tx, erasure.scope.shard);
      const { pseudonym } = writer.log.keys;
      const now = writer.clock();
      await refuseShard(tx, shard, { retention, standing, pseudonym, now });
      return approveShard(tx, writer, principal, { erasure, shard, cites: ground.cites, now });
    }
    await lockForErasing(tx);
    const targets = await targetsOf(tx, erasure.scope, found.ids);
    refuseOwnTraces(writer, targets, [principal.actor, erasure.requested_by]);
    refuseHeld(writer, standing, targets, erasure.scope);
    const now = writer.clock();
    if (!ground.during_retention) refuseEarly(targets, retention, now);
    const consents = await consentsOf(tx, erasure.scope);
    const taken = takenFrom(targets);
    const recorded = await recordErasure(tx, writer, principal, {
      erasure,
      taken,
      cites: ground.cites,
      consents,
      now,
    });
    const by = { erased_at: now.toISOString(), erased_by: recorded.event_id };
    await erase(tx, targets, by);
    await eraseCopies(tx, writer, erasure.scope, targets);
    const done = {
      status: found.more ? 'requested' : 'done',
      scope: found.more ? erasure.scope : unnamed(erasure.scope),
      approved_by: principal.actor,
      approved_at: by.erased_at,
      event_id: found.more ? null : recorded.event_id,
      erased: erasure.erased + taken.length + consents,
    } as const;
    await changeErasure(tx, id, done);
    return { erasure: { ...erasure, ...done }, recorded };
  });
}

/** @throws ServiceError `not_found`, `wrong_status`. */
async function lockOpen(tx: Tx, id: string): Promise<Erasure> {
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
    if (erasure.requested_by === actor) {
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
    if (erasure.requested_by !== actor)
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

function isNeglected(erasure: Erasure, retention: Retention, now: Date): boolean {
  const since = neglectedSince(retention, now);
  return since !== undefined && lastMoved(erasure) <= since;
}

/** What nobody has carried on since then has expired; undefined where the pack sets no time. */
function neglectedSince({ open_request }: Retention, now: Date): Date | undefined {
  return open_request && new Date(now.getTime() - open_request.days * 86_400_000);
}

/** One of many events is carried out in several steps. */
function lastMoved({ approved_at, requested_at }: Erasure): Date {
  return new Date(approved_at ?? requested_at);
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

/**
 * Approves the erasure of a shard: the event names it, and founds whatever goes from it afterwards.
 * That takes everybody's traces alike, so that nobody is kept from it for having left some.
 */
async function approveShard(
  tx: Tx,
  { log }: Writer,
  { actor, role }: Principal,
  { erasure, shard, cites, now }: Omit<Carried, 'taken' | 'consents'> & { readonly shard: Head },
): Promise<{ readonly erasure: Erasure; readonly recorded: Recorded }> {
  const { id, reason, reference, scope } = erasure;
  const at = now.toISOString();
  const recorded = await record(tx, log, at, {
    type: 'approveErasure',
    actor,
    role,
    subject_ids: [id],
    outcome: 'success',
    body: { erasure: id, reason, reference, cites, erased: [], shard: bodyOfTurn(shard).previous },
  });
  const approved = {
    status: 'approved',
    scope,
    approved_by: actor,
    approved_at: at,
    event_id: recorded.event_id,
    erased: 0,
  } as const;
  await changeErasure(tx, id, approved);
  return { erasure: { ...erasure, ...approved }, recorded };
}

interface Carried {
  readonly erasure: Erasure;
  readonly taken: readonly Taken[];
  readonly cites: Retention['cites'];
  readonly consents: number;
  readonly now: Date;
}

function recordErasure(
  tx: Tx,
  { log }: Writer,
  { actor, role }: Principal,
  { erasure: { id, reason, reference, scope }, taken, cites, consents, now }: Carried,
): Promise<Recorded> {
  const { dataset } = scope.consent ?? {};
  return record(tx, log, now.toISOString(), {
    type: 'approveErasure',
    actor,
    role,
    subject_ids: dataset === undefined ? [id] : [id, dataset],
    outcome: 'success',
    body: {
      erasure: id,
      reason,
      reference,
      cites,
      erased: taken,
      ...(scope.consent ? { consent_records: consents } : {}),
    },
  });
}

async function retentionOf(writer: ErasureWriter, db: Db): Promise<Retention> {
  const { retention } = (await writer.inForce(db)).pack;
  if (retention) return retention;
  throw new ServiceError(
    'retention_runs',
    'The pack in force does not say how long the record is kept: nothing is erased from it.',
  );
}

function groundOf({ erasure }: Retention, reason: string): Retention['erasure'][string] {
  const ground = Object.hasOwn(erasure, reason) ? erasure[reason] : undefined;
  if (ground) return ground;
  throw unknownReference('/reason', `one of ${Object.keys(erasure).join(', ')}`);
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

/** A scope without the person in it. */
function unnamed({ values, actor, consent, shard }: ErasureScope): ErasureScope {
  if (values) return { values };
  if (shard !== undefined) return { shard };
  if (actor !== undefined) return { actor: null };
  return consent ? { consent: { ...consent, subject: null } } : {};
}

/** The events that an erasure reaches, and whether there are more of them than fit in one. */
async function eventsOf(
  { db, log }: ErasureWriter,
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
function erasableIn(event: Target['event']): string[] {
  return pathsIn(event.disclosures ?? joinDisclosures(seal(bodyOf(event)).disclosures));
}

function pathsIn(disclosures: string): string[] {
  return splitDisclosures(disclosures).flatMap((text) => readDisclosure(text)?.path ?? []);
}

async function targetsOf(
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

/** Does it say who did what? That is what the record is kept for. */
function isAccountable({ paths }: Target): boolean {
  return paths === undefined || paths.includes(ACTOR);
}

/** Whoever may erase does not erase what they did themselves. */
function refuseOwnTraces(
  { log }: Writer,
  targets: readonly Target[],
  people: readonly string[],
): void {
  const own = new Set(people.map((each) => log.keys.pseudonym(each)));
  if (!targets.some((each) => isAccountable(each) && own.has(each.event.actor))) return;
  throw new ServiceError(
    'second_person_required',
    'Nobody erases their own traces: two other people have to.',
  );
}

function refuseHeld(
  { log }: Writer,
  standing: readonly LegalHold[],
  targets: readonly Target[],
  { consent }: ErasureScope,
): void {
  const person = consent?.subject;
  for (const { id, scope } of standing) {
    const held =
      targets.some(({ event }) => holds(scope, event, log.keys.pseudonym)) ||
      (consent !== undefined &&
        typeof person === 'string' &&
        holdsConsent(scope, { dataset: consent.dataset, subject: person }));
    if (!held) continue;
    throw new ServiceError('legal_hold', `The hold ${id} covers some of it: nothing was erased.`);
  }
}

function refuseEarly(targets: readonly Target[], { record_years }: Retention, now: Date): void {
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

/**
 * How many records of the person there are. Consent that stands is what processing rests on and
 * has to be provable: it is withdrawn first.
 */
async function consentsOf(tx: Tx, { consent }: ErasureScope): Promise<number> {
  if (typeof consent?.subject !== 'string') return 0;
  const records = await lockConsents(tx, { ...consent, subject: consent.subject });
  if (records.some(({ status }) => status === 'given')) {
    throw new ServiceError(
      'wrong_status',
      'The person still agrees: the consent is withdrawn first.',
    );
  }
  return records.length;
}

async function eraseCopies(
  tx: Tx,
  { log }: Writer,
  { values, actor, consent }: ErasureScope,
  targets: readonly Target[],
): Promise<void> {
  const members = (values ? targets : []).flatMap(({ event, paths }) =>
    (paths ?? erasableIn(event))
      .filter((path) => path.startsWith(DATASET))
      .map((path) => ({ event_id: event.event_id, member: path.slice(DATASET.length) })),
  );
  if (members.length > 0) await eraseFromVersions(tx, members);
  if (typeof actor === 'string') {
    const ids = targets.flatMap(({ event }) => event.subject_ids.filter((each) => UUID.test(each)));
    await eraseActor(tx, { actor, pseudonym: log.keys.pseudonym(actor), ids });
  }
  if (typeof consent?.subject === 'string')
    await deleteConsents(tx, { ...consent, subject: consent.subject });
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

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

/** Carrying an erasure out, as its second person. */
import { erase, type Taken, takenFrom, type Target } from '../audit/erase.ts';
import { isNameOf } from '../audit/keys.ts';
import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { lockForErasing } from '../audit/search-store.ts';
import { bodyOfTurn } from '../audit/shards.ts';
import type { Tx } from '../db/connection.ts';
import type { ErasureScope } from '../db/schema.ts';
import { notFound, ServiceError } from '../errors.ts';
import type { Retention } from '../pdp/document.ts';
import type { Principal } from '../principal.ts';
import { finalShard, refuseShard } from './prune.ts';
import { lockOpen, unnamed } from './requests.ts';
import { type ErasureWriter, groundOf, isNeglected, retentionOf } from './retention.ts';
import {
  changeErasure,
  deleteConsents,
  type Erasure,
  eraseActor,
  eraseFacts,
  eraseFromVersions,
  eraseHeldPerson,
  eraseTraces,
  type LegalHold,
  lockConsents,
  lockHolds,
  readErasure,
} from './store.ts';
import {
  ACTOR,
  erasableIn,
  eventsOf,
  HELD_PERSON,
  refuseEarly,
  refuseHeld,
  refuseOwnTraces,
  takes,
  targetsOf,
} from './targets.ts';

const DATASET = '/dataset/document/';

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
): Promise<Approved> {
  const asked = await readErasure(writer.db, id);
  if (!asked) throw notFound();
  const found = await eventsOf(writer, asked.scope);
  return change(writer, async (tx) => {
    const standing = await lockHolds(tx);
    const erasure = await lockOpen(tx, id);
    if (isNameOf(principal.actor, erasure.requested_by, writer.log.keys)) {
      throw new ServiceError(
        'second_person_required',
        'Nobody approves what they asked for themselves: another person has to.',
      );
    }
    const retention = await retentionOf(writer, tx);
    if (isNeglected(erasure, retention, writer.clock()))
      throw new ServiceError('wrong_status', 'It has expired: ask for it again.');
    const approval = {
      principal,
      erasure,
      retention,
      ground: groundOf(retention, erasure.reason),
      standing,
    };
    const { shard } = erasure.scope;
    return shard === undefined
      ? eraseValues(tx, writer, approval, found)
      : approveShard(tx, writer, approval, shard);
  });
}

interface Approved {
  readonly erasure: Erasure;
  readonly recorded: Recorded;
}

/** What is approved, by whom, and what it has to keep to. */
interface Approval {
  readonly principal: Principal;
  readonly erasure: Erasure;
  readonly retention: Retention;
  readonly ground: Retention['erasure'][string];
  readonly standing: readonly LegalHold[];
}

async function eraseValues(
  tx: Tx,
  writer: Writer,
  approval: Approval,
  found: { readonly ids: readonly string[]; readonly more: boolean },
): Promise<Approved> {
  const { principal, erasure, retention, ground, standing } = approval;
  const { scope } = erasure;
  await lockForErasing(tx);
  const targets = await targetsOf(tx, scope, found.ids);
  refuseOwnTraces(writer, targets, [principal.actor, erasure.requested_by]);
  refuseHeld(writer, standing, targets, scope);
  const now = writer.clock();
  if (!ground.during_retention) refuseEarly(targets, retention, now);
  const consents = await consentsOf(tx, scope);
  const erased = takenFrom(targets);
  const { dataset } = scope.consent ?? {};
  const approved = await approve(tx, writer, approval, {
    now,
    erased,
    subjects: dataset === undefined ? [] : [dataset],
    said: scope.consent ? { consent_records: consents } : {},
    changed: {
      status: found.more ? 'requested' : 'done',
      scope: found.more ? scope : unnamed(scope),
      erased: erasure.erased + erased.length + consents,
    },
  });
  const by = { erased_at: now.toISOString(), erased_by: approved.recorded.event_id };
  await erase(tx, targets, by);
  await eraseCopies(tx, writer, scope, targets);
  return approved;
}

/**
 * Approves the erasure of a shard: the event names it, and founds whatever goes from it afterwards.
 * That takes everybody's traces alike, so that nobody is kept from it for having left some.
 */
async function approveShard(
  tx: Tx,
  writer: Writer,
  approval: Approval,
  year: number,
): Promise<Approved> {
  const { erasure, retention, standing } = approval;
  const { pseudonym } = writer.log.keys;
  const shard = await finalShard(tx, year);
  const now = writer.clock();
  await refuseShard(tx, shard, { retention, standing, pseudonym, now });
  return approve(tx, writer, approval, {
    now,
    erased: [],
    subjects: [],
    said: { shard: bodyOfTurn(shard).previous },
    changed: { status: 'approved', scope: erasure.scope, erased: 0 },
  });
}

/** Writes the event of an approval, and into the erasure what has become of it. */
async function approve(
  tx: Tx,
  { log }: Writer,
  { principal: { actor, role }, erasure, ground: { cites } }: Approval,
  {
    now,
    erased,
    subjects,
    said,
    changed,
  }: {
    readonly now: Date;
    readonly erased: readonly Taken[];
    /** What the event is about, beside the erasure. */
    readonly subjects: readonly string[];
    /** What it says besides. */
    readonly said: Readonly<Record<string, unknown>>;
    readonly changed: Pick<Erasure, 'scope' | 'erased'> & {
      /** `requested` while there is more to come. */
      readonly status: 'requested' | 'approved' | 'done';
    };
  },
): Promise<Approved> {
  const { id, reason, reference } = erasure;
  const at = now.toISOString();
  const recorded = await record(tx, log, at, {
    type: 'approveErasure',
    actor,
    role,
    subject_ids: [id, ...subjects],
    outcome: 'success',
    body: { erasure: id, reason, reference, cites, erased, ...said },
  });
  const approved = {
    ...changed,
    approved_by: actor,
    approved_at: at,
    event_id: changed.status === 'requested' ? null : recorded.event_id,
  };
  await changeErasure(tx, id, approved);
  return { erasure: { ...erasure, ...approved }, recorded };
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
  // An older event that loses its actor loses its body with it: what it is about stays in force.
  const whole = (values ? targets : []).filter(({ paths }) => paths === undefined);
  await eraseFacts(
    tx,
    whole.map(({ event }) => event),
  );
  const eventsWithout = (path: string) =>
    targets.filter((each) => takes(each, path)).map(({ event }) => event);
  await eraseTraces(tx, eventsWithout(ACTOR));
  if (typeof actor === 'string')
    await eraseActor(tx, { actor, pseudonym: log.keys.pseudonym(actor) });
  const ofHolds = eventsWithout(HELD_PERSON).filter(({ type }) => type === 'placeHold');
  await eraseHeldPerson(
    tx,
    ofHolds.map(({ event_id }) => event_id),
  );
  if (typeof consent?.subject === 'string')
    await deleteConsents(tx, { ...consent, subject: consent.subject });
}

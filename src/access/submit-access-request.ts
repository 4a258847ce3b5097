import { type EventInput, sealEvent, type SealedEvent } from '../audit/event.ts';
import { change, type Recorded, signReceipt } from '../audit/record.ts';
import { batched, type BatchOptions, type Settled, valueOf } from '../db/batch.ts';
import { retrying } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { readClaims } from '../idempotency.ts';
import { sha256 } from '../ids.ts';
import type { AccessWriter } from './access.ts';
import type { Decided } from './decision.ts';
import { type Draft, Drafter, type Submission } from './draft.ts';
import { KnownRegisters } from './known.ts';
import type { AskedQuestion } from './questions.ts';
import { holdSnapshot } from './registers.ts';
import { type AccessRequestRow, makeAccessRequests, type NewAccessRequest } from './store.ts';

/** A request that was made now, or the id of the one that the same call made before. */
export type Submitted =
  | {
      readonly made: 'now';
      readonly request: AccessRequestRow;
      readonly decided: Decided;
      readonly recorded: Recorded;
      /** Of an evaluation: what the caller said that only a register may say. */
      readonly ignored: AskedQuestion['ignored'];
    }
  | { readonly made: 'before'; readonly id: string };

// Measured with `npm run bench`: two lanes keep the database busy while the next batch is decided;
// larger batches gain nothing once one sync serves 64 callers.
export const BATCHES = { max: 64, lanes: 2, waiting: 4_096 };

/** Submissions of one call: those that can be are decided, written and logged together. */
type Call = readonly Submission[];

/**
 * So many of one call go together, and are one event at most. Its leaf names each: an entry of a
 * tile of the log has 64 KiB at most (C2SP tlog-tiles), and this many take less than 15.
 */
const TOGETHER = 100;

/**
 * Decides and makes what a call asks for; calls that come together go together. What is wrong with
 * one submission, or with what was written together with it, is its own error.
 */
export type Submit = (call: Call) => Promise<readonly Settled<Submitted>[]>;

/** The one way in of a process: everything that is decided goes through its batches. */
export function submitter(writer: AccessWriter): Submit {
  const known = new KnownRegisters();
  const options: BatchOptions = {
    ...BATCHES,
    overflow: () =>
      new ServiceError('unavailable', 'Too many requests are waiting. Nothing was changed.'),
    mayRunAgain: (error) => !(error instanceof ServiceError && error.code === 'unavailable'),
  };
  const sizeOf = (call: Call): number => call.length;
  const quick = batched(
    (calls: readonly Call[]) => submitKnown(writer, known, calls),
    options,
    sizeOf,
  );
  const held = batched(
    (calls: readonly Call[]) => submitHeld(writer, known, calls),
    options,
    sizeOf,
  );
  const submit: Submit = async (call) => {
    const made = await settled(quick, call);
    const others = call.filter((_, i) => made[i] === undefined);
    if (others.length === 0) return made.filter((each) => each !== undefined);
    const rest = (await settled(held, others)).values();
    return made.map((each) => each ?? (rest.next().value as Settled<Submitted>));
  };
  return async (call) => (await Promise.all(inParts(call).map((part) => submit(part)))).flat();
}

/** What of one call goes together, in its order. */
export function inParts<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / TOGETHER) }, (_, i) =>
    items.slice(i * TOGETHER, (i + 1) * TOGETHER),
  );
}

/** What becomes of a call; where none of it could be done, that is what becomes of each. */
async function settled<T extends Settled<Submitted> | undefined>(
  work: (call: Call) => Promise<readonly T[]>,
  call: Call,
): Promise<readonly (T | Settled<Submitted>)[]> {
  return work(call).catch((error: unknown) => call.map(() => ({ ok: false, error })));
}

/** As `Submit`, of a call that asks for one thing. */
export async function submitOne(submit: Submit, submission: Submission): Promise<Submitted> {
  const [only] = await submit([submission]);
  return valueOf(only);
}

/**
 * Decides requests from what is known of the registers and makes those whose facts still hold, in
 * one statement. Undefined where that cannot be: something is not known, or was changed since, or
 * the caller may have to be refused, or the key was used before; `submitHeld` settles those.
 */
async function submitKnown(
  writer: AccessWriter,
  known: KnownRegisters,
  calls: readonly Call[],
): Promise<readonly Settled<readonly (Settled<Submitted> | undefined)[]>[]> {
  const now = writer.clock();
  const inForce = known.program(now);
  const drafter = inForce && new Drafter({ ...inForce, snapshot: known, now });
  const drafts = calls.map((call) => call.map((submission) => drafter?.tryDraft(submission)));
  const made = drafts.flatMap((ofCall) =>
    withEvents(
      writer,
      ofCall.filter((draft) => draft !== undefined),
    ),
  );
  if (made.length === 0)
    return drafts.map((ofCall) => ({ ok: true, value: ofCall.map(() => undefined) }));
  const results = await settledBy(writer, made, () =>
    retrying(() => makeAccessRequests(writer.db, made)),
  );
  writer.log.wake();
  return drafts.map((ofCall) => ({
    ok: true,
    value: ofCall.map((draft) => draft && results.get(draft.request.id)),
  }));
}

/**
 * Decides requests from the registers and makes them, in one transaction that holds what it has
 * read. They see the registers as of one moment (repeatable read). What is wrong with one
 * submission is its own error; an error of the database undoes all, and the calls run one by one.
 */
async function submitHeld(
  writer: AccessWriter,
  known: KnownRegisters,
  calls: readonly Call[],
): Promise<readonly Settled<readonly Settled<Submitted>[]>[]> {
  return change(
    writer,
    async (tx) => {
      const now = writer.clock();
      const all = calls.flat();
      const [snapshot, program, claimed] = await Promise.all([
        holdSnapshot(
          tx,
          all.map(({ request }) => request),
        ),
        writer.inForce(tx, 'held'),
        readClaims(
          tx,
          all.flatMap(({ idempotent }) => idempotent ?? []),
        ),
      ]);
      known.learn(snapshot, program, now);
      const basis = snapshot.revisionOfPack;
      if (!basis) throw new Error('what is in force has no revision');
      const drafter = new Drafter({ program, basis, snapshot, now });
      const decideHeld = (submission: Submission): Settled<Submitted> | Draft => {
        try {
          const { idempotent } = submission;
          const earlier = idempotent && claimed.resourceOf(idempotent);
          if (earlier !== undefined) return { ok: true, value: { made: 'before', id: earlier } };
          const draft = drafter.draft(submission);
          if (idempotent) claimed.add(idempotent, draft.request.id);
          return draft;
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          return { ok: false, error };
        }
      };
      const decided = calls.map((call) => call.map((submission) => decideHeld(submission)));
      const made = decided.flatMap((ofCall) =>
        withEvents(
          writer,
          ofCall.flatMap((each) => ('ok' in each ? [] : [each])),
        ),
      );
      const results = await settledBy(writer, made, () => makeAccessRequests(tx, made));
      if (results.size < made.length) throw new Error('what is held was changed');
      return decided.map((ofCall) => ({
        ok: true,
        value: ofCall.map((each) =>
          'ok' in each ? each : (results.get(each.request.id) as Settled<Submitted>),
        ),
      }));
    },
    'repeatable read',
  );
}

type Made = Draft & NewAccessRequest;

/**
 * What a call has decided, with its events: one for all of `evaluateAccesses` that are alike, so
 * that who looks for a dataset, a project, an effect or a rule finds those that have all of them.
 */
function withEvents({ log }: AccessWriter, drafts: readonly Draft[]): Made[] {
  const groups = drafts.length < 2 ? [drafts] : Map.groupBy(drafts, likeness).values();
  const made: Made[] = [];
  for (const alike of groups) {
    const [first] = alike;
    if (!first) continue;
    const event = sealEvent(eventOf(first, alike), first.request.created_at, log.keys.pseudonym);
    for (const draft of alike) made.push({ ...draft, event });
  }
  return made;
}

/** What the evaluations of one call that share an event have in common. */
function likeness({ request, decided, questioned }: Draft): string {
  const { effect, deny, review, obligations } = decided.stored;
  const ignored = [...(questioned?.ignored.keys() ?? [])];
  const rules = [deny, review, obligations];
  return JSON.stringify([request.project, effect, rules, questioned?.carried, ignored]);
}

/** The event of drafts that are alike, which are one unless they are of `evaluateAccesses`. */
function eventOf(first: Draft, alike: readonly Draft[]): EventInput {
  const { submission, request, decided, questioned } = first;
  const { operation, principal } = submission;
  const { effect, deny, review, obligations } = decided.stored;
  const ignored = [...(questioned?.ignored.keys() ?? [])];
  // In the order in which they are written: in another one they would be sorted first.
  const decisions = alike.map((draft) => ({
    dataset: draft.request.dataset,
    dataset_version: draft.request.dataset_version,
    decision: draft.request.decision,
    decision_sha256: sha256(draft.document.whole),
  }));
  const { dataset: _dataset, ...only } = decisions[0] ?? {};
  return {
    type: operation,
    actor: principal.actor,
    role: principal.role,
    subject_ids: [
      ...(questioned ? [] : [request.id]),
      ...decisions.map(({ decision }) => decision),
      ...new Set(decisions.map(({ dataset }) => dataset)),
      request.project,
    ],
    outcome: effect,
    body: {
      ...(questioned ? questioned.carried : { access_request: request.id }),
      ...(ignored.length > 0 ? { ignored_facts: ignored } : {}),
      ...(operation === 'evaluateAccesses' ? { decisions } : only),
      deny,
      obligations,
      review,
    },
  };
}

const NONE: AskedQuestion['ignored'] = new Map();

/**
 * Writes, and gives what was made by the id of its request. Signs while the database writes; nobody gets a
 * receipt of what was not written. Where it writes into another shard than this process knows of,
 * the receipts are signed again.
 */
async function settledBy(
  { log }: AccessWriter,
  made: readonly Made[],
  write: () => Promise<ReadonlyMap<string, string>>,
): Promise<ReadonlyMap<string, Settled<Submitted>>> {
  if (made.length === 0) return new Map();
  const assumed = log.origin();
  const [origins, signed] = await Promise.all([write(), signAll(log, assumed, made)]);
  const [origin = assumed] = origins.values();
  const receipts = origin === assumed ? signed : await signAll(log, origin, made);
  return new Map(
    made
      .filter(({ request }) => origins.has(request.id))
      .map((each) => [each.request.id, { ok: true, value: submitted(each, receipts) }]),
  );
}

/** Receipts by event. */
async function signAll(
  log: AccessWriter['log'],
  origin: string,
  made: readonly Made[],
): Promise<ReadonlyMap<SealedEvent, string>> {
  // Nobody is given the receipt of an evaluation: who wants one asks for its event.
  const signed = made
    .filter(({ request }) => request.id !== request.decision)
    .map(async ({ event }) => [event, await signReceipt(log, origin, event)] as const);
  return new Map(await Promise.all(signed));
}

function submitted(
  { request, decided, questioned, event }: Made,
  receipts: ReadonlyMap<SealedEvent, string>,
): Submitted {
  const recorded: Recorded = {
    event_id: event.event_id,
    leaf_hash: event.leaf_hash.toString('base64'),
    index: null,
    receipt: receipts.get(event) ?? '',
  };
  return { made: 'now', request, decided, recorded, ignored: questioned?.ignored ?? NONE };
}

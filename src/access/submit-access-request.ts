import type { Dataset } from '../catalogue/dataset.ts';
import { sealEvent, type SealedEvent } from '../audit/event.ts';
import { change, type Recorded, signReceipt } from '../audit/record.ts';
import { batched, type BatchOptions, type Settled } from '../db/batch.ts';
import { retrying } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { type IdempotentCall, readClaims } from '../idempotency.ts';
import { dayInZone } from '../pdp/calendar.ts';
import type { FactProblem } from '../pdp/facts.ts';
import { newId, sha256 } from '../ids.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { Question } from '../spaces/authzen.ts';
import type { AccessWriter } from './access.ts';
import { type Decided, decide, textOf } from './decision.ts';
import { type Asked, checkPeriod, checkPurpose, factsOfCase, factsOfDataset } from './facts.ts';
import { KnownRegisters } from './known.ts';
import { type AskedQuestion, askedBy, type Names } from './questions.ts';
import { datasetFor, holdSnapshot, registersFor, type Said, type Snapshot } from './registers.ts';
import {
  type AccessRequestRow,
  makeAccessRequests,
  type NewAccessRequest,
  type Revision,
} from './store.ts';

/** One call of `submitAccessRequest`, or of `evaluateAccess`, which makes no request. */
export interface Submission {
  readonly principal: Principal;
  /** What the caller sent. */
  readonly request: Asked & {
    readonly dataset: string;
    readonly project: string;
    readonly agreement?: string;
    /** Of an evaluation it may be unknown. */
    readonly purpose?: string;
  };
  readonly idempotent: IdempotentCall | undefined;
  /** Of an evaluation: `request` names what it is about, the rest is in here. */
  readonly question?: Question;
}

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

/** Decides and makes one request; those that come together go together. */
export type Submit = (submission: Submission) => Promise<Submitted>;

/** The one way in of a process: everything that is decided goes through its batches. */
export function submitter(writer: AccessWriter): Submit {
  const known = new KnownRegisters();
  const batches: BatchOptions = {
    ...BATCHES,
    overflow: () =>
      new ServiceError('unavailable', 'Too many requests are waiting. Nothing was changed.'),
    mayRunAgain: (error) => !(error instanceof ServiceError && error.code === 'unavailable'),
  };
  const quick = batched((all: readonly Submission[]) => submitKnown(writer, known, all), batches);
  const held = batched((all: readonly Submission[]) => submitHeld(writer, known, all), batches);
  return async (submission) => (await quick(submission)) ?? held(submission);
}

/**
 * Decides requests from what is known of the registers and makes those whose facts still hold, in
 * one statement. Undefined where that cannot be: something is not known, or was changed since, or
 * the caller may have to be refused, or the key was used before; `submitHeld` settles those.
 */
async function submitKnown(
  writer: AccessWriter,
  known: KnownRegisters,
  submissions: readonly Submission[],
): Promise<readonly Settled<Submitted | undefined>[]> {
  const now = writer.clock();
  const inForce = known.program(now);
  const context = inForce && { writer, ...inForce, snapshot: known, now };
  const drafts = submissions.map((submission) => context && tryDecide(context, submission));
  const made = drafts.filter((draft) => draft !== undefined);
  if (made.length === 0) return submissions.map(() => ({ ok: true, value: undefined }));
  const { ids, receipts } = await withReceipts(writer, made, () =>
    retrying(() => makeAccessRequests(writer.db, made)),
  );
  writer.log.wake();
  return drafts.map((draft) => ({
    ok: true,
    value: draft && ids.has(draft.request.id) ? submitted(draft, receipts) : undefined,
  }));
}

/**
 * Decides requests from the registers and makes them, in one transaction that holds what it has
 * read. They see the registers as of one moment (repeatable read). What is wrong with one member
 * is that member's error; an error of the database undoes all, and the batch runs them one by one.
 */
async function submitHeld(
  writer: AccessWriter,
  known: KnownRegisters,
  submissions: readonly Submission[],
): Promise<readonly Settled<Submitted>[]> {
  return change(
    writer,
    async (tx) => {
      const now = writer.clock();
      const calls = submissions.flatMap(({ idempotent }) => idempotent ?? []);
      const [snapshot, program, claimed] = await Promise.all([
        holdSnapshot(
          tx,
          submissions.map(({ request }) => request),
        ),
        writer.inForce(tx, 'held'),
        readClaims(tx, calls),
      ]);
      known.learn(snapshot, program, now);
      const basis = snapshot.revisionOfPack;
      if (!basis) throw new Error('what is in force has no revision');
      const made: Draft[] = [];
      const results = submissions.map((submission): Settled<Submitted> | Draft => {
        try {
          const { idempotent } = submission;
          const earlier = idempotent && claimed.resourceOf(idempotent);
          if (earlier !== undefined) return { ok: true, value: { made: 'before', id: earlier } };
          const draft = decideOne({ writer, program, basis, snapshot, now }, submission);
          made.push(draft);
          if (idempotent) claimed.add(idempotent, draft.request.id);
          return draft;
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          return { ok: false, error };
        }
      });
      if (made.length === 0) return results.filter((result) => 'ok' in result);
      const { ids, receipts } = await withReceipts(writer, made, () =>
        makeAccessRequests(tx, made),
      );
      if (ids.size < made.length) throw new Error('what is held was changed');
      return results.map((result) =>
        'ok' in result ? result : { ok: true, value: submitted(result, receipts) },
      );
    },
    'repeatable read',
  );
}

interface Draft extends NewAccessRequest {
  readonly decided: Decided;
  readonly ignored: AskedQuestion['ignored'];
}

const NONE: AskedQuestion['ignored'] = new Map();

interface Context {
  readonly writer: AccessWriter;
  readonly program: Program;
  /** The revision of what is in force. */
  readonly basis: Revision;
  readonly snapshot: Snapshot;
  readonly now: Date;
}

/** A decision; undefined where there would be a refusal, which takes more than what is known. */
function tryDecide(context: Context, submission: Submission): Draft | undefined {
  try {
    return decideOne(context, submission);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return undefined;
  }
}

function decideOne(
  { writer, program, basis, snapshot, now }: Context,
  { principal, request: written, idempotent, question }: Submission,
): Draft {
  const { vocabulary } = program;
  const questioned = question && askedBy(vocabulary, question);
  const { names, asked } = questioned ?? requested(vocabulary.canonical('request', written));
  const today = dayInZone(program.pack.timezone)(now.getTime());
  refuse([...program.vocabulary.checkAt('request', asked), ...checkPeriod(asked, today)]);
  const known = datasetFor(snapshot, principal, names.dataset);
  const { dataset } = known.said;
  const registers = registersFor(snapshot, askerFor(principal, dataset, names), names);
  const { purpose } = asked as { readonly purpose?: string };
  if (purpose !== undefined) refuse(checkPurpose(program, purpose, dataset, registers));
  const decisionId = newId(now.getTime());
  const id = questioned ? decisionId : newId(now.getTime());
  const asOf = now.toISOString();
  const datasetFacts = factsOfKnown(known.said, purpose);
  const facts = factsOfCase(program, asked, {
    id,
    asOf,
    registers,
    dataset: dataset.id,
    said: datasetFacts,
  });
  const decided = decide(program, facts, { asOf, simulation: false });
  const document = textOf(decided.stored);
  const { effect, deny, review, obligations } = decided.stored;
  const type = questioned ? 'evaluateAccess' : 'submitAccessRequest';
  const own = questioned ? [decisionId] : [id, decisionId];
  const ignored = [...(questioned?.ignored.keys() ?? [])];
  const event = sealEvent(
    {
      type,
      actor: principal.actor,
      role: principal.role,
      subject_ids: [...own, dataset.id, registers.project.id],
      outcome: effect,
      body: {
        ...(questioned ? questioned.carried : { access_request: id }),
        ...(ignored.length > 0 ? { ignored_facts: ignored } : {}),
        // In the order in which they are written: in another one they would be sorted first.
        dataset_version: dataset.version,
        decision: decisionId,
        decision_sha256: sha256(document.whole),
        deny,
        obligations,
        review,
      },
    },
    asOf,
    writer.log.keys.pseudonym,
  );
  return {
    request: {
      id,
      dataset: dataset.id,
      dataset_version: dataset.version,
      project: registers.project.id,
      agreement: names.agreement ?? null,
      purpose: purpose ?? '',
      request: written,
      decision: decisionId,
      effect,
      created_at: asOf,
      created_by: principal.actor,
    },
    organisation: registers.organisation.id,
    document,
    event,
    idempotent,
    basis: [basis, known.basis, ...registers.basis],
    decided,
    ignored: questioned?.ignored ?? NONE,
  };
}

function requested({ project, dataset, agreement, ...asked }: Submission['request']): {
  readonly names: Names;
  readonly asked: Asked;
} {
  const names = { project, dataset };
  return { names: agreement === undefined ? names : { ...names, agreement }, asked };
}

type DatasetFacts = Readonly<Record<string, unknown>>;

const factsBySaid = new WeakMap<Said['dataset'], Map<string | undefined, DatasetFacts>>();

/** The holders of a dataset ask before they serve it, whoever's project it is for. */
function askerFor(principal: Principal, { publisher }: Dataset, { project }: Names): Principal {
  const isHolder = principal.role === 'holder' && principal.organisation === publisher;
  return isHolder ? { ...principal, projects: [project] } : principal;
}

/** The facts of a dataset for a known purpose: one object for all requests that they are the same for. */
function factsOfKnown(said: Said['dataset'], purpose: string | undefined): DatasetFacts {
  const byPurpose = factsBySaid.get(said) ?? new Map<string | undefined, DatasetFacts>();
  factsBySaid.set(said, byPurpose);
  const facts = byPurpose.get(purpose) ?? factsOfDataset(said.dataset, said.totals, purpose);
  byPurpose.set(purpose, facts);
  return facts;
}

function refuse(problems: readonly FactProblem[]): void {
  if (problems.length === 0) return;
  throw new ServiceError(
    'invalid_facts',
    'The request has facts with impossible values.',
    problems,
  );
}

/**
 * Signs while the database writes; nobody gets a receipt of what was not written. Where it writes
 * into another shard than this process knows of, the receipts are signed again.
 */
async function withReceipts(
  { log }: AccessWriter,
  made: readonly Draft[],
  write: () => Promise<ReadonlyMap<string, string>>,
): Promise<{
  readonly ids: ReadonlyMap<string, string>;
  readonly receipts: ReadonlyMap<SealedEvent, string>;
}> {
  const assumed = log.origin();
  const [ids, receipts] = await Promise.all([write(), signAll(log, assumed, made)]);
  const [origin = assumed] = ids.values();
  return { ids, receipts: origin === assumed ? receipts : await signAll(log, origin, made) };
}

/** Receipts by event. */
async function signAll(
  log: AccessWriter['log'],
  origin: string,
  made: readonly Draft[],
): Promise<ReadonlyMap<SealedEvent, string>> {
  // Nobody is given the receipt of an evaluation: who wants one asks for its event.
  const signed = made
    .filter(({ request }) => request.id !== request.decision)
    .map(async ({ event }) => [event, await signReceipt(log, origin, event)] as const);
  return new Map(await Promise.all(signed));
}

function submitted(draft: Draft, receipts: ReadonlyMap<SealedEvent, string>): Submitted {
  const { event, request, decided, ignored } = draft;
  const recorded: Recorded = {
    event_id: event.event_id,
    leaf_hash: event.leaf_hash.toString('base64'),
    index: null,
    receipt: receipts.get(event) ?? '',
  };
  return { made: 'now', request, decided, recorded, ignored };
}

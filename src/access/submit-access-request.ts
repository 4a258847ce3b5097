import { sealEvent, type SealedEvent } from '../audit/event.ts';
import { change, type Recorded, signReceipt } from '../audit/record.ts';
import type { Settled } from '../db/batch.ts';
import { retrying } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { type IdempotentCall, readClaims } from '../idempotency.ts';
import { dayInZone } from '../pdp/calendar.ts';
import type { FactProblem } from '../pdp/facts.ts';
import { newId, sha256 } from '../ids.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { type Decided, decide, documentText } from './decision.ts';
import {
  type Asked,
  checkPeriod,
  checkPurpose,
  factsOfDataset,
  factsOfRegisters,
  overlay,
} from './facts.ts';
import type { KnownRegisters } from './known.ts';
import { datasetFor, holdSnapshot, registersFor, type Said, type Snapshot } from './registers.ts';
import {
  type AccessRequestRow,
  makeAccessRequests,
  type NewAccessRequest,
  type Revision,
} from './store.ts';

/** One call of `submitAccessRequest`. */
export interface Submission {
  readonly principal: Principal;
  /** What the caller sent. */
  readonly request: Asked & {
    readonly dataset: string;
    readonly project: string;
    readonly agreement?: string;
    readonly purpose: string;
  };
  readonly idempotent: IdempotentCall | undefined;
}

/** A request that was made now, or the id of the one that the same call made before. */
export type Submitted =
  | {
      readonly made: 'now';
      readonly request: AccessRequestRow;
      readonly decided: Decided;
      readonly recorded: Recorded;
    }
  | { readonly made: 'before'; readonly id: string };

/**
 * Decides requests from what is known of the registers and makes those whose facts still hold, in
 * one statement. Undefined where that cannot be: something is not known, or was changed since, or
 * the caller may have to be refused, or the key was used before; `submitHeld` settles those.
 */
export async function submitKnown(
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
  // Signed while the database writes; nobody gets a receipt of what was not written.
  const [ids, receipts] = await Promise.all([
    retrying(() => makeAccessRequests(writer.db, made)),
    signAll(writer, made),
  ]);
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
export async function submitHeld(
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
      const [ids, receipts] = await Promise.all([
        makeAccessRequests(tx, made),
        signAll(writer, made),
      ]);
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
}

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
  { principal, request: written, idempotent }: Submission,
): Draft {
  const request = program.vocabulary.canonical('request', written);
  const { dataset: _dataset, project: _project, agreement: _agreement, ...asked } = request;
  const today = dayInZone(program.pack.timezone)(now.getTime());
  refuse([...program.vocabulary.checkAt('request', asked), ...checkPeriod(asked, today)]);
  const known = datasetFor(snapshot, principal, request.dataset);
  const { dataset } = known.said;
  const registers = registersFor(snapshot, principal, request);
  refuse(checkPurpose(program, request.purpose, dataset, registers));
  const id = newId(now.getTime());
  const asOf = now.toISOString();
  const datasetFacts = factsOfKnown(known.said, request.purpose);
  const requestFacts = {
    ...overlay(asked, factsOfRegisters(program, registers, dataset.id)),
    id,
    as_of: asOf,
    sector: datasetFacts['sector'] ?? null,
  };
  const decided = decide(
    program,
    { dataset: datasetFacts, request: requestFacts },
    { asOf, simulation: false },
  );
  const document = Buffer.from(documentText(decided.stored), 'utf8');
  const { effect, deny, review, obligations } = decided.stored;
  const decisionId = newId(now.getTime());
  const event = sealEvent(
    {
      type: 'submitAccessRequest',
      actor: principal.actor,
      role: principal.role,
      subject_ids: [id, decisionId, dataset.id, registers.project.id],
      outcome: effect,
      body: {
        access_request: id,
        decision: decisionId,
        dataset_version: dataset.version,
        deny,
        review,
        obligations,
        decision_sha256: sha256(document),
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
      agreement: request.agreement ?? null,
      purpose: request.purpose,
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
  };
}

type DatasetFacts = Readonly<Record<string, unknown>>;

const factsBySaid = new WeakMap<Said['dataset'], Map<string, DatasetFacts>>();

/** The facts of a dataset for a known purpose: one object for all requests that they are the same for. */
function factsOfKnown(said: Said['dataset'], purpose: string): DatasetFacts {
  const byPurpose = factsBySaid.get(said) ?? new Map<string, DatasetFacts>();
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

/** Receipts by event. */
async function signAll(
  { log }: AccessWriter,
  made: readonly Draft[],
): Promise<ReadonlyMap<SealedEvent, string>> {
  const signed = made.map(async ({ event }) => [event, await signReceipt(log, event)] as const);
  return new Map(await Promise.all(signed));
}

function submitted(draft: Draft, receipts: ReadonlyMap<SealedEvent, string>): Submitted {
  const { event, request, decided } = draft;
  const recorded: Recorded = {
    event_id: event.event_id,
    leaf_hash: event.leaf_hash.toString('base64'),
    index: null,
    receipt: receipts.get(event) ?? '',
  };
  return { made: 'now', request, decided, recorded };
}

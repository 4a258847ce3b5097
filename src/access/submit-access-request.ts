import { canonicalText, sealEvent, type SealedEvent } from '../audit/event.ts';
import { change, type Recorded, signReceipt } from '../audit/record.ts';
import { insertEvents } from '../audit/store.ts';
import type { Settled } from '../db/batch.ts';
import { isDuplicate, type Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { claimKeys, type IdempotentCall, readClaims } from '../idempotency.ts';
import { dayInZone } from '../pdp/calendar.ts';
import type { FactProblem } from '../pdp/facts.ts';
import { newId, sha256 } from '../ids.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { type Decided, decide } from './decision.ts';
import {
  type Asked,
  checkPeriod,
  checkPurpose,
  factsOfDataset,
  factsOfRegisters,
  overlay,
} from './facts.ts';
import { datasetFor, holdSnapshot, registersFor, type Snapshot } from './registers.ts';
import {
  type AccessRequestRow,
  type DecisionRow,
  insertAccessRequests,
  insertDecisions,
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
 * Decides requests and makes them, each with its decision and its event, in one transaction. They
 * see the registers as of one moment (repeatable read). What is wrong with one member is that
 * member's error; an error of the database undoes all, and the batch runs them one by one.
 */
export async function submitAccessRequests(
  writer: AccessWriter,
  submissions: readonly Submission[],
): Promise<readonly Settled<Submitted>[]> {
  const attempt = (): Promise<Settled<Submitted>[]> =>
    change(writer, (tx) => submitAll(tx, writer, submissions), 'repeatable read');
  try {
    return await attempt();
  } catch (error) {
    // The same call, at the same time, here or in another replica: now its claim can be read.
    if (!isDuplicate(error)) throw error;
    return attempt();
  }
}

async function submitAll(
  tx: Tx,
  writer: AccessWriter,
  submissions: readonly Submission[],
): Promise<Settled<Submitted>[]> {
  const now = writer.clock();
  const calls = submissions.flatMap(({ idempotent }) => idempotent ?? []);
  const [program, claimed, snapshot] = await Promise.all([
    writer.inForce(tx, 'held'),
    readClaims(tx, calls),
    holdSnapshot(
      tx,
      submissions.map(({ request }) => request),
    ),
  ]);
  const made: Made[] = [];
  const results = submissions.map((submission): Settled<Submitted> | Made => {
    try {
      const earlier = submission.idempotent && claimed.resourceOf(submission.idempotent);
      if (earlier !== undefined) return { ok: true, value: { made: 'before', id: earlier } };
      const one = decideOne({ writer, program, snapshot, now }, submission);
      made.push(one);
      if (submission.idempotent) claimed.add(submission.idempotent, one.request.id);
      return one;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return { ok: false, error };
    }
  });
  const receipts = await write(tx, writer, made, now);
  return results.map((result) => {
    if (!('event' in result)) return result;
    const { request, decided, event } = result;
    const recorded: Recorded = {
      event_id: event.event_id,
      leaf_hash: event.leaf_hash.toString('base64'),
      index: null,
      receipt: receipts.get(event.event_id) ?? '',
    };
    return { ok: true, value: { made: 'now', request, decided, recorded } };
  });
}

interface Made {
  readonly request: AccessRequestRow;
  readonly decision: DecisionRow;
  readonly decided: Decided;
  readonly event: SealedEvent;
  readonly idempotent: IdempotentCall | undefined;
}

interface Context {
  readonly writer: AccessWriter;
  readonly program: Program;
  readonly snapshot: Snapshot;
  readonly now: Date;
}

function decideOne(
  { writer, program, snapshot, now }: Context,
  { principal, request, idempotent }: Submission,
): Made {
  const { dataset: _dataset, project: _project, agreement: _agreement, ...asked } = request;
  const today = dayInZone(program.pack.timezone)(now.getTime());
  refuse([...program.vocabulary.checkAt('request', asked), ...checkPeriod(asked, today)]);
  const dataset = datasetFor(snapshot, principal, request.dataset);
  const registers = registersFor(snapshot, principal, request);
  refuse(checkPurpose(program, request.purpose, dataset, registers));
  const id = newId(now.getTime());
  const asOf = now.toISOString();
  const datasetFacts = factsOfDataset(
    dataset,
    snapshot.totals.get(dataset.id) ?? [],
    request.purpose,
  );
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
  const document = canonicalText(decided.stored);
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
  const common = {
    dataset: dataset.id,
    project: registers.project.id,
    effect,
    created_at: asOf,
    created_by: principal.actor,
  };
  return {
    request: {
      ...common,
      id,
      dataset_version: dataset.version,
      agreement: request.agreement ?? null,
      purpose: request.purpose,
      request,
      decision: decisionId,
    },
    decision: { ...common, id: decisionId, simulation: false, document, event_id: event.event_id },
    decided,
    event,
    idempotent,
  };
}

function refuse(problems: readonly FactProblem[]): void {
  if (problems.length === 0) return;
  throw new ServiceError(
    'invalid_facts',
    'The request has facts with impossible values.',
    problems,
  );
}

/** Writes everything, in one round trip while the receipts are signed. */
async function write(
  tx: Tx,
  { log }: AccessWriter,
  made: readonly Made[],
  now: Date,
): Promise<ReadonlyMap<string, string>> {
  if (made.length === 0) return new Map();
  const claims = made.flatMap(({ idempotent, request }) =>
    idempotent ? [{ ...idempotent, resource: request.id }] : [],
  );
  const events = made.map(({ event }) => event);
  const written = Promise.all([
    claimKeys(tx, claims, now.toISOString()),
    insertEvents(tx, events),
    insertDecisions(
      tx,
      made.map(({ decision }) => decision),
    ),
    insertAccessRequests(
      tx,
      made.map(({ request }) => request),
    ),
  ]);
  // Signed while the database writes.
  const receipts = events.map((event) => [event.event_id, signReceipt(log, event)] as const);
  await written;
  return new Map(receipts);
}

import { canonicalText } from '../audit/canonical.ts';
import { change, record } from '../audit/record.ts';
import type { Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import type { FactProblem } from '../pdp/facts.ts';
import { newId, sha256 } from '../ids.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { AccessWriter } from './access.ts';
import { decide, type DecisionView, viewOf } from './decision.ts';
import {
  type Asked,
  checkPeriod,
  factsOfAgreement,
  factsOfDataset,
  factsOfRegisters,
  overlay,
} from './facts.ts';
import { datasetFor, holdSnapshot, registersFor } from './registers.ts';
import { insertDecision } from './store.ts';

// Simulations are kept, and anybody may ask for many; real facts take some 4,000 characters.
const MAX_DOCUMENT = 200_000;

export interface Simulation {
  /** An id in the catalogue, or explicit facts. */
  readonly dataset: string | Asked;
  /** Explicit facts; `project`, and `agreement`, may be ids in the registers. */
  readonly request: Asked;
}

/**
 * Decides without making anything but the record of having been asked. Explicit facts win over
 * those of the registers; `request.as_of` absent is now.
 * @throws ServiceError `invalid_facts`, `unknown_reference`.
 */
export async function simulateDecision(
  writer: AccessWriter,
  principal: Principal,
  simulation: Simulation,
): Promise<DecisionView> {
  return change(
    writer,
    async (tx) => {
      const now = writer.clock().toISOString();
      const program = await writer.inForce(tx);
      const facts = await factsOf(tx, program, principal, simulation);
      const request = { as_of: now, ...facts.request };
      const decided = decide(
        program,
        { dataset: facts.dataset, request },
        { asOf: now, simulation: true },
      );
      const id = newId(Date.parse(now));
      const document = canonicalText(decided.stored);
      if (document.length > MAX_DOCUMENT) {
        throw new ServiceError(
          'body_too_large',
          `The facts of a simulation take at most ${MAX_DOCUMENT} characters.`,
        );
      }
      const { effect, deny, review, obligations } = decided.stored;
      const { actor, role } = principal;
      const recorded = await record(tx, writer.log, now, {
        type: 'simulateDecision',
        actor,
        role,
        subject_ids: [id, ...facts.ids],
        outcome: effect,
        body: { decision: id, deny, review, obligations, decision_sha256: sha256(document) },
      });
      const { datasetId, projectId } = facts;
      await insertDecision(tx, {
        id,
        simulation: true,
        effect,
        dataset: datasetId,
        project: projectId,
        created_by: actor,
        created_at: now,
        document,
        event_id: recorded.event_id,
      });
      return viewOf(id, decided, recorded);
    },
    'repeatable read',
  );
}

interface SimulatedFacts {
  readonly dataset: Asked;
  readonly request: Asked;
  readonly datasetId: string | null;
  readonly projectId: string | null;
  /** What the event is about. */
  readonly ids: string[];
}

async function factsOf(
  tx: Tx,
  program: Program,
  principal: Principal,
  { dataset: ofDataset, request: written }: Simulation,
): Promise<SimulatedFacts> {
  const dataset =
    typeof ofDataset === 'string' ? ofDataset : program.vocabulary.canonical('dataset', ofDataset);
  const { project, agreement, ...rest } = program.vocabulary.canonical('request', written);
  const explicit =
    typeof agreement === 'string'
      ? rest
      : { ...rest, ...(agreement === undefined ? {} : { agreement }) };
  const problems = checkExplicit(program, dataset, explicit, project);
  if (problems.length > 0)
    throw new ServiceError(
      'invalid_facts',
      'Some facts do not exist or have impossible values.',
      problems,
    );
  const datasetId = typeof dataset === 'string' ? dataset : null;
  const projectId = typeof project === 'string' ? project : null;
  const agreementId = typeof agreement === 'string' ? agreement : undefined;
  const snapshot = await holdSnapshot(tx, [
    { dataset: datasetId ?? undefined, project: projectId ?? undefined, agreement: agreementId },
  ]);
  const registered = datasetId === null ? undefined : datasetFor(snapshot, principal, datasetId);
  const datasetFacts = registered
    ? factsOfDataset(registered.said.dataset, registered.said.totals, rest['purpose'])
    : (dataset as Asked);
  let known: Asked = registered ? { sector: datasetFacts['sector'] ?? null } : {};
  if (projectId !== null) {
    const registers = registersFor(
      snapshot,
      principal,
      { project: projectId, agreement: agreementId },
      '/request',
    );
    known = { ...known, ...factsOfRegisters(program, registers, datasetId) };
  } else if (agreementId !== undefined) {
    const found = snapshot.get('agreement', agreementId)?.said;
    if (!found || !mayNameAgreement(principal, found.signatories)) {
      throw new ServiceError(
        'unknown_reference',
        'The request names something that does not exist.',
        [{ path: '/request/agreement', expected: 'the id of an agreement, or its facts' }],
      );
    }
    known = { ...known, agreement: factsOfAgreement(found) };
  }
  return {
    dataset: datasetFacts,
    request: overlay(known, explicit),
    datasetId,
    projectId,
    ids: [datasetId, projectId].filter((id) => id !== null),
  };
}

function mayNameAgreement(principal: Principal, signatories: readonly string[]): boolean {
  return (
    principal.role === 'authority' ||
    (principal.organisation !== null && signatories.includes(principal.organisation))
  );
}

function checkExplicit(
  program: Program,
  dataset: string | Asked,
  request: Asked,
  project: unknown,
): FactProblem[] {
  return [
    ...(typeof dataset === 'string'
      ? []
      : below('/dataset', program.vocabulary.checkAt('dataset', dataset))),
    ...below('/request', [
      ...program.vocabulary.checkAt('request', request),
      ...checkPeriod(request),
    ]),
    ...(project === undefined || typeof project === 'string'
      ? []
      : [{ path: '/request/project', expected: 'the id of a project' }]),
  ];
}

function below(prefix: string, found: readonly FactProblem[]): FactProblem[] {
  return found.map(({ path, expected }) => ({ path: prefix + path, expected }));
}

import { mayRead } from '../catalogue/dataset.ts';
import { readDatasetsById } from '../catalogue/store.ts';
import { readTotals } from '../consent/store.ts';
import { transact, type Tx } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import { newId } from '../ids.ts';
import { explain } from '../pdp/explain.ts';
import { type Facts, isObject, type Vocabulary } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { Answer, DecisionPoint, Question } from '../spaces/authzen.ts';
import { answerOf } from '../spaces/space-point.ts';
import type { AccessWriter } from './access.ts';
import { factsOfDataset, factsOfRegisters, overlay } from './facts.ts';
import { readRegisters } from './registers.ts';

/**
 * Another country's pack as a decision point: "would they let this go?" Nothing here is that
 * country's register, so the caller may say every fact; where they are silent, what our registers
 * say of the dataset and the project counts, as far as the pack has such facts and values. It is
 * advice and binds nobody: no answer is a decision, and none is on the record.
 */
export function foreignPackPoint(
  deps: Pick<AccessWriter, 'db' | 'clock'>,
  program: Program,
  principal: Principal,
): DecisionPoint {
  const none = (): never => {
    throw notFound();
  };
  return {
    evaluate: async (question, wantsReasons) => {
      const facts = await transact(
        deps.db,
        (tx) => factsFor(tx, { deps, program, principal }, question),
        'repeatable read',
      );
      return answer(program, facts, wantsReasons);
    },
    subjects: async () => none(),
    resources: async () => none(),
    actions: async () => none(),
  };
}

function answer(program: Program, facts: Facts, wantsReasons: boolean): Answer {
  const explanation = explain(program, facts);
  const { reasons, missing } = explanation;
  return answerOf(
    explanation,
    {},
    wantsReasons ? { reasons, missing_facts: [...missing] } : undefined,
  );
}

interface Asking {
  readonly deps: Pick<AccessWriter, 'clock'>;
  readonly program: Program;
  readonly principal: Principal;
}

/** @throws ServiceError `invalid_facts` for a fact that the caller says and that cannot be. */
async function factsFor(
  tx: Tx,
  { deps, program, principal }: Asking,
  { subject, action, resource, context = {} }: Question,
): Promise<Facts> {
  const { vocabulary } = program;
  const { agreement: agreementId, ...rest } = {
    ...context,
    ...action.properties,
    action: action.name,
  } as Record<string, unknown>;
  const said = known(vocabulary, 'request', {
    ...rest,
    ...(isObject(agreementId) ? { agreement: agreementId } : {}),
    ...(subject.properties ? { requester: subject.properties } : {}),
  });
  const stated = vocabulary.canonical('request', said);
  const statedOfDataset = vocabulary.canonical(
    'dataset',
    known(vocabulary, 'dataset', resource.properties ?? {}),
  );
  const problems = [
    ...vocabulary.checkAt('request', stated),
    ...vocabulary.checkAt('dataset', statedOfDataset),
  ];
  if (problems.length > 0)
    throw new ServiceError('invalid_facts', 'The question has impossible values.', problems);
  const registered =
    resource.type === 'dataset' ? await datasetOf(tx, principal, resource.id, stated) : {};
  const agreement = typeof agreementId === 'string' ? agreementId : undefined;
  const registers =
    subject.type === 'project'
      ? await readRegisters(tx, principal, { project: subject.id, agreement }).catch(nothingOf)
      : undefined;
  const ours = registers ? factsOfRegisters(program, registers, resource.id) : {};
  const now = deps.clock();
  const dataset = overlay(fitting(vocabulary, 'dataset', registered), statedOfDataset);
  return {
    dataset,
    request: {
      sector: dataset['sector'] ?? null,
      ...overlay(fitting(vocabulary, 'request', ours), stated),
      id: newId(now.getTime()),
      as_of: now.toISOString(),
    },
  };
}

async function datasetOf(
  tx: Tx,
  principal: Principal,
  id: string,
  stated: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  const [dataset] = await readDatasetsById(tx, [id]);
  if (!dataset || !mayRead(dataset, principal)) return {};
  return factsOfDataset(dataset, await readTotals(tx, [id]), stated['purpose']);
}

/** What the caller may not see is not there: nothing is known of it. */
function nothingOf(error: unknown): undefined {
  if (error instanceof ServiceError && error.code === 'unknown_reference') return undefined;
  throw error;
}

/** Those members that the pack has facts for. */
function known(vocabulary: Vocabulary, branch: string, said: object): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(said)) {
    const path = `${branch}.${key}`;
    if (!vocabulary.has(path)) continue;
    kept[key] = isObject(value) ? known(vocabulary, path, value) : value;
  }
  return kept;
}

/** Those members whose values are possible in the pack: a word of ours may be none of theirs. */
function fitting(vocabulary: Vocabulary, branch: string, said: object): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(known(vocabulary, branch, said))) {
    const path = `${branch}.${key}`;
    if (isObject(value)) kept[key] = fitting(vocabulary, path, value);
    else if (value === null || vocabulary.checkAt(path, value).length === 0) kept[key] = value;
  }
  return kept;
}

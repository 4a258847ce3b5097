import { change, record } from '../audit/record.ts';
import { mayRead } from '../catalogue/dataset.ts';
import { readDatasetsById } from '../catalogue/store.ts';
import { readUsableDatasets } from '../catalogue/usable.ts';
import { readTotals } from '../consent/store.ts';
import { type Settled, valueOf } from '../db/batch.ts';
import { transact, type Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { newId } from '../ids.ts';
import { PARTIES } from '../parties/party.ts';
import { readParties } from '../parties/store.ts';
import { readCursor, toPage } from '../paging.ts';
import { dayInZone } from '../pdp/calendar.ts';
import { boundTo } from '../pdp/compose.ts';
import type { Condition } from '../pdp/condition.ts';
import { evaluate } from '../pdp/evaluate.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import { overseesAll, type Principal } from '../principal.ts';
import type { Answer, DecisionPoint, Found, Page, Question } from '../spaces/authzen.ts';
import { answerOf } from '../spaces/space-point.ts';
import type { AccessWriter } from './access.ts';
import { summaryOf } from './decision.ts';
import { checkPeriod, checkPurpose, factsOfCase, factsOfDataset } from './facts.ts';
import { agreementOf, areKnownTypes, askedBy } from './questions.ts';
import { readSnapshot, registersFor, type Snapshot } from './registers.ts';
import { inParts, type Submit, type Submitted } from './submit-access-request.ts';
import { usability } from './usable.ts';

interface Asker {
  readonly principal: Principal;
  readonly submit: Submit;
  /** Where a request for access is sent that a review would decide. */
  readonly requestEndpoint: string;
}

/** For so long what was answered can be made an access request. */
export const REQUESTABLE_MS: number = 24 * 3_600_000;

/**
 * The nation's policies as a decision point, for one caller. Every evaluation is a decision: stored,
 * logged and reproducible as those of access requests are; a search is one event with its count.
 */
export function nationalPoint(deps: AccessWriter, asker: Asker): DecisionPoint {
  return {
    evaluate: async (question, explain) => {
      const asked = { questions: [question], explain };
      return valueOf((await evaluateNational(deps, asker, 'evaluateAccess', asked))[0]);
    },
    evaluateTogether: (questions, explain) =>
      evaluateNational(deps, asker, 'evaluateAccesses', { questions, explain }),
    subjects: async (asked, page) => {
      const question = { ...asked, subject: { ...asked.subject, id: '' } };
      const found = areKnownTypes(question) ? await projects(deps, asker, question, page) : NOTHING;
      await logSearch(deps, asker, { type: 'searchSubjects', question, found });
      return found;
    },
    resources: async (asked, page) => {
      const question = { ...asked, resource: { ...asked.resource, id: '' } };
      const found = areKnownTypes(question) ? await datasets(deps, asker, question, page) : NOTHING;
      await logSearch(deps, asker, { type: 'searchResources', question, found });
      return found;
    },
    actions: async (asked, page) => {
      const question = { ...asked, action: { name: '' } };
      const found = areKnownTypes(question) ? await actions(deps, asker, question, page) : NOTHING;
      await logSearch(deps, asker, { type: 'searchActions', question, found });
      return found;
    },
  };
}

const NOTHING: Found<never> = { results: [], next: undefined };

/** What a caller may not see is answered like what is not there: no, and nothing about why. */
const NOT_THERE: readonly ServiceError['code'][] = ['unknown_reference', 'not_found', 'retired'];

/** Answers the questions of one call: what is there together, and what is not in one event. */
async function evaluateNational(
  deps: AccessWriter,
  { principal, submit, requestEndpoint }: Asker,
  operation: 'evaluateAccess' | 'evaluateAccesses',
  { questions, explain }: { readonly questions: readonly Question[]; readonly explain: boolean },
): Promise<Settled<Answer>[]> {
  const settled = await submit(
    questions.map((question) => {
      const { id: project } = question.subject;
      const { id: dataset } = question.resource;
      const agreement = agreementOf(question);
      const request = { project, dataset, ...(typeof agreement === 'string' ? { agreement } : {}) };
      return { operation, principal, request, question, idempotent: undefined };
    }),
  );
  const isHidden = (each: Settled<Submitted> | undefined): boolean =>
    each?.ok === false && isNotThere(each.error);
  const hidden = questions.filter((_, i) => isHidden(settled[i]));
  const answers = (await hiddenAnswers(deps, principal, operation, hidden)).values();
  return settled.map((each) => {
    if (isHidden(each)) return answers.next().value as Settled<Answer>;
    if (!each.ok) return each;
    if (each.value.made === 'before') throw new Error('an evaluation has no key to be found by');
    return { ok: true, value: nationalAnswer(each.value, requestEndpoint, explain) };
  });
}

function isNotThere(error: unknown): boolean {
  return error instanceof ServiceError && NOT_THERE.includes(error.code);
}

/** Logs questions about what is not there, and answers them; none whose event is not written. */
async function hiddenAnswers(
  deps: AccessWriter,
  { actor, role }: Principal,
  type: 'evaluateAccess' | 'evaluateAccesses',
  questions: readonly Question[],
): Promise<Settled<Answer>[]> {
  const asked = questions.map((question) => ({
    evaluation: newId(deps.clock().getTime()),
    ...askedOf(question),
  }));
  try {
    for (const some of inParts(asked)) {
      // oxlint-disable-next-line no-await-in-loop -- each has an event of its own
      await change(deps, (tx) =>
        record(tx, deps.log, deps.clock().toISOString(), {
          type,
          actor,
          role,
          subject_ids: some.map(({ evaluation }) => evaluation),
          outcome: 'deny',
          body: {
            error: 'unknown_reference',
            ...(type === 'evaluateAccesses' ? { questions: some } : some[0]),
          },
        }),
      );
    }
  } catch (error) {
    return asked.map(() => ({ ok: false, error }));
  }
  const message = 'The request names something that does not exist.';
  return asked.map(({ evaluation }) => ({
    ok: true,
    value: {
      decision: false,
      context: { evaluation_id: evaluation, error: { status: 404, message } },
    },
  }));
}

function nationalAnswer(
  { request, decided, recorded, ignored }: Submitted & { made: 'now' },
  endpoint: string,
  explain: boolean,
): Answer {
  const { stored, explanation } = decided;
  const { effect, as_of, missing_facts } = stored;
  const evaluation = { evaluation_id: request.decision, evaluated_at: as_of };
  const expires_at = new Date(Date.parse(as_of) + REQUESTABLE_MS).toISOString();
  const asked = (): object => ({
    ...evaluation,
    event_id: recorded.event_id,
    summary: summaryOf(stored, explanation),
    reasons: explanation.reasons,
    missing_facts: [...missing_facts],
    ignored_attributes: [...ignored].map(([attribute, sent]) => ({
      attribute,
      differs: JSON.stringify(sent) !== JSON.stringify(valueAt(stored.facts, attribute)),
    })),
  });
  return answerOf(
    explanation,
    effect === 'review' ? { ...evaluation, access_request: { endpoint, expires_at } } : {},
    explain ? asked() : undefined,
  );
}

function valueAt(facts: unknown, path: string): unknown {
  let value = facts;
  for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  return value;
}

interface Searched {
  readonly type: 'searchSubjects' | 'searchResources' | 'searchActions';
  readonly question: Question;
  readonly found: Found<unknown>;
}

async function logSearch(
  deps: AccessWriter,
  { principal: { actor, role } }: Asker,
  { type, question, found: { results } }: Searched,
): Promise<void> {
  const id = newId(deps.clock().getTime());
  await change(deps, (tx) =>
    record(tx, deps.log, deps.clock().toISOString(), {
      type,
      actor,
      role,
      subject_ids: [id],
      outcome: 'success',
      body: { search: id, count: results.length, ...askedOf(question) },
    }),
  );
}

/** Nothing has a longer name; one call may ask for the same a thousand times. */
const MOST_OF_A_NAME = 200;

/** What the record keeps of a question that leaves no decision. */
function askedOf({
  subject,
  action,
  resource,
}: Question): Pick<Question, 'subject' | 'action' | 'resource'> {
  const name = (text: string): string => text.slice(0, MOST_OF_A_NAME).toWellFormed();
  return {
    subject: { type: name(subject.type), id: name(subject.id) },
    action: { name: name(action.name) },
    resource: { type: name(resource.type), id: name(resource.id) },
  };
}

/** Datasets for which the policies permit it, newest registration first: as `usable_by` lists them. */
async function datasets(
  deps: AccessWriter,
  { principal }: Asker,
  question: Question,
  { after, limit }: Page,
): Promise<Found<{ type: string; id: string }>> {
  const [created_at = '', id = ''] = readCursor(after, ['instant', 'slug']) ?? [];
  const filter = { allOf: null, after: after === undefined ? undefined : { created_at, id } };
  return unlessHidden(() =>
    transact(
      deps.db,
      async (tx) => {
        const program = await deps.inForce(tx);
        const { names, asked } = askedBy(program.vocabulary, question);
        const { project, agreement } = names;
        const { purpose } = asked as { readonly purpose?: string };
        if (purpose === undefined) throw purposeMissing();
        const usableAsked = { project, agreement, purpose, asked, isReview: false };
        const usable = await usability(deps, tx, principal, usableAsked);
        const rows = await readUsableDatasets(tx, usable, filter, limit + 1);
        const page = toPage(
          rows,
          limit,
          ({ id: name }) => ({ type: 'dataset', id: name }),
          (row) => [row.created_at, row.id],
        );
        return { results: page.items, next: page.next_cursor ?? undefined };
      },
      'repeatable read',
    ),
  );
}

function purposeMissing(): ServiceError {
  return new ServiceError('invalid_request', 'Datasets are searched for a purpose.', [
    { path: '/action/properties/purpose', expected: 'a value: it is required' },
  ]);
}

const PROJECTS_AT_A_TIME = 200;

/** Projects that the caller may see and that are permitted it, by id. */
async function projects(
  deps: AccessWriter,
  { principal }: Asker,
  question: Question,
  { after, limit }: Page,
): Promise<Found<{ type: string; id: string }>> {
  return unlessHidden(() =>
    transact(
      deps.db,
      async (tx) => {
        const decide = await decider(deps, tx, principal, question);
        const results: { type: string; id: string }[] = [];
        let last = after;
        for (;;) {
          const filter = {
            after: last,
            ...(overseesAll(principal) || principal.role !== 'partner'
              ? {}
              : { projects: principal.projects }),
          };
          // oxlint-disable-next-line no-await-in-loop -- on one connection, until the page is full
          const rows = await readParties(tx, 'project', filter, PROJECTS_AT_A_TIME);
          const visible = rows.filter((row) => PARTIES.project.visibleTo(row, principal));
          const ids = visible.map(({ id }) => id);
          // oxlint-disable-next-line no-await-in-loop
          const snapshot = await readSnapshot(tx, { projects: ids, agreement: decide.agreement });
          for (const id of ids) {
            if (!decide.permits(snapshot, id, question.action.name)) continue;
            if (results.length === limit) return { results, next: results.at(-1)?.id };
            results.push({ type: 'project', id });
          }
          last = rows.at(-1)?.id;
          if (rows.length < PROJECTS_AT_A_TIME) return { results, next: undefined };
        }
      },
      'repeatable read',
    ),
  );
}

/** Actions that some policy in force speaks of, and `use`, that the project is permitted. */
async function actions(
  deps: AccessWriter,
  { principal }: Asker,
  question: Question,
  { after, limit }: Page,
): Promise<Found<{ name: string }>> {
  return unlessHidden(() =>
    transact(
      deps.db,
      async (tx) => {
        const decide = await decider(deps, tx, principal, question);
        const { id } = question.subject;
        const snapshot = await readSnapshot(tx, { projects: [id], agreement: decide.agreement });
        const names = actionsOf(decide.program).filter(
          (name) => after === undefined || name > after,
        );
        const yes = names.filter((name) => decide.permits(snapshot, id, name));
        const results = yes.slice(0, limit).map((name) => ({ name }));
        return { results, next: yes.length > limit ? results.at(-1)?.name : undefined };
      },
      'repeatable read',
    ),
  );
}

/** What is asked about is not there, or not for the caller: nothing is found. */
async function unlessHidden<T>(find: () => Promise<Found<T>>): Promise<Found<T>> {
  try {
    return await find();
  } catch (error) {
    if (isNotThere(error)) return NOTHING;
    throw error;
  }
}

interface Decider {
  readonly program: Program;
  readonly agreement: string | undefined;
  /** Would a request of this project be permitted this action? */
  readonly permits: (snapshot: Snapshot, project: string, action: string) => boolean;
}

/** Decides one question for one project after the other, without a record of each. */
async function decider(
  deps: AccessWriter,
  tx: Tx,
  principal: Principal,
  question: Question,
): Promise<Decider> {
  const now = deps.clock();
  const program = await deps.inForce(tx);
  const { names, asked } = askedBy(program.vocabulary, question);
  const { dataset: id, agreement } = names;
  const today = dayInZone(program.pack.timezone)(now.getTime());
  const { action: _action, ...checked } = asked;
  const problems = [
    ...program.vocabulary.checkAt('request', checked),
    ...checkPeriod(asked, today),
  ];
  if (problems.length > 0)
    throw new ServiceError('invalid_facts', 'The question has impossible values.', problems);
  const [dataset] = await readDatasetsById(tx, [id]);
  const isThere = dataset && dataset.status !== 'retired' && mayRead(dataset, principal);
  const { purpose } = asked as { readonly purpose?: string };
  const said = isThere ? factsOfDataset(dataset, await readTotals(tx, [id]), purpose) : {};
  return {
    program,
    agreement,
    permits: (snapshot, project, action) => {
      if (!isThere) return false;
      const registers = registersOf(snapshot, principal, { project, agreement });
      if (!registers) return false;
      if (purpose !== undefined && checkPurpose(program, purpose, dataset, registers).length > 0)
        return false;
      const facts = factsOfCase(
        program,
        { ...asked, action },
        {
          id: newId(now.getTime()),
          asOf: now.toISOString(),
          registers,
          dataset: id,
          said,
        },
      );
      const bound = boundTo(program, facts);
      return evaluate(bound, loadFacts(bound, facts)).effect === 'permit';
    },
  };
}

function registersOf(
  snapshot: Snapshot,
  principal: Principal,
  names: { readonly project: string; readonly agreement: string | undefined },
) {
  try {
    return registersFor(snapshot, principal, names);
  } catch (error) {
    if (isNotThere(error)) return undefined;
    throw error;
  }
}

function actionsOf({ rules, extensions }: Program): string[] {
  const all = [...rules, ...extensions.flatMap(({ part }) => part.rules)];
  const named = all.flatMap(({ rule: { applies, holds, outcomes } }) =>
    [applies, holds, ...outcomes.map(({ when }) => when)].flatMap((each) => actionsIn(each)),
  );
  return [...new Set(['use', ...named])].toSorted();
}

function actionsIn(condition: Condition | undefined): string[] {
  if (!condition) return [];
  if ('of' in condition) return [condition.of].flat().flatMap((each) => actionsIn(each));
  if (condition.kind !== 'compare' || condition.fact !== 'request.action') return [];
  const { right } = condition;
  return 'constant' in right
    ? [right.constant].flat().filter((each): each is string => typeof each === 'string')
    : [];
}

import { change, record, type Writer } from '../audit/record.ts';
import { batched } from '../db/batch.ts';
import { ServiceError } from '../errors.ts';
import { newId } from '../ids.ts';
import type { Explanation, ObligationDue } from '../pdp/explain.ts';
import type { Principal } from '../principal.ts';
import type { Answer, DecisionPoint, Question } from './authzen.ts';
import type { LiveSpace } from './live-space.ts';

/** One answer of a space, or one search in it, for the record. */
export interface LoggedAnswer {
  readonly space: LiveSpace['space'];
  readonly principal: Principal;
  readonly id: string;
  readonly type: `${'evaluateAccess' | Searching}InSpace`;
  readonly outcome: string;
  readonly body: Readonly<Record<string, unknown>>;
}

type Searching = 'searchSubjects' | 'searchResources' | 'searchActions';

export type LogAnswer = (answer: LoggedAnswer) => Promise<string>;

/** Writes answers of spaces that log, those that come together in one transaction; gives event ids. */
export function answerLog(writer: Writer): LogAnswer {
  return batched(
    async (answers: readonly LoggedAnswer[]) =>
      change(writer, async (tx) => {
        const now = writer.clock().toISOString();
        const ids: { ok: true; value: string }[] = [];
        for (const { space, principal, id, type, outcome, body } of answers) {
          const { actor, role } = principal;
          // oxlint-disable-next-line no-await-in-loop -- in one transaction, on one connection
          const { event_id } = await record(tx, writer.log, now, {
            type,
            actor,
            role,
            subject_ids: [id, space.id],
            outcome,
            body: { space: space.id, space_version: space.version, ...body },
          });
          ids.push({ ok: true, value: event_id });
        }
        return ids;
      }),
    {
      max: 64,
      lanes: 2,
      waiting: 4_096,
      overflow: () => new ServiceError('unavailable', 'Too many requests are waiting.'),
      mayRunAgain: (error) => !(error instanceof ServiceError && error.code === 'unavailable'),
    },
  );
}

/** A space as a decision point, for one caller at one instant. */
export function spacePoint(
  live: LiveSpace,
  { principal, now, log }: { principal: Principal; now: number; log: LogAnswer },
): DecisionPoint {
  const { space } = live;
  const logSearch = async (type: Searching, question: unknown, count: number): Promise<void> => {
    if (!space.document.logged) return;
    const id = newId(now);
    const body = { search: id, question, count };
    await log({ space, principal, id, type: `${type}InSpace`, outcome: 'success', body });
  };
  const searched =
    (
      side: 'subject' | 'resource',
      type: Searching,
    ): DecisionPoint['subjects'] & DecisionPoint['resources'] =>
    async (asked: object, page: Parameters<DecisionPoint['subjects']>[1]) => {
      const question = asked as Question;
      const found = await live.entities(side, question, page, now);
      await logSearch(type, question, found.results.length);
      return found;
    };
  return {
    evaluate: (question, explain) => {
      const { effect, oblige } = live.decide(question, now);
      const isPlain = effect !== 'review' && oblige.length === 0;
      if (isPlain && !explain && !space.document.logged) return { decision: effect === 'permit' };
      return explained(live, question, { principal, now, log, explain });
    },
    subjects: searched('subject', 'searchSubjects'),
    resources: searched('resource', 'searchResources'),
    actions: async (question, page) => {
      const found = live.actions(question, page, now);
      await logSearch('searchActions', question, found.results.length);
      return found;
    },
  };
}

interface Explained {
  readonly principal: Principal;
  readonly now: number;
  readonly log: LogAnswer;
  readonly explain: boolean;
}

async function explained(
  live: LiveSpace,
  question: Question,
  { principal, now, log, explain }: Explained,
): Promise<Answer> {
  const { space } = live;
  const why = live.explain(question, now);
  const { effect, deny, review, oblige, obligations, reasons, missing } = why;
  const id = newId(now);
  const event_id = space.document.logged
    ? await log({
        space,
        principal,
        id,
        type: 'evaluateAccessInSpace',
        outcome: effect,
        body: { evaluation: id, question, deny, review, obligations: oblige },
      })
    : undefined;
  const always = event_id === undefined ? {} : { evaluation_id: id, event_id };
  const asked = {
    reasons,
    missing_facts: [...missing],
    ignored_attributes: live.ignored(question),
  };
  return answerOf({ effect, obligations }, always, explain ? asked : undefined);
}

type Context = NonNullable<Answer['context']>;

/**
 * An answer with what is always said beside it, and what is said only where it was asked for.
 * Where there is nothing to say there is no context: some clients compare whole answers.
 */
export function answerOf(
  { effect, obligations }: Pick<Explanation, 'effect' | 'obligations'>,
  always: object,
  asked: object | undefined,
): Answer {
  const context = {
    ...(effect === 'review' || asked ? { outcome: effect } : {}),
    ...always,
    ...(effect !== 'deny' && obligations.length > 0
      ? { obligations: obligations.map(obligationOf) }
      : {}),
    ...asked,
  } as Context;
  const decision = effect === 'permit';
  return Object.keys(context).length > 0 ? { decision, context } : { decision };
}

type Obligation = NonNullable<Context['obligations']>[number];

/** An obligation in the shape of AuthZEN's Obligations profile; what kind it is, the rule says. */
function obligationOf({ rule, sentence, due, evidence }: ObligationDue): Obligation {
  return { id: rule, type: 'custom' as const, properties: { kind: rule, sentence, due, evidence } };
}

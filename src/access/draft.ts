import { type CanonicalWriter, canonicalWriter } from '../audit/canonical.ts';
import { ServiceError } from '../errors.ts';
import type { IdempotentCall } from '../idempotency.ts';
import { newId } from '../ids.ts';
import { dayInZone } from '../pdp/calendar.ts';
import type { FactProblem } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import type { Question } from '../spaces/authzen.ts';
import { type Decided, decide, textOf } from './decision.ts';
import {
  type Asked,
  baseOfCases,
  checkPeriod,
  checkPurpose,
  factsOfDataset,
  factsOfRegisters,
  factsOn,
  OF_EACH_CASE,
} from './facts.ts';
import { type AskedQuestion, askedBy, type Names } from './questions.ts';
import {
  datasetFor,
  type RegistersKnown,
  registersFor,
  type Said,
  type Snapshot,
} from './registers.ts';
import type { NewAccessRequest, Revision } from './store.ts';

/** What one call asks for, or one item of it. */
export interface Submission {
  /** `submitAccessRequest` makes a request; the others are evaluations, of which none is made. */
  readonly operation: 'submitAccessRequest' | 'evaluateAccess' | 'evaluateAccesses';
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

/** What is decided, and has no event yet. */
export interface Draft extends Omit<NewAccessRequest, 'event'> {
  readonly submission: Submission;
  readonly decided: Decided;
  readonly questioned: AskedQuestion | undefined;
}

interface Basis {
  readonly program: Program;
  /** The revision of what is in force. */
  readonly basis: Revision;
  readonly snapshot: Snapshot;
  readonly now: Date;
}

/** What the cases of one question say alike; `write` is made for the second one. */
interface Base {
  readonly said: Readonly<Record<string, unknown>>;
  write: CanonicalWriter | undefined;
}

/** What is asked, of whatever dataset: checked, and with what the registers say of who asks. */
interface Prepared {
  readonly submission: Submission;
  readonly questioned: AskedQuestion | undefined;
  readonly names: Omit<Names, 'dataset'>;
  readonly asked: Asked;
  /** By whether the dataset's holder asks. */
  readonly registers: Map<boolean, RegistersKnown>;
  /** By what the registers say. */
  readonly bases: Map<object, Base>;
}

/**
 * Decides what was submitted, all as of one moment. Questions of one call that differ in their
 * datasets only are prepared once: they come one after the other, and share all else.
 */
export class Drafter {
  readonly #on: Basis;
  readonly #asOf: string;
  readonly #today: number;
  #last: Prepared | undefined;

  constructor(on: Basis) {
    this.#on = on;
    this.#asOf = on.now.toISOString();
    this.#today = dayInZone(on.program.pack.timezone)(on.now.getTime());
  }

  /** As `draft`; undefined where there would be a refusal, which takes more than what is known. */
  tryDraft(submission: Submission): Draft | undefined {
    try {
      return this.draft(submission);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return undefined;
    }
  }

  /** @throws ServiceError where the submission cannot be decided. */
  draft(submission: Submission): Draft {
    const { program, basis, snapshot, now } = this.#on;
    const { principal, request: written, idempotent } = submission;
    const prepared = this.#prepare(submission);
    const { questioned, names, asked } = prepared;
    const known = datasetFor(snapshot, principal, written.dataset);
    const { dataset } = known.said;
    const isHolder = principal.role === 'holder' && principal.organisation === dataset.publisher;
    const registers = this.#registersOf(prepared, isHolder);
    const { purpose } = asked as { readonly purpose?: string };
    if (purpose !== undefined) refuse(checkPurpose(program, purpose, dataset, registers));
    const decision = newId(now.getTime());
    const id = questioned ? decision : newId(now.getTime());
    const base = this.#baseOf(prepared, factsOfRegisters(program, registers, dataset.id));
    const said = factsOfKnown(known.said, purpose);
    const facts = factsOn(base.said, { id, asOf: this.#asOf, said });
    const decided = decide(program, facts, { asOf: this.#asOf, simulation: false });
    const document = textOf(decided.stored, base.write?.(facts.request));
    if (submission.operation === 'evaluateAccesses' && document.kept.length > MOST_OF_SEVERAL)
      throw tooLarge();
    return {
      request: {
        id,
        dataset: dataset.id,
        dataset_version: dataset.version,
        project: registers.project.id,
        agreement: names.agreement ?? null,
        purpose: purpose ?? '',
        request: written,
        decision,
        effect: decided.stored.effect,
        created_at: this.#asOf,
        created_by: principal.actor,
      },
      organisation: registers.organisation.id,
      document,
      idempotent,
      basis: [basis, known.basis, ...registers.basis],
      submission,
      decided,
      questioned,
    };
  }

  #prepare(submission: Submission): Prepared {
    if (this.#last && askAlike(this.#last.submission, submission)) return this.#last;
    const { vocabulary } = this.#on.program;
    const { request: written, question } = submission;
    const questioned = question && askedBy(vocabulary, question);
    const { names, asked } = questioned ?? requested(vocabulary.canonical('request', written));
    refuse([...vocabulary.checkAt('request', asked), ...checkPeriod(asked, this.#today)]);
    const [registers, bases] = [new Map(), new Map()];
    this.#last = { submission, questioned, names, asked, registers, bases };
    return this.#last;
  }

  #baseOf({ asked, bases }: Prepared, ofRegisters: Readonly<Record<string, unknown>>): Base {
    const known = bases.get(ofRegisters);
    if (known) {
      known.write ??= canonicalWriter(known.said, OF_EACH_CASE);
      return known;
    }
    const said = baseOfCases(this.#on.program, asked, ofRegisters);
    const base = { said, write: undefined };
    bases.set(ofRegisters, base);
    return base;
  }

  #registersOf(
    { submission: { principal }, names, registers: known }: Prepared,
    isHolder: boolean,
  ): RegistersKnown {
    const before = known.get(isHolder);
    if (before) return before;
    // The holders of a dataset ask before they serve it, whoever's project it is for.
    const asker = isHolder ? { ...principal, projects: [names.project] } : principal;
    const registers = registersFor(this.#on.snapshot, asker, names);
    known.set(isHolder, registers);
    return registers;
  }
}

/** In characters; a decision takes some 2,500. What one call says once is kept for each of a thousand. */
const MOST_OF_SEVERAL = 20_000;

function tooLarge(): ServiceError {
  return new ServiceError(
    'body_too_large',
    `What is asked in one of several evaluations takes at most ${MOST_OF_SEVERAL} characters.`,
  );
}

/** Is all the same that is asked, but for which dataset? */
function askAlike(one: Submission, other: Submission): boolean {
  if (one.principal !== other.principal || !one.question || !other.question) return false;
  const [mine, theirs] = [one.question, other.question];
  return (
    mine.subject === theirs.subject &&
    mine.action === theirs.action &&
    mine.context === theirs.context &&
    mine.resource.type === theirs.resource.type &&
    mine.resource.properties === theirs.resource.properties
  );
}

function requested({ project, dataset: _dataset, agreement, ...asked }: Submission['request']): {
  readonly names: Omit<Names, 'dataset'>;
  readonly asked: Asked;
} {
  return { names: agreement === undefined ? { project } : { project, agreement }, asked };
}

type DatasetFacts = Readonly<Record<string, unknown>>;

const factsBySaid = new WeakMap<Said['dataset'], Map<string | undefined, DatasetFacts>>();

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

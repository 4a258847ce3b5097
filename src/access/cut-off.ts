import type { Moment } from '../audit/moment.ts';
import type { Db } from '../db/connection.ts';
import type { CutOffDecisionTable, CutOffRule } from '../db/schema.ts';
import { ServiceError } from '../errors.ts';
import { boundTo } from '../pdp/compose.ts';
import { evaluate } from '../pdp/evaluate.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import { type PermittedInScope, readPermittedInScope } from './cut-off-store.ts';
import { askedBy } from './questions.ts';
import { checkPurpose, factsOfCase, factsOfDataset } from './facts.ts';
import { type Evaluated, turnBetween, winning } from './impact.ts';
import { type Names, readRegistersAt, type RegistersAt } from './moment.ts';
import { datasetFor, registersFor } from './registers.ts';
import type { Scope } from './run-store.ts';
import type { Range } from './runs.ts';

/** What an event changed: the policies, or what a register says, from some instant on. */
export interface Cut {
  /** The event. */
  readonly event: string;
  /** When what it changed began to count; requests are decided as of then. RFC 3339. */
  readonly at: string;
  /** The day of that instant where the pack is at home, `YYYY-MM-DD`. */
  readonly day: string;
  /** The sets of policies in force before and after it; the same where it is about a register. */
  readonly generations: { readonly before: string; readonly after: string };
  /** The requests and evaluations that it may have touched. */
  readonly scope: Scope;
}

export interface CutPrograms {
  readonly before: Program;
  readonly after: Program;
}

/** A permitted request or evaluation that does not stand after an event, and why. */
export type Fallen = Omit<CutOffDecisionTable, 'run'>;

/** How many requests and evaluations stand and fall. Sums of tallies can be added. */
export interface CutOffTally {
  readonly done: number;
  readonly stands: number;
  readonly cut_off: number;
  readonly refused_before: number;
  readonly ended: number;
  readonly unknown: number;
  /** Because of which rules requests were cut off, the most frequent first. */
  readonly rules: readonly CutOffRule[];
}

export const NOTHING_FELL: CutOffTally = {
  done: 0,
  stands: 0,
  cut_off: 0,
  refused_before: 0,
  ended: 0,
  unknown: 0,
  rules: [],
};

/** The tally of what fell among `done` requests. */
export function tallyOfFallen(done: number, fallen: readonly Fallen[]): CutOffTally {
  const count = (wanted: Fallen['outcome']): number =>
    fallen.filter(({ outcome }) => outcome === wanted).length;
  const causes = fallen
    .filter(({ outcome }) => outcome === 'cut_off')
    .flatMap(({ rules, rules_removed }) => [...rules, ...rules_removed]);
  return {
    done,
    stands: done - fallen.length,
    cut_off: count('cut_off'),
    refused_before: count('refused_before'),
    ended: count('ended'),
    unknown: count('unknown'),
    rules: sumOf(causes.map((rule) => ({ rule, count: 1 }))),
  };
}

export function addCutOffTallies(one: CutOffTally, other: CutOffTally): CutOffTally {
  return {
    done: one.done + other.done,
    stands: one.stands + other.stands,
    cut_off: one.cut_off + other.cut_off,
    refused_before: one.refused_before + other.refused_before,
    ended: one.ended + other.ended,
    unknown: one.unknown + other.unknown,
    rules: sumOf([...one.rules, ...other.rules]),
  };
}

function sumOf(rules: readonly CutOffRule[]): CutOffRule[] {
  const counts = new Map<string, number>();
  for (const { rule, count } of rules) counts.set(rule, (counts.get(rule) ?? 0) + count);
  return [...counts]
    .map(([rule, count]) => ({ rule, count }))
    .toSorted((a, b) => b.count - a.count || (a.rule < b.rule ? -1 : 1));
}

/** Requests that are read at once, with everything that they touch on both sides of the event. */
const PAGE = 500;

/**
 * Decides each permitted request and evaluation in a range twice, as of the instant of an event: by the policies
 * and registers just before it, and just after it. Gives what fell, page by page.
 */
export async function* fellBy(
  db: Db,
  cut: Cut,
  programs: CutPrograms,
  { after: from, upTo }: Range,
): AsyncGenerator<{ readonly done: number; readonly fallen: readonly Fallen[] }> {
  for (let after = from; ; ) {
    const rows = await readPermittedInScope(db, cut.scope, { after, upTo }, PAGE);
    const last = rows.at(-1);
    if (!last) return;
    const [before, next] = await bothSides(db, cut, namesIn(rows));
    const fallen = rows.flatMap((row) => {
      const found = outcomeOf(row, cut, {
        before: { program: programs.before, ...before },
        after: { program: programs.after, ...next },
      });
      const { id, decision, is_evaluation } = row;
      const access_request = is_evaluation ? null : id;
      return found ? [{ ...NO_CAUSE, access_request, decision, ...found }] : [];
    });
    yield { done: rows.length, fallen };
    after = last.id;
  }
}

function bothSides(
  db: Db,
  { event, at, generations }: Cut,
  names: Names,
): Promise<[RegistersAt, RegistersAt]> {
  const read = (side: Moment['side']): Promise<RegistersAt> =>
    readRegistersAt(db, names, { side, time: at, event_id: event });
  const after = read('after');
  // Of policies the registers know nothing: both sides are one.
  return Promise.all([generations.before === generations.after ? read('before') : after, after]);
}

function namesIn(rows: readonly PermittedInScope[]): Names {
  const distinct = (of: (row: PermittedInScope) => string | null): string[] => [
    ...new Set(rows.flatMap((row) => of(row) ?? [])),
  ];
  return {
    datasets: distinct(({ dataset }) => dataset),
    projects: distinct(({ project }) => project),
    agreements: distinct(({ agreement }) => agreement),
  };
}

const NO_CAUSE = { effect: null, rules: [], rules_removed: [], refusal: null, until: null };

interface Side extends RegistersAt {
  readonly program: Program;
}

/** Undefined for a request that stands. */
function outcomeOf(
  row: PermittedInScope,
  cut: Cut,
  { before, after }: { readonly before: Side; readonly after: Side },
): (Partial<Fallen> & Pick<Fallen, 'outcome'>) | undefined {
  const { until } = row;
  // Dates of one length compare as they sort.
  if (until !== null && until < cut.day) return { outcome: 'ended', until };
  if (row.facts_erased || [before, after].some(({ unknown }) => isUnknown(row, unknown)))
    return { outcome: 'unknown' };
  const old = evaluatedAt(row, cut, before);
  if ('refusal' in old) return { outcome: 'refused_before', refusal: old.refusal };
  if (old.verdict.effect !== 'permit') {
    const { effect } = old.verdict;
    return { outcome: 'refused_before', effect, rules: [...winning(old.verdict)] };
  }
  const next = evaluatedAt(row, cut, after);
  if ('refusal' in next) return { outcome: 'cut_off', refusal: next.refusal };
  const turn = turnBetween(old, next);
  if (!turn || turn.to === 'permit') return undefined;
  const permissions = turn.rules_added.length > 0 ? [] : turn.rules_removed;
  return {
    outcome: 'cut_off',
    effect: turn.to,
    rules: [...turn.rules_added],
    rules_removed: [...permissions],
  };
}

function isUnknown(
  { dataset, project, agreement }: PermittedInScope,
  { datasets, projects, agreements }: RegistersAt['unknown'],
): boolean {
  return (
    datasets.has(dataset) ||
    projects.has(project) ||
    (agreement !== null && agreements.has(agreement))
  );
}

/** Sees every register: what the partner saw when it asked is not the question. */
const OVERSEER: Principal = { actor: '', role: 'auditor', organisation: null, projects: [] };

/**
 * What was asked. Of an evaluation only the facts are kept: what a register said of them is passed
 * over, as it was when it was asked.
 */
function askedIn(
  { vocabulary }: Program,
  { is_evaluation, dataset, project, agreement, request }: PermittedInScope,
): Readonly<Record<string, unknown>> {
  if (!is_evaluation) return vocabulary.canonical('request', request);
  const { action, ...facts } = request;
  const { names, asked } = askedBy(vocabulary, {
    subject: { type: 'project', id: project },
    resource: { type: 'dataset', id: dataset },
    action: { name: String(action) },
    context: { ...facts, agreement },
  });
  return { ...asked, ...names };
}

/** What a request would be answered at a moment, or the code of the problem why it could not be asked. */
function evaluatedAt(
  row: PermittedInScope,
  { at }: Cut,
  { program, snapshot }: Side,
): Evaluated | { readonly refusal: string } {
  const { dataset: datasetId, project, agreement, ...asked } = askedIn(program, row);
  const { purpose } = asked;
  try {
    const { dataset, totals } = datasetFor(snapshot, OVERSEER, String(datasetId)).said;
    const names = { project: String(project), agreement: agreement as string | undefined };
    const registers = registersFor(snapshot, OVERSEER, names);
    const problems = [
      ...program.vocabulary.checkAt('request', asked),
      ...(typeof purpose === 'string' ? checkPurpose(program, purpose, dataset, registers) : []),
    ];
    if (problems.length > 0) return { refusal: 'invalid_facts' };
    const said = factsOfDataset(dataset, totals, purpose);
    const facts = factsOfCase(program, asked, {
      id: row.id,
      asOf: at,
      registers,
      dataset: dataset.id,
      said,
    });
    const bound = boundTo(program, facts);
    return { program: bound, facts, verdict: evaluate(bound, loadFacts(bound, facts)) };
  } catch (error) {
    if (error instanceof ServiceError) return { refusal: error.code };
    throw error;
  }
}

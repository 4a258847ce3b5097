import { dayInZone } from './calendar.ts';
import { assignCodes, type CodeChoice, type SetChoice } from './assign.ts';
import { type Clauses, clausesOf } from './clause.ts';
import { COUNTED, NONE, type Node, STATED, UNSTATED } from './demand.ts';
import { compileCondition } from './compile.ts';
import type { Condition } from './condition.ts';
import { Domains } from './domains.ts';
import { type Shape, type Shapes, shapesOf, waysIn } from './shapes.ts';
import type { Facts } from './facts.ts';
import { frameOf, referredRules } from './frames.ts';
import { type FALSE, TRUE } from './logic.ts';
import { boundsIn, narrowed, type OrderProblem, type Range, solveOrder } from './order.ts';
import type { CompiledRule, Program } from './program.ts';
import { writeFacts, type Values } from './witness.ts';

/** A condition, and what is wanted of it. */
export interface Goal {
  readonly condition: Condition;
  readonly wanted: typeof TRUE | typeof FALSE;
}

/**
 * Whether goals can be met together. A witness is explicit facts that the vocabulary accepts and
 * of which the evaluator says what was wanted of each goal.
 */
export type Satisfaction = { readonly steps: number } & (
  | { readonly possible: true; readonly witness: Facts }
  | { readonly possible: false }
  /** Neither was found: the limit was reached, or facts that should have met the goals did not. */
  | { readonly possible: 'unknown'; readonly reason: 'limit' | 'undecided' }
);

export interface SatisfyOptions {
  /** Demands, options and values tried at most; 50,000 if not given, some tens of milliseconds. */
  readonly limit?: number;
}

const DEFAULT_LIMIT = 50_000;
// Each choice under way is a frame of the stack and a copy of what is known.
const MAX_CHOICES = 1500;
// Conditions refer to rules, which refer to others: a chain of them may be longer than the stack.
const MAX_LOOK_AHEAD = 200;

/**
 * Can explicit facts meet all `goals` at once? Pure. Decided exactly over the engine's types and
 * operators: hierarchies, groups of places, ranks, absent facts and rules referred to included.
 * Not decided: a list of which one item's member is missing while another's is stated, and a
 * date-time beyond the years 0001 to 9999.
 */
export function satisfy(
  program: Program,
  goals: readonly Goal[],
  { limit = DEFAULT_LIMIT }: SatisfyOptions = {},
): Satisfaction {
  const search = new Search(program, goals, limit);
  try {
    const witness = search.run();
    const { steps } = search;
    if (witness) return { possible: true, witness, steps };
    if (!search.doubtful) return { possible: false, steps };
    return { possible: 'unknown', reason: 'undecided', steps };
  } catch (error) {
    if (!(error instanceof LimitReached)) throw error;
    return { possible: 'unknown', reason: 'limit', steps: search.steps };
  }
}

class LimitReached extends Error {}

/** One of these must be met, of those that `of` had to begin with. */
interface Choice {
  readonly of: Node;
  readonly options: readonly Node[];
}

class Search {
  steps = 0;
  /** Facts were found that should have met the goals and did not. */
  doubtful = false;
  readonly #program: Program;
  readonly #goals: readonly Goal[];
  readonly #limit: number;
  readonly #clauses: Clauses;
  readonly #shapes: Shapes;
  #referred: readonly CompiledRule[] | undefined;
  /**
   * How often each choice came to nothing. Those that fail are made first: else what fails by
   * itself would be tried again under each answer to choices that have nothing to do with it.
   */
  readonly #failures = new Map<Node, number>();

  constructor(program: Program, goals: readonly Goal[], limit: number) {
    this.#program = program;
    this.#goals = goals;
    this.#limit = limit;
    this.#clauses = clausesOf(program);
    this.#shapes = shapesOf(program);
  }

  run(): Facts | undefined {
    const nodes = this.#goals.map(
      ({ condition, wanted }): Node => ({
        kind: 'goal',
        condition,
        wanted: wanted === TRUE ? 'true' : 'false',
      }),
    );
    return this.#solve(new Domains(this.#shapes), nodes, [], 0);
  }

  readonly #step = (): void => {
    if (++this.steps > this.#limit) throw new LimitReached();
  };

  /** Meets `todo` and one of each of `choices`: what is certain first, then the smallest choice. */
  #solve(
    domains: Domains,
    todo: readonly Node[],
    open: readonly Choice[],
    depth: number,
  ): Facts | undefined {
    if (depth > MAX_CHOICES) throw new LimitReached();
    const choices = [...open];
    if (!this.#take(domains, [...todo], choices)) return undefined;
    const left = this.#settle(domains, choices);
    if (!left) return undefined;
    if (left.length > 0 && !this.#isConsistent(domains)) return undefined;
    let [next, least] = [left[0], Infinity];
    for (const choice of left) {
      const cost = choice.options.length / (1 + (this.#failures.get(choice.of) ?? 0));
      if (cost < least) [next, least] = [choice, cost];
    }
    if (!next) return this.#finish(domains);
    const others = left.filter((choice) => choice !== next);
    for (const option of next.options) {
      this.#step();
      const found = this.#solve(new Domains(domains), [option], others, depth + 1);
      if (found) return found;
    }
    this.#failed(next);
    return undefined;
  }

  #failed({ of }: Choice): void {
    this.#failures.set(of, (this.#failures.get(of) ?? 0) + 1);
  }

  /** Takes in all that must be met, and lists what leaves a choice. */
  #take(domains: Domains, todo: Node[], choices: Choice[]): boolean {
    for (let node = todo.pop(); node; node = todo.pop()) {
      this.#step();
      if (node.kind === 'goal') {
        const { condition, wanted } = node;
        const answer = domains.answer(condition, wanted);
        if (answer === 'impossible') return false;
        if (answer === 'known') continue;
        domains.expect(condition, wanted);
        todo.push(this.#clauses.expand(condition, wanted));
        continue;
      }
      if (!domains.isNew(node)) continue;
      switch (node.kind) {
        case 'later':
          todo.push(node.make());
          break;
        case 'all':
          todo.push(...node.of.toReversed());
          break;
        case 'any':
          if (node.of.length === 0) return false;
          if (node.of.length === 1) todo.push(...node.of);
          else choices.push({ of: node, options: node.of });
          break;
        case 'some':
          todo.push(node.demand(domains.newElement(node.of)));
          break;
        default:
          if (!domains.assert(node)) return false;
          todo.push(...domains.pending);
          domains.pending = [];
      }
    }
    return true;
  }

  /** Drops options that are out of the question, and choices that are made already. */
  #settle(domains: Domains, choices: Choice[]): Choice[] | undefined {
    let waiting = choices;
    for (let isNew = true; isNew; ) {
      isNew = false;
      const next: Choice[] = [];
      for (const choice of waiting) {
        const options = choice.options.filter((option) => !this.#refutes(domains, option));
        if (options.length === 0) {
          this.#failed(choice);
          return undefined;
        }
        if (options.some((option) => this.#entails(domains, option))) continue;
        if (options.length > 1) {
          next.push({ of: choice.of, options });
          continue;
        }
        if (!this.#take(domains, [...options], next)) return undefined;
        isNew = true;
      }
      waiting = next;
    }
    return waiting;
  }

  #refutes(domains: Domains, node: Node, depth = 0): boolean {
    if (depth > MAX_LOOK_AHEAD) return false;
    this.#step();
    switch (node.kind) {
      case 'goal': {
        const answer = domains.answer(node.condition, node.wanted);
        if (answer !== 'open') return answer === 'impossible';
        return this.#refutes(domains, this.#clauses.expand(node.condition, node.wanted), depth + 1);
      }
      case 'all':
        return node.of.some((part) => this.#refutes(domains, part, depth + 1));
      case 'any':
        return node.of.every((part) => this.#refutes(domains, part, depth + 1));
      case 'later':
      case 'some':
        return false;
      default:
        return domains.refutes(node);
    }
  }

  #entails(domains: Domains, node: Node, depth = 0): boolean {
    if (depth > MAX_LOOK_AHEAD) return false;
    this.#step();
    if (domains.hasTaken(node)) return true;
    switch (node.kind) {
      case 'goal':
        if (domains.answer(node.condition, node.wanted) === 'known') return true;
        return this.#entails(domains, this.#clauses.expand(node.condition, node.wanted), depth + 1);
      case 'all':
        return node.of.every((part) => this.#entails(domains, part, depth + 1));
      case 'any':
        return node.of.some((part) => this.#entails(domains, part, depth + 1));
      case 'later':
      case 'some':
        return false;
      default:
        return domains.entails(node);
    }
  }

  /** No choice is left: values for the facts, which the evaluator has the last word on. */
  #finish(domains: Domains): Facts | undefined {
    const ways = new Map<Shape, number>();
    for (const fact of domains.status.keys()) {
      const shape = this.#shapes.of.get(fact);
      if (shape) wayOf(shape, domains, ways);
    }
    const numbers = this.#numbers(domains);
    if (!numbers) return undefined;
    const assigned = this.#codes(domains, (fact) => {
      const shape = this.#shapes.of.get(fact);
      return (shape && ways.get(shape)) ?? STATED;
    });
    if (!assigned) return undefined;
    const truths = new Map<string, boolean>();
    for (const [fact, { values }] of domains.codes) {
      const value = values?.[0];
      if (typeof value === 'boolean') truths.set(fact, value);
    }
    const values: Values = { ...assigned, numbers, truths };
    const facts = writeFacts(this.#shapes, { ways, values });
    if (this.#isMet(facts)) return facts;
    this.doubtful = true;
    return undefined;
  }

  #numbers(domains: Domains): ReadonlyMap<string, number> | undefined {
    const problem = orderOf(domains);
    if (!domains.numbers.has('today')) return solveOrder(problem, this.#step);
    const bounds = boundsIn(problem);
    if (!bounds) return undefined;
    const day = dayInZone(this.#program.pack.timezone);
    const today = bounds.get('today');
    const instants = bounds.get('request.as_of') ?? domains.rangeOf('request.as_of');
    if (!today) return undefined;
    const [low, high] = [
      Math.max(today.low, day(instants.low)),
      Math.min(today.high, day(instants.high)),
    ];
    if (low > high) return undefined;
    const ranges = new Map(problem.ranges);
    ranges.set('today', narrowed(narrowed(today, 'gteq', low), 'lteq', high));
    const date = solveOrder({ ...problem, ranges }, this.#step)?.get('today');
    if (date === undefined) return undefined;
    const start = startOfDay(date, day);
    let whole = narrowed(narrowed(instants, 'gteq', start), 'lt', startOfDay(date + 1, day));
    whole = { ...whole, anchor: start };
    const again = new Map(ranges)
      .set('request.as_of', whole)
      .set('today', narrowed(today, 'eq', date));
    const result = solveOrder({ ...problem, ranges: again }, this.#step);
    // Another day might do where this one does not.
    this.doubtful ||= !result;
    return result;
  }

  /** Can the demands so far be met by themselves, whatever is chosen next? */
  #isConsistent(domains: Domains): boolean {
    const { before, relations, members, universals } = domains;
    if (before.length > 0 && !boundsIn(orderOf(domains))) return false;
    if (relations.length + members.length + universals.length === 0) return true;
    return this.#codes(domains, (fact) => domains.statusOf(fact)) !== undefined;
  }

  #codes(domains: Domains, way: (fact: string) => number): ReturnType<typeof assignCodes> {
    const codes = new Map<string, CodeChoice>();
    const stands = (fact: string): boolean => (way(fact) & (STATED | COUNTED)) !== 0;
    for (const [fact, { values, excluded }] of domains.codes) {
      if (!stands(fact)) continue;
      const texts = values?.filter((value) => typeof value === 'string');
      if (values && texts?.length !== values.length) continue;
      const interchangeable = domains.isInterchangeable(fact);
      codes.set(fact, { values: texts, excluded, interchangeable });
    }
    const sets = new Map<string, SetChoice>();
    for (const [fact, set] of domains.sets) {
      const spec = this.#shapes.of.get(fact)?.spec;
      const offered = (spec && this.#shapes.termsOf(spec)) ?? [];
      const takes = (code: string): boolean => stands(fact) && domains.takes(fact, code);
      sets.set(fact, { ...set, takes, offered });
    }
    const { relations, members, universals } = domains;
    const terms = [...this.#clauses.scope.taxonomy.broader.keys()];
    return assignCodes({ codes, sets, relations, members, universals, terms }, this.#step);
  }

  #isMet(facts: Facts): boolean {
    this.#referred ??= referredRules(
      this.#program,
      this.#goals.map(({ condition }) => condition),
    );
    const frame = frameOf(this.#program, facts, this.#referred);
    return this.#goals.every(
      ({ condition, wanted }) =>
        compileCondition(condition, this.#clauses.scope, [])(frame) === wanted,
    );
  }
}

/** How a fact is to stand, of the ways left to it in what it is in. */
function wayOf(shape: Shape, domains: Domains, ways: Map<Shape, number>): number {
  const { fact, kind, parent } = shape;
  const known = ways.get(shape);
  if (known !== undefined) return known;
  const allowed = parent ? waysIn(shape, wayOf(parent, domains, ways)) : shape.mask;
  const mask = domains.statusOf(fact) & allowed;
  const isAsked =
    kind === 'object' ||
    kind === 'list' ||
    domains.sets.has(fact) ||
    domains.codes.has(fact) ||
    domains.numbers.has(fact);
  const left = (isAsked ? mask & STATED : mask & (NONE | UNSTATED)) || mask;
  const way = left & -left;
  ways.set(shape, way);
  return way;
}

function orderOf({ numbers, before, differ }: Domains): OrderProblem {
  return { ranges: numbers satisfies ReadonlyMap<string, Range>, before, differ };
}

/** The first instant of a day, where a day changes by one at a time. */
function startOfDay(date: number, day: (instant: number) => number): number {
  const guess = date * 86_400_000;
  const hours = 3_600_000;
  let [low, high] = [guess - 30 * hours, guess + 30 * hours];
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2);
    if (day(middle) < date) low = middle;
    else high = middle;
  }
  return high;
}

import type { Texts } from './document.ts';
import { evaluate, type Verdict } from './evaluate.ts';
import { valueAt } from './trace.ts';
import { type Facts, type Frame, isObject, type RemedyActor } from './facts.ts';
import { type Move, moved, type Unit } from './levers.ts';
import { loadFacts, type Program } from './program.ts';
import { changeSentence } from './remedy-sentence.ts';
import { type Way, Ways } from './ways.ts';

/** A fact that would have to change; the change is possible, and says nothing untrue. */
export interface RemedyChange {
  readonly fact: string;
  /** In the form of explicit facts; null where it is absent. */
  readonly from: unknown;
  readonly to: unknown;
  /** The fact is to be stated as it is; the answer turns if it is one of these. */
  readonly one_of?: readonly unknown[];
  readonly by: RemedyActor;
  readonly sentence: Texts;
}

/** A smallest set of changes that turns a refusal or a review, as deciding again has shown. */
export interface Remedy {
  readonly effect: 'permit' | 'review';
  readonly changes: readonly RemedyChange[];
  /** Rules that no longer deny; of a review, those that no longer ask. */
  readonly turns: readonly string[];
  /** Rules that would still ask for a person. */
  readonly remaining: readonly string[];
  /** Rules that would oblige. */
  readonly obligations: readonly string[];
}

const MAX_REMEDIES = 10;
/** A remedy of more changes is another request. */
const MAX_CHANGES = 8;
/** Rules looked at over all evaluations of a search, and as many again to make its finds minimal. */
const MAX_WORK = 60_000;
const MAX_BLOCKING = 64;
/** The best are among the first. */
const MAX_FOUND = 200;
/** No fact has so many values: where one stands among them never outweighs a loss. */
const MAX_VALUES = 1000;

const ways = new WeakMap<Program, Ways>();

/**
 * What whoever asks could change to turn the decision: deny to review or permit, review to permit.
 * Only facts change for which the pack names a remedy, and only as it says. Best first: fewest
 * changes, a permit before a review, what the requester does alone before what others grant, least
 * loss. Each is minimal: no part of it gives as good an answer. A permit has none. The work is
 * bounded, so of very many ways out some may be missing.
 *
 * @param program that of the case (`boundTo`).
 */
export function remedies(program: Program, facts: Facts): Remedy[] {
  const frame = loadFacts(program, facts);
  const verdict = evaluate(program, frame);
  if (verdict.effect === 'permit') return [];
  const known = ways.get(program) ?? new Ways(program);
  ways.set(program, known);
  return new Search(program, facts, known, { frame, verdict }).run();
}

interface Change {
  readonly unit: Unit;
  readonly value: unknown;
  readonly moves: readonly Move[];
}

/** Changes by the path of their units. */
type Changes = ReadonlyMap<string, Change>;

interface Tried {
  readonly frame: Frame;
  readonly verdict: Verdict;
}

interface Candidate {
  readonly changes: Changes;
  readonly verdict: Verdict;
  /** Smaller is better, compared from the left. */
  readonly rank: readonly number[];
  readonly key: string;
}

const RANK = { deny: 0, review: 1, permit: 2 } as const;

/**
 * Breadth first by the number of changes. Of all rules in the way, the one with the fewest ways
 * around it is the one to branch on: a rule without any ends the branch.
 */
class Search {
  readonly #program: Program;
  readonly #facts: Facts;
  readonly #ways: Ways;
  readonly #base: Tried;
  readonly #seen = new Set<string>();
  readonly #queue: Changes[][] = [];
  readonly #found: Candidate[] = [];
  #work = 0;

  constructor(program: Program, facts: Facts, known: Ways, base: Tried) {
    this.#program = program;
    this.#facts = facts;
    this.#ways = known;
    this.#base = base;
  }

  run(): Remedy[] {
    this.#ways.begin();
    this.#branch(new Map(), this.#base);
    for (let size = 1; size <= MAX_CHANGES; size++) {
      // Grows while it is walked: a move may change again what has changed.
      for (const changes of this.#queue[size] ?? []) {
        if (this.#work > MAX_WORK || this.#found.length >= MAX_FOUND) return this.#best();
        this.#visit(changes);
      }
      if (this.#found.length >= MAX_REMEDIES) {
        const best = this.#best();
        if (best.length >= MAX_REMEDIES) return best;
      }
    }
    return this.#best();
  }

  #visit(changes: Changes): void {
    const tried = this.#try(changes);
    if (this.#isBetter(tried.verdict)) this.#found.push(candidateOf(changes, tried.verdict));
    if (tried.verdict.effect !== 'permit') this.#branch(changes, tried);
  }

  #isBetter({ effect }: Verdict): boolean {
    return RANK[effect] > RANK[this.#base.verdict.effect];
  }

  #try(changes: Changes): Tried {
    const { vocabulary, rules } = this.#program;
    this.#work += rules.length;
    const frame = this.#base.frame.slice();
    for (const [path, { value }] of changes) vocabulary.put(frame, path, value);
    return { frame, verdict: evaluate(this.#program, frame) };
  }

  #branch(changes: Changes, { frame, verdict }: Tried): void {
    for (const way of this.#narrowest(frame, verdict)) {
      const next = this.#after(changes, way, frame);
      const key = keyOf(next);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      (this.#queue[next.size] ??= []).push(next);
    }
  }

  #narrowest(frame: Frame, { effect, deny, review }: Verdict): readonly Way[] {
    // With reviews first, what denies stands in the way behind them.
    const blocking = effect === 'deny' ? deny : [...review, ...deny];
    if (blocking.length === 0) return this.#ways.towardsPermission(frame);
    return blocking
      .slice(0, MAX_BLOCKING)
      .map((rule) => this.#ways.around(rule, frame))
      .reduce((fewest, each) => (each.length < fewest.length ? each : fewest));
  }

  /** The changes with those of a way. */
  #after(changes: Changes, way: Way, frame: Frame): Changes {
    const next = new Map(changes);
    for (const move of way) {
      const { unit } = move.lever;
      const before = next.get(unit.path);
      const original = this.#original(unit);
      const value = moved(move, before ? before.value : original, frame, this.#ways.dates);
      if (isSame(value, original)) next.delete(unit.path);
      else next.set(unit.path, { unit, value, moves: [...(before?.moves ?? []), move] });
    }
    return next;
  }

  #original({ path }: Unit): unknown {
    return valueAt(this.#facts, path.split('.'));
  }

  #best(): Remedy[] {
    const kept: Candidate[] = [];
    for (const each of this.#found.toSorted(order)) {
      if (kept.length === MAX_REMEDIES || this.#work > 2 * MAX_WORK) break;
      if (kept.some((other) => isAtLeast(other, each))) continue;
      kept.push(this.#trimmed(this.#smallest(each)));
    }
    return kept.toSorted(order).map((each) => this.#remedy(each));
  }

  /** A part of a candidate's changes that gives as good an answer, and no part of which does. */
  #smallest(candidate: Candidate): Candidate {
    const entries = [...candidate.changes];
    const wanted = RANK[candidate.verdict.effect];
    // The parts of a part are lesser numbers.
    for (let mask = 1; mask < 2 ** entries.length - 1; mask++) {
      const changes = new Map(entries.filter((_, i) => mask & (1 << i)));
      const { verdict } = this.#try(changes);
      if (RANK[verdict.effect] >= wanted) return candidateOf(changes, verdict);
    }
    return candidate;
  }

  /** Without what the rules do not read in the records that are obtained. */
  #trimmed(candidate: Candidate): Candidate {
    const { changes, verdict } = candidate;
    let rest = changes;
    for (const [path, change] of changes) {
      if (change.unit.shape !== 'record') continue;
      const original = this.#original(change.unit);
      for (const key of Object.keys(change.value as object)) {
        const before = isObject(original) ? original[key] : undefined;
        const value = { ...(rest.get(path)?.value as object), [key]: before };
        const less = new Map(rest).set(path, { ...change, value });
        if (isSameVerdict(this.#try(less).verdict, verdict)) rest = less;
      }
    }
    return candidateOf(rest, verdict);
  }

  #remedy({ changes, verdict }: Candidate): Remedy {
    const { effect, deny, review } = this.#base.verdict;
    const [before, after] = effect === 'deny' ? [deny, verdict.deny] : [review, verdict.review];
    return {
      effect: verdict.effect === 'permit' ? 'permit' : 'review',
      changes: [...changes.values()]
        .toSorted((a, b) => this.#place(a) - this.#place(b))
        .map((change) => this.#change(change, changes, verdict)),
      turns: before.filter((rule) => !after.includes(rule)),
      remaining: verdict.review,
      obligations: verdict.oblige,
    };
  }

  /** In the order in which the pack names the facts. */
  #place({ unit }: Change): number {
    return this.#program.vocabulary.slotOf(unit.path) ?? 0;
  }

  #change(change: Change, changes: Changes, verdict: Verdict): RemedyChange {
    const { unit, value, moves } = change;
    const from = this.#original(unit);
    const stated = moves.flatMap(({ delta }) => ('one_of' in delta ? (delta.one_of ?? []) : []));
    const one_of = stated.filter((each) => {
      const other = new Map(changes).set(unit.path, { ...change, value: each });
      return RANK[this.#try(other).verdict.effect] >= RANK[verdict.effect];
    });
    const sentence = changeSentence(this.#program, this.#facts, {
      unit,
      from,
      to: value,
      moves,
      one_of,
    });
    return {
      fact: unit.path,
      from,
      to: value,
      ...(one_of.length > 0 ? { one_of } : {}),
      by: actorOf(change),
      sentence,
    };
  }
}

function keyOf(changes: Changes): string {
  return [...changes]
    .map(([path, { value }]) => `${path} ${JSON.stringify(value)}`)
    .toSorted()
    .join('\n');
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

function isSameVerdict(a: Verdict, b: Verdict): boolean {
  return isSame([a.effect, a.deny, a.review, a.oblige], [b.effect, b.deny, b.review, b.oblige]);
}

/** Every change of `part` is one of `whole`. */
function isWithin(part: Changes, whole: Changes): boolean {
  for (const path of part.keys()) if (!whole.has(path)) return false;
  return true;
}

/** As good an answer for changes of the same facts, or of fewer. */
function isAtLeast(a: Candidate, b: Candidate): boolean {
  return RANK[a.verdict.effect] >= RANK[b.verdict.effect] && isWithin(a.changes, b.changes);
}

function candidateOf(changes: Changes, verdict: Verdict): Candidate {
  const all = [...changes.values()];
  const others = all.filter((change) => actorOf(change) !== 'requester').length;
  const rank = [all.length, -RANK[verdict.effect], others, lossOf(all)];
  return { changes, verdict, rank, key: keyOf(changes) };
}

function order(a: Candidate, b: Candidate): number {
  for (const [i, each] of a.rank.entries()) {
    const difference = each - (b.rank[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.key < b.key ? -1 : 1;
}

/** What is given up, and among values that are worth the same the one that the pack names first. */
function lossOf(changes: readonly Change[]): number {
  const losses = changes.flatMap(({ unit, moves }) => [
    unit.obtain?.loss ?? 0,
    ...moves.map(({ remedy, delta }) => {
      const place = 'set' in delta ? remedy.values?.indexOf(delta.set as string) : 0;
      return (remedy.loss ?? 0) + (place ?? 0) / MAX_VALUES;
    }),
  ]);
  return losses.reduce((sum, loss) => sum + loss, 0);
}

function actorOf({ unit, moves }: Change): RemedyActor {
  if (unit.obtain) return unit.obtain.by ?? 'requester';
  const others = moves.map(({ remedy }) => remedy.by ?? 'requester');
  return others.find((by) => by !== 'requester') ?? 'requester';
}

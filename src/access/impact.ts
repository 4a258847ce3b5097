import type { Db, Tx } from '../db/connection.ts';
import type { ImpactTransition } from '../db/schema.ts';
import { boundTo } from '../pdp/compose.ts';
import { evaluate, type Verdict } from '../pdp/evaluate.ts';
import { explain } from '../pdp/explain.ts';
import type { Facts } from '../pdp/facts.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import type { PolicyChange } from '../policies/change.ts';
import { storedIn } from './decision.ts';
import type { Range } from './runs.ts';
import { readRecorded } from './store.ts';

/** Requests that are read at once: some 3 MB of documents. */
const PAGE = 1_000;
const RANK: Readonly<Record<Verdict['effect'], number>> = { deny: 0, review: 1, permit: 2 };

/** What a change of policies does to the answer to one request. */
export interface Turn {
  readonly from: Verdict['effect'];
  readonly to: Verdict['effect'];
  /** Rules that newly yield the effect: those that deny or ask for review, or oblige a permit. */
  readonly rules_added: readonly string[];
  /** Rules that yielded the earlier effect, and do so no longer. */
  readonly rules_removed: readonly string[];
  readonly more_permitted: boolean;
}

/**
 * Decides facts before and after a change; undefined where the answer stays what it is, for the
 * same rules. The facts are loaded once for both.
 */
function turnOf({ before, after }: PolicyChange, facts: Facts): Turn | undefined {
  const frame = before.vocabulary.load(facts, Math.max(widest(before), widest(after)));
  const shared = after.vocabulary === before.vocabulary;
  // Both are bound before either is decided, which writes into the frame.
  const [old, next] = [
    boundTo(before, facts, frame),
    boundTo(after, facts, shared ? frame : undefined),
  ];
  const from = evaluate(old, frame);
  const to = evaluate(next, shared ? frame : loadFacts(next, facts));
  return turnBetween({ program: old, facts, verdict: from }, { program: next, facts, verdict: to });
}

/** Facts, the program that is bound to them, and what it says of them. */
export interface Evaluated {
  readonly program: Program;
  readonly facts: Facts;
  readonly verdict: Verdict;
}

/** From one answer to another; undefined where it stays what it is, for the same rules. */
export function turnBetween(before: Evaluated, after: Evaluated): Turn | undefined {
  const [from, to] = [before.verdict, after.verdict];
  const rules_added = without(winning(to), winningAs(to.effect, from));
  const rules_removed = without(winning(from), winningAs(from.effect, to));
  const stays = from.effect === to.effect;
  if (stays && rules_added.length === 0 && rules_removed.length === 0) return undefined;
  const effects = {
    from: from.effect,
    to: to.effect,
    more_permitted: RANK[to.effect] > RANK[from.effect],
  };
  if (rules_added.length > 0 || rules_removed.length > 0)
    return { ...effects, rules_added, rules_removed };
  // A permission came or went: which rules permit, a verdict does not say.
  const [permitting, permitted] = [permittedBy(after), permittedBy(before)];
  return {
    ...effects,
    rules_added: without(permitting, permitted),
    rules_removed: without(permitted, permitting),
  };
}

const widths = new WeakMap<Program, number>();

/** Slots of a frame that serves a program and all its extensions. */
function widest(program: Program): number {
  const known = widths.get(program);
  if (known !== undefined) return known;
  const width = Math.max(program.width, ...program.extensions.map(({ part }) => part.width));
  widths.set(program, width);
  return width;
}

/** The rules behind a verdict's effect; behind a permit, those that oblige. */
export function winning(verdict: Verdict): readonly string[] {
  return winningAs(verdict.effect, verdict);
}

function winningAs(effect: Verdict['effect'], { deny, review, oblige }: Verdict) {
  return { deny, review, permit: oblige }[effect];
}

function without(rules: readonly string[], others: readonly string[]): readonly string[] {
  return rules.length === 0 ? rules : rules.filter((rule) => !others.includes(rule));
}

function permittedBy({ program, facts }: Pick<Evaluated, 'program' | 'facts'>): string[] {
  return explain(program, facts).reasons.flatMap(({ effect, rule }) =>
    effect === 'permit' ? rule : [],
  );
}

/** What some turns are together. Sums of them can be added. */
export interface Tally {
  readonly done: number;
  readonly changed: number;
  readonly more_permitted: number;
  readonly less_permitted: number;
  readonly transitions: readonly ImpactTransition[];
}

export const NOTHING: Tally = {
  done: 0,
  changed: 0,
  more_permitted: 0,
  less_permitted: 0,
  transitions: [],
};

/** The tally of the turns among `done` requests. */
export function tallyOf(done: number, turns: readonly Turn[]): Tally {
  return {
    done,
    changed: turns.length,
    more_permitted: turns.filter((each) => each.more_permitted).length,
    less_permitted: turns.filter(({ from, to }) => RANK[to] < RANK[from]).length,
    transitions: sumOf(
      turns.map(({ from, to, rules_added, rules_removed }) => ({
        from,
        to,
        count: 1,
        rules: [
          ...rules_added.map((rule) => ({ rule, added: 1, removed: 0 })),
          ...rules_removed.map((rule) => ({ rule, added: 0, removed: 1 })),
        ],
      })),
    ),
  };
}

/** The tally of both together; of requests that no two of them share. */
export function addTallies(one: Tally, other: Tally): Tally {
  return {
    done: one.done + other.done,
    changed: one.changed + other.changed,
    more_permitted: one.more_permitted + other.more_permitted,
    less_permitted: one.less_permitted + other.less_permitted,
    transitions: sumOf([...one.transitions, ...other.transitions]),
  };
}

/** One entry a pair of effects, the most frequent first; in it one a rule, in the same order. */
function sumOf(transitions: readonly ImpactTransition[]): ImpactTransition[] {
  const sums = Map.groupBy(transitions, ({ from, to }) => `${from} ${to}`).values();
  return [...sums]
    .flatMap(([first, ...others]) => {
      if (!first) return [];
      const rules = new Map<string, { rule: string; added: number; removed: number }>();
      let count = 0;
      for (const each of [first, ...others]) {
        count += each.count;
        for (const { rule, added, removed } of each.rules) {
          const sum = rules.get(rule) ?? { rule, added: 0, removed: 0 };
          rules.set(rule, { rule, added: sum.added + added, removed: sum.removed + removed });
        }
      }
      const total = (each: { added: number; removed: number }): number => each.added + each.removed;
      const ordered = [...rules.values()].toSorted(
        (a, b) => total(b) - total(a) || (a.rule < b.rule ? -1 : 1),
      );
      return { from: first.from, to: first.to, count, rules: ordered };
    })
    .toSorted((a, b) => b.count - a.count || (a.from + a.to < b.from + b.to ? -1 : 1));
}

/** A recorded request that a change turns. */
export interface TurnedRequest extends Turn {
  readonly access_request: string;
  /** What was decided when it was asked. */
  readonly recorded: Verdict['effect'];
}

export interface PageOfTurns {
  readonly done: number;
  readonly last: string;
  readonly turned: readonly TurnedRequest[];
}

/**
 * Replays recorded requests page by page. The next page is read while one is decided: two pages
 * are held at a time.
 */
export async function* replayRecorded(
  db: Db | Tx,
  change: PolicyChange,
  { after, upTo }: Range,
): AsyncGenerator<PageOfTurns> {
  const read = (from: string | null): ReturnType<typeof readRecorded> => {
    const page = readRecorded(db, { publisher: change.owner, after: from, upTo }, PAGE);
    // Its failure is met when the page is awaited; until then nobody else must.
    page.catch(() => {});
    return page;
  };
  for (let next: ReturnType<typeof read> | undefined = read(after); next; ) {
    const rows: Awaited<typeof next> = await next;
    const last = rows.at(-1);
    if (!last) return;
    next = rows.length === PAGE ? read(last.id) : undefined;
    const turned = rows.flatMap(({ id, effect, document }): TurnedRequest[] => {
      const turn = turnOf(change, storedIn(document).facts);
      return turn ? [{ ...turn, access_request: id, recorded: effect }] : [];
    });
    yield { done: rows.length, last: last.id, turned };
  }
}

/** How many recorded requests in a range the change permits more than they are now. */
export async function countMorePermitted(
  db: Db,
  change: PolicyChange,
  range: Range,
): Promise<number> {
  let more = 0;
  for await (const { turned } of replayRecorded(db, change, range))
    more += turned.filter((each) => each.more_permitted).length;
  return more;
}

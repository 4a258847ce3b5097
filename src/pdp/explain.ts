import { formatDate } from './calendar.ts';
import { compileCondition, type Scope } from './compile.ts';
import type { Condition } from './condition.ts';
import type { Citation, Concern, Effect, Layer, Obligation, Rule, Texts } from './document.ts';
import { TRACED_EFFECTS } from './emit.ts';
import { combined, type Verdict } from './evaluate.ts';
import type { Facts, Frame } from './facts.ts';
import { TRUE, UNKNOWN } from './logic.ts';
import { type CompiledRule, type Program, scopeOf } from './program.ts';
import { type FactReading, Tracer } from './trace.ts';

export type { FactReading } from './trace.ts';

/** One rule that mattered: what it says, on which authority, and what it read. */
export interface Reason {
  readonly rule: string;
  /** `satisfied`: the rule applies, holds, and asks for nothing. */
  readonly effect: Effect | 'satisfied';
  /**
   * It is unknown whether the rule applies or holds: a fact was missing, or nothing is declared of
   * whether two terms overlap.
   */
  readonly uncertain: boolean;
  readonly policy: string;
  readonly layer: Layer;
  readonly concern: Concern;
  readonly title: Texts;
  readonly sentence: Texts;
  readonly citations: readonly Citation[];
  readonly facts: readonly FactReading[];
}

export interface ObligationDue {
  readonly rule: string;
  readonly sentence: Texts;
  /** `from_start`, `throughout`, `before_release`, or a date. */
  readonly due: string;
  readonly evidence: Texts;
}

/** The earliest date that a permit would rest on, and which fact it is. */
export interface Expiry {
  readonly name: string;
  readonly fact: string;
  readonly date: string;
}

export interface Explanation extends Verdict {
  /** Rules that yielded the effect first; inside, in the order of the policies. */
  readonly reasons: readonly Reason[];
  readonly obligations: readonly ObligationDue[];
  /** Facts without which a rule could not be settled. */
  readonly missing: readonly string[];
  /** Who must examine a review; empty for other effects. */
  readonly examiners: readonly {
    readonly role: string;
    readonly title: Texts;
    readonly rules: readonly string[];
  }[];
  /** Null where nothing is, or could be, permitted. */
  readonly expiry: Expiry | null;
  /** Titles of the instruments that the reasons cite. */
  readonly instruments: Readonly<Record<string, Texts>>;
}

/** Adds the slots that leave a condition unknown, and none if it is not. */
type Blame = (frame: Frame, slots: Set<number>) => void;

/** What is the same in all explanations of a program. */
interface Explainer {
  readonly tracer: Tracer;
  readonly scope: Scope;
  /** Of each condition that was ever unknown. */
  readonly blames: WeakMap<Condition, Blame>;
  readonly expiries: readonly (Omit<Expiry, 'date'> & { slot: number; always: boolean })[];
  readonly instruments: readonly { readonly name: string; readonly title: Texts }[];
  /** By rule, the instruments that it cites, a bit each in words of 32. */
  readonly cited: readonly (readonly number[])[];
  /**
   * The titles of instruments that reasons have cited together. The key has a bit for each: a number,
   * and from 33 instruments on a text of several.
   */
  readonly titles: Map<string | number, Readonly<Record<string, Texts>>>;
}

/** A rule that applies, or may: its place in the program, and what became of it. */
interface Found {
  readonly index: number;
  readonly rule: CompiledRule;
  readonly reason: Reason;
}

/** Those of each effect, in the order of `TRACED_EFFECTS`; inside, in that of the program. */
type FoundByEffect = readonly [Found[], Found[], Found[], Found[], Found[]];

const explainers = new WeakMap<Program, Explainer>();

/**
 * Decides one case as `evaluate` does and says why. Facts are listed as the rules read them, in
 * the order of short circuits; a derived fact brings those that it was computed from.
 */
export function explain(program: Program, facts: Facts): Explanation {
  const explainer = explainerOf(program);
  const { tracer } = explainer;
  const { trace } = tracer;
  const frame = tracer.run(facts);
  const all: FoundByEffect = [[], [], [], [], []];
  const missing: string[] = [];
  for (let index = 0; index < program.rules.length; index++) {
    if (!tracer.next(index)) continue;
    const rule = program.rules[index] as CompiledRule;
    const shown = tracer.readings();
    const isUncertain = trace.applies[index] !== TRUE || trace.open[index] !== 0;
    if (isUncertain) {
      const open = openConditions(rule.rule, trace.applies[index], trace.open[index]);
      const blamed = tracer.blame(index, blame(explainer, open, frame));
      missing.push(...blamed.filter((fact) => !missing.includes(fact)));
    }
    const effect = trace.effects[index] ?? 0;
    all[effect]?.push({ index, rule, reason: reasonOf(rule, effect, isUncertain, shown) });
  }
  const [deny, review, permit, oblige] = all;
  const effect = combined(program.pack, deny.length > 0, review.length > 0, permit.length > 0);
  const winning = { deny, review, permit }[effect];
  const reasons: Reason[] = [];
  addReasons(winning, reasons);
  for (const group of all) if (group !== winning) addReasons(group, reasons);
  return {
    effect,
    deny: idsOf(deny),
    review: idsOf(review),
    oblige: idsOf(oblige),
    reasons,
    obligations: obligationsOf(program, oblige, frame),
    missing,
    examiners: effect === 'review' ? examinersOf(program, review) : [],
    expiry: effect === 'deny' ? null : expiryOf(explainer, frame),
    instruments: instrumentsOf(explainer, all),
  };
}

function idsOf(found: readonly Found[]): string[] {
  const ids: string[] = [];
  for (const { reason } of found) ids.push(reason.rule);
  return ids;
}

function addReasons(found: readonly Found[], reasons: Reason[]): void {
  for (const { reason } of found) reasons.push(reason);
}

function explainerOf(program: Program): Explainer {
  const known = explainers.get(program);
  if (known) return known;
  const { pack, vocabulary, rules } = program;
  const names = [
    ...new Set(rules.flatMap(({ rule }) => rule.cites.map(({ instrument }) => instrument))),
  ];
  const made: Explainer = {
    tracer: new Tracer(program),
    scope: scopeOf(program),
    blames: new WeakMap(),
    expiries: pack.expiries.map(({ name, fact, always = false }) => ({
      name,
      fact,
      always,
      slot: vocabulary.slotOf(fact) ?? -1,
    })),
    instruments: names.map((name) => ({
      name,
      title: pack.instruments[name]?.title ?? { en: name },
    })),
    cited: rules.map(({ rule }) =>
      bitsOf(
        rule.cites.map(({ instrument }) => names.indexOf(instrument)),
        names.length,
      ),
    ),
    titles: new Map(),
  };
  explainers.set(program, made);
  return made;
}

/** The conditions of a rule that could not be settled; `open` as in a trace. */
function openConditions(
  { applies, holds, outcomes }: Rule,
  applying: number | undefined,
  open = 0,
): readonly Condition[] {
  const other = open === 1 ? holds : outcomes[open - 2]?.when;
  return [...(applying === TRUE ? [] : [applies]), ...(open > 0 && other ? [other] : [])];
}

/** The slots that leave `conditions` unknown: not those that would change nothing. */
function blame(
  { scope, blames }: Explainer,
  conditions: readonly Condition[],
  frame: Frame,
): Set<number> {
  const slots = new Set<number>();
  for (const condition of conditions) {
    const known = blames.get(condition) ?? blameOf(condition, scope);
    blames.set(condition, known);
    known(frame, slots);
  }
  return slots;
}

function blameOf(condition: Condition, scope: Scope): Blame {
  const read: number[] = [];
  const test = compileCondition(condition, scope, [], (leaf, slots) => {
    read.push(...slots);
    return leaf;
  });
  const parts = 'of' in condition ? [condition.of].flat() : [];
  const blames = parts.map((part) => blameOf(part, scope));
  return (frame, slots) => {
    if (test(frame) !== UNKNOWN) return;
    for (const part of blames) part(frame, slots);
    if (blames.length === 0) for (const slot of read) slots.add(slot);
  };
}

function reasonOf(
  { rule, document }: CompiledRule,
  effect: number,
  uncertain: boolean,
  facts: readonly FactReading[],
): Reason {
  return {
    rule: rule.id,
    policy: document.policy,
    layer: document.layer,
    concern: document.concern,
    title: rule.title,
    sentence: rule.sentence,
    citations: rule.cites,
    effect: TRACED_EFFECTS[effect] ?? 'satisfied',
    uncertain,
    facts,
  };
}

// Sets of instruments that are cited together are few; whoever makes many up gets no more memory.
const MAX_TITLES = 1_000;

/** One object for all explanations whose reasons cite the same instruments. */
function instrumentsOf(
  { instruments, cited, titles }: Explainer,
  all: FoundByEffect,
): Readonly<Record<string, Texts>> {
  let first = 0;
  for (const group of all) {
    for (const { index } of group) first |= cited[index]?.[0] ?? 0;
  }
  const words = [first];
  for (let word = 1; word * BITS < instruments.length; word++) {
    words.push(all.flat().reduce((bits, { index }) => bits | (cited[index]?.[word] ?? 0), 0));
  }
  const key = words.length === 1 ? first : words.join(' ');
  const known = titles.get(key);
  if (known) return known;
  const isCited = (i: number): boolean => ((words[Math.floor(i / BITS)] ?? 0) & bitOf(i)) !== 0;
  const listed = instruments.filter((_, i) => isCited(i));
  const made = Object.fromEntries(listed.map(({ name, title }) => [name, title]));
  if (titles.size >= MAX_TITLES) titles.clear();
  titles.set(key, made);
  return made;
}

const BITS = 32;

function bitOf(index: number): number {
  return 1 << (index % BITS);
}

/** Indices as bits of words. */
function bitsOf(indices: readonly number[], width: number): number[] {
  const words = Array.from({ length: Math.ceil(width / BITS) }, () => 0);
  for (const index of indices) {
    const word = Math.floor(index / BITS);
    words[word] = (words[word] ?? 0) | bitOf(index);
  }
  return words;
}

function obligationsOf(
  program: Program,
  obliging: readonly Found[],
  frame: Frame,
): ObligationDue[] {
  const due: ObligationDue[] = [];
  for (const { rule, reason } of obliging) {
    const { obligation } = rule.rule;
    if (!obligation) continue;
    const { sentence, evidence } = obligation;
    due.push({
      rule: reason.rule,
      sentence,
      due: dueText(program, obligation.due, frame),
      evidence,
    });
  }
  return due;
}

function dueText(program: Program, due: Obligation['due'], frame: Frame): string {
  if (typeof due === 'string') return due;
  const date = frame[program.vocabulary.slotOf(due.fact) ?? -1];
  return typeof date === 'number' ? formatDate(date) : 'throughout';
}

function examinersOf(program: Program, reviewing: readonly Found[]): Explanation['examiners'] {
  const byTitle = new Map<string, { role: string; title: Texts; rules: string[] }>();
  for (const { rule, reason } of reviewing) {
    const { role, title } = program.pack.examiners[rule.document.layer];
    const key = title['en'] ?? role;
    const entry = byTitle.get(key) ?? { role, title, rules: [] };
    entry.rules.push(reason.rule);
    byTitle.set(key, entry);
  }
  return [...byTitle.values()];
}

function expiryOf({ expiries, tracer }: Explainer, frame: Frame): Expiry | null {
  let earliest: { name: string; fact: string; day: number } | undefined;
  for (const { name, fact, always, slot } of expiries) {
    const day = frame[slot];
    if (typeof day !== 'number' || !(always || tracer.wasRead(slot))) continue;
    if (!earliest || day < earliest.day) earliest = { name, fact, day };
  }
  return earliest
    ? { name: earliest.name, fact: earliest.fact, date: formatDate(earliest.day) }
    : null;
}

import { formatDate } from './calendar.ts';
import type { Test } from './compile.ts';
import type { Citation, Concern, Effect, Layer, Texts } from './document.ts';
import { effectOf, evaluate, type Verdict } from './evaluate.ts';
import type { Facts, FactSource, Frame } from './facts.ts';
import { type CodeSet, FALSE, TRUE } from './logic.ts';
import { type CompiledRule, compileRule, loadFacts, type Program, scopeOf } from './program.ts';

/** A fact that a rule has read, as it was. `null` where it is absent. */
export interface FactReading {
  readonly fact: string;
  readonly value: unknown;
  readonly source: FactSource;
}

/** One rule that mattered: what it says, on which authority, and what it read. */
export interface Reason {
  readonly rule: string;
  /** `satisfied`: the rule applies, holds, and asks for nothing. */
  readonly effect: Effect | 'satisfied';
  /** A fact was missing: it is unknown whether the rule applies or holds. */
  readonly uncertain: boolean;
  readonly policy: string;
  readonly layer: Layer;
  readonly concern: Concern;
  readonly title: Texts;
  readonly sentence: Texts;
  readonly citations: readonly (Citation & { readonly title: Texts })[];
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
}

interface TracedRule {
  readonly rule: CompiledRule;
  readonly traced: CompiledRule;
}

interface Tracer {
  readonly rules: readonly TracedRule[];
  /** Slots that the leaves of the rule at hand have read, in order. */
  reads: Set<number>;
}

const tracers = new WeakMap<Program, Tracer>();

/**
 * Decides one case as `evaluate` does and says why. Facts are listed as the rules read them, in
 * the order of short circuits; a derived fact brings those that it was computed from.
 */
export function explain(program: Program, facts: Facts): Explanation {
  const frame = loadFacts(program, facts);
  const verdict = evaluate(program, frame);
  const tracer = tracerOf(program);
  const reasons: Reason[] = [];
  const missing = new Set<number>();
  const readByApplicable = new Set<number>();
  const specs = program.vocabulary.specs.length;
  const unknownReads = new Map<number, ReadonlySet<number>>();
  for (const { rule, traced } of tracer.rules) {
    tracer.reads = new Set();
    const applies = traced.applies(frame);
    const effect = applies === FALSE ? undefined : effectOf(traced, frame);
    const uncertain = isUncertain(traced, frame, applies);
    const base = expand(program, tracer.reads, unknownReads, frame);
    unknownReads.set(rule.appliesSlot, base);
    unknownReads.set(rule.holdsSlot, base);
    if (applies === FALSE) continue;
    for (const slot of base) readByApplicable.add(slot);
    if (uncertain)
      for (const slot of base) if (slot < specs && isUnknown(frame[slot])) missing.add(slot);
    reasons.push(reasonOf(program, rule, effect, uncertain, readings(program, facts, frame, base)));
  }
  const rank = (reason: Reason): number => order(reason, verdict.effect);
  reasons.sort((a, b) => rank(a) - rank(b));
  return {
    ...verdict,
    reasons,
    obligations: obligationsOf(program, verdict, frame),
    missing: [...missing].map((slot) => program.slotNames[slot] ?? ''),
    examiners: verdict.effect === 'review' ? examinersOf(program, verdict) : [],
    expiry: verdict.effect === 'deny' ? null : expiryOf(program, frame, readByApplicable),
  };
}

function tracerOf(program: Program): Tracer {
  const known = tracers.get(program);
  if (known) return known;
  const tracer: { rules: TracedRule[]; reads: Set<number> } = { rules: [], reads: new Set() };
  const scope = scopeOf(program);
  const leaf =
    (test: Test, slots: readonly number[]): Test =>
    (frame) => {
      for (const slot of slots) tracer.reads.add(slot);
      return test(frame);
    };
  tracer.rules = program.rules.map((rule) => ({
    rule,
    traced: { ...rule, ...compileRule(rule.rule, scope, [], leaf) },
  }));
  tracers.set(program, tracer);
  return tracer;
}

/** Is the rule's effect what it is because a fact is unknown? */
function isUncertain(rule: CompiledRule, frame: Frame, applies: number): boolean {
  if (applies === FALSE) return false;
  if (applies !== TRUE) return true;
  const holds = rule.holds?.(frame);
  if (holds === TRUE) return false;
  if (holds !== undefined && holds !== FALSE) return true;
  for (const { when } of rule.outcomes) {
    const chosen = when ? when(frame) : TRUE;
    if (chosen === TRUE) return false;
    if (chosen !== FALSE) return true;
  }
  return false;
}

/** The base facts behind what was read: through derived facts, and through other rules. */
function expand(
  program: Program,
  reads: ReadonlySet<number>,
  rules: ReadonlyMap<number, ReadonlySet<number>>,
  frame: Frame,
): Set<number> {
  const base = new Set<number>();
  const specs = program.vocabulary.specs.length;
  const visit = (slot: number): void => {
    if (slot < specs) {
      base.add(slot);
      return;
    }
    const ofRule = rules.get(slot);
    if (ofRule) for (const each of ofRule) base.add(each);
    const derivation = program.derivations.find((candidate) => candidate.slot === slot);
    if (!derivation) return;
    if (derivation.name !== 'home') base.add(slot);
    for (const each of derivation.reads ?? []) if (matters(frame, slot, each)) visit(each);
  };
  for (const slot of reads) visit(slot);
  return base;
}

// A derived fact that is known did not need those of its sources that are unknown.
function matters(frame: Frame, derived: number, source: number): boolean {
  return isUnknown(frame[derived]) || !isUnknown(frame[source]);
}

function isUnknown(value: unknown): boolean {
  return (
    value === undefined || (typeof value === 'object' && value !== null && (value as CodeSet).open)
  );
}

function readings(
  program: Program,
  facts: Facts,
  frame: Frame,
  slots: ReadonlySet<number>,
): FactReading[] {
  return [...slots].map((slot) => {
    const fact = program.slotNames[slot] ?? '';
    const spec = program.vocabulary.specs[slot];
    if (spec) return { fact, value: valueAt(facts, fact), source: spec.source };
    return { fact, value: derivedValue(fact, frame[slot]), source: 'derived' };
  });
}

function derivedValue(name: string, value: unknown): unknown {
  if (value === undefined) return null;
  if (name === 'today') return formatDate(value as number);
  return typeof value === 'object' && value !== null ? (value as CodeSet).items : value;
}

/** The value in explicit facts at a dotted path; through a list, the members' values. */
function valueAt(facts: Facts, path: string): unknown {
  let value: unknown = facts;
  for (const key of path.split('.')) {
    if (Array.isArray(value)) {
      value = value.map((item: unknown) => (item as Record<string, unknown> | null)?.[key] ?? null);
    } else if (typeof value === 'object' && value !== null && Object.hasOwn(value, key)) {
      value = (value as Record<string, unknown>)[key];
    } else {
      return null;
    }
  }
  return value ?? null;
}

function reasonOf(
  program: Program,
  { rule, document }: CompiledRule,
  effect: Effect | undefined,
  uncertain: boolean,
  facts: readonly FactReading[],
): Reason {
  const shown = effect === 'permit' && uncertain ? 'review' : effect;
  return {
    rule: rule.id,
    effect: shown ?? 'satisfied',
    uncertain,
    policy: document.policy,
    layer: document.layer,
    concern: document.concern,
    title: rule.title,
    sentence: rule.sentence,
    citations: rule.cites.map((citation) => ({
      ...citation,
      title: program.pack.instruments[citation.instrument]?.title ?? { en: citation.instrument },
    })),
    facts: facts.filter(
      ({ fact }) =>
        program.vocabulary.get(fact)?.type !== 'object' ||
        facts.every((other) => !other.fact.startsWith(`${fact}.`)),
    ),
  };
}

const ORDER = ['deny', 'review', 'permit', 'oblige', 'satisfied'] as const;

function order(reason: Reason, effect: Verdict['effect']): number {
  return reason.effect === effect ? -1 : ORDER.indexOf(reason.effect);
}

function obligationsOf(program: Program, verdict: Verdict, frame: Frame): ObligationDue[] {
  return program.rules.flatMap(({ rule }) => {
    if (!rule.obligation || !verdict.oblige.includes(rule.id)) return [];
    const { sentence, due, evidence } = rule.obligation;
    return [{ rule: rule.id, sentence, due: dueText(program, due, frame), evidence }];
  });
}

function dueText(
  program: Program,
  due: NonNullable<CompiledRule['rule']['obligation']>['due'],
  frame: Frame,
): string {
  if (typeof due === 'string') return due;
  const date = frame[program.vocabulary.slotOf(due.fact) ?? -1];
  return typeof date === 'number' ? formatDate(date) : 'throughout';
}

function examinersOf(program: Program, { review }: Verdict): Explanation['examiners'] {
  const byTitle = new Map<string, { role: string; title: Texts; rules: string[] }>();
  for (const { rule, document } of program.rules) {
    if (!review.includes(rule.id)) continue;
    const { role, title } = program.pack.examiners[document.layer];
    const key = title['en'] ?? role;
    const entry = byTitle.get(key) ?? { role, title, rules: [] };
    entry.rules.push(rule.id);
    byTitle.set(key, entry);
  }
  return [...byTitle.values()];
}

function expiryOf(program: Program, frame: Frame, read: ReadonlySet<number>): Expiry | null {
  let earliest: { name: string; fact: string; day: number } | undefined;
  for (const { name, fact, always } of program.pack.expiries) {
    const slot = program.vocabulary.slotOf(fact) ?? -1;
    const day = frame[slot];
    if (typeof day !== 'number' || !(always || read.has(slot))) continue;
    if (!earliest || day < earliest.day) earliest = { name, fact, day };
  }
  return earliest
    ? { name: earliest.name, fact: earliest.fact, date: formatDate(earliest.day) }
    : null;
}

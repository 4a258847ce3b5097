import { formatDate } from './calendar.ts';
import { compileCondition, type Scope, type Test } from './compile.ts';
import type { Condition } from './condition.ts';
import type { Citation, Concern, Effect, Layer, Texts } from './document.ts';
import { evaluate, type Verdict } from './evaluate.ts';
import type { Facts, FactSource, Frame } from './facts.ts';
import { type CodeSet, FALSE, TRUE, UNKNOWN } from './logic.ts';
import {
  type CompiledRule,
  compileRule,
  type Derivation,
  loadFacts,
  type Program,
  scopeOf,
} from './program.ts';

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

interface TracedRule {
  readonly rule: CompiledRule;
  readonly traced: CompiledRule;
  /** What is the same in each of its reasons. */
  readonly fixed: Omit<Reason, 'effect' | 'uncertain' | 'facts'>;
}

/** How a slot's value is shown. */
interface SlotView {
  readonly fact: string;
  readonly keys: readonly string[];
  readonly source: FactSource;
  /** An object's own slot says nothing where one of its members is shown. */
  readonly membersFrom: string | undefined;
}

interface Tracer {
  readonly rules: readonly TracedRule[];
  readonly views: readonly SlotView[];
  readonly derivations: ReadonlyMap<number, Derivation>;
  readonly scope: Scope;
  /** Of each condition that was ever unknown. */
  readonly blames: WeakMap<Condition, Blame>;
  /** Slots that the leaves of the rule at hand have read, in order. */
  reads: Set<number>;
  /** Of the case at hand, by slot: rules read the same facts again and again. */
  readings: Map<number, FactReading>;
}

/** Adds the slots that leave a condition unknown, and none if it is not. */
type Blame = (frame: Frame, slots: Set<number>) => void;

const tracers = new WeakMap<Program, Tracer>();

/**
 * Decides one case as `evaluate` does and says why. Facts are listed as the rules read them, in
 * the order of short circuits; a derived fact brings those that it was computed from.
 */
export function explain(program: Program, facts: Facts): Explanation {
  const frame = loadFacts(program, facts);
  const verdict = evaluate(program, frame);
  const tracer = tracerOf(program);
  tracer.readings = new Map();
  const reasons: Reason[] = [];
  const missing = new Set<number>();
  const readByApplicable = new Set<number>();
  const specs = program.vocabulary.specs.length;
  const readsOfRules = new Map<number, ReadonlySet<number>>();
  const missingOfRules = new Map<number, ReadonlySet<number>>();
  for (const { rule, traced, fixed } of tracer.rules) {
    tracer.reads = new Set();
    const applies = traced.applies(frame);
    const judged = applies === FALSE ? undefined : judge(traced, frame);
    const base = expand(tracer, tracer.reads, readsOfRules, frame);
    readsOfRules.set(rule.appliesSlot, base);
    readsOfRules.set(rule.holdsSlot, base);
    if (!judged) continue;
    const open = [...(applies === TRUE ? [] : [rule.rule.applies]), ...judged.open];
    const uncertain = open.length > 0;
    for (const slot of base) readByApplicable.add(slot);
    if (uncertain) {
      const blamed = expand(tracer, blame(tracer, open, frame), missingOfRules, frame);
      missingOfRules.set(rule.appliesSlot, blamed);
      for (const slot of blamed) if (slot < specs && isUnknown(frame[slot])) missing.add(slot);
    }
    const effect = judged.effect === 'permit' && uncertain ? 'review' : judged.effect;
    reasons.push({ ...fixed, effect, uncertain, facts: readings(tracer, facts, frame, base) });
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
    instruments: instrumentsOf(program, reasons),
  };
}

function tracerOf(program: Program): Tracer {
  const known = tracers.get(program);
  if (known) return known;
  const scope = scopeOf(program);
  const tracer: Tracer & { rules: TracedRule[] } = {
    rules: [],
    views: viewsOf(program),
    derivations: new Map(program.derivations.map((each) => [each.slot, each])),
    scope,
    blames: new WeakMap(),
    reads: new Set(),
    readings: new Map(),
  };
  const leaf =
    (test: Test, slots: readonly number[]): Test =>
    (frame) => {
      for (const slot of slots) tracer.reads.add(slot);
      return test(frame);
    };
  tracer.rules = program.rules.map((rule) => ({
    rule,
    traced: { ...rule, ...compileRule(rule.rule, scope, [], leaf) },
    fixed: fixedOf(rule),
  }));
  tracers.set(program, tracer);
  return tracer;
}

function viewsOf({ slotNames, vocabulary }: Program): SlotView[] {
  return slotNames.map((fact, slot) => {
    const spec = vocabulary.specs[slot];
    return {
      fact,
      keys: fact.split('.'),
      source: spec?.source ?? 'derived',
      membersFrom: spec?.type === 'object' ? `${fact}.` : undefined,
    };
  });
}

/** What `evaluate` does with a rule that may apply, and the condition that it could not settle. */
function judge(
  { rule, holds, then, outcomes }: CompiledRule,
  frame: Frame,
): { effect: Reason['effect']; open: readonly Condition[] } {
  const held = holds?.(frame);
  if (held === TRUE) return { effect: then ?? 'satisfied', open: [] };
  if (held === UNKNOWN) return { effect: 'review', open: rule.holds ? [rule.holds] : [] };
  for (const [i, { when, effect }] of outcomes.entries()) {
    const chosen = when ? when(frame) : TRUE;
    if (chosen === TRUE) return { effect, open: [] };
    const source = rule.outcomes[i]?.when;
    if (chosen === UNKNOWN) return { effect: 'review', open: source ? [source] : [] };
  }
  return { effect: 'satisfied', open: [] };
}

/** The slots that leave `conditions` unknown: not those that would change nothing. */
function blame(
  { scope, blames }: Tracer,
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

/** The base facts behind what was read: through derived facts, and through other rules. */
function expand(
  { derivations }: Tracer,
  reads: ReadonlySet<number>,
  rules: ReadonlyMap<number, ReadonlySet<number>>,
  frame: Frame,
): Set<number> {
  const base = new Set<number>();
  const visit = (slot: number): void => {
    const derivation = derivations.get(slot);
    if (derivation) {
      if (derivation.name !== 'home') base.add(slot);
      for (const each of derivation.reads) if (matters(frame, slot, each)) visit(each);
      return;
    }
    const ofRule = rules.get(slot);
    if (ofRule) for (const each of ofRule) base.add(each);
    else base.add(slot);
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
  { views, readings: known }: Tracer,
  facts: Facts,
  frame: Frame,
  slots: ReadonlySet<number>,
): FactReading[] {
  const shown: FactReading[] = [];
  for (const slot of slots) {
    const view = views[slot];
    if (!view || (view.membersFrom && hasMember(views, slots, view.membersFrom))) continue;
    let reading = known.get(slot);
    if (!reading) {
      const { fact, keys, source } = view;
      const value = source === 'derived' ? derivedValue(fact, frame[slot]) : valueAt(facts, keys);
      reading = { fact, value, source };
      known.set(slot, reading);
    }
    shown.push(reading);
  }
  return shown;
}

function hasMember(
  views: readonly SlotView[],
  slots: ReadonlySet<number>,
  prefix: string,
): boolean {
  for (const slot of slots) if (views[slot]?.fact.startsWith(prefix)) return true;
  return false;
}

function derivedValue(name: string, value: unknown): unknown {
  if (value === undefined) return null;
  if (name === 'today') return formatDate(value as number);
  return typeof value === 'object' && value !== null ? (value as CodeSet).items : value;
}

/** The value in explicit facts at a path; through a list, the members' values. */
function valueAt(facts: Facts, keys: readonly string[]): unknown {
  let value: unknown = facts;
  for (const key of keys) {
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

function fixedOf({ rule, document }: CompiledRule): TracedRule['fixed'] {
  return {
    rule: rule.id,
    policy: document.policy,
    layer: document.layer,
    concern: document.concern,
    title: rule.title,
    sentence: rule.sentence,
    citations: rule.cites,
  };
}

function instrumentsOf({ pack }: Program, reasons: readonly Reason[]): Record<string, Texts> {
  const cited: Record<string, Texts> = {};
  for (const { citations } of reasons) {
    for (const { instrument } of citations) {
      cited[instrument] ??= pack.instruments[instrument]?.title ?? { en: instrument };
    }
  }
  return cited;
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

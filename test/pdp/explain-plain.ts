import { compileCondition, type Scope } from '../../src/pdp/compile.ts';
import type { Condition } from '../../src/pdp/condition.ts';
import type { Rule } from '../../src/pdp/document.ts';
import { type Facts, isObject } from '../../src/pdp/facts.ts';
import { type CodeSet, FALSE, type Truth, TRUE, UNKNOWN } from '../../src/pdp/logic.ts';
import { type CompiledRule, loadFacts, type Program, scopeOf } from '../../src/pdp/program.ts';

type Effect = 'deny' | 'review' | 'permit' | 'oblige' | 'satisfied';

interface PlainReason {
  readonly rule: string;
  readonly effect: Effect;
  readonly uncertain: boolean;
  readonly facts: readonly { readonly fact: string; readonly value: unknown }[];
}

/**
 * A second reading of an explanation, as plain as can be: each leaf notes what it reads in a set,
 * sets are expanded one by one. Slow on purpose; reasons are in the order of the program.
 */
export function explainPlainly(
  program: Program,
  facts: Facts,
): { readonly reasons: readonly PlainReason[]; readonly missing: readonly string[] } {
  const plain = new PlainExplanation(program, facts);
  const reasons = program.rules.flatMap((rule) => plain.reason(rule));
  return { reasons, missing: [...plain.missing] };
}

class PlainExplanation {
  readonly missing = new Set<string>();
  readonly #program: Program;
  readonly #facts: Facts;
  readonly #scope: Scope;
  readonly #frame: unknown[];
  #reads = new Set<number>();
  /** By slot, the base facts that a rule has read, and those that left it open. */
  readonly #behind = new Map<number, ReadonlySet<number>>();
  readonly #blamed = new Map<number, ReadonlySet<number>>();

  constructor(program: Program, facts: Facts) {
    this.#program = program;
    this.#facts = facts;
    this.#scope = scopeOf(program);
    this.#frame = loadFacts(program, facts);
    for (const { slot, compute } of program.derivations) this.#frame[slot] = compute(this.#frame);
  }

  reason({ rule, appliesSlot, holdsSlot }: CompiledRule): PlainReason[] {
    this.#reads = new Set();
    const applies = this.#truth(rule.applies);
    const { effect, held, open } = applies === FALSE ? NOTHING : this.#judge(rule);
    this.#frame[appliesSlot] = applies;
    this.#frame[holdsSlot] = held === TRUE ? TRUE : FALSE;
    const base = this.#expand(this.#reads, this.#behind);
    for (const slot of [appliesSlot, holdsSlot]) this.#behind.set(slot, base);
    if (applies === FALSE) return [];
    const unsettled = [...(applies === TRUE ? [] : [rule.applies]), ...open];
    if (unsettled.length > 0) {
      const blamed = this.#expand(
        unsettled.flatMap((each) => this.#blame(each)),
        this.#blamed,
      );
      this.#blamed.set(appliesSlot, blamed);
      for (const slot of blamed) {
        const spec = this.#program.vocabulary.specs[slot];
        if (spec && this.#isUnknown(slot)) this.missing.add(spec.path);
      }
    }
    const isSure = unsettled.length === 0;
    return [
      {
        rule: rule.id,
        effect: effect === 'permit' && !isSure ? 'review' : effect,
        uncertain: !isSure,
        facts: this.#shown(base),
      },
    ];
  }

  #truth(condition: Condition): Truth {
    const test = compileCondition(condition, this.#scope, [], (leaf, slots) => (frame) => {
      for (const slot of slots) this.#reads.add(slot);
      return leaf(frame);
    });
    return test(this.#frame);
  }

  #judge({ holds, then, outcomes }: Rule): {
    effect: Effect;
    held: Truth | undefined;
    open: Condition[];
  } {
    const held = holds && this.#truth(holds);
    if (held === TRUE) return { effect: then ?? 'satisfied', held, open: [] };
    if (holds && held === UNKNOWN) return { effect: 'review', held, open: [holds] };
    for (const { when, effect } of outcomes) {
      const chosen = when ? this.#truth(when) : TRUE;
      if (chosen === TRUE) return { effect, held, open: [] };
      if (when && chosen === UNKNOWN) return { effect: 'review', held, open: [when] };
    }
    return { effect: 'satisfied', held, open: [] };
  }

  /** The slots of the leaves that are unknown in parts that are unknown. */
  #blame(condition: Condition): number[] {
    const read: number[] = [];
    const test = compileCondition(condition, this.#scope, [], (leaf, slots) => {
      read.push(...slots);
      return leaf;
    });
    if (test(this.#frame) !== UNKNOWN) return [];
    if (!('of' in condition)) return read;
    return [condition.of].flat().flatMap((part) => this.#blame(part));
  }

  #expand(slots: Iterable<number>, ofRules: ReadonlyMap<number, ReadonlySet<number>>): Set<number> {
    const base = new Set<number>();
    const visit = (slot: number): void => {
      const derivation = this.#program.derivations.find((each) => each.slot === slot);
      if (derivation?.name !== 'home' && !ofRules.has(slot)) base.add(slot);
      for (const each of derivation?.reads ?? [])
        if (this.#isUnknown(slot) || !this.#isUnknown(each)) visit(each);
      for (const each of ofRules.get(slot) ?? []) base.add(each);
    };
    for (const slot of slots) visit(slot);
    return base;
  }

  #isUnknown(slot: number): boolean {
    const value = this.#frame[slot];
    return value === undefined || (isObject(value) && (value as unknown as CodeSet).open);
  }

  /** An object is not shown beside its members. */
  #shown(slots: ReadonlySet<number>): { fact: string; value: unknown }[] {
    const { slotNames, vocabulary } = this.#program;
    const names = [...slots].map((slot) => slotNames[slot] ?? '');
    return names
      .filter(
        (name) =>
          vocabulary.get(name)?.type !== 'object' ||
          !names.some((other) => other.startsWith(`${name}.`)),
      )
      .map((fact) => ({ fact, value: this.#value(fact) }));
  }

  #value(name: string): unknown {
    const { slotNames, vocabulary } = this.#program;
    if (vocabulary.get(name)) return valueAt(this.#facts, name.split('.'));
    const value = this.#frame[slotNames.indexOf(name)] ?? null;
    if (name === 'today' && value !== null)
      return new Date(Number(value) * 86_400_000).toISOString().slice(0, 10);
    return isObject(value) ? (value as unknown as CodeSet).items : value;
  }
}

const NOTHING = { effect: 'satisfied', held: undefined, open: [] } as const;

function valueAt(value: unknown, [key, ...rest]: string[]): unknown {
  if (key === undefined) return value ?? null;
  if (Array.isArray(value)) return value.map((each: unknown) => valueAt(each, [key, ...rest]));
  return isObject(value) ? valueAt(value[key], rest) : null;
}

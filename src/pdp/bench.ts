import { type Clauses, clausesOf } from './clause.ts';
import type { Rule } from './document.ts';
import type { Facts, Frame } from './facts.ts';
import { frameOf, referredRules } from './frames.ts';
import type { CompiledRule, Program } from './program.ts';
import { conditionsOf, type Subject } from './subject.ts';

/** One value of a fact without which a rule does not apply. */
interface Key {
  readonly fact: string;
  readonly value: unknown;
}

function keyOf({ applies }: Rule): Key | undefined {
  for (const part of applies.kind === 'and' ? applies.of : [applies]) {
    if (part.kind !== 'compare' || part.operator !== 'eq' || !('constant' in part.right)) continue;
    const { constant: value } = part.right;
    if (typeof value === 'string' || typeof value === 'boolean') return { fact: part.fact, value };
  }
  return undefined;
}

/** Rules by what they read, so that a rule is held against few others; and frames to try them on. */
export class Bench {
  readonly #program: Program;
  readonly #clauses: Clauses;
  readonly #referred: readonly CompiledRule[];
  /** Rules that apply for one value of a fact only, by the fact and the value. */
  readonly #keyed = new Map<string, Map<unknown, Subject[]>>();
  /** The others, by the facts that they read. */
  readonly #byFact = new Map<string, Subject[]>();
  readonly #everywhere: Subject[] = [];

  constructor(program: Program, subjects: readonly Subject[]) {
    this.#program = program;
    this.#clauses = clausesOf(program);
    const conditions = program.rules.flatMap(({ rule }) => conditionsOf(rule));
    this.#referred = referredRules(program, conditions);
    for (const subject of subjects) this.#add(subject);
  }

  #add(subject: Subject): void {
    const key = keyOf(subject.rule);
    if (key) {
      const values = this.#keyed.get(key.fact) ?? new Map<unknown, Subject[]>();
      this.#keyed.set(key.fact, values);
      append(values, key.value, subject);
      return;
    }
    const facts = this.#factsOf(subject);
    if (facts.size === 0) this.#everywhere.push(subject);
    for (const fact of facts) append(this.#byFact, fact, subject);
  }

  #factsOf({ rule }: Subject): ReadonlySet<string> {
    return this.#clauses.factsOf({ kind: 'and', of: conditionsOf(rule) });
  }

  /** Those that may have an effect wherever it has one: they read its facts, or none at all. */
  *around(subject: Subject, frame: Frame): Generator<Subject> {
    yield* this.#everywhere;
    yield* this.#reading(this.#factsOf(subject));
    for (const [fact, values] of this.#keyed) {
      const slot = this.#clauses.scope.variables.get(fact)?.slot;
      if (slot !== undefined) yield* values.get(frame[slot]) ?? [];
    }
  }

  /** Those that may apply where it does, and read a fact that its `holds` reads. */
  *beside(subject: Subject): Generator<Subject> {
    const { holds } = subject.rule;
    if (!holds) return;
    const facts = this.#clauses.factsOf(holds);
    yield* this.#reading(facts);
    const key = keyOf(subject.rule);
    for (const [fact, values] of this.#keyed) {
      if (key?.fact === fact) yield* values.get(key.value) ?? [];
      else for (const group of values.values()) yield* group;
    }
  }

  *#reading(facts: ReadonlySet<string>): Generator<Subject> {
    const seen = new Set<Subject>();
    for (const fact of facts) {
      for (const other of this.#byFact.get(fact) ?? []) {
        if (seen.has(other)) continue;
        seen.add(other);
        yield other;
      }
    }
  }

  frame(facts: Facts): Frame {
    return frameOf(this.#program, facts, this.#referred);
  }
}

function append<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group) group.push(value);
  else groups.set(key, [value]);
}

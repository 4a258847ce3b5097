import { createHash } from 'node:crypto';
import {
  compileCondition,
  type Scope,
  type Test,
  type ValueType,
  type Variable,
} from './compile.ts';
import type { Condition } from './condition.ts';
import type { Effect, PackDocument, PolicyDocument, Rule } from './document.ts';
import type { RuleRunner } from './emit.ts';
import type { Facts, FactSpec, Frame, Vocabulary } from './facts.ts';
import { taxonomyOf } from './terms.ts';

/** A policy in a program, by its name and the SHA-256 (hex) of its document's bytes. */
export interface PolicyReference {
  readonly policy: string;
  readonly version: number;
  readonly sha256: string;
}

export interface CompiledRule {
  readonly rule: Rule;
  readonly document: PolicyDocument;
  readonly applies: Test;
  readonly holds: Test | undefined;
  readonly then: Effect | undefined;
  readonly outcomes: readonly { readonly when: Test | undefined; readonly effect: Effect }[];
  readonly appliesSlot: number;
  readonly holdsSlot: number;
}

/** A fact that is computed from others, into its own slot of the frame. */
export interface Derivation {
  readonly name: string;
  readonly slot: number;
  readonly compute: (frame: Frame) => unknown;
  /** The condition that it is the truth of, where it is one. */
  readonly condition?: Condition;
  /** Slots that it may read. */
  readonly reads: readonly number[];
}

/**
 * A pack and its policies, compiled once for many decisions. Nothing in it changes; it may be
 * shared by any number of callers.
 */
export interface Program {
  readonly pack: PackDocument;
  /** SHA-256 (hex) of the bytes of the pack's own file. */
  readonly packSha256: string;
  readonly policies: readonly PolicyReference[];
  readonly vocabulary: Vocabulary;
  readonly derivations: readonly Derivation[];
  /** All of them at once, for `evaluate`. */
  readonly derive: (frame: Frame) => void;
  /** In an order in which every rule comes after the rules that it refers to. */
  readonly rules: readonly CompiledRule[];
  /** The same rules in the same order, for `evaluate`. */
  readonly runners: readonly RuleRunner[];
  readonly width: number;
  readonly slotNames: readonly string[];
  /** Policies beside the pack's; `boundTo` picks those that a case is about. */
  readonly extensions: readonly Extension[];
}

/** One policy that is bound to some datasets, compiled against the program that it extends. */
export interface Extension {
  /** Its own rules alone; their slots begin where those of the program end. */
  readonly part: Program;
  /** The organisation whose datasets it is about; undefined for a national policy. */
  readonly owner: string | undefined;
  /** Is it about the dataset of a frame? Undefined: about every one. */
  readonly bound: Test | undefined;
}

/** The facts of one case in the program's form, with the facts of the pack itself (home). */
export function loadFacts(program: Program, facts: Facts): Frame {
  return program.vocabulary.load(facts, program.width);
}

/** SHA-256 of a text's UTF-8 bytes, in hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** The tests of a rule. */
export function compileRule(
  rule: Rule,
  scope: Scope,
  path: readonly (string | number)[],
): Pick<CompiledRule, 'applies' | 'holds' | 'outcomes'> {
  const compile = (condition: Condition, ...at: (string | number)[]): Test =>
    compileCondition(condition, scope, [...path, ...at]);
  return {
    applies: compile(rule.applies, 'applies'),
    holds: rule.holds && compile(rule.holds, 'holds'),
    outcomes: rule.outcomes.map(({ when, effect }, i) => ({
      when: when && compile(when, rule.holds ? 'otherwise' : 'outcome', i, 'when'),
      effect,
    })),
  };
}

/** The scope of a finished program, for readings that compile its rules again. */
export function scopeOf(program: Program): Scope {
  const slots = new Map(program.slotNames.map((name, slot) => [name, slot]));
  const variables = new Map<string, Variable>();
  for (const spec of program.vocabulary.specs) {
    const type = valueType(spec, program.vocabulary);
    variables.set(spec.path, { slot: slots.get(spec.path) ?? 0, type, spec });
  }
  for (const { name, slot } of program.derivations) {
    variables.set(name, { slot, type: derivedType(program, name) });
  }
  return {
    variables,
    rules: new Map(
      program.rules.map(({ rule, appliesSlot, holdsSlot }) => [
        rule.id,
        { applies: appliesSlot, holds: rule.holds ? holdsSlot : undefined },
      ]),
    ),
    groups: new Map(Object.entries(program.pack.place_groups)),
    taxonomy: taxonomyOf(program.pack),
  };
}

function derivedType(program: Program, name: string): ValueType {
  if (name === 'home') return 'string';
  if (name === 'today') return 'date';
  return program.pack.derived[name]?.union ? 'set' : 'boolean';
}

// A member of a list of objects is a set: the countries of the recipients.
export function valueType({ type, path }: FactSpec, vocabulary: Vocabulary): ValueType {
  if (vocabulary.get(path.slice(0, path.lastIndexOf('.')))?.type === 'list') return 'set';
  switch (type) {
    case 'boolean':
    case 'date':
    case 'datetime':
    case 'set':
    case 'object':
      return type;
    case 'integer':
    case 'number':
      return 'number';
    case 'list':
      return 'object';
    case 'text':
    case 'code':
    case 'enum':
    case 'country':
      return 'string';
  }
}

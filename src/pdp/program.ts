import { createHash } from 'node:crypto';
import { dayInZone } from './calendar.ts';
import {
  compileCondition,
  type Scope,
  type Test,
  type ValueType,
  type Variable,
} from './compile.ts';
import { type Condition, parseCondition, PolicyProblem } from './condition.ts';
import { emitDerivations, emitRules, type RuleRunner } from './emit.ts';
import type {
  Effect,
  FileProblem,
  Layer,
  PackDocument,
  Parsed,
  PolicyDocument,
  Rule,
  SourceFile,
} from './document.ts';
import { parsePack, parsePolicy } from './document.ts';
import { type Facts, type FactSpec, type Frame, Vocabulary } from './facts.ts';
import { type CodeSet, EMPTY_SET, FALSE, TRUE, type Truth, union, without } from './logic.ts';

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
}

/** A file of a pack: its name, for messages, and its exact text. */
export interface PackFile {
  readonly file: string;
  readonly text: string;
}

export type BuildResult =
  | { readonly ok: true; readonly program: Program }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/**
 * Compiles a pack from its files: the one that declares `pack:`, and policy documents.
 * Pure; every mistake of every file is reported, none is thrown.
 */
export function buildProgram(packFile: PackFile, policyFiles: readonly PackFile[]): BuildResult {
  const pack = parsePack(packFile.file, packFile.text);
  const policies = policyFiles.map(({ file, text }) => parsePolicy(file, text));
  const problems = [pack, ...policies].flatMap((parsed) => (parsed.ok ? [] : parsed.problems));
  if (!pack.ok || problems.length > 0) return { ok: false, problems };
  const sources = policies.flatMap((parsed: Parsed<PolicyDocument>) =>
    parsed.ok ? [parsed.source] : [],
  );
  const hashes = policyFiles.map(({ text }) => sha256(text));
  const references = sources.map(({ content }, i) => ({
    policy: content.policy,
    version: content.version,
    sha256: hashes[i] ?? '',
  }));
  return new Builder(pack.source, sources).build(references, sha256(packFile.text));
}

/** The facts of one case in the program's form, with the facts of the pack itself (home). */
export function loadFacts(program: Program, facts: Facts): Frame {
  return program.vocabulary.load(facts, program.width);
}

/** SHA-256 of a text's UTF-8 bytes, in hex. */
export function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

const MAX_PROBLEMS = 50;
const BUILT_IN = ['home', 'today'] as const;

class Builder {
  readonly #pack: SourceFile<PackDocument>;
  readonly #sources: readonly SourceFile<PolicyDocument>[];
  readonly #problems: FileProblem[] = [];
  readonly #variables = new Map<string, Variable>();
  readonly #slotNames: string[] = [];
  readonly #derivations: Derivation[] = [];
  readonly #ruleSlots = new Map<string, { applies: number; holds: number | undefined }>();
  readonly #broader: ReadonlyMap<string, readonly string[]>;
  readonly #vocabulary: Vocabulary;

  constructor(pack: SourceFile<PackDocument>, sources: readonly SourceFile<PolicyDocument>[]) {
    this.#pack = pack;
    this.#sources = sources;
    this.#vocabulary = new Vocabulary(
      Object.entries(pack.content.facts).map(([path, spec]) => ({ path, ...spec })),
      Object.keys({ ...pack.content.purposes, ...pack.content.sectors }),
    );
    this.#broader = closure({ ...pack.content.purposes, ...pack.content.sectors });
  }

  build(policies: readonly PolicyReference[], packSha256: string): BuildResult {
    this.#declareFacts();
    this.#declareDerived();
    this.#checkExpiries();
    for (const source of this.#sources) this.#checkDocument(source);
    const ordered = this.#declareRules();
    const rules = ordered.flatMap((entry) => this.#compileRule(entry));
    if (this.#problems.length > 0)
      return { ok: false, problems: this.#problems.slice(0, MAX_PROBLEMS) };
    const runners = emitRules(
      rules.map(({ rule, appliesSlot, holdsSlot }) => ({ rule, appliesSlot, holdsSlot, path: [] })),
      this.#scope(),
    );
    const program: Program = {
      pack: this.#pack.content,
      packSha256,
      policies,
      vocabulary: this.#vocabulary,
      derivations: this.#derivations,
      derive: emitDerivations(this.#derivations, this.#scope()),
      rules,
      runners,
      width: this.#slotNames.length,
      slotNames: this.#slotNames,
    };
    return { ok: true, program };
  }

  #scope(): Scope {
    return {
      variables: this.#variables,
      rules: this.#ruleSlots,
      groups: new Map(Object.entries(this.#pack.content.place_groups)),
      broader: this.#broader,
    };
  }

  #slot(name: string): number {
    return this.#slotNames.push(name) - 1;
  }

  #packProblem(path: readonly (string | number)[], message: string): void {
    this.#problems.push(this.#pack.problemAt(path, message));
  }

  #declareFacts(): void {
    for (const spec of this.#vocabulary.specs) {
      this.#variables.set(spec.path, {
        slot: this.#slot(spec.path),
        type: valueType(spec, this.#vocabulary),
        spec,
      });
      const needsValues = spec.type === 'enum' || spec.of === 'enum';
      if (needsValues && !spec.values)
        this.#packProblem(['facts', spec.path], 'an enum needs "values"');
      if (spec.type === 'set' && !spec.of)
        this.#packProblem(['facts', spec.path], 'a set needs "of"');
    }
  }

  #declareDerived(): void {
    const { home, timezone, derived } = this.#pack.content;
    const homeSlot = this.#slot('home');
    this.#variables.set('home', { slot: homeSlot, type: 'string' });
    this.#derivations.push({ name: 'home', slot: homeSlot, compute: () => home, reads: [] });
    this.#declareToday(timezone);
    for (const [name, spec] of Object.entries(derived)) {
      if ((BUILT_IN as readonly string[]).includes(name) || name.includes('.')) {
        this.#packProblem(['derived', name], `"${name}" is taken`);
        continue;
      }
      try {
        this.#declareOne(name, spec);
      } catch (error) {
        if (!(error instanceof PolicyProblem)) throw error;
        this.#packProblem(error.path, error.message);
      }
    }
  }

  #declareToday(timezone: string): void {
    const asOf = this.#variables.get('request.as_of');
    if (asOf?.type !== 'datetime') {
      this.#packProblem(['facts'], 'a pack needs the fact request.as_of, of type datetime');
      return;
    }
    const slot = this.#slot('today');
    this.#variables.set('today', { slot, type: 'date' });
    try {
      const day = dayInZone(timezone);
      const compute = (frame: Frame): number | undefined => {
        const instant = frame[asOf.slot];
        return typeof instant === 'number' ? day(instant) : undefined;
      };
      this.#derivations.push({ name: 'today', slot, compute, reads: [asOf.slot] });
    } catch {
      this.#packProblem(['timezone'], `there is no time zone "${timezone}"`);
    }
  }

  #declareOne(name: string, spec: PackDocument['derived'][string]): void {
    const path = ['derived', name];
    if (spec.condition !== undefined) {
      const condition = parseCondition(spec.condition, [...path, 'condition']);
      const test = compileCondition(condition, this.#scope(), [...path, 'condition']);
      const slot = this.#slot(name);
      this.#variables.set(name, { slot, type: 'boolean' });
      const compute = (frame: Frame): boolean | undefined => BOOLEANS[test(frame)];
      const reads = conditionFacts(condition).map((fact) => this.#variables.get(fact)?.slot ?? 0);
      this.#derivations.push({ name, slot, compute, condition, reads });
      return;
    }
    if (!spec.union) throw new PolicyProblem(path, 'a derived fact has a "condition" or a "union"');
    let of: FactSpec | undefined;
    const slots = spec.union.map((fact, i) => {
      const variable = this.#variables.get(fact);
      if (variable?.type !== 'set')
        throw new PolicyProblem([...path, 'union', i], `${fact} is no set`);
      of = variable.spec;
      return variable.slot;
    });
    const home = spec.without_home ? this.#pack.content.home : undefined;
    const slot = this.#slot(name);
    // Constants are checked as those of the facts that it unites.
    this.#variables.set(name, { slot, type: 'set', ...(of ? { spec: of } : {}) });
    const compute = (frame: Frame): CodeSet => {
      let all = EMPTY_SET;
      for (const from of slots) all = union(all, without(frame[from] as CodeSet, home));
      return all;
    };
    this.#derivations.push({ name, slot, compute, reads: slots });
  }

  #checkExpiries(): void {
    this.#pack.content.expiries.forEach(({ fact }, i) => {
      const path = ['expiries', i, 'fact'];
      const variable = this.#variables.get(fact);
      if (!variable) this.#packProblem(path, `there is no fact "${fact}"`);
      else if (variable.type !== 'date') this.#packProblem(path, `${fact} is no date`);
    });
  }

  /** Gives each rule its slots and puts rules after those that they refer to. */
  #declareRules(): RuleEntry[] {
    const entries = new Map<string, RuleEntry>();
    for (const source of this.#sources) {
      source.content.rules.forEach((rule, index) => {
        const path = ['rules', index] as const;
        if (entries.has(rule.id)) {
          this.#problems.push(
            source.problemAt([...path, 'id'], `there is another rule ${rule.id}`),
          );
          return;
        }
        entries.set(rule.id, { rule, source, path });
        const applies = this.#slot(`${rule.id} applies`);
        const holds = this.#slot(`${rule.id} holds`);
        this.#ruleSlots.set(rule.id, { applies, holds: rule.holds ? holds : undefined });
      });
    }
    return this.#inOrder(entries);
  }

  #inOrder(entries: ReadonlyMap<string, RuleEntry>): RuleEntry[] {
    const ordered: RuleEntry[] = [];
    const state = new Map<string, 'open' | 'done'>();
    // The rules under way, each referred to by the one before: a chain may be longer than the stack.
    const chain: { entry: RuleEntry; references: Iterator<string> }[] = [];
    const open = (entry: RuleEntry): void => {
      const { id } = entry.rule;
      if (state.get(id) === 'open') {
        const message = `${id} refers to itself in a circle`;
        this.#problems.push(entry.source.problemAt(entry.path, message));
      }
      if (state.has(id)) return;
      state.set(id, 'open');
      chain.push({ entry, references: ruleReferences(entry.rule).values() });
    };
    for (const entry of entries.values()) {
      open(entry);
      for (let last = chain.at(-1); last; last = chain.at(-1)) {
        const next = last.references.next();
        const target = next.done ? undefined : entries.get(next.value);
        if (target) open(target);
        if (!next.done) continue;
        state.set(last.entry.rule.id, 'done');
        ordered.push(last.entry);
        chain.pop();
      }
    }
    return ordered;
  }

  #compileRule({ rule, source, path }: RuleEntry): CompiledRule[] {
    // Each wrong name is compared with every right one, to say what was meant.
    if (this.#problems.length >= MAX_PROBLEMS) return [];
    this.#checkRule({ rule, source, path });
    const slots = this.#ruleSlots.get(rule.id);
    try {
      const compiled = compileRule(rule, this.#scope(), path);
      return [
        {
          ...compiled,
          rule,
          document: source.content,
          then: rule.then,
          appliesSlot: slots?.applies ?? 0,
          holdsSlot: (slots?.applies ?? 0) + 1,
        },
      ];
    } catch (error) {
      if (!(error instanceof PolicyProblem)) throw error;
      this.#problems.push(source.problemAt(error.path, error.message));
      return [];
    }
  }

  #kindOf(instrument: string): string | undefined {
    const { instruments } = this.#pack.content;
    return Object.hasOwn(instruments, instrument) ? instruments[instrument]?.kind : undefined;
  }

  #checkDocument(source: SourceFile<PolicyDocument>): void {
    const { instrument, layer } = source.content;
    const kind = this.#kindOf(instrument);
    if (kind === undefined) {
      const message = `there is no instrument "${instrument}" in the pack`;
      this.#problems.push(source.problemAt(['instrument'], message));
    } else if (isChoice(layer) && isLaw(kind)) {
      this.#problems.push(
        source.problemAt(['instrument'], 'a national choice must not rest on a law'),
      );
    }
  }

  /** What a rule may not do because of where it comes from. */
  #checkRule({ rule, source, path }: RuleEntry): void {
    const say = (key: string, message: string): void => {
      this.#problems.push(source.problemAt([...path, key], message));
    };
    const { layer } = source.content;
    const kinds = rule.cites.map(({ instrument }, i) => {
      const kind = this.#kindOf(instrument);
      if (kind === undefined)
        this.#problems.push(
          source.problemAt(
            [...path, 'cites', i, 'instrument'],
            `there is no instrument "${instrument}" in the pack`,
          ),
        );
      return kind;
    });
    if (isChoice(layer) && kinds.some(isLaw)) {
      say('cites', 'a national choice must not be cited as law');
    }
    const effects = [rule.then, ...rule.outcomes.map(({ effect }) => effect)];
    const unconfirmed = rule.cites.every(({ confidence }) => confidence === 'not_confirmed');
    if (unconfirmed && effects.some((effect) => effect === 'deny' || effect === 'permit')) {
      say('cites', 'a rule whose source is not confirmed may only ask for review or oblige');
    }
    if (effects.includes('oblige') && !rule.obligation) {
      say('id', 'a rule that obliges says what must be done: "obligation" is missing');
    }
    const due = rule.obligation?.due;
    if (typeof due === 'object' && this.#variables.get(due.fact)?.type !== 'date') {
      say('obligation', `"due" names a date, not "${due.fact}"`);
    }
  }
}

function isChoice(layer: Layer): boolean {
  return layer === 'national_choice' || layer === 'steward';
}

function isLaw(kind: string | undefined): boolean {
  return kind === 'statute' || kind === 'regulation';
}

interface RuleEntry {
  readonly rule: Rule;
  readonly source: SourceFile<PolicyDocument>;
  readonly path: readonly (string | number)[];
}

const BOOLEANS: Record<Truth, boolean | undefined> = { [FALSE]: false, 1: undefined, [TRUE]: true };

/** The tests of a rule. */
function compileRule(
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
    broader: closure({ ...program.pack.purposes, ...program.pack.sectors }),
  };
}

function derivedType(program: Program, name: string): ValueType {
  if (name === 'home') return 'string';
  if (name === 'today') return 'date';
  return program.pack.derived[name]?.union ? 'set' : 'boolean';
}

// A member of a list of objects is a set: the countries of the recipients.
function valueType({ type, path }: FactSpec, vocabulary: Vocabulary): ValueType {
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

/** Every fact that a condition may read. */
function conditionFacts(condition: Condition): string[] {
  switch (condition.kind) {
    case 'constant':
    case 'applies':
    case 'holds':
      return [];
    case 'exists':
    case 'nonempty':
      return [condition.fact];
    case 'not':
      return conditionFacts(condition.of);
    case 'and':
    case 'or':
    case 'xone':
      return condition.of.flatMap(conditionFacts);
    case 'compare':
      return 'fact' in condition.right ? [condition.fact, condition.right.fact] : [condition.fact];
  }
}

function ruleReferences(rule: Rule): string[] {
  const found: string[] = [];
  const walk = (condition: Condition): void => {
    if (condition.kind === 'applies' || condition.kind === 'holds') found.push(condition.rule);
    else if (condition.kind === 'not') walk(condition.of);
    else if ('of' in condition) condition.of.forEach(walk);
  };
  walk(rule.applies);
  if (rule.holds) walk(rule.holds);
  for (const { when } of rule.outcomes) if (when) walk(when);
  return found;
}

/** For each term its transitive closure of broader terms, itself first. */
function closure(
  terms: Readonly<Record<string, { broader?: readonly string[] }>>,
): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.keys(terms).map((term) => {
      const seen = new Set([term]);
      for (const each of seen) for (const wider of terms[each]?.broader ?? []) seen.add(wider);
      return [term, [...seen]];
    }),
  );
}

import { dayInZone } from './calendar.ts';
import { compileCondition, type Scope, type Variable } from './compile.ts';
import {
  type Condition,
  conditionFacts,
  conditionRules,
  parseCondition,
  PolicyProblem,
} from './condition.ts';
import type {
  Citation,
  Complete,
  FileProblem,
  Layer,
  PackDocument,
  PolicyDocument,
  Rule,
  SourceFile,
} from './document.ts';
import { parsePack, parsePolicy } from './document.ts';
import { emitDerivations, emitRules } from './emit.ts';
import { remedyProblems } from './levers.ts';
import { type FactSpec, type Frame, Vocabulary } from './facts.ts';
import { type CodeSet, EMPTY_SET, FALSE, TRUE, type Truth, union, without } from './logic.ts';
import type { Taxonomy } from './taxonomy.ts';
import { canonicalCondition, taxonomyOf, termProblems } from './terms.ts';
import {
  type CompiledRule,
  compileRule,
  type Derivation,
  type Extension,
  type PolicyReference,
  type Program,
  scopeOf,
  sha256,
  valueType,
} from './program.ts';

/** A file of a pack: its name, for messages, and its exact text. */
export interface PackFile {
  readonly file: string;
  readonly text: string;
}

export type Built<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

/**
 * Compiles a pack from its files: the one that declares `pack:`, and policy documents.
 * Pure; every mistake of every file is reported, none is thrown.
 */
export function buildProgram(
  packFile: PackFile,
  policyFiles: readonly PackFile[],
  complete?: Complete,
): Built<Program> {
  const pack = parsePack(packFile.file, packFile.text);
  const sources: SourceFile<PolicyDocument>[] = [];
  const names: PolicyReference[] = [];
  const problems = pack.ok ? [] : [...pack.problems];
  for (const { file, text } of policyFiles) {
    const policy = parsePolicy(file, text, complete);
    if (policy.ok) {
      sources.push(policy.source);
      names.push(referenceOf(policy.source, text));
    } else problems.push(...policy.problems);
  }
  if (!pack.ok || problems.length > 0) return { ok: false, problems };
  return new Builder(pack.source, sources).build(names, sha256(packFile.text));
}

/**
 * Compiles one policy against a program: it may read the program's facts and refer to its rules.
 * Its slots begin where the program's end, so the slots of two extensions overlap: their rules run
 * one extension after the other.
 */
export function buildExtension(base: Program, { file, text }: PackFile): Built<Extension> {
  const parsed = parsePolicy(file, text);
  if (!parsed.ok) return parsed;
  const { source } = parsed;
  const pack: SourceFile<PackDocument> = {
    file: base.pack.pack,
    content: base.pack,
    problemAt: (_path, message) => ({ file: base.pack.pack, line: 1, column: 1, message }),
  };
  const built = new Builder(pack, [source], base).build(
    [referenceOf(source, text)],
    base.packSha256,
  );
  if (!built.ok) return built;
  const { owner, target } = source.content;
  const scope = scopeOf(base);
  const named = target && canonicalIn(scope, target);
  const bound = named && compileCondition(named, scope, []);
  return { ok: true, value: { part: built.value, owner, bound } };
}

function referenceOf({ content }: SourceFile<PolicyDocument>, text: string): PolicyReference {
  return { policy: content.policy, version: content.version, sha256: sha256(text) };
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
  readonly #taxonomy: Taxonomy;
  readonly #vocabulary: Vocabulary;
  readonly #base: Program | undefined;
  /** Policies with a mistake in their target: it is said once, and not of each rule. */
  readonly #astray = new Set<SourceFile<PolicyDocument>>();

  constructor(
    pack: SourceFile<PackDocument>,
    sources: readonly SourceFile<PolicyDocument>[],
    base?: Program,
  ) {
    this.#pack = pack;
    this.#sources = sources;
    this.#base = base;
    this.#taxonomy = taxonomyOf(pack.content);
    this.#vocabulary =
      base?.vocabulary ??
      new Vocabulary(
        Object.entries(pack.content.facts).map(([path, spec]) => ({ path, ...spec })),
        this.#taxonomy,
      );
  }

  build(policies: readonly PolicyReference[], packSha256: string): Built<Program> {
    if (this.#base) this.#declareAll(this.#base);
    else this.#declarePack();
    for (const source of this.#sources) this.#checkDocument(source);
    const ordered = this.#declareRules();
    const rules = ordered.flatMap((entry) => this.#compileRule(entry));
    if (this.#problems.length > 0)
      return { ok: false, problems: this.#problems.slice(0, MAX_PROBLEMS) };
    const runners = emitRules(rules, this.#scope());
    const program: Program = {
      pack: this.#pack.content,
      packSha256,
      policies,
      vocabulary: this.#vocabulary,
      derivations: this.#base?.derivations ?? this.#derivations,
      derive: this.#base?.derive ?? emitDerivations(this.#derivations, this.#scope()),
      rules,
      runners,
      width: this.#slotNames.length,
      slotNames: this.#slotNames,
      extensions: [],
    };
    return { ok: true, value: program };
  }

  #declarePack(): void {
    this.#problems.push(...termProblems(this.#pack));
    this.#declareFacts();
    this.#declareDerived();
    this.#checkExpiries();
    this.#checkRecordOfProcessing();
    this.#checkRetention();
    this.#checkRemedies();
  }

  /** Facts, derived facts and rules of a program that is built already. */
  #declareAll(base: Program): void {
    const { variables, rules } = scopeOf(base);
    for (const [name, variable] of variables) this.#variables.set(name, variable);
    for (const [name, { union: of }] of Object.entries(base.pack.derived)) {
      const variable = this.#variables.get(name);
      const spec = of?.map((fact) => this.#variables.get(fact)?.spec).at(-1);
      // Constants are checked as those of the facts that it unites.
      if (variable && spec) this.#variables.set(name, { ...variable, spec });
    }
    for (const [id, slots] of rules) this.#ruleSlots.set(id, slots);
    this.#slotNames.push(...base.slotNames);
  }

  #scope(): Scope {
    return {
      variables: this.#variables,
      rules: this.#ruleSlots,
      groups: new Map(Object.entries(this.#pack.content.place_groups)),
      taxonomy: this.#taxonomy,
    };
  }

  #slot(name: string): number {
    return this.#slotNames.push(name) - 1;
  }

  /** What `work` gives; a mistake that it throws is noted, as one of `source`, and gives nothing. */
  #noting<T>(source: SourceFile<unknown>, work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof PolicyProblem)) throw error;
      this.#problems.push(source.problemAt(error.path, error.message));
      return undefined;
    }
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
      if (spec.terms !== undefined && !this.#taxonomy.termsOf(spec.terms))
        this.#packProblem(['facts', spec.path, 'terms'], `there is no list "${spec.terms}"`);
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
      this.#noting(this.#pack, () => this.#declareOne(name, spec));
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
      if (this.#named(condition) !== condition)
        throw new PolicyProblem([...path, 'condition'], "name terms by the pack's own codes");
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

  #checkRecordOfProcessing(): void {
    const { record_of_processing: record, instruments } = this.#pack.content;
    const check = (at: readonly (string | number)[], cites: readonly Citation[]): void =>
      cites.forEach(({ instrument }, i) => {
        if (!Object.hasOwn(instruments, instrument))
          this.#packProblem([...at, 'cites', i, 'instrument'], `no instrument "${instrument}"`);
      });
    const at = ['record_of_processing'];
    check(at, record?.cites ?? []);
    record?.sections.forEach(({ cites, facts }, i) => {
      check([...at, 'sections', i], cites);
      facts.forEach((fact, k) => {
        if (!this.#vocabulary.has(fact))
          this.#packProblem([...at, 'sections', i, 'facts', k], `there is no fact "${fact}"`);
      });
    });
  }

  #checkRetention(): void {
    const { retention } = this.#pack.content;
    if (!retention) return;
    const { cites, open_request, erasure } = retention;
    const all = [
      { cites, path: ['retention', 'cites'] },
      ...(open_request
        ? [{ cites: open_request.cites, path: ['retention', 'open_request', 'cites'] }]
        : []),
      ...Object.entries(erasure).map(([reason, ground]) => ({
        cites: ground.cites,
        path: ['retention', 'erasure', reason, 'cites'],
      })),
    ];
    for (const { cites: each, path } of all) {
      for (const [i, { instrument }] of each.entries()) {
        if (this.#kindOf(instrument) !== undefined) continue;
        this.#packProblem(
          [...path, i, 'instrument'],
          `there is no instrument "${instrument}" in the pack`,
        );
      }
    }
  }

  #checkRemedies(): void {
    for (const { path, message } of remedyProblems(this.#vocabulary))
      this.#packProblem(path, message);
    for (const { path, remedies } of this.#vocabulary.specs) {
      for (const [i, { when }] of (remedies ?? []).entries()) {
        if (when === undefined) continue;
        const at = ['facts', path, 'remedies', i, 'when'];
        this.#noting(this.#pack, () =>
          compileCondition(parseCondition(when, at), this.#scope(), at),
        );
      }
    }
  }

  /** Gives each rule its slots and puts rules after those that they refer to. */
  #declareRules(): RuleEntry[] {
    const entries = new Map<string, RuleEntry>();
    for (const source of this.#sources) {
      source.content.rules.forEach((rule, index) => {
        const path = ['rules', index] as const;
        if (this.#ruleSlots.has(rule.id)) {
          this.#problems.push(
            source.problemAt([...path, 'id'], `there is another rule ${rule.id}`),
          );
          return;
        }
        const applies = this.#slot(`${rule.id} applies`);
        const holds = this.#slot(`${rule.id} holds`);
        entries.set(rule.id, { rule, source, path, appliesSlot: applies, holdsSlot: holds });
        this.#ruleSlots.set(rule.id, { applies, holds: rule.holds ? holds : undefined });
      });
    }
    return this.#inOrder(entries);
  }

  #inOrder(entries: ReadonlyMap<string, RuleEntry>): RuleEntry[] {
    const ordered: RuleEntry[] = [];
    const begun = new Set<string>();
    const underWay = new Set<string>();
    // The rules under way, each referred to by the one before: a chain may be longer than the stack.
    const chain: { entry: RuleEntry; references: Iterator<string> }[] = [];
    const open = (entry: RuleEntry): void => {
      const { id } = entry.rule;
      if (underWay.has(id)) {
        const message = `${id} refers to itself in a circle`;
        this.#problems.push(entry.source.problemAt(entry.path, message));
      }
      if (begun.has(id)) return;
      begun.add(id);
      underWay.add(id);
      chain.push({ entry, references: ruleReferences(entry.rule).values() });
    };
    for (const entry of entries.values()) {
      open(entry);
      for (let last = chain.at(-1); last; last = chain.at(-1)) {
        const next = last.references.next();
        const target = next.done ? undefined : entries.get(next.value);
        if (target) open(target);
        if (!next.done) continue;
        underWay.delete(last.entry.rule.id);
        ordered.push(last.entry);
        chain.pop();
      }
    }
    return ordered;
  }

  #named(condition: Condition): Condition {
    return canonicalIn(this.#scope(), condition);
  }

  #compileRule({ rule: asWritten, source, path, ...slots }: RuleEntry): CompiledRule[] {
    const rule = namedRule(asWritten, (condition) => this.#named(condition));
    // Each wrong name is compared with every right one, to say what was meant.
    if (this.#problems.length >= MAX_PROBLEMS) return [];
    this.#checkRule(rule, source, path);
    const { target: writtenTarget } = source.content;
    const target = writtenTarget && this.#named(writtenTarget);
    // First as it is written, so that a mistake is found where it stands.
    const written = this.#noting(source, () => compileRule(rule, this.#scope(), path));
    if (!written) return [];
    const common = { document: source.content, then: rule.then, ...slots };
    if (!target || this.#astray.has(source)) return [{ ...written, rule, ...common }];
    const guarded: Rule = { ...rule, applies: { kind: 'and', of: [target, rule.applies] } };
    return [{ ...compileRule(guarded, this.#scope(), path), rule: guarded, ...common }];
  }

  #kindOf(instrument: string): string | undefined {
    const { instruments } = this.#pack.content;
    return Object.hasOwn(instruments, instrument) ? instruments[instrument]?.kind : undefined;
  }

  #checkDocument(source: SourceFile<PolicyDocument>): void {
    const { instrument, layer, owner, target } = source.content;
    if (owner !== undefined && this.#vocabulary.get('dataset.publisher')?.absent !== 'none') {
      const message = 'policies with an owner need the fact dataset.publisher, with "absent: none"';
      this.#problems.push(source.problemAt(['owner'], message));
      this.#astray.add(source);
    } else if (target) {
      this.#checkTarget(source, target);
    }
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

  /** A target is about the dataset alone: it is known before anything is asked. */
  #checkTarget(source: SourceFile<PolicyDocument>, target: Condition): void {
    const isRight = this.#noting(source, () => {
      compileCondition(target, this.#scope(), ['target']);
      const other = conditionFacts(target).find((fact) => !fact.startsWith('dataset.'));
      if (other !== undefined)
        throw new PolicyProblem(['target'], `a target reads facts of the dataset, not ${other}`);
      if (conditionRules(target).length > 0)
        throw new PolicyProblem(['target'], 'a target refers to no rules');
      return true;
    });
    if (!isRight) this.#astray.add(source);
  }

  /** What a rule may not do because of where it comes from. */
  #checkRule(
    rule: Rule,
    source: SourceFile<PolicyDocument>,
    path: readonly (string | number)[],
  ): void {
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

function canonicalIn({ variables, taxonomy }: Scope, condition: Condition): Condition {
  return canonicalCondition(condition, (fact) => variables.get(fact)?.spec?.terms, taxonomy);
}

/** A rule whose conditions name terms by their codes. */
function namedRule(rule: Rule, named: (condition: Condition) => Condition): Rule {
  const { applies, holds, outcomes } = rule;
  return {
    ...rule,
    applies: named(applies),
    ...(holds && { holds: named(holds) }),
    outcomes: outcomes.map((outcome) => ({
      ...outcome,
      ...(outcome.when && { when: named(outcome.when) }),
    })),
  };
}

interface RuleEntry {
  readonly rule: Rule;
  readonly source: SourceFile<PolicyDocument>;
  readonly path: readonly (string | number)[];
  readonly appliesSlot: number;
  readonly holdsSlot: number;
}

const BOOLEANS: Record<Truth, boolean | undefined> = { [FALSE]: false, 1: undefined, [TRUE]: true };

function ruleReferences(rule: Rule): string[] {
  return [rule.applies, rule.holds, ...rule.outcomes.map(({ when }) => when)].flatMap(
    (condition) => (condition ? conditionRules(condition) : []),
  );
}

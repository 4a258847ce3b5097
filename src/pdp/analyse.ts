import { Bench } from './bench.ts';
import { clausesOf } from './clause.ts';
import type { Condition } from './condition.ts';
import type { Effect, PolicyDocument } from './document.ts';
import type { Facts, Frame } from './facts.ts';
import { FALSE, TRUE } from './logic.ts';
import type { Program } from './program.ts';
import { type Goal, type Satisfaction, satisfy } from './satisfy.ts';
import {
  effectIn,
  effectOf,
  hasEffect,
  type Path,
  type Region,
  regionsOf,
  type Subject,
} from './subject.ts';
import { wordsOf } from './wording.ts';

export type FindingKind =
  /** No request meets `applies`. */
  | 'never_applies'
  /** An outcome that permits cannot be reached. */
  | 'never_permits'
  /** Another outcome cannot be reached. */
  | 'dead_outcome'
  /** Every request that the rule is about is denied; or every request there is. */
  | 'always_denies'
  /** Constraints side by side that no request meets at once. */
  | 'constraints_conflict'
  /** A constraint that is never false, by itself or beside the others. */
  | 'redundant'
  /** Whatever the rule says, another has said already. */
  | 'shadowed'
  /** No request about which both rules speak satisfies both. */
  | 'contradicts'
  /** Not everything was looked at. */
  | 'limited';

/** A mistake, or what looks like one, in a policy that no single request would show. */
export interface Finding {
  readonly kind: FindingKind;
  readonly severity: 'error' | 'warning' | 'hint';
  readonly policy: string;
  readonly rule?: string;
  /** The rule that shadows or contradicts it. */
  readonly other?: string;
  /** Into the policy's document: keys and indices. */
  readonly path: readonly (string | number)[];
  /** Paths of the constraints that are meant, where there are several. */
  readonly parts?: readonly (readonly (string | number)[])[];
  /** Plain English, for the steward. */
  readonly sentence: string;
  /** Facts of a request that shows it: both rules speak of it. */
  readonly witness?: Facts;
}

export interface AnalyseOptions {
  /** Look at the rules of this policy only, beside all others; if not given, at all. */
  readonly policy?: string;
  /** Work at most, in the steps of `satisfy`; 1,500,000 if not given, about a second. */
  readonly limit?: number;
}

const DEFAULT_WORK = 1_500_000;
/** For one question; few are left open by it. */
const STEPS_A_QUESTION = 5000;
// Facts are written, loaded and evaluated, whatever was asked.
const STEPS_OF_ASKING = 40;
// To try a rule on facts that another is about costs far less than a question.
const MAX_LOOKS = 500_000;
const MAX_FINDINGS = 500;
// A rule that contradicts many is the mistake itself.
const MAX_PARTNERS = 3;
// Each constraint is held against its siblings.
const MAX_SIBLINGS = 16;

/** Where it stands in the document: a rule's "applies" was joined with the policy's target. */
function written({ owner, target }: PolicyDocument, path: Path): Path {
  const [, , key, and, branch, ...rest] = path;
  if (!target || key !== 'applies' || and !== 'and') return path;
  if (branch === 1) return [...path.slice(0, 3), ...rest];
  if (owner === undefined) return ['target', ...rest];
  return rest[0] === 'and' && rest[1] === 1 ? ['target', ...rest.slice(2)] : ['owner'];
}

/**
 * What is wrong with policies before anybody sends a request: rules that never matter, cannot be
 * satisfied, or contradict one another. Pure. Every finding is proved over all explicit facts
 * that are known in full; what is not found within the limits is said with a finding `limited`.
 */
export function analyse(program: Program, options: AnalyseOptions = {}): Finding[] {
  return new Analyser(program, options).run();
}

class Analyser {
  readonly #program: Program;
  readonly #policy: string | undefined;
  readonly #findings: Finding[] = [];
  #work: number;
  #looks = MAX_LOOKS;
  #isLimited = false;

  constructor(program: Program, { policy, limit = DEFAULT_WORK }: AnalyseOptions) {
    this.#program = program;
    this.#policy = policy;
    this.#work = limit;
  }

  run(): Finding[] {
    const subjects = this.#subjects();
    const own = subjects.filter(({ document }) => this.#isOwn(document));
    const alive = own.filter((subject) => this.#checkRule(subject));
    if (!this.#policy) this.#stage(() => this.#checkWhole(subjects));
    this.#stage(() => this.#checkContradictions(alive, subjects));
    this.#stage(() => this.#checkShadows(alive, subjects));
    for (const subject of alive) this.#checkRedundant(subject);
    const first = own[0] ?? subjects[0];
    if (this.#isLimited && first) {
      this.#findings.push({
        kind: 'limited',
        severity: 'hint',
        policy: first.document.policy,
        path: ['rules'],
        sentence: `There are too many rules to hold each against every other, or some that are too intricate: not everything was looked at. What is listed is true.`,
      });
    }
    return this.#findings;
  }

  /** Leaves half of the work to what comes after. */
  #stage(check: () => void): void {
    const kept = Math.floor(this.#work / 2);
    this.#work -= kept;
    this.#looks = MAX_LOOKS;
    check();
    this.#work += kept;
  }

  /** May one more pair be looked at? */
  #mayLook(): boolean {
    if (this.#looks-- > 0 && this.#work > 0 && this.#findings.length < MAX_FINDINGS) return true;
    this.#isLimited = true;
    return false;
  }

  #isOwn({ policy }: PolicyDocument): boolean {
    return this.#policy === undefined || policy === this.#policy;
  }

  #subjects(): Subject[] {
    const paths = new Map<string, Path>();
    for (const document of new Set(this.#program.rules.map((each) => each.document)))
      document.rules.forEach(({ id }, i) => paths.set(id, ['rules', i]));
    return this.#program.rules.map((compiled) => {
      const { rule, document } = compiled;
      const path = paths.get(rule.id) ?? ['rules'];
      const regions = regionsOf(rule, path).map((region) => this.#reach(region));
      return { compiled, rule, document, path, regions };
    });
  }

  #reach(region: Omit<Region, 'reached' | 'witness'>): Region {
    const answer = this.#ask([{ condition: region.condition, wanted: TRUE }]);
    const reached = answer.possible === 'unknown' ? undefined : answer.possible;
    return { ...region, reached, witness: answer.possible === true ? answer.witness : undefined };
  }

  #ask(goals: readonly Goal[], most = STEPS_A_QUESTION): Satisfaction {
    const limit = Math.min(Math.max(this.#work, 0), most);
    const answer = satisfy(this.#program, goals, { limit });
    this.#work -= answer.steps + STEPS_OF_ASKING;
    if (answer.possible === 'unknown') this.#isLimited = true;
    return answer;
  }

  #isImpossible(...goals: readonly Goal[]): boolean {
    return this.#ask(goals).possible === false;
  }

  #say(subject: Subject, finding: Omit<Finding, 'policy' | 'rule'>): void {
    if (this.#findings.length >= MAX_FINDINGS) {
      this.#isLimited = true;
      return;
    }
    const { document, rule } = subject;
    const { path, parts } = finding;
    this.#findings.push({
      policy: document.policy,
      rule: rule.id,
      ...finding,
      path: written(document, path),
      ...(parts && { parts: parts.map((part) => written(document, part)) }),
    });
  }

  /** What is wrong with a rule by itself; false where it never does anything. */
  #checkRule(subject: Subject): boolean {
    const { rule, path, regions } = subject;
    if (regions.every(({ reached }) => reached === false) && this.#isImpossible(is(rule.applies))) {
      const at = [...path, 'applies'];
      this.#say(subject, {
        kind: 'never_applies',
        severity: 'error',
        path: at,
        sentence: `${rule.id} never applies: no request can meet ${wordsOf(rule.applies)}.`,
      });
      this.#checkConflicts(subject, { condition: rule.applies, at, isMet: false });
      return false;
    }
    const isMet = regions.some(({ reached }) => reached === true);
    this.#checkConflicts(subject, { condition: rule.applies, at: [...path, 'applies'], isMet });
    this.#checkOutcomes(subject);
    const key = rule.holds ? 'otherwise' : 'outcome';
    if (rule.holds) {
      const at = [...path, 'holds'];
      this.#checkConflicts(subject, {
        condition: rule.holds,
        at,
        isMet: regions[0]?.reached === true,
      });
    }
    rule.outcomes.forEach(({ when }, i) => {
      const at = [...path, key, i, 'when'];
      const region = regions[rule.holds ? i + 1 : i];
      if (when)
        this.#checkConflicts(subject, { condition: when, at, isMet: region?.reached === true });
    });
    return true;
  }

  #checkOutcomes(subject: Subject): void {
    const { rule, regions } = subject;
    const living = regions.filter(({ reached }) => reached !== false);
    const onlyDenies =
      rule.holds !== undefined &&
      regions[0]?.reached === false &&
      living.length > 0 &&
      living.every(({ effect, reached }) => effect === 'deny' && reached === true);
    if (onlyDenies) {
      const everything = this.#isImpossible(isNot(rule.applies));
      this.#say(subject, {
        kind: 'always_denies',
        severity: 'error',
        path: [...subject.path, 'holds'],
        sentence: everything
          ? `${rule.id} denies every request: it always applies, and no request can meet ${words(rule.holds)}.`
          : `${rule.id} denies every request to which it applies: none of them can meet ${words(rule.holds)}.`,
        ...witnessOf(living[0]),
      });
    } else if (!rule.holds && rule.outcomes.every(({ effect }) => effect === 'deny')) {
      const isTotal = this.#isImpossible(isNot(rule.applies));
      if (isTotal && this.#isImpossible({ condition: effectOf(subject, 'deny'), wanted: FALSE }))
        this.#say(subject, {
          kind: 'always_denies',
          severity: 'error',
          path: subject.path,
          sentence: `${rule.id} denies every request.`,
          ...witnessOf(living[0]),
        });
    }
    for (const [i, region] of regions.entries()) {
      const isHolds = rule.holds !== undefined && i === 0;
      if (region.reached !== false || (isHolds && onlyDenies)) continue;
      const isPermit = region.effect === 'permit';
      this.#say(subject, {
        kind: isPermit ? 'never_permits' : 'dead_outcome',
        severity: isPermit ? 'error' : 'warning',
        path: region.path,
        sentence: isHolds
          ? `${rule.id} never holds where it applies: no request to which it applies can meet ${words(rule.holds)}${isPermit ? ', so it never permits' : ''}.`
          : `${rule.id} never comes to ${region.effect ?? 'nothing'} here: ${this.#whyNot(subject, i)}.`,
      });
    }
  }

  #whyNot({ rule, regions }: Subject, index: number): string {
    const first = rule.holds ? 1 : 0;
    const earlier = regions.slice(0, index).filter(({ reached }) => reached === true);
    if (rule.holds && earlier.length === 1 && regions[0]?.reached === true)
      return `wherever it applies, ${words(rule.holds)}`;
    const when = rule.outcomes[index - first]?.when;
    return when
      ? `no request that comes so far can meet ${words(when)}`
      : 'what stands before it takes every request';
  }

  /** Looks for constraints of which no request meets all, where it is not known that one does. */
  #checkConflicts(
    subject: Subject,
    { condition, at, isMet }: { condition: Condition; at: Path; isMet: boolean },
  ): void {
    const stack = [{ condition, at, isMet }];
    for (let next = stack.pop(); next; next = stack.pop()) {
      const { condition: here, at: path, isMet: known } = next;
      if (here.kind === 'not') {
        stack.push({ condition: here.of, at: [...path, 'not'], isMet: true });
        continue;
      }
      if (here.kind !== 'and' && here.kind !== 'or' && here.kind !== 'xone') {
        if (!known && here.kind === 'compare' && this.#isImpossible(is(here)))
          this.#sayConflict(subject, [{ condition: here, path }]);
        continue;
      }
      const parts = here.of.map((part, i) => ({
        condition: part,
        path: [...path, here.kind, i],
      }));
      if (here.kind === 'and' && !known && this.#isImpossible(is(here))) {
        this.#sayConflict(subject, this.#smallest(parts));
        continue;
      }
      for (const part of parts)
        stack.push({ condition: part.condition, at: part.path, isMet: here.kind === 'and' });
    }
  }

  #sayConflict(subject: Subject, parts: readonly Part[]): void {
    const first = parts[0];
    if (!first) return;
    const listed = parts.map(({ condition }) => wordsOf(condition)).join('; ');
    this.#say(subject, {
      kind: 'constraints_conflict',
      severity: 'error',
      path: first.path,
      parts: parts.map(({ path }) => path),
      sentence:
        parts.length === 1
          ? `No request can meet this: ${listed}.`
          : `No request can meet all of these at once: ${listed}.`,
    });
  }

  /** A smallest set of parts that cannot be met together: one, two, or none of which can be spared. */
  #smallest(parts: readonly Part[]): readonly Part[] {
    for (const part of parts) if (this.#isImpossible(is(part.condition))) return [part];
    if (parts.length <= MAX_SIBLINGS) {
      for (const [i, a] of parts.entries())
        for (const b of parts.slice(i + 1))
          if (this.#isImpossible(is(a.condition), is(b.condition))) return [a, b];
    }
    let needed = parts;
    for (
      let size = Math.ceil(parts.length / 2);
      size >= 1;
      size = size > 1 ? Math.ceil(size / 2) : 0
    ) {
      for (let from = 0; from < needed.length; ) {
        const rest = needed.filter((_, i) => i < from || i >= from + size);
        if (this.#isImpossible(...rest.map(({ condition }) => is(condition)))) needed = rest;
        else from += size;
      }
    }
    return needed;
  }

  /** Can anything be permitted, or at least come before a person? */
  #checkWhole(subjects: readonly Subject[]): void {
    const first = subjects[0];
    if (!first) return;
    const ways = subjects.flatMap(({ regions }) =>
      regions.filter(
        ({ effect, reached }) => (effect === 'permit' || effect === 'review') && reached !== false,
      ),
    );
    if (ways.length === 0) {
      this.#say(first, {
        kind: 'always_denies',
        severity: 'error',
        path: ['rules'],
        sentence:
          'Every request is denied: no rule permits anything, and none sends anything to a person.',
      });
      return;
    }
    // What comes before a person is not denied then, whatever else denies it.
    if (this.#isReviewFirst && ways.some(({ effect }) => effect === 'review')) return;
    const some: Goal = is({ kind: 'or', of: ways.map(({ condition }) => condition) });
    const denying = subjects.filter((subject) => hasEffect(subject, 'deny'));
    const spared = denying.map(
      (subject): Goal => ({ condition: effectOf(subject, 'deny'), wanted: FALSE }),
    );
    const most = this.#work / 3;
    const answer = this.#ask([some, ...spared], most);
    if (answer.possible !== false) return;
    let needed = denying;
    for (const subject of denying) {
      const rest = needed.filter((each) => each !== subject);
      const goals = rest.map(
        (each): Goal => ({ condition: effectOf(each, 'deny'), wanted: FALSE }),
      );
      if (this.#ask([some, ...goals], most / 50).possible === false) needed = rest;
    }
    const [one, ...others] = needed;
    // What a single rule does is said of the rule.
    if (!one || others.length === 0) return;
    this.#say(one, {
      kind: 'always_denies',
      severity: 'error',
      path: one.path,
      ...(others[0] ? { other: others[0].rule.id } : {}),
      sentence: `Every request is denied by one of ${needed.map(({ rule }) => rule.id).join(', ')}.`,
    });
  }

  /** Rules whose every effect comes where another has the last word already. */
  #checkShadows(own: readonly Subject[], all: readonly Subject[]): void {
    const bench = new Bench(this.#program, all);
    for (const subject of own) {
      const effects = subject.regions.filter(({ effect, reached }) => effect && reached !== false);
      if (effects.length === 0 || effects.some(({ witness }) => !witness)) continue;
      const same =
        new Set(effects.map(({ effect }) => effect)).size === 1 ? effects[0]?.effect : undefined;
      const frames = effects.map(({ witness }) => bench.frame(witness ?? {}));
      for (const other of bench.around(subject, frames[0] ?? [])) {
        if (other === subject) continue;
        if (!this.#mayLook()) return;
        const found = this.#shadowOf(subject, other, { effects, frames, same });
        if (!found) continue;
        this.#say(subject, found);
        break;
      }
    }
  }

  #shadowOf(
    subject: Subject,
    other: Subject,
    {
      effects,
      frames,
      same,
    }: {
      effects: readonly Region[];
      frames: readonly Frame[];
      same: Effect | undefined;
    },
  ): Omit<Finding, 'policy' | 'rule'> | undefined {
    const covers = (effect: Effect): boolean =>
      frames.every((frame) => effectIn(other.compiled, frame) === effect) &&
      effects.every(({ condition }) =>
        this.#isImpossible(is(condition), { condition: effectOf(other, effect), wanted: FALSE }),
      );
    const { rule, path } = subject;
    const about = {
      kind: 'shadowed',
      other: other.rule.id,
      path,
      ...witnessOf(effects[0]),
    } as const;
    const outranking = this.#outranking(effects).find(
      (effect) => hasEffect(other, effect) && covers(effect),
    );
    if (outranking)
      return {
        ...about,
        severity: 'warning',
        sentence: `${rule.id} never matters: wherever it has an effect, ${other.rule.id} ${outranking === 'deny' ? 'denies' : 'asks for a person'}.`,
      };
    const isTwin = same && same !== 'oblige' && other.document === subject.document;
    if (!isTwin || !hasEffect(other, same) || !covers(same)) return undefined;
    // Of two that do the same, the second is one too many.
    const isMutual = other.regions
      .filter(({ effect, reached }) => effect === same && reached !== false)
      .every(({ condition }) =>
        this.#isImpossible(is(condition), { condition: effectOf(subject, same), wanted: FALSE }),
      );
    if (isMutual && Number(path[1]) < Number(other.path[1])) return undefined;
    return {
      ...about,
      severity: 'hint',
      sentence: `${rule.id} adds nothing: wherever it comes to ${same}, ${other.rule.id} of the same policy does too.`,
    };
  }

  get #isReviewFirst(): boolean {
    return this.#program.pack.combining === 'review_first';
  }

  /** The effects beside which those of a rule do not count. */
  #outranking(effects: readonly Region[]): ('deny' | 'review')[] {
    const others = (own: Effect): boolean => effects.some(({ effect }) => effect !== own);
    if (!this.#isReviewFirst) return others('deny') ? ['deny'] : [];
    const isMild = effects.every(({ effect }) => effect === 'permit' || effect === 'oblige');
    return [
      ...(others('review') ? (['review'] as const) : []),
      ...(isMild ? (['deny'] as const) : []),
    ];
  }

  /** Pairs of rules that no request satisfies both of, though both speak of some. */
  #checkContradictions(own: readonly Subject[], all: readonly Subject[]): void {
    const candidates = (subjects: readonly Subject[]): Subject[] =>
      subjects.filter(
        (subject) =>
          subject.rule.holds && hasEffect(subject, 'deny') && subject.regions[0]?.reached === true,
      );
    const bench = new Bench(this.#program, candidates(all));
    const isOwn = new Set(own);
    const seen = new Set<Subject>();
    for (const subject of candidates(own)) {
      seen.add(subject);
      const frame = bench.frame(subject.regions[0]?.witness ?? {});
      let said = 0;
      for (const other of bench.beside(subject)) {
        if (other === subject || (isOwn.has(other) && seen.has(other))) continue;
        if (!this.#mayLook()) return;
        if (other.compiled.holds?.(frame) === TRUE) continue;
        if (this.#contradiction(subject, other) && ++said === MAX_PARTNERS) break;
      }
    }
  }

  #contradiction(subject: Subject, other: Subject): boolean {
    const both = [is(subject.rule.applies), is(other.rule.applies)];
    const spared = [subject, other].map(
      (each): Goal => ({ condition: effectOf(each, 'deny'), wanted: FALSE }),
    );
    if (!this.#isImpossible(...both, ...spared)) return false;
    // Where one forbids the very case that the other is about, it is stricter, and no more.
    if (spared.some((alone) => this.#isImpossible(...both, alone))) return false;
    const everywhere = this.#isImpossible(is(subject.rule.applies), ...spared);
    const overlap = this.#ask(both);
    if (overlap.possible !== true) return false;
    this.#say(subject, {
      kind: 'contradicts',
      severity: everywhere ? 'error' : 'warning',
      other: other.rule.id,
      path: [...subject.path, 'holds'],
      sentence: `No request satisfies both ${subject.rule.id} and ${other.rule.id} where both apply: one asks that ${words(subject.rule.holds)}, the other that ${words(other.rule.holds)}; one of them always denies.`,
      witness: overlap.witness,
    });
    return true;
  }

  /** Constraints that are never false where those beside them are true. */
  #checkRedundant(subject: Subject): void {
    const { rule, path } = subject;
    const stack: Part[] = [{ condition: rule.applies, path: [...path, 'applies'] }];
    if (rule.holds) stack.push({ condition: rule.holds, path: [...path, 'holds'] });
    for (let next = stack.pop(); next; next = stack.pop()) {
      const { condition, path: at } = next;
      if (condition.kind === 'not') stack.push({ condition: condition.of, path: [...at, 'not'] });
      if (condition.kind !== 'and' && condition.kind !== 'or' && condition.kind !== 'xone')
        continue;
      const parts = condition.of.map((part, i) => ({
        condition: part,
        path: [...at, condition.kind, i],
      }));
      stack.push(...parts);
      if (condition.kind !== 'and' || parts.length > MAX_SIBLINGS) continue;
      if (this.#work <= 0) {
        this.#isLimited = true;
        return;
      }
      this.#checkSiblings(subject, parts);
    }
  }

  #checkSiblings(subject: Subject, parts: readonly Part[]): void {
    const clauses = clausesOf(this.#program);
    const goals = parts.map(({ condition }) => is(condition));
    if (this.#ask(goals).possible !== true) return;
    for (const [i, { condition, path }] of parts.entries()) {
      // That a thing is there is often said before what it must be like.
      if (condition.kind !== 'compare') continue;
      const facts = clauses.factsOf(condition);
      const others = parts.filter(
        (part, j) =>
          j !== i && [...clauses.factsOf(part.condition)].some((fact) => facts.has(fact)),
      );
      const goal = isNot(condition);
      if (!this.#isImpossible(goal, ...others.map((part) => is(part.condition)))) continue;
      const listed = others.map((part) => wordsOf(part.condition)).join('; ');
      const alone = this.#isImpossible(goal);
      this.#say(subject, {
        kind: 'redundant',
        severity: 'hint',
        path,
        sentence: alone
          ? `This is never false: ${wordsOf(condition)}.`
          : `This adds nothing: ${wordsOf(condition)}; it is never false beside: ${listed}.`,
      });
      return;
    }
  }
}

interface Part {
  readonly condition: Condition;
  readonly path: Path;
}

const is = (condition: Condition): Goal => ({ condition, wanted: TRUE });
const isNot = (condition: Condition): Goal => ({ condition, wanted: FALSE });
const words = (condition: Condition | undefined): string => (condition ? wordsOf(condition) : '');

function witnessOf(region: Region | undefined): { witness?: Facts } {
  return region?.witness ? { witness: region.witness } : {};
}

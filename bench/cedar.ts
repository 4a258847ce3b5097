/**
 * A program's rules in Cedar, as far as Cedar can state them: the two-valued part, in which no
 * missing fact leaves a rule uncertain. Cedar has two effects; ours are told apart by the policies'
 * ids. So each outcome of a rule becomes one `forbid`, and one call gives the three sets in full:
 * Cedar names every `forbid` that is satisfied. Not in Cedar, and so outside this translation:
 *
 * - unknown facts, and with them the reviews that they cause;
 * - unions of sets: derived sets, like `today` and `home`, are given with the request;
 * - fractions: numbers are given in thousandths.
 */
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import { type Comparison, constantList, scalarConstant, type Scope } from '../src/pdp/compile.ts';
import type { Condition } from '../src/pdp/condition.ts';
import type { Effect, Rule } from '../src/pdp/document.ts';
import type { Frame } from '../src/pdp/facts.ts';
import { type CodeSet, NONE_SET } from '../src/pdp/logic.ts';
import { type Program, scopeOf } from '../src/pdp/program.ts';
import type { Taxonomy } from '../src/pdp/taxonomy.ts';

/** A request as Cedar takes it: the facts that the policies read, by name. */
export type Context = Record<string, boolean | number | string | string[]>;
/** Ids of the rules with each effect, in the order of their names. */
export type RulesByEffect = Readonly<Record<Effect, readonly string[]>>;

const THOUSANDTHS = 1000;
const ANY = { type: 'Any', id: 'any' } as const;

/** Cedar with the policies of one program, parsed once. */
export class Cedar {
  readonly #program: Program;
  readonly #id: string;
  readonly #reads: ReadonlySet<string>;

  /** @throws Error with what Cedar says of the policies. */
  constructor(program: Program, id: string) {
    this.#program = program;
    this.#id = id;
    const translation = new Translation(program);
    this.#reads = translation.reads;
    const parsed = preparsePolicySet(id, { staticPolicies: translation.policies });
    if (parsed.type === 'failure')
      throw new Error(parsed.errors.map(({ message }) => message).join('\n'));
  }

  /**
   * The facts of a frame whose derived facts are computed. Unknown ones are left out, as if there
   * were none: no matter where no rule is uncertain, for then every value of them says the same.
   */
  contextOf(frame: Frame): Context {
    const context: Context = {};
    for (const [slot, name] of this.#program.slotNames.entries()) {
      const value = frame[slot];
      if (!this.#reads.has(name) || value === null || value === undefined || value === NONE_SET)
        continue;
      const type = this.#program.vocabulary.specs[slot]?.type;
      if (typeof value === 'object') context[name] = [...(value as CodeSet).items];
      else if (typeof value === 'number')
        context[name] = type === 'integer' || type === 'number' ? value * THOUSANDTHS : value;
      // An object's own slot says whether there is one.
      else if (type !== 'object' || value === true) context[name] = value as string | boolean;
    }
    return context;
  }

  /**
   * The ids of the policies that are satisfied, as Cedar gives them.
   * @throws Error where Cedar could not decide.
   */
  satisfied(context: Context): readonly string[] {
    const answer = statefulIsAuthorized({
      principal: ANY,
      action: ANY,
      resource: ANY,
      context,
      preparsedPolicySetId: this.#id,
      entities: [],
    });
    const errors =
      answer.type === 'failure'
        ? answer.errors
        : answer.response.diagnostics.errors.map(({ error }) => error);
    if (answer.type === 'failure' || errors.length > 0)
      throw new Error(errors.map(({ message }) => message).join('\n'));
    return answer.response.diagnostics.reason;
  }

  /** The same by effect. */
  decide(context: Context): RulesByEffect {
    const sets = { permit: new Set<string>(), deny: new Set<string>() };
    const all = { ...sets, review: new Set<string>(), oblige: new Set<string>() };
    for (const id of this.satisfied(context)) {
      const [effect, rule = ''] = id.split(' ');
      all[effect as Effect].add(rule);
    }
    const { permit, deny, review, oblige } = all;
    return {
      permit: [...permit].toSorted(),
      deny: [...deny].toSorted(),
      review: [...review].toSorted(),
      oblige: [...oblige].toSorted(),
    };
  }
}

class Translation {
  /** Policies by id: the effect, the rule, and which of its outcomes. */
  readonly policies: Record<string, string> = {};
  readonly reads = new Set<string>();
  readonly #scope: Scope;
  readonly #conditions: ReadonlyMap<string, Condition | undefined>;
  readonly #rules: ReadonlyMap<string, Rule>;

  constructor(program: Program) {
    this.#scope = scopeOf(program);
    this.#conditions = new Map(program.derivations.map((each) => [each.name, each.condition]));
    this.#rules = new Map(program.rules.map(({ rule }) => [rule.id, rule]));
    for (const { rule } of program.rules) this.#add(rule);
  }

  #add({ id, applies, holds, then, outcomes }: Rule): void {
    const parts = [this.#of(applies)];
    const policy = (effect: Effect, suffix: string, when: readonly string[]): void => {
      this.policies[`${effect} ${id} ${suffix}`] =
        `forbid (principal, action, resource) when { ${when.join(' && ')} };`;
    };
    if (holds) {
      if (then) policy(then, 'then', [...parts, this.#of(holds)]);
      parts.push(`!${this.#of(holds)}`);
    }
    for (const [i, { when, effect }] of outcomes.entries()) {
      const chosen = when && this.#of(when);
      policy(effect, String(i), chosen ? [...parts, chosen] : parts);
      if (!chosen) return;
      parts.push(`!${chosen}`);
    }
  }

  /** An expression in brackets. */
  #of(condition: Condition): string {
    switch (condition.kind) {
      case 'constant':
        return `(${condition.value})`;
      case 'and':
        return `(${condition.of.map((each) => this.#of(each)).join(' && ')})`;
      case 'or':
        return `(${condition.of.map((each) => this.#of(each)).join(' || ')})`;
      case 'xone': {
        const counts = condition.of.map((each) => `(if ${this.#of(each)} then 1 else 0)`);
        return `(${counts.join(' + ')} == 1)`;
      }
      case 'not':
        return `(!${this.#of(condition.of)})`;
      case 'exists':
        return `(${this.#has(condition.fact)})`;
      case 'nonempty':
        return `(!${this.#set(condition.fact)}.isEmpty())`;
      case 'applies':
      case 'holds': {
        const rule = this.#rules.get(condition.rule);
        const parts = rule
          ? [rule.applies, condition.kind === 'holds' ? rule.holds : undefined]
          : [];
        return `(${parts.flatMap((part) => (part ? [this.#of(part)] : [])).join(' && ')})`;
      }
      case 'compare':
        return this.#comparison(condition);
    }
  }

  #comparison(condition: Comparison): string {
    const { fact, operator, right } = condition;
    const derived = this.#conditions.get(fact);
    if (derived && 'constant' in right) {
      const isWanted = (right.constant === true) === (operator === 'eq');
      return isWanted ? this.#of(derived) : `(!${this.#of(derived)})`;
    }
    switch (operator) {
      case 'neq':
        return `(!${this.#comparison({ ...condition, operator: 'eq' })})`;
      case 'isNoneOf':
        return `(!${this.#comparison({ ...condition, operator: 'isAnyOf' })})`;
      case 'eq':
      case 'lt':
      case 'lteq':
      case 'gt':
      case 'gteq':
        return this.#ordering(condition, SYMBOLS[operator]);
      case 'isA':
        return this.#kindOf(condition);
      case 'overlaps':
        return this.#byTerm(condition, (term) => this.#scope.taxonomy.overlapping(term));
      case 'isAnyOf':
        return this.#isSet(fact)
          ? `(${this.#set(fact)}.containsAny(${this.#right(condition)}))`
          : `(${this.#has(fact)} && ${this.#right(condition)}.contains(${this.#value(fact)}))`;
      case 'isPartOf':
        return this.#isSet(fact)
          ? `(${this.#right(condition)}.containsAll(${this.#set(fact)}))`
          : `(${this.#has(fact)} && ${this.#right(condition)}.contains(${this.#value(fact)}))`;
      case 'hasPart':
      case 'isAllOf':
        if ('fact' in right && !this.#isSet(right.fact))
          return `(${this.#has(right.fact)} && ${this.#set(fact)}.contains(${this.#value(right.fact)}))`;
        return `(${this.#set(fact)}.containsAll(${this.#right(condition)}))`;
    }
  }

  #ordering({ fact, right }: Comparison, symbol: string): string {
    const variable = this.#scope.variables.get(fact);
    const other = 'fact' in right ? this.#scope.variables.get(right.fact) : undefined;
    const ranks = symbol === '==' ? undefined : variable?.spec?.ranks;
    if ('constant' in right && variable && !ranks) {
      const value = scalarConstant(variable, right.constant, []);
      const scaled = variable.type === 'number' ? Number(value) * THOUSANDTHS : value;
      return `(${this.#has(fact)} && ${this.#value(fact)} ${symbol} ${JSON.stringify(scaled)})`;
    }
    const [left, wanted] = [this.#ranked(fact, ranks), this.#ranked(right, other?.spec?.ranks)];
    const stated = 'fact' in right ? [this.#has(fact), this.#has(right.fact)] : [this.#has(fact)];
    return `(${stated.join(' && ')} && ${left} ${symbol} ${wanted})`;
  }

  /** A fact's value, or the place of its value among its ranks. */
  #ranked(
    of: Comparison['right'] | string,
    ranks: Readonly<Record<string, number>> | undefined,
  ): string {
    if (typeof of !== 'string' && 'constant' in of) return JSON.stringify(of.constant);
    const value = this.#value(typeof of === 'string' ? of : of.fact);
    return Object.entries(ranks ?? {}).reduce(
      (rest, [name, rank]) => `(if ${value} == ${JSON.stringify(name)} then ${rank} else ${rest})`,
      ranks ? '-1' : value,
    );
  }

  #kindOf(condition: Comparison): string {
    const { fact, right } = condition;
    const { taxonomy } = this.#scope;
    if ('constant' in right) {
      const wanted = taxonomy.narrower([right.constant].flat().map(String));
      const kinds = JSON.stringify([...wanted]);
      return this.#isSet(fact)
        ? `(${kinds}.containsAll(${this.#set(fact)}))`
        : `(${this.#has(fact)} && ${kinds}.contains(${this.#value(fact)}))`;
    }
    if (!this.#isSet(right.fact)) throw new RangeError('isA of two codes is not in Cedar');
    if (!this.#isSet(fact)) return this.#byTerm(condition, (term) => taxonomy.kindsOf(term));
    const list = this.#scope.variables.get(fact)?.spec?.terms;
    const each = termsIn(taxonomy, list).map(
      (term) =>
        `(!${this.#set(fact)}.contains(${JSON.stringify(term)}) || ${this.#anyOf(right.fact, taxonomy.kindsOf(term))})`,
    );
    return `(${each.join(' && ')})`;
  }

  /** A code in relation to a set: Cedar knows no hierarchy of codes, so each term by itself. */
  #byTerm({ fact, right }: Comparison, related: (term: string) => Iterable<string>): string {
    if ('constant' in right || !this.#isSet(right.fact) || this.#isSet(fact))
      throw new RangeError('only a code in relation to a set is in Cedar');
    const list = this.#scope.variables.get(fact)?.spec?.terms;
    const terms = termsIn(this.#scope.taxonomy, list);
    const each = terms.map(
      (term) =>
        `(${this.#value(fact)} == ${JSON.stringify(term)} && ${this.#anyOf(right.fact, related(term))})`,
    );
    const same = `${this.#set(right.fact)}.contains(${this.#value(fact)})`;
    return `(${this.#has(fact)} && (${[same, ...each].join(' || ')}))`;
  }

  #anyOf(set: string, codes: Iterable<string>): string {
    return `${this.#set(set)}.containsAny(${JSON.stringify([...codes])})`;
  }

  /** What stands on the right, as a set. */
  #right({ fact, operator, right }: Comparison): string {
    if ('fact' in right) {
      if (this.#isSet(right.fact)) return this.#set(right.fact);
      return `(if ${this.#has(right.fact)} then [${this.#value(right.fact)}] else [])`;
    }
    const { constant } = right;
    const named =
      operator === 'isPartOf' && typeof constant === 'string'
        ? this.#scope.groups.get(constant)
        : undefined;
    const variable = this.#scope.variables.get(fact);
    return JSON.stringify(named ?? (variable ? constantList(variable, constant, []) : []));
  }

  #isSet(fact: string): boolean {
    return this.#scope.variables.get(fact)?.type === 'set';
  }

  #has(fact: string): string {
    this.reads.add(fact);
    return `context has ${JSON.stringify(fact)}`;
  }

  #value(fact: string): string {
    this.reads.add(fact);
    return `context[${JSON.stringify(fact)}]`;
  }

  /** A set that is not stated has no members. */
  #set(fact: string): string {
    return `(if ${this.#has(fact)} then ${this.#value(fact)} else [])`;
  }
}

const SYMBOLS = { eq: '==', lt: '<', lteq: '<=', gt: '>', gteq: '>=' } as const;

function termsIn(taxonomy: Taxonomy, list: string | undefined): readonly string[] {
  return [...((list === undefined ? undefined : taxonomy.termsOf(list)) ?? new Set<string>())];
}

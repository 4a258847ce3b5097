import { COUNTRIES } from '../pdp/countries.ts';
import { parseDate, parseInstant } from '../pdp/calendar.ts';
import type { Condition, Constant, Operator } from '../pdp/condition.ts';
import type {
  Citation,
  Effect,
  Obligation,
  PackDocument,
  PolicyDocument,
  Rule,
  Texts,
} from '../pdp/document.ts';
import type { FactSpec } from '../pdp/facts.ts';
import { OPERATORS } from './constraint.ts';
import { type Mapping, MAPPINGS, type ProfileName } from './mapping.ts';
import { isAlways, writtenTarget } from '../pdp/source.ts';
import { DCT, factIri, odrl, RDF, umt, UMT, urn, wordIri, XSD } from './terms.ts';
import { type Out, type Value, writeJsonLd, writeTurtle } from './write.ts';
import type { Format } from './read.ts';

/** The profile that an exported policy names; `docs/odrl-profile.md`. */
export const PROFILE: string = UMT.slice(0, -1);

export interface ExportOptions {
  readonly format: Format;
  readonly profile?: ProfileName;
  /** Whose facts the policy reads: only for better datatypes, and for places as DPV names them. */
  readonly pack?: Pick<PackDocument, 'facts' | 'derived'>;
}

/**
 * A policy as ODRL 2.2 in our profile, as JSON-LD or Turtle. Pure. `importOdrl` reads it back to
 * an equal document. Each outcome of a rule is an ODRL rule under constraints that say in full
 * when it comes to that; what ODRL has no words for stands at the `umt:Rule` that they name.
 */
export function exportOdrl(document: PolicyDocument, options: ExportOptions): string {
  const { format, profile = 'national', pack } = options;
  const policy = new Exporter(profile, pack).policy(document);
  return format === 'turtle' ? writeTurtle(policy) : writeJsonLd(policy);
}

/** The ODRL property, class and action of each effect. */
export const EFFECTS: Readonly<Record<Effect, { property: string; type: string; action: string }>> =
  {
    permit: { property: odrl('permission'), type: odrl('Permission'), action: odrl('use') },
    deny: { property: odrl('prohibition'), type: odrl('Prohibition'), action: odrl('use') },
    review: { property: umt('review'), type: umt('Review'), action: odrl('use') },
    oblige: { property: odrl('obligation'), type: odrl('Duty'), action: umt('fulfil') },
  };

/**
 * When a rule comes to each of its effects: parts of the rule that hold, or that do not (`not`).
 * What is named are the constraints `RULE:applies`, `RULE:holds` and `RULE:when:N`.
 */
export function branchesOf(
  rule: Rule,
): { readonly effect: Effect; readonly constraints: readonly { id: string; not: boolean }[] }[] {
  const part = (name: string, not = false) => ({ id: urn('rule', `${rule.id}:${name}`), not });
  let before = isAlways(rule.applies) ? [] : [part('applies')];
  const branches: { effect: Effect; constraints: { id: string; not: boolean }[] }[] = [];
  if (rule.holds) {
    if (rule.then) branches.push({ effect: rule.then, constraints: [...before, part('holds')] });
    before = [...before, part('holds', true)];
  }
  rule.outcomes.forEach(({ when, effect }, i) => {
    const own = when ? [part(`when:${i}`)] : [];
    branches.push({ effect, constraints: [...before, ...own] });
    if (when) before = [...before, part(`when:${i}`, true)];
  });
  return branches;
}

const iri = (value: string): Value => ({ iri: value });
const literal = (value: string, type = 'string'): Value => ({ value, datatype: `${XSD}${type}` });
const texts = (all: Texts): Value[] =>
  Object.entries(all).map(([language, value]) => ({ value, language }));
const typed = (type: string): readonly [string, readonly Value[]] => [`${RDF}type`, [iri(type)]];

class Exporter {
  readonly #profile: ProfileName;
  readonly #mapping: Mapping;
  readonly #pack: ExportOptions['pack'];

  constructor(profile: ProfileName, pack: ExportOptions['pack']) {
    this.#profile = profile;
    this.#mapping = MAPPINGS[profile];
    this.#pack = pack;
  }

  policy(document: PolicyDocument): Out {
    const { policy, version, layer, concern, owner, instrument, in_force, rules } = document;
    const id = urn('policy', `${policy}:${version}`);
    const branches = rules.flatMap((rule) => branchesOf(rule).map((each) => ({ rule, ...each })));
    const byEffect = Map.groupBy(branches, ({ effect }) => effect);
    const target = writtenTarget(document);
    return {
      id,
      properties: [
        typed(odrl('Set')),
        [odrl('uid'), [iri(id)]],
        [odrl('profile'), [iri(PROFILE)]],
        [umt('facts'), [iri(umt(this.#profile))]],
        [`${DCT}title`, texts(document.title)],
        [`${DCT}description`, texts(document.description ?? {})],
        [umt('policy'), [literal(policy)]],
        [umt('version'), [literal(String(version), 'integer')]],
        [umt('layer'), [iri(umt(layer))]],
        [umt('concern'), [iri(umt(concern))]],
        [umt('instrument'), [iri(urn('instrument', instrument))]],
        [umt('inForceFrom'), [literal(in_force.from, 'date')]],
        [
          umt('inForceUntil'),
          in_force.until === undefined ? [] : [literal(in_force.until, 'date')],
        ],
        [odrl('assigner'), owner === undefined ? [] : [iri(urn('organisation', owner))]],
        [odrl('target'), [this.#target(target)]],
        ...Object.entries(EFFECTS).map(([effect, { property }]): [string, Value[]] => [
          property,
          (byEffect.get(effect as Effect) ?? []).map(branchOut),
        ]),
        [umt('rules'), [{ list: rules.map((rule) => this.#rule(rule)) }]],
      ],
    };
  }

  /** All datasets, or those that meet the target's condition. */
  #target(target: Condition | undefined): Value {
    if (!target) return iri(umt('datasets'));
    return {
      properties: [
        typed(odrl('AssetCollection')),
        [odrl('source'), [iri(umt('datasets'))]],
        [odrl('refinement'), [this.#constraint(target)]],
      ],
    };
  }

  #rule(rule: Rule): Value {
    const { id, applies, holds, then, outcomes, obligation } = rule;
    const named = (name: string, condition: Condition): Value =>
      this.#constraint(condition, urn('rule', `${id}:${name}`));
    return {
      id: urn('rule', id),
      properties: [
        typed(umt('Rule')),
        [`${DCT}title`, texts(rule.title)],
        [umt('sentence'), texts(rule.sentence)],
        [umt('applies'), isAlways(applies) ? [] : [named('applies', applies)]],
        [umt('holds'), holds ? [named('holds', holds)] : []],
        [umt('then'), then ? [iri(umt(then))] : []],
        [
          umt('outcomes'),
          [
            {
              list: outcomes.map(({ when, effect }, i) => ({
                properties: [
                  [umt('when'), when ? [named(`when:${i}`, when)] : []],
                  [umt('effect'), [iri(umt(effect))]],
                ],
              })),
            },
          ],
        ],
        [umt('obligation'), obligation ? [obligationOut(obligation)] : []],
        [umt('cites'), [{ list: rule.cites.map(citationOut) }]],
        [umt('note'), rule.note === undefined ? [] : [literal(rule.note)]],
      ],
    };
  }

  #constraint(condition: Condition, id?: string): Out {
    return { ...(id === undefined ? {} : { id }), properties: this.#properties(condition) };
  }

  #properties(condition: Condition): Out['properties'] {
    switch (condition.kind) {
      case 'and':
      case 'or':
      case 'xone':
        return [
          typed(odrl('LogicalConstraint')),
          [odrl(condition.kind), [{ list: condition.of.map((part) => this.#constraint(part)) }]],
        ];
      case 'not':
        return [typed(odrl('LogicalConstraint')), [umt('not'), [this.#constraint(condition.of)]]];
      case 'constant':
        return atom(umt('constant'), odrl('eq'), literal(String(condition.value), 'boolean'));
      case 'exists':
      case 'nonempty':
        return atom(this.#operand(condition.fact), umt(condition.kind), literal('true', 'boolean'));
      case 'applies':
      case 'holds':
        return atom(umt('rule'), umt(condition.kind), iri(urn('rule', condition.rule)));
      case 'compare': {
        const { fact, operator, right } = condition;
        const [left, by] = [this.#operand(fact), operatorIri(operator)];
        if ('constant' in right) return atom(left, by, this.#constant(fact, right.constant));
        return [
          typed(odrl('Constraint')),
          [odrl('leftOperand'), [iri(left)]],
          [odrl('operator'), [iri(by)]],
          [odrl('rightOperandReference'), [iri(this.#operand(right.fact))]],
        ];
      }
    }
  }

  #operand(fact: string): string {
    return ownEntry(this.#mapping.exports, fact) ?? factIri(fact);
  }

  #constant(fact: string, constant: Constant): Value {
    if (typeof constant === 'object')
      return { list: constant.map((item) => this.#constant(fact, item)) };
    if (typeof constant === 'boolean') return literal(String(constant), 'boolean');
    if (typeof constant === 'number') return literal(String(constant), numberType(constant));
    const name = ownEntry(ownEntry(this.#mapping.values, fact) ?? {}, constant);
    if (name !== undefined) return iri(name);
    const word = wordIri(constant);
    const isTaken = Object.values(ownEntry(this.#mapping.values, fact) ?? {}).includes(word ?? '');
    if (word !== undefined && !isTaken) return iri(word);
    const spec = this.#specOf(fact);
    const type = spec?.of ?? spec?.type;
    if (type === 'country' && COUNTRIES.has(constant))
      return iri(`${this.#mapping.places}${constant}`);
    if (type === 'date' && parseDate(constant) !== undefined) return literal(constant, 'date');
    if (type === 'datetime' && parseInstant(constant) !== undefined)
      return literal(constant, 'dateTime');
    return literal(constant);
  }

  #specOf(fact: string): Pick<FactSpec, 'type' | 'of'> | undefined {
    if (fact === 'today') return { type: 'date' };
    const first = ownEntry(this.#pack?.derived ?? {}, fact)?.union?.[0];
    if (first !== undefined && first !== fact) return this.#specOf(first);
    return ownEntry(this.#pack?.facts ?? {}, fact);
  }
}

/** An operator of ODRL has its name in ODRL; what the language has beside those is ours. */
function operatorIri(operator: Operator): string {
  return OPERATORS.includes(operator) ? odrl(operator) : umt(operator);
}

function ownEntry<T>(of: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(of, key) ? of[key] : undefined;
}

function numberType(value: number): string {
  const text = String(value);
  if (/^-?\d+$/.test(text)) return 'integer';
  return /^-?\d+\.\d+$/.test(text) ? 'decimal' : 'double';
}

function atom(left: string, operator: string, right: Value): Out['properties'] {
  return [
    typed(odrl('Constraint')),
    [odrl('leftOperand'), [iri(left)]],
    [odrl('operator'), [iri(operator)]],
    [odrl('rightOperand'), [right]],
  ];
}

function branchOut({
  rule,
  effect,
  constraints,
}: ReturnType<typeof branchesOf>[number] & { readonly rule: Rule }): Value {
  const { type, action } = EFFECTS[effect];
  return {
    properties: [
      typed(type),
      [umt('rule'), [iri(urn('rule', rule.id))]],
      [odrl('action'), [iri(action)]],
      [
        odrl('constraint'),
        constraints.map(({ id, not }) =>
          not
            ? { properties: [typed(odrl('LogicalConstraint')), [umt('not'), [iri(id)]]] }
            : iri(id),
        ),
      ],
    ],
  };
}

function obligationOut({ sentence, due, evidence }: Obligation): Value {
  return {
    properties: [
      [umt('sentence'), texts(sentence)],
      [umt('due'), [iri(typeof due === 'string' ? umt(due) : factIri(due.fact))]],
      [umt('evidence'), texts(evidence)],
    ],
  };
}

function citationOut({ instrument, article, confidence }: Citation): Value {
  return {
    properties: [
      [umt('instrument'), [iri(urn('instrument', instrument))]],
      [umt('article'), [literal(article)]],
      [umt('confidence'), [iri(umt(confidence))]],
    ],
  };
}

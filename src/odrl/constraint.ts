import { parseDate, parseInstant } from '../pdp/calendar.ts';
import type { Condition, Operator } from '../pdp/condition.ts';
import { type Node, odrlName, OdrlMistake, type Term, where } from './graph.ts';
import { type OperandMapping, type Place, WORDS } from './mapping.ts';
import { type Reading, textType } from './reading.ts';
import { localName, ODRL, odrl, shortName, XSD } from './terms.ts';
import vocabulary from '../../policies/odrl/context.json' with { type: 'json' };

/**
 * Where a fact has several values, or an operand several facts: must each satisfy the constraint,
 * as for a permission, or does one do, as for a prohibition?
 */
export type Quantifier = 'each' | 'some';

const MAX_DEPTH = 24;
const LOGIC = ['and', 'or', 'xone'] as const;
const ATOM = [
  'leftOperand',
  'operator',
  'rightOperand',
  'rightOperandReference',
  'dataType',
  'unit',
  'uid',
].map(odrl);
const REASONS = {
  [odrl('status')]: 'a state of the world within the policy: facts are told by the request',
  [odrl('xor')]: 'write odrl:xone (ODRL 2.2)',
  [odrl('andSequence')]:
    'a decision has one instant: that one thing comes after another cannot be seen (use odrl:and)',
};
/** Operands that count what was done before: no request says that. */
const STATEFUL = ['delayPeriod', 'elapsedTime', 'meteredTime', 'timeInterval'];
const ORDER: readonly string[] = ['lt', 'lteq', 'gt', 'gteq'];
const ORDERED: readonly string[] = ['integer', 'number', 'date', 'datetime'];
const TEXTS: readonly string[] = ['code', 'text'];
const WORDY: readonly string[] = ['isA', 'isPartOf', 'hasPart', 'isAllOf'];
const MANY: readonly string[] = ['isAnyOf', 'isNoneOf', 'isAllOf', 'isA', 'isPartOf'];

type Scalar = string | number | boolean;

/** The constraints of a rule, or the refinements of what it is about, as one condition; undefined without any. */
export function constraintsOf(
  reading: Reading,
  nodes: readonly Node[],
  place: Place,
  quantifier: Quantifier,
): Condition[] {
  return nodes.map((node) => new ConstraintReader(reading, place, quantifier).read(node, 0));
}

class ConstraintReader {
  readonly #reading: Reading;
  readonly #place: Place;
  readonly #quantifier: Quantifier;

  constructor(reading: Reading, place: Place, quantifier: Quantifier) {
    this.#reading = reading;
    this.#place = place;
    this.#quantifier = quantifier;
  }

  read(node: Node, depth: number): Condition {
    if (depth > MAX_DEPTH)
      throw new OdrlMistake(where(node), `at most ${MAX_DEPTH} levels of nesting`);
    const { graph } = this.#reading;
    const kinds = LOGIC.filter((kind) => graph.all(node, odrl(kind)).length > 0);
    const [kind] = kinds;
    if (kind === undefined) return this.#atom(node);
    this.#reading.only(node, [odrl(kind), odrl('uid')], REASONS);
    const of = graph.members(node, odrl(kind)).map((term) => {
      if (term.kind === 'literal') throw new OdrlMistake(where(node, odrl(kind)), 'constraints');
      return this.read(term, depth + 1);
    });
    if (of.length === 0) throw new OdrlMistake(where(node, odrl(kind)), 'at least one constraint');
    return { kind, of };
  }

  #atom(node: Node): Condition {
    const { graph } = this.#reading;
    this.#reading.only(node, ATOM, REASONS);
    const left = graph.one(node, odrl('leftOperand'));
    if (left?.kind !== 'iri') throw new OdrlMistake(where(node), 'a constraint has a left operand');
    const { operator, negated } = this.#operator(node);
    const right = graph.members(node, odrl('rightOperand'));
    const reference = graph.one(node, odrl('rightOperandReference'));
    if (graph.all(node, odrl('rightOperand')).length > 0 === (reference !== undefined))
      throw new OdrlMistake(where(node), 'a constraint has a right operand, or a reference to one');
    const comparison = { node, operand: left.value, operator, negated };
    if (reference) return this.#facts(comparison, reference);
    if (!MANY.includes(operator) && right.length !== 1)
      throw new OdrlMistake(where(node, odrl('rightOperand')), `${operator} has one right operand`);
    return this.#constants(comparison, right);
  }

  #operator(node: Node): { operator: Operator; negated: boolean } {
    const term = this.#reading.graph.one(node, odrl('operator'));
    const name = odrlName(term);
    if (name !== undefined && OPERATORS.includes(name))
      return { operator: name as Operator, negated: false };
    const other = term?.kind === 'iri' && Object.hasOwn(WORDS.operators, term.value);
    const known = other ? WORDS.operators[term.value] : undefined;
    if (known) return { operator: known.operator, negated: known.negated ?? false };
    throw new OdrlMistake(
      where(node, odrl('operator')),
      `no operator ${term ? shortName(term.value) : ''} that is known`,
    );
  }

  /** The facts that an operand is: in the table, else where constraints of this place find theirs. */
  #mapped(operand: string, place: string): OperandMapping {
    const { operands, elsewhere } = this.#reading.mapping;
    const name = operand.startsWith(ODRL) ? operand.slice(ODRL.length) : undefined;
    if (name !== undefined && STATEFUL.includes(name))
      throw new OdrlMistake(
        place,
        `odrl:${name} is about what was done before: no request says that`,
      );
    if (
      this.#place !== 'assignee' &&
      this.#place !== 'target' &&
      Object.hasOwn(operands, operand)
    ) {
      const found = operands[operand];
      if (found) return found;
    }
    if (name !== undefined && !vocabulary.operands.includes(name))
      throw new OdrlMistake(place, `ODRL has no left operand ${name}`);
    if (!elsewhere)
      throw new OdrlMistake(
        place,
        `no fact of the pack is ${shortName(operand)} of the ${this.#place}`,
      );
    const key = localName(operand);
    if (!/^[A-Za-z]\w{0,62}$/.test(key) || key === '__proto__')
      throw new OdrlMistake(place, `"${key}" cannot be the name of a fact`);
    return { facts: [`${elsewhere[this.#place]}.${key}`] };
  }

  #facts({ node, operand, operator, negated }: Comparison, reference: Term): Condition {
    const at = where(node, odrl('rightOperandReference'));
    if (reference.kind !== 'iri')
      throw new OdrlMistake(at, 'the IRI of a left operand: nothing is fetched');
    const lefts = this.#mapped(operand, where(node, odrl('leftOperand'))).facts;
    const rights = this.#mapped(reference.value, at).facts;
    const [left, right] = [lefts[0], rights[0]];
    if (left === undefined || right === undefined || lefts.length + rights.length > 2)
      throw new OdrlMistake(at, 'an operand that is several facts cannot be compared with another');
    const guess = ORDER.includes(operator) ? 'number' : 'code';
    const type = this.#reading.typeOf(left) ?? this.#reading.typeOf(right) ?? guess;
    for (const [fact, name] of [
      [left, operand],
      [right, reference.value],
    ] as const) {
      this.#reading.known(fact, at);
      const isWhole = operator === 'hasPart' && fact === left;
      this.#reading.need(fact, name, isWhole ? 'set' : type);
    }
    return not(negated, { kind: 'compare', fact: left, operator, right: { fact: right } });
  }

  #constants(comparison: Comparison, right: readonly Term[]): Condition {
    const { node, operand } = comparison;
    const place = where(node, odrl('leftOperand'));
    const mapped = this.#mapped(operand, place);
    const datatype = this.#reading.graph.one(node, odrl('dataType'))?.value;
    const tests = mapped.facts.map((fact) => {
      const values = right.map((term) => this.#value(fact, term, node, datatype));
      this.#checkTypes(comparison, values);
      const isDay = mapped.day !== undefined && values.every((value) => isDate(value));
      return this.#compare(
        { ...comparison, containment: mapped.containment === true },
        isDay ? (mapped.day ?? fact) : fact,
        values,
      );
    });
    const unit = this.#reading.graph.one(node, odrl('unit'))?.value;
    for (const fact of mapped.facts) this.#reading.unit(fact, unit, where(node, odrl('unit')));
    const [only] = tests;
    const joined: Condition =
      tests.length === 1 && only
        ? only
        : { kind: this.#isEach(comparison.negated) ? 'and' : 'or', of: tests };
    return not(comparison.negated, joined);
  }

  /** Only numbers and dates have an order; only words are parts and kinds of others. */
  #checkTypes({ node, operator, operand }: Comparison, values: readonly Scalar[]): void {
    const place = where(node, odrl('rightOperand'));
    const { containment } = this.#mapped(operand, place);
    const isOrder = ORDER.includes(operator) && containment !== true;
    const types = values.map(typeOf);
    if (isOrder && !types.every((type) => ORDERED.includes(type)))
      throw new OdrlMistake(place, `${operator} compares numbers and dates`);
    const isOfWords = WORDY.includes(operator) || (ORDER.includes(operator) && !isOrder);
    if (isOfWords && !types.every((type) => TEXTS.includes(type)))
      throw new OdrlMistake(place, `${operator} compares words`);
  }

  #isEach(negated: boolean): boolean {
    return (this.#quantifier === 'each') !== negated;
  }

  #compare(
    comparison: Comparison & { containment: boolean },
    fact: string,
    values: readonly Scalar[],
  ): Condition {
    const { node, operand, operator, containment, negated } = comparison;
    this.#reading.known(fact, where(node, odrl('leftOperand')));
    const [value] = values;
    if (containment && ORDER.includes(operator)) {
      this.#need(fact, operand, values);
      return this.#within(fact, operator, String(value), this.#isEach(negated));
    }
    if (operator === 'hasPart' || operator === 'isAllOf') {
      this.#need(fact, operand, values, true);
      if (!this.#reading.isSet(fact))
        throw new OdrlMistake(
          where(node),
          `${operator} needs a fact of several values, and ${fact} has one`,
        );
      return compare(fact, operator, operator === 'hasPart' ? String(value) : values.map(String));
    }
    this.#need(fact, operand, values);
    if (this.#reading.isSet(fact) && values.some((each) => typeof each !== 'string'))
      throw new OdrlMistake(where(node, odrl('rightOperand')), `${fact} has several words`);
    if (this.#reading.isSet(fact)) return this.#ofSet(comparison, fact, values.map(String));
    switch (operator) {
      case 'isA':
      case 'isPartOf':
        return this.#isWithin(fact, values.map(String));
      case 'isAnyOf':
      case 'isNoneOf': {
        if (values.every((each) => TEXTS.includes(typeOf(each))))
          return compare(fact, operator, values);
        const any: Condition = { kind: 'or', of: values.map((each) => compare(fact, 'eq', each)) };
        return operator === 'isAnyOf' ? any : { kind: 'not', of: any };
      }
      default:
        return compare(fact, operator, value ?? '');
    }
  }

  /** A word, or anything narrower; places of a pack are countries, which have no hierarchy of words. */
  #isWithin(fact: string, words: readonly string[]): Condition {
    if (this.#reading.pack) {
      const members = [...new Set(words.flatMap((word) => this.#places(fact, word)))];
      if (members.length !== words.length || members.some((each) => !words.includes(each)))
        return compare(fact, 'isAnyOf', members);
    }
    const [only] = words;
    return compare(fact, 'isA', words.length === 1 && only !== undefined ? only : words);
  }

  #places(fact: string, word: string): string[] {
    const spec = this.#reading.pack?.facts[fact];
    const isPlace = spec?.type === 'country' || spec?.of === 'country';
    const all = this.#reading.downset(word);
    const { place_groups = {} } = this.#reading.pack ?? {};
    return isPlace ? all.filter((each) => !Object.hasOwn(place_groups, each)) : [word];
  }

  #within(fact: string, operator: string, word: string, isEach: boolean): Condition {
    const strictly = operator === 'lt' || operator === 'gteq';
    const outside = operator === 'gt' || operator === 'gteq';
    if (this.#reading.isSet(fact)) {
      const members = this.#places(fact, word).filter((each) => !strictly || each !== word);
      return ofMembers(fact, members, { isIn: !outside, isEach });
    }
    const within = this.#isWithin(fact, [word]);
    const inside: Condition = strictly
      ? { kind: 'and', of: [within, compare(fact, 'neq', word)] }
      : within;
    return not(outside, inside);
  }

  #ofSet(
    { node, operator, negated }: Comparison,
    fact: string,
    values: readonly string[],
  ): Condition {
    const isEach = this.#isEach(negated);
    switch (operator) {
      case 'eq':
      case 'isAnyOf':
        return ofMembers(fact, values, { isIn: true, isEach });
      case 'neq':
      case 'isNoneOf':
        return ofMembers(fact, values, { isIn: false, isEach });
      case 'isA':
      case 'isPartOf': {
        const members = values.flatMap((word) =>
          this.#reading.pack ? this.#places(fact, word) : this.#reading.downset(word),
        );
        return ofMembers(fact, [...new Set(members)], { isIn: true, isEach });
      }
      default:
        throw new OdrlMistake(
          where(node),
          `${operator} compares one value, and ${fact} has several`,
        );
    }
  }

  #need(fact: string, operand: string, values: readonly Scalar[], set = false): void {
    for (const value of values) {
      const type = typeOf(value);
      if (set || this.#reading.isSet(fact))
        this.#reading.need(fact, operand, 'set', type === 'text' ? 'text' : 'code');
      else this.#reading.need(fact, operand, type);
    }
    if (values.length === 0) this.#reading.need(fact, operand, 'code');
  }

  #value(fact: string, term: Term, node: Node, datatype: string | undefined): Scalar {
    const place = where(node, odrl('rightOperand'));
    switch (term.kind) {
      case 'blank':
        throw new OdrlMistake(place, 'a value, not a thing without a name');
      case 'iri':
        if (term.value === odrl('policyUsage'))
          throw new OdrlMistake(
            place,
            'odrl:policyUsage has a meaning in the constraint of a duty alone',
          );
        return this.#reading.code(term.value, fact);
      case 'literal':
        return literalValue(
          term.value,
          term.datatype === `${XSD}string` ? (datatype ?? term.datatype) : term.datatype,
          place,
        );
    }
  }
}

interface Comparison {
  readonly node: Node;
  readonly operand: string;
  readonly operator: Operator;
  readonly negated: boolean;
}

/** The operators of ODRL 2.2. */
export const OPERATORS: readonly string[] = [
  'eq',
  'neq',
  'lt',
  'lteq',
  'gt',
  'gteq',
  'isA',
  'hasPart',
  'isPartOf',
  'isAnyOf',
  'isNoneOf',
  'isAllOf',
];
const INTEGERS = [
  'integer',
  'int',
  'long',
  'short',
  'byte',
  'nonNegativeInteger',
  'positiveInteger',
  'unsignedInt',
  'unsignedLong',
];

/** @throws OdrlMistake for a type that has no meaning here, and for what is no value of its type. */
function literalValue(text: string, datatype: string, place: string): Scalar {
  const type = datatype.startsWith(XSD) ? datatype.slice(XSD.length) : datatype;
  const wrong = (expected: string): OdrlMistake =>
    new OdrlMistake(place, `"${text}" is no ${expected}`);
  if (INTEGERS.includes(type) || ['decimal', 'double', 'float'].includes(type)) {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    const fits = INTEGERS.includes(type) ? Number.isSafeInteger(value) : Number.isFinite(value);
    if (fits) return value;
    throw wrong(`xsd:${type}`);
  }
  switch (type) {
    case 'boolean':
      if (['true', 'false', '1', '0'].includes(text)) return text === 'true' || text === '1';
      throw wrong('xsd:boolean');
    case 'date':
      if (parseDate(text) !== undefined) return text;
      throw wrong("date without a time zone, YYYY-MM-DD: a day is the country's");
    case 'dateTime':
    case 'dateTimeStamp':
      if (parseInstant(text) !== undefined) return text;
      throw wrong('date-time with seconds and a time zone');
    case 'string':
    case 'anyURI':
    case 'http://www.w3.org/1999/02/22-rdf-syntax-ns#langString':
      return text;
    default:
      throw new OdrlMistake(
        place,
        `no values of the type ${shortName(datatype)} are compared here`,
      );
  }
}

const isDate = (value: Scalar): boolean =>
  typeof value === 'string' && parseDate(value) !== undefined;

function typeOf(
  value: Scalar,
): 'boolean' | 'integer' | 'number' | 'date' | 'datetime' | 'code' | 'text' {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  if (isDate(value)) return 'date';
  return parseInstant(value) === undefined ? textType(value) : 'datetime';
}

function compare(
  fact: string,
  operator: Operator,
  constant: Scalar | readonly Scalar[],
): Condition {
  return { kind: 'compare', fact, operator, right: { constant: constant as string } };
}

function not(negated: boolean, of: Condition): Condition {
  return negated ? { kind: 'not', of } : of;
}

/** Is each of several values, or one of them, in a list, or out of it? */
function ofMembers(
  fact: string,
  list: readonly string[],
  { isIn, isEach }: { readonly isIn: boolean; readonly isEach: boolean },
): Condition {
  if (isIn) return compare(fact, isEach ? 'isPartOf' : 'isAnyOf', list);
  return isEach ? compare(fact, 'isNoneOf', list) : not(true, compare(fact, 'isPartOf', list));
}

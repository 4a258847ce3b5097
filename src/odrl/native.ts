import type { Condition, Constant, Operator } from '../pdp/condition.ts';
import type {
  Citation,
  Effect,
  Obligation,
  Outcome,
  PolicyDocument,
  Rule,
  Texts,
} from '../pdp/document.ts';
import { branchesOf, EFFECTS } from './export.ts';
import { type Graph, keyOf, type Node, odrlName, OdrlMistake, type Term, where } from './graph.ts';
import { type Mapping, MAPPINGS } from './mapping.ts';
import { DCT, FACT, nameIn, odrl, prefixedWord, RDF, shortName, umt, UMT, XSD } from './terms.ts';

/**
 * Reads what `exportOdrl` wrote. Everything is read from the `umt:Rule`s, and the ODRL rules must
 * be those that follow from them: who changes one without the other learns of it.
 */
export function readNative(graph: Graph, policy: Node): PolicyDocument {
  const facts = graph.one(policy, umt('facts'));
  const profile = (['national', 'space'] as const).find((each) => facts?.value === umt(each));
  if (!profile) throw new OdrlMistake(where(policy, umt('facts')), 'umt:national or umt:space');
  return new NativeReader(graph, MAPPINGS[profile]).policy(policy);
}

const MAX_DEPTH = 64;

const POLICY = [
  `${RDF}type`,
  `${DCT}title`,
  `${DCT}description`,
  ...['uid', 'profile', 'assigner', 'target'].map(odrl),
  ...Object.values(EFFECTS).map(({ property }) => property),
  ...[
    'facts',
    'policy',
    'version',
    'layer',
    'concern',
    'instrument',
    'inForceFrom',
    'inForceUntil',
  ].map(umt),
  umt('rules'),
];
const RULE = [
  `${RDF}type`,
  `${DCT}title`,
  ...['sentence', 'applies', 'holds', 'then', 'outcomes', 'obligation', 'cites', 'note'].map(umt),
];
const LOGIC = ['and', 'or', 'xone'] as const;
const ATOM = [
  `${RDF}type`,
  ...['leftOperand', 'operator', 'rightOperand', 'rightOperandReference'].map(odrl),
];

class NativeReader {
  readonly #graph: Graph;
  readonly #facts: ReadonlyMap<string, string>;
  readonly #values: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly #places: string;

  constructor(graph: Graph, { exports, values, places }: Mapping) {
    this.#graph = graph;
    this.#facts = inverse(exports);
    this.#values = new Map(Object.entries(values).map(([fact, codes]) => [fact, inverse(codes)]));
    this.#places = places;
  }

  policy(node: Node): PolicyDocument {
    this.#only(node, POLICY);
    const types = this.#graph.types(node);
    if (types.join() !== odrl('Set')) throw new OdrlMistake(where(node), 'an odrl:Set');
    const rules = this.#items(node, umt('rules')).map((rule) => this.#rule(rule));
    this.#checkBranches(node, rules);
    const until = this.#maybe(node, umt('inForceUntil'), `${XSD}date`);
    const owner = this.#owner(node);
    const target = this.#target(node);
    const description = this.#texts(node, `${DCT}description`);
    return {
      policy: this.#text(node, umt('policy')),
      version: Number(this.#text(node, umt('version'), `${XSD}integer`)),
      layer: this.#word(node, 'layer') as PolicyDocument['layer'],
      concern: this.#word(node, 'concern') as PolicyDocument['concern'],
      ...(owner === undefined ? {} : { owner }),
      ...(target && { target }),
      title: this.#texts(node, `${DCT}title`),
      ...(Object.keys(description).length > 0 ? { description } : {}),
      instrument: this.#named(node, umt('instrument'), 'instrument'),
      in_force: {
        from: this.#text(node, umt('inForceFrom'), `${XSD}date`),
        ...(until === undefined ? {} : { until }),
      },
      rules,
    };
  }

  #owner(node: Node): string | undefined {
    if (this.#graph.all(node, odrl('assigner')).length === 0) return undefined;
    return this.#named(node, odrl('assigner'), 'organisation');
  }

  #target(node: Node): Condition | undefined {
    const target = this.#node(node, odrl('target'));
    if (keyOf(target) === umt('datasets')) return undefined;
    this.#only(target, [`${RDF}type`, odrl('source'), odrl('refinement')]);
    if (keyOf(this.#node(target, odrl('source'))) !== umt('datasets'))
      throw new OdrlMistake(where(target, odrl('source')), 'umt:datasets');
    return this.#condition(this.#node(target, odrl('refinement')), 0);
  }

  #rule(term: Term): Rule {
    if (term.kind !== 'iri') throw new OdrlMistake('umt:rules', 'rules that have a name');
    this.#only(term, RULE);
    const id = nameIn('rule', term.value);
    if (id === undefined)
      throw new OdrlMistake(where(term), 'urn:umutungo:rule: and the id of a rule');
    const [applies, holds] = [this.#part(term, 'applies'), this.#part(term, 'holds')];
    const then = this.#graph.all(term, umt('then')).length > 0 && this.#effect(term, 'then');
    const obligation = this.#graph.all(term, umt('obligation'))[0];
    const note = this.#maybe(term, umt('note'));
    return {
      id,
      title: this.#texts(term, `${DCT}title`),
      sentence: this.#texts(term, umt('sentence')),
      applies: applies ?? { kind: 'constant', value: true },
      ...(holds && { holds }),
      ...(then && { then }),
      outcomes: this.#items(term, umt('outcomes')).map((each) => this.#outcome(each)),
      ...(obligation && { obligation: this.#obligation(this.#node(term, umt('obligation'))) }),
      cites: this.#items(term, umt('cites')).map((each) => this.#citation(each)),
      ...(note === undefined ? {} : { note }),
    };
  }

  #part(node: Node, name: 'applies' | 'holds' | 'when'): Condition | undefined {
    if (this.#graph.all(node, umt(name)).length === 0) return undefined;
    return this.#condition(this.#node(node, umt(name)), 0);
  }

  #outcome(term: Term): Outcome {
    const node = asNode(term);
    this.#only(node, [umt('when'), umt('effect')]);
    const when = this.#part(node, 'when');
    return { ...(when && { when }), effect: this.#effect(node, 'effect') };
  }

  #obligation(node: Node): Obligation {
    this.#only(node, ['sentence', 'due', 'evidence'].map(umt));
    const due = keyOf(this.#node(node, umt('due')));
    return {
      sentence: this.#texts(node, umt('sentence')),
      due: due.startsWith(FACT)
        ? { fact: due.slice(FACT.length) }
        : (this.#word(node, 'due') as 'throughout'),
      evidence: this.#texts(node, umt('evidence')),
    };
  }

  #citation(term: Term): Citation {
    const node = asNode(term);
    this.#only(node, ['instrument', 'article', 'confidence'].map(umt));
    return {
      instrument: this.#named(node, umt('instrument'), 'instrument'),
      article: this.#text(node, umt('article')),
      confidence: this.#word(node, 'confidence') as Citation['confidence'],
    };
  }

  /** The ODRL rules say what the `umt:Rule`s say, no more and no less. */
  #checkBranches(policy: Node, rules: readonly Rule[]): void {
    const expected = new Map<string, number>();
    for (const rule of rules)
      for (const { effect, constraints } of branchesOf(rule)) {
        const parts = constraints.map(({ id, not }) => (not ? `not ${id}` : id));
        const key = branchKey(EFFECTS[effect].property, rule.id, parts);
        expected.set(key, (expected.get(key) ?? 0) + 1);
      }
    for (const { property, type, action } of Object.values(EFFECTS))
      for (const node of this.#graph.nodesOf(policy, property)) {
        this.#only(node, [`${RDF}type`, umt('rule'), odrl('action'), odrl('constraint')]);
        const parts = this.#graph
          .nodesOf(node, odrl('constraint'))
          .map((each) => this.#reference(each));
        const rule = this.#named(node, umt('rule'), 'rule');
        const key = branchKey(property, rule, parts);
        const left = expected.get(key) ?? 0;
        const isWhole =
          this.#graph.types(node).join() === type &&
          keyOf(this.#node(node, odrl('action'))) === action;
        if (left === 0 || !isWhole)
          throw new OdrlMistake(
            where(policy, property),
            `this is not what umt:Rule ${rule} says: change the umt:Rule, and the ODRL rules that follow from it`,
          );
        expected.set(key, left - 1);
      }
    const missing = [...expected].find(([, count]) => count > 0)?.[0];
    if (missing !== undefined)
      throw new OdrlMistake(
        where(policy),
        `an ODRL rule is missing that follows from its umt:Rule: ${missing}`,
      );
  }

  #reference(node: Node): string {
    if (node.kind === 'iri') return node.value;
    this.#only(node, [`${RDF}type`, umt('not')]);
    return `not ${keyOf(this.#node(node, umt('not')))}`;
  }

  #condition(node: Node, depth: number): Condition {
    if (depth > MAX_DEPTH)
      throw new OdrlMistake(where(node), `at most ${MAX_DEPTH} levels of nesting`);
    for (const kind of LOGIC) {
      if (this.#graph.all(node, odrl(kind)).length === 0) continue;
      this.#only(node, [`${RDF}type`, odrl(kind)]);
      const of = this.#items(node, odrl(kind)).map((part) =>
        this.#condition(asNode(part), depth + 1),
      );
      return { kind, of };
    }
    if (this.#graph.all(node, umt('not')).length > 0) {
      this.#only(node, [`${RDF}type`, umt('not')]);
      return { kind: 'not', of: this.#condition(this.#node(node, umt('not')), depth + 1) };
    }
    return this.#atom(node);
  }

  #atom(node: Node): Condition {
    this.#only(node, ATOM);
    const left = keyOf(this.#node(node, odrl('leftOperand')));
    const operator = this.#node(node, odrl('operator'));
    const own = operator.value.startsWith(UMT) ? operator.value.slice(UMT.length) : undefined;
    if (left === umt('constant'))
      return {
        kind: 'constant',
        value: this.#text(node, odrl('rightOperand'), `${XSD}boolean`) === 'true',
      };
    if (own === 'applies' || own === 'holds')
      return { kind: own, rule: this.#named(node, odrl('rightOperand'), 'rule') };
    const fact = this.#fact(left, node);
    if (own === 'exists' || own === 'nonempty') return { kind: own, fact };
    const name = odrlName(operator) ?? own;
    if (name === undefined)
      throw new OdrlMistake(
        where(node, odrl('operator')),
        `no operator ${shortName(operator.value)}`,
      );
    const reference = this.#graph.one(node, odrl('rightOperandReference'));
    return {
      kind: 'compare',
      fact,
      operator: name as Operator,
      right: reference
        ? { fact: this.#fact(keyOf(asNode(reference)), node) }
        : { constant: this.#constant(fact, this.#one(node, odrl('rightOperand'))) },
    };
  }

  #fact(name: string, node: Node): string {
    if (name.startsWith(FACT)) return name.slice(FACT.length);
    const fact = this.#facts.get(name);
    if (fact !== undefined) return fact;
    throw new OdrlMistake(where(node, odrl('leftOperand')), `no fact ${shortName(name)}`);
  }

  #constant(fact: string, term: Term): Constant {
    const list = this.#graph.list(term);
    if (list) return list.map((item) => this.#scalar(fact, item) as string);
    return this.#scalar(fact, term);
  }

  #scalar(fact: string, term: Term): string | number | boolean {
    if (term.kind === 'literal') return scalarOf(term.value, term.datatype);
    if (term.kind === 'iri') {
      const code = this.#values.get(fact)?.get(term.value);
      if (code !== undefined) return code;
      if (term.value.startsWith(this.#places)) return term.value.slice(this.#places.length);
      const word = prefixedWord(term.value);
      if (word !== undefined) return word;
    }
    throw new OdrlMistake(where(asNode(term)), `no value of ${fact}`);
  }

  #only(node: Node, known: readonly string[]): void {
    const other = this.#graph.predicates(node).find((each) => !known.includes(each));
    if (other !== undefined)
      throw new OdrlMistake(where(node, other), 'this property has no meaning here');
  }

  #one(node: Node, predicate: string): Term {
    const term = this.#graph.one(node, predicate);
    if (term) return term;
    throw new OdrlMistake(where(node), `${shortName(predicate)} is missing`);
  }

  #node(node: Node, predicate: string): Node {
    const term = this.#one(node, predicate);
    if (term.kind !== 'literal') return term;
    throw new OdrlMistake(where(node, predicate), 'a thing, not a text');
  }

  #items(node: Node, predicate: string): readonly Term[] {
    const items = this.#graph.list(this.#one(node, predicate));
    if (items) return items;
    throw new OdrlMistake(where(node, predicate), 'a list');
  }

  #text(node: Node, predicate: string, datatype = `${XSD}string`): string {
    const text = this.#maybe(node, predicate, datatype);
    if (text !== undefined) return text;
    throw new OdrlMistake(where(node), `${shortName(predicate)} is missing`);
  }

  #maybe(node: Node, predicate: string, datatype = `${XSD}string`): string | undefined {
    const term = this.#graph.one(node, predicate);
    if (!term || (term.kind === 'literal' && term.datatype === datatype)) return term?.value;
    throw new OdrlMistake(where(node, predicate), `a value of the type ${shortName(datatype)}`);
  }

  #texts(node: Node, predicate: string): Texts {
    const texts = new Map<string, string>();
    for (const term of this.#graph.all(node, predicate)) {
      const language = term.kind === 'literal' ? term.language : undefined;
      if (language === undefined || texts.has(language))
        throw new OdrlMistake(where(node, predicate), 'texts, one in each language');
      texts.set(language, term.value);
    }
    return Object.fromEntries(texts);
  }

  #word(node: Node, name: string): string {
    const { value } = this.#node(node, umt(name));
    if (value.startsWith(UMT)) return value.slice(UMT.length);
    throw new OdrlMistake(where(node, umt(name)), `no ${name} ${shortName(value)}`);
  }

  #effect(node: Node, name: string): Effect {
    const word = this.#word(node, name);
    if (Object.hasOwn(EFFECTS, word)) return word as Effect;
    throw new OdrlMistake(where(node, umt(name)), `no effect "${word}"`);
  }

  #named(node: Node, predicate: string, kind: string): string {
    const name = nameIn(kind, keyOf(this.#node(node, predicate)));
    if (name !== undefined) return name;
    throw new OdrlMistake(where(node, predicate), `urn:umutungo:${kind}: and a name`);
  }
}

function branchKey(property: string, rule: string, parts: readonly string[]): string {
  return `${shortName(property)} of ${rule} under ${parts.toSorted().join(', ') || 'nothing'}`;
}

function asNode(term: Term): Node {
  if (term.kind !== 'literal') return term;
  throw new OdrlMistake(`"${term.value}"`, 'a thing, not a text');
}

/** A literal as policies write it: dates stay texts. */
function scalarOf(value: string, datatype: string): string | number | boolean {
  switch (datatype) {
    case `${XSD}boolean`:
      return value === 'true' || value === '1';
    case `${XSD}integer`:
    case `${XSD}decimal`:
    case `${XSD}double`:
      return Number(value);
    default:
      return value;
  }
}

function inverse(of: Readonly<Record<string, string>>): Map<string, string> {
  return new Map(Object.entries(of).map(([key, value]) => [value, key]));
}

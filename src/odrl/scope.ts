import { type Condition, parseCondition } from '../pdp/condition.ts';
import { constraintsOf, type Quantifier } from './constraint.ts';
import { type Node, OdrlMistake, type Term, where } from './graph.ts';
import { WORDS } from './mapping.ts';
import type { Reading } from './reading.ts';
import { odrl, RDF, shortName, umt } from './terms.ts';

/** One condition of several; undefined of none, which is: of every request. */
export function allOf(of: readonly Condition[]): Condition | undefined {
  return of.length > 1 ? { kind: 'and', of } : of[0];
}

export function anyOf(of: readonly Condition[]): Condition | undefined {
  return of.length > 1 ? { kind: 'or', of } : of[0];
}

/** The values of a property of a rule; where it has none, those of its policy (ODRL 2.2, 2.7.1). */
export function sharedValues(
  reading: Reading,
  rule: Node,
  policy: Node,
  name: string,
): readonly Term[] {
  const own = reading.graph.all(rule, odrl(name));
  return own.length > 0 ? own : reading.graph.all(policy, odrl(name));
}

/** Is the request for one of these actions, with their refinements? */
export function actionCondition(
  reading: Reading,
  terms: readonly Term[],
  quantifier: Quantifier,
): Condition | undefined {
  const options = terms.map((term) => oneAction(reading, term, quantifier));
  return options.includes(undefined)
    ? undefined
    : anyOf(options.filter((each) => each !== undefined));
}

function oneAction(reading: Reading, term: Term, quantifier: Quantifier): Condition | undefined {
  const { iri, refinements } = actionOf(reading, term);
  const { action, every_action } = reading.mapping;
  const refined = constraintsOf(reading, refinements, 'action', quantifier);
  if (every_action.includes(iri)) return allOf(refined);
  if (action === undefined) throw new OdrlMistake(shortName(iri), 'no fact says what is done');
  const isAction: Condition = {
    kind: 'compare',
    fact: reading.known(action, shortName(iri)),
    operator: 'isA',
    right: { constant: reading.word(iri) },
  };
  return allOf([isAction, ...refined]);
}

/** An action by its IRI, or a node with `rdf:value` and refinements. */
export function actionOf(
  reading: Reading,
  term: Term,
): { readonly iri: string; readonly refinements: readonly Node[] } {
  if (term.kind === 'literal') throw new OdrlMistake(`"${term.value}"`, 'an action is an IRI');
  const { graph } = reading;
  const value = graph.one(term, `${RDF}value`);
  if (value) {
    reading.only(term, [`${RDF}value`, odrl('refinement'), odrl('uid')]);
    if (value.kind === 'iri')
      return { iri: value.value, refinements: graph.nodesOf(term, odrl('refinement')) };
  } else if (term.kind === 'iri') {
    if (graph.all(term, odrl('refinement')).length > 0)
      throw new OdrlMistake(where(term), 'a refined action says with rdf:value what it refines');
    return { iri: term.value, refinements: [] };
  }
  throw new OdrlMistake(where(term), 'an action has an IRI, itself or as its rdf:value');
}

export type Role = 'assignee' | 'target';

/** Is whoever asks, or what is asked for, one of these? */
export function thingCondition(
  reading: Reading,
  terms: readonly Term[],
  role: Role,
  quantifier: Quantifier,
): Condition | undefined {
  const options = terms.map((term) => oneThing(reading, term, { role, quantifier }));
  return options.includes(undefined)
    ? undefined
    : anyOf(options.filter((each) => each !== undefined));
}

const OWN = ['uid', 'source', 'refinement', 'partOf', 'hasPolicy', 'assigneeOf', 'assignerOf'].map(
  odrl,
);

function oneThing(
  reading: Reading,
  term: Term,
  { role, quantifier }: { readonly role: Role; readonly quantifier: Quantifier },
): Condition | undefined {
  if (term.kind === 'literal') throw new OdrlMistake(`"${term.value}"`, `the ${role} is an IRI`);
  const { graph } = reading;
  // What else is said of a party or an asset describes it; ODRL's own properties change the rule.
  const other = graph
    .predicates(term)
    .find((each) => each.startsWith(odrl('')) && !OWN.includes(each));
  if (other !== undefined)
    throw new OdrlMistake(where(term, other), `this property of the ${role} has no meaning here`);
  const refined = constraintsOf(reading, graph.nodesOf(term, odrl('refinement')), role, quantifier);
  const iris = identities(reading, term);
  const isCollection = ['PartyCollection', 'AssetCollection'].some((type) =>
    graph.types(term).includes(odrl(type)),
  );
  if (iris.length === 0 && (refined.length === 0 || !isCollection))
    throw new OdrlMistake(where(term), `the ${role} is nobody and nothing in particular`);
  const members = iris.map((iri) =>
    member(reading, iri, { role, isGroup: isCollection || term.kind === 'blank' }),
  );
  return allOf([...members.filter((each) => each !== undefined), ...refined]);
}

/** What a party or an asset is: its IRI, that of its source, or what it is said to belong to. */
function identities(reading: Reading, node: Node): string[] {
  const { graph } = reading;
  const source = graph.one(node, odrl('source')) ?? graph.one(node, odrl('uid'));
  const named = source ?? node;
  const own = named.kind === 'iri' ? [named.value] : [];
  if (own.length > 0 || node.kind === 'iri') return own;
  return WORDS.membership.flatMap((property) =>
    graph.nodesOf(node, property).flatMap((each) => (each.kind === 'iri' ? [each.value] : [])),
  );
}

function member(
  reading: Reading,
  iri: string,
  { role, isGroup }: { readonly role: Role; readonly isGroup: boolean },
): Condition | undefined {
  const { mapping } = reading;
  if (Object.hasOwn(mapping.parties, iri)) return parseCondition(mapping.parties[iri], []);
  const fact = mapping[role];
  if (fact === undefined) throw new OdrlMistake(shortName(iri), `no fact says who the ${role} is`);
  if (mapping.closes) return datasetCondition(reading, iri, fact);
  const word = reading.word(iri);
  const itself: Condition = { kind: 'compare', fact, operator: 'isA', right: { constant: word } };
  const groups = mapping[`${role}_groups`];
  if (!isGroup || groups === undefined) return itself;
  reading.take({
    [groups]: {
      type: 'set',
      of: 'code',
      absent: 'none',
      source: 'request_over_stored',
      title: { en: role === 'assignee' ? 'Groups of the party' : 'Collections of the asset' },
      basis: odrl('partOf'),
    },
  });
  const inGroup: Condition = {
    kind: 'compare',
    fact: groups,
    operator: 'isAnyOf',
    right: { constant: reading.downset(word) },
  };
  return { kind: 'or', of: [itself, inGroup] };
}

function datasetCondition(reading: Reading, iri: string, fact: string): Condition | undefined {
  if (iri === umt('datasets')) return undefined;
  const dataset = reading.dataset(iri);
  if (dataset !== undefined)
    return { kind: 'compare', fact, operator: 'eq', right: { constant: dataset } };
  throw new OdrlMistake(shortName(iri), 'which dataset this is has to be said in the bindings');
}

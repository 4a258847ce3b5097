import { ODRL, RDF, shortName } from './terms.ts';

/** A node or a value of an RDF graph. */
export type Term =
  | { readonly kind: 'iri' | 'blank'; readonly value: string }
  | {
      readonly kind: 'literal';
      readonly value: string;
      readonly datatype: string;
      readonly language?: string;
    };
export type Node = Extract<Term, { readonly kind: 'iri' | 'blank' }>;
export type Literal = Extract<Term, { readonly kind: 'literal' }>;

export interface Triple {
  readonly subject: Node;
  readonly predicate: string;
  readonly object: Term;
}

/** Why a policy cannot be taken over, and where: the IRI or the blank node, and its property. */
export interface OdrlProblem {
  readonly where: string;
  readonly message: string;
}

/** A mistake that ends the reading of what it is in. */
export class OdrlMistake extends Error {
  readonly where: string;
  constructor(place: string, message: string) {
    super(message);
    this.where = place;
  }
}

const MAX_LIST = 100_000;
/** Nodes that are looked at: one that is reached on many ways is looked at as often. */
const MAX_STEPS = 300_000;

/** Triples by subject and predicate, in the order in which they were written. */
export class Graph {
  #steps = 0;
  readonly #nodes = new Map<string, { node: Node; properties: Map<string, Term[]> }>();

  constructor(triples: Iterable<Triple>) {
    for (const { subject, predicate, object } of triples) {
      const key = keyOf(subject);
      const entry = this.#nodes.get(key) ?? { node: subject, properties: new Map() };
      this.#nodes.set(key, entry);
      const values = entry.properties.get(predicate);
      if (values) values.push(object);
      else entry.properties.set(predicate, [object]);
    }
  }

  /** @throws OdrlMistake when reading the policy takes more than a policy does. */
  step(count = 1): void {
    this.#steps += count;
    if (this.#steps > MAX_STEPS) throw new OdrlMistake('', 'too intricate to be read');
  }

  nodes(): Node[] {
    return [...this.#nodes.values()].map(({ node }) => node);
  }

  predicates(node: Node): string[] {
    this.step();
    return [...(this.#nodes.get(keyOf(node))?.properties.keys() ?? [])];
  }

  all(node: Node, predicate: string): readonly Term[] {
    return this.#nodes.get(keyOf(node))?.properties.get(predicate) ?? [];
  }

  /** @throws OdrlMistake where there are several. */
  one(node: Node, predicate: string): Term | undefined {
    const [first, second] = this.all(node, predicate);
    if (second) throw new OdrlMistake(where(node, predicate), 'one value only');
    return first;
  }

  /** The nodes among the values. @throws OdrlMistake for a literal. */
  nodesOf(node: Node, predicate: string): readonly Node[] {
    return this.all(node, predicate).map((term) => {
      if (term.kind !== 'literal') return term;
      throw new OdrlMistake(where(node, predicate), `"${term.value}" is a text, not a thing`);
    });
  }

  types(node: Node): string[] {
    return this.all(node, `${RDF}type`).flatMap((term) =>
      term.kind === 'iri' ? [term.value] : [],
    );
  }

  /**
   * The items of an RDF list; undefined where the term is none.
   * @throws OdrlMistake for a list that ends nowhere, forks or runs in a circle.
   */
  list(term: Term): readonly Term[] | undefined {
    if (term.kind === 'literal') return undefined;
    if (term.value === `${RDF}nil`) return [];
    if (this.all(term, `${RDF}first`).length === 0) return undefined;
    const items: Term[] = [];
    const seen = new Set<string>();
    let at: Term = term;
    while (at.kind !== 'literal' && at.value !== `${RDF}nil`) {
      const first: Term | undefined = this.one(at, `${RDF}first`);
      const rest: Term | undefined = this.one(at, `${RDF}rest`);
      if (seen.has(keyOf(at))) throw new OdrlMistake(where(at), 'a list that runs in a circle');
      if (!first || !rest) throw new OdrlMistake(where(at), 'a list without an end');
      if (items.length >= MAX_LIST) throw new OdrlMistake(where(at), `at most ${MAX_LIST} items`);
      seen.add(keyOf(at));
      items.push(first);
      at = rest;
    }
    return items;
  }

  /** The values of a property, those of a list among them. */
  members(node: Node, predicate: string): Term[] {
    return this.all(node, predicate).flatMap((term) => this.list(term) ?? [term]);
  }
}

export function keyOf(node: Node): string {
  return node.kind === 'iri' ? node.value : `_:${node.value}`;
}

/** A place in a graph, for people. */
export function where(node: Node, predicate?: string): string {
  const name = node.kind === 'iri' ? shortName(node.value) : `_:${node.value}`;
  return predicate === undefined ? name : `${name} ${shortName(predicate)}`;
}

/** The name that an ODRL term has in its namespace; undefined for any other. */
export function odrlName(term: Term | undefined): string | undefined {
  if (term?.kind !== 'iri' || !term.value.startsWith(ODRL)) return undefined;
  return term.value.slice(ODRL.length);
}

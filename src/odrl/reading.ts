import vocabulary from '../../policies/odrl/context.json' with { type: 'json' };
import { COUNTRIES } from '../pdp/countries.ts';
import type { PackDocument, Texts } from '../pdp/document.ts';
import { isCode } from '../pdp/facts.ts';
import { type Graph, type Node, OdrlMistake, where } from './graph.ts';
import {
  type AttributeSpec,
  type Mapping,
  MAPPINGS,
  type ProfileName,
  type TermSpec,
  WORDS,
} from './mapping.ts';
import { DCT, localName, nameIn, ODRL, RDF, RDFS, shortName, SKOS } from './terms.ts';

/** What an IRI of the policy stands for: a placeholder, a dataset, a purpose, a party. */
export type Bindings = Readonly<Record<string, string | number | boolean>>;

/** The pack whose facts a policy will read; a space gets the facts that its policies need. */
export type Facts = Pick<
  PackDocument,
  'facts' | 'derived' | 'purposes' | 'sectors' | 'place_groups'
>;

const LABELS = [`${SKOS}prefLabel`, `${RDFS}label`, `${DCT}title`];
const BROADER = [
  `${SKOS}broader`,
  `${SKOS}broaderTransitive`,
  `${RDFS}subClassOf`,
  `${ODRL}includedIn`,
  `${ODRL}partOf`,
  `${RDF}type`,
];
/** Classes of things, not kinds of purposes or places. */
const META = [ODRL, SKOS, RDFS, RDF, 'http://www.w3.org/2002/07/owl#'];
const NUMBERS = ['integer', 'number'];

/** One policy under reading: its graph, what its words mean here, and what is found to be needed. */
export class Reading {
  readonly graph: Graph;
  readonly mapping: Mapping;
  readonly pack: Facts | undefined;
  readonly attributes: Map<string, AttributeSpec> = new Map();
  readonly #bindings: ReadonlyMap<string, string | number | boolean>;
  readonly #broader = new Map<string, Set<string>>();
  readonly #narrower = new Map<string, Set<string>>();
  readonly #titles = new Map<string, Texts>();
  readonly #used = new Set<string>();
  readonly #operands = new Map<string, string>();
  readonly #units = new Map<string, string | undefined>();

  constructor(graph: Graph, profile: ProfileName, bindings: Bindings, pack: Facts | undefined) {
    this.graph = graph;
    this.mapping = MAPPINGS[profile];
    this.pack = pack;
    this.#bindings = new Map(Object.entries(bindings));
    for (const [action, broader] of Object.entries(vocabulary.actions))
      for (const each of broader)
        this.#addEdge(this.#word(`${ODRL}${action}`), this.#word(`${ODRL}${each}`));
    for (const [term, { title, broader }] of Object.entries(WORDS.terms)) {
      const word = this.#word(term);
      this.#titles.set(word, title);
      for (const each of broader ?? []) this.#addEdge(word, this.#word(each));
    }
    for (const node of graph.nodes()) this.#learn(node);
  }

  #learn(node: Node): void {
    if (node.kind !== 'iri') return;
    const word = this.#word(node.value);
    for (const predicate of BROADER)
      for (const term of this.graph.all(node, predicate))
        if (term.kind === 'iri' && !META.some((start) => term.value.startsWith(start)))
          this.#addEdge(word, this.#word(term.value));
        else if (term.kind === 'iri' && predicate === `${ODRL}includedIn`)
          this.#addEdge(word, this.#word(term.value));
    for (const term of this.graph.all(node, `${SKOS}narrower`))
      if (term.kind === 'iri') this.#addEdge(this.#word(term.value), word);
    const title = this.title(node);
    if (title) this.#titles.set(word, title);
  }

  #addEdge(narrow: string, broad: string): void {
    const [up, down] = [this.#broader.get(narrow), this.#narrower.get(broad)];
    if (up) up.add(broad);
    else this.#broader.set(narrow, new Set([broad]));
    if (down) down.add(narrow);
    else this.#narrower.set(broad, new Set([narrow]));
  }

  /** A word and everything that is a kind or a part of it. */
  downset(word: string): string[] {
    const seen = new Set([word]);
    for (const each of seen) for (const narrow of this.#narrower.get(each) ?? []) seen.add(narrow);
    for (const member of this.#group(word)) seen.add(member);
    this.graph.step(seen.size);
    return [...seen];
  }

  #group(word: string): readonly string[] {
    const groups = this.pack?.place_groups ?? {};
    return Object.hasOwn(groups, word) ? (groups[word] ?? []) : [];
  }

  /** What a thing stands for, where the importer said so. */
  binding(iri: string): string | number | boolean | undefined {
    const bound = this.#bindings.get(iri);
    if (bound !== undefined) return bound;
    if (WORDS.placeholders.some((start) => iri.startsWith(start)))
      throw new OdrlMistake(
        shortName(iri),
        'a placeholder: say in the bindings what it stands for',
      );
    return undefined;
  }

  #word(iri: string): string {
    const bound = this.#bindings.get(iri);
    if (bound !== undefined) return String(bound);
    if (iri.startsWith(ODRL)) return iri.slice(ODRL.length);
    const { places } = this.mapping;
    const place = iri.startsWith(places) ? iri.slice(places.length) : '';
    return COUNTRIES.has(place) ? place : iri;
  }

  /** The word that an IRI is here, noted as one that is used. */
  word(iri: string): string {
    this.binding(iri);
    const word = this.#word(iri);
    this.#used.add(word);
    return word;
  }

  /** The value of a fact that an IRI is; of a pack's purposes and sectors, one that it has. */
  code(iri: string, fact: string): string | number | boolean {
    const bound = this.binding(iri);
    if (bound !== undefined) {
      this.#used.add(String(bound));
      return bound;
    }
    const values = Object.entries(this.mapping.values[fact] ?? {});
    const known = values.find(([, name]) => name === iri)?.[0];
    if (known !== undefined) return known;
    const lists = { 'request.purpose': this.pack?.purposes, 'request.sector': this.pack?.sectors };
    const list = Object.hasOwn(lists, fact) ? lists[fact as keyof typeof lists] : undefined;
    if (!list) return this.word(iri);
    const found = [iri, shortName(iri), localName(iri)].find((each) => Object.hasOwn(list, each));
    if (found !== undefined) return found;
    throw new OdrlMistake(
      shortName(iri),
      `the pack has no such value of ${fact}: say in the bindings which it is`,
    );
  }

  /** What a thing is called, by language, with English among them. */
  title(node: Node): Texts | undefined {
    for (const predicate of LABELS) {
      const texts = new Map<string, string>();
      for (const term of this.graph.all(node, predicate)) {
        const language = term.kind === 'literal' ? languageOf(term.language) : undefined;
        if (language !== undefined && term.value !== '' && !texts.has(language))
          texts.set(language, term.value.slice(0, 4000));
      }
      const [first] = texts.values();
      if (first !== undefined) return { en: first, ...Object.fromEntries(texts) };
    }
    return undefined;
  }

  titleOf(iri: string): Texts {
    const found = this.title({ kind: 'iri', value: iri });
    return found ?? this.#titles.get(this.#word(iri)) ?? { en: wordsOf(localName(iri)) };
  }

  /** The fact, as far as its values go: those of a space are made as they are needed. */
  isSet(fact: string): boolean {
    if (!this.pack) return this.attributes.get(fact)?.type === 'set';
    const specs = this.pack.facts;
    if (Object.hasOwn(this.pack.derived, fact)) return this.pack.derived[fact]?.union !== undefined;
    const parent = fact.slice(0, fact.lastIndexOf('.'));
    return specs[fact]?.type === 'set' || specs[parent]?.type === 'list';
  }

  /** Of a space: the type of a fact, as far as it is known. */
  typeOf(fact: string): AttributeSpec['type'] | undefined {
    return BUILT_IN[fact] ?? this.attributes.get(fact)?.type;
  }

  /** @throws OdrlMistake where the pack has no such fact. */
  known(fact: string, place: string): string {
    const { pack } = this;
    const isThere =
      !pack ||
      fact === 'today' ||
      Object.hasOwn(pack.facts, fact) ||
      Object.hasOwn(pack.derived, fact);
    if (isThere) return fact;
    throw new OdrlMistake(place, `the pack has no fact ${fact}`);
  }

  /**
   * Notes that a space needs a fact of this type.
   * @throws OdrlMistake where another constraint needs it of a type that does not agree.
   */
  need(fact: string, operand: string, type: AttributeSpec['type'], of?: 'code' | 'text'): void {
    if (this.pack) return;
    const own = BUILT_IN[fact];
    if (own !== undefined) {
      if (joinedType(own, type) === own) return;
      throw new OdrlMistake(
        shortName(operand),
        `${fact} is a ${own}, and is compared with a ${type}`,
      );
    }
    const other = this.#operands.get(fact);
    if (other !== undefined && other !== operand)
      throw new OdrlMistake(
        shortName(operand),
        `${fact} is ${shortName(other)} already: bind neither`,
      );
    this.#operands.set(fact, operand);
    const before = this.attributes.get(fact);
    const joined = before ? joinedType(before.type, type) : type;
    if (joined === undefined)
      throw new OdrlMistake(
        shortName(operand),
        `compared with a ${type} here and with a ${before?.type ?? ''} elsewhere`,
      );
    const member =
      joined === 'set' ? (before?.of === 'text' || of === 'text' ? 'text' : 'code') : undefined;
    this.attributes.set(fact, {
      type: joined,
      ...(member ? { of: member } : {}),
      ...(before?.absent ? { absent: before.absent } : {}),
      source: /^(context|action)\./.test(fact) ? 'request' : 'request_over_stored',
      title: before?.title ?? this.titleOf(operand),
      basis: operand,
    });
  }

  /**
   * Notes in which unit a fact of a space is told: nothing is converted.
   * @throws OdrlMistake for another unit than elsewhere, and for any where the facts have their own.
   */
  unit(fact: string, unit: string | undefined, place: string): void {
    const isKnown = this.#units.has(fact);
    if (unit !== undefined && (this.pack || (isKnown && this.#units.get(fact) !== unit)))
      throw new OdrlMistake(place, 'no unit is converted: this one is not that of the fact');
    if (unit === undefined && isKnown && this.#units.get(fact) !== undefined)
      throw new OdrlMistake(place, 'no unit is converted: elsewhere there is one');
    this.#units.set(fact, unit);
    const spec = this.attributes.get(fact);
    if (!spec || unit === undefined) return;
    const title = { ...this.titleOf(spec.basis) };
    title['en'] = `${title['en'] ?? ''} (${localName(unit)})`;
    this.attributes.set(fact, { ...spec, title });
  }

  /** Notes a fact as it stands in a table. */
  take(attributes: Readonly<Record<string, AttributeSpec>>): void {
    for (const [fact, spec] of Object.entries(attributes)) this.attributes.set(fact, spec);
  }

  /** Everything above and below the words that the policy uses. */
  terms(): Record<string, TermSpec> {
    const all = new Set(this.#used);
    for (const each of all) for (const narrow of this.#narrower.get(each) ?? []) all.add(narrow);
    for (const each of all) for (const broad of this.#broader.get(each) ?? []) all.add(broad);
    return Object.fromEntries(
      [...all].map((word) => {
        const broader = [...(this.#broader.get(word) ?? [])];
        const title = this.#titles.get(word) ?? { en: wordsOf(localName(word)) };
        return [word, { title, ...(broader.length > 0 ? { broader } : {}) }];
      }),
    );
  }

  /** @throws OdrlMistake for a property that has no meaning where it stands. */
  only(node: Node, known: readonly string[], reasons: Readonly<Record<string, string>> = {}): void {
    for (const predicate of this.graph.predicates(node)) {
      if (known.includes(predicate) || isAnnotation(predicate)) continue;
      const reason = Object.hasOwn(reasons, predicate) ? reasons[predicate] : undefined;
      throw new OdrlMistake(where(node, predicate), reason ?? 'this property has no meaning here');
    }
  }

  /** The name of a dataset of the register. */
  dataset(iri: string): string | undefined {
    const bound = this.binding(iri);
    return bound === undefined ? nameIn('dataset', iri) : String(bound);
  }
}

/** Facts that every space has. */
const BUILT_IN: Readonly<Record<string, AttributeSpec['type']>> = {
  'subject.type': 'text',
  'subject.id': 'text',
  'action.name': 'text',
  'resource.type': 'text',
  'resource.id': 'text',
  'request.as_of': 'datetime',
  today: 'date',
};

/** Vocabularies that say what a thing is called and where it is from, and change no decision. */
const ANNOTATIONS = [
  RDFS,
  SKOS,
  DCT,
  'http://purl.org/dc/elements/1.1/',
  'http://www.w3.org/ns/prov#',
];

function isAnnotation(predicate: string): boolean {
  return predicate === `${RDF}type` || ANNOTATIONS.some((start) => predicate.startsWith(start));
}

function joinedType(
  a: AttributeSpec['type'],
  b: AttributeSpec['type'],
): AttributeSpec['type'] | undefined {
  if (a === b) return a;
  if (NUMBERS.includes(a) && NUMBERS.includes(b)) return 'number';
  const texts = ['code', 'text'];
  return texts.includes(a) && texts.includes(b) ? 'text' : undefined;
}

function languageOf(tag: string | undefined): string | undefined {
  if (tag === undefined) return 'en';
  return /^[a-z]{2,3}(?=-|$)/.exec(tag.toLowerCase())?.[0];
}

/** A name in camel case or with underscores as words. */
export function wordsOf(name: string): string {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').replaceAll(/[_-]+/g, ' ');
  return words.trim() || 'something';
}

/** The type of an attribute that takes a text or an IRI. */
export function textType(value: string): 'code' | 'text' {
  return isCode(value) ? 'code' : 'text';
}

import jsonld from 'jsonld';
import { Parser } from 'n3';
import vocabulary from '../../policies/odrl/context.json' with { type: 'json' };
import { triplesOf } from './expanded.ts';
import { Graph, type Node, OdrlMistake, type Term, type Triple } from './graph.ts';
import { ODRL, PREFIXES, XSD } from './terms.ts';

/** Media types by the name of a format. */
export const FORMATS: Readonly<Record<Format, string>> = {
  jsonld: 'application/ld+json',
  turtle: 'text/turtle',
};
export type Format = 'jsonld' | 'turtle';

const MAX_BYTES = 2 * 1024 * 1024;
const MAX_TRIPLES = 200_000;
const MAX_NESTING = 100;
const MAX_VALUES = 200_000;
const MAX_TERMS = 1_000;
/** Contexts of ODRL that a document may name instead of declaring its terms. */
const ODRL_CONTEXTS: readonly string[] = [
  'http://www.w3.org/ns/odrl.jsonld',
  'https://www.w3.org/ns/odrl.jsonld',
  'http://www.w3.org/ns/odrl/2/',
];
// Relative names would mean something else wherever the text is kept.
const BASE = 'http://relative.invalid/';

/**
 * The RDF graph of a text. Nothing is fetched: JSON-LD may name the ODRL context, which is here,
 * or declare its terms itself; every other context is refused.
 * @throws OdrlMistake for a text that cannot be read, is too large or too deep, and for terms that
 * JSON-LD would drop.
 */
export async function readGraph(text: string, format: Format): Promise<Graph> {
  if (Buffer.byteLength(text) > MAX_BYTES) throw new OdrlMistake('', `at most ${MAX_BYTES} bytes`);
  const triples = format === 'turtle' ? readTurtle(text) : await readJsonLd(text);
  if (triples.length > MAX_TRIPLES) throw new OdrlMistake('', `at most ${MAX_TRIPLES} statements`);
  for (const { subject, predicate, object } of triples)
    for (const term of [subject, { kind: 'iri', value: predicate } as const, object])
      refuseRelative(term);
  return new Graph(triples);
}

function refuseRelative(term: Term): void {
  if (term.kind === 'iri' && term.value.startsWith(BASE))
    throw new OdrlMistake(
      term.value.slice(BASE.length),
      'a relative name, or a term that ODRL does not have: write the whole IRI, or declare a prefix',
    );
}

interface RdfTerm {
  readonly termType: string;
  readonly value: string;
  readonly language?: string;
  readonly datatype?: { readonly value: string };
}

interface RdfQuad {
  readonly subject: RdfTerm;
  readonly predicate: RdfTerm;
  readonly object: RdfTerm;
  readonly graph: RdfTerm;
}

function readTurtle(text: string): Triple[] {
  refuseDeepTurtle(text);
  const triples: Triple[] = [];
  try {
    const parser = new Parser({ format: 'text/turtle', baseIRI: BASE, blankNodePrefix: '' });
    for (const quad of parser.parse(text)) triples.push(tripleOf(quad));
  } catch (error) {
    if (error instanceof OdrlMistake) throw error;
    const message = error instanceof Error ? error.message : 'no Turtle';
    const line = /on line (\d+)/.exec(message)?.[1];
    throw new OdrlMistake(line ? `line ${line}` : '', message);
  }
  return triples;
}

/** The parser keeps all tokens of a text: so many commas and brackets, so many triples at most. */
function refuseDeepTurtle(text: string): void {
  let [depth, marks] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    const mark = text.charCodeAt(i);
    // [ ( and ] ) and , ; .
    if (mark === 91 || mark === 40) depth++;
    else if (mark === 93 || mark === 41) depth--;
    else if (mark !== 44 && mark !== 59 && mark !== 46) continue;
    marks++;
    if (depth > MAX_NESTING * 4)
      throw new OdrlMistake('', `at most ${MAX_NESTING} levels of nesting`);
    if (marks > MAX_TRIPLES * 2) throw new OdrlMistake('', `at most ${MAX_TRIPLES} statements`);
  }
}

function tripleOf({ subject, predicate, object, graph }: RdfQuad): Triple {
  if (graph.termType !== 'DefaultGraph')
    throw new OdrlMistake(graph.value, 'a named graph: a policy is one graph');
  const of = termOf(subject);
  if (of.kind === 'literal' || predicate.termType !== 'NamedNode')
    throw new OdrlMistake(subject.value, 'no statement of RDF');
  return { subject: of satisfies Node, predicate: predicate.value, object: termOf(object) };
}

function termOf({ termType, value, language, datatype }: RdfTerm): Term {
  switch (termType) {
    case 'NamedNode':
      return { kind: 'iri', value };
    case 'BlankNode':
      return { kind: 'blank', value: value.replace(/^_:/, '') };
    case 'Literal':
      return {
        kind: 'literal',
        value,
        datatype: datatype?.value ?? `${XSD}string`,
        ...(language ? { language } : {}),
      };
    default:
      throw new OdrlMistake(value, 'a statement about a statement: this is not read');
  }
}

async function readJsonLd(text: string): Promise<Triple[]> {
  let document: unknown;
  try {
    refuseDeepJson(text);
    document = JSON.parse(text);
  } catch (error) {
    if (error instanceof OdrlMistake) throw error;
    throw new OdrlMistake('', error instanceof Error ? error.message : 'no JSON');
  }
  refuseHostile(document);
  const options = {
    base: BASE,
    safe: true,
    documentLoader: (url: string) => Promise.resolve(loaded(url)),
  };
  try {
    // The library's own way to triples looks for doubles among all values of a property, each
    // with each: minutes for a text of a megabyte.
    return triplesOf(await expand(document, options));
  } catch (error) {
    throw mistakeIn(error);
  }
}

const REFUSED = 'umutungo: refused context';

function loaded(url: string): { contextUrl: undefined; documentUrl: string; document: object } {
  if (!ODRL_CONTEXTS.includes(url)) throw new OdrlMistake(url, REFUSED);
  return { contextUrl: undefined, documentUrl: url, document: { '@context': CONTEXT } };
}

// The library's own types leave out its safe mode.
const expand = jsonld.expand as unknown as (
  document: unknown,
  options: object,
) => Promise<readonly unknown[]>;

/** What the library says of a mistake, for people. */
function mistakeIn(error: unknown): OdrlMistake {
  let at = error;
  while (typeof at === 'object' && at !== null) {
    if (at instanceof OdrlMistake && at.message !== REFUSED) return at;
    if (at instanceof OdrlMistake)
      return new OdrlMistake(
        at.where,
        `this context is not read: nothing is fetched; name ${ODRL_CONTEXTS[0] ?? ''}, and declare other terms in the document`,
      );
    const { details, cause } = at as { details?: SafeDetails; cause?: unknown };
    if (details?.event) return unsafe(details.event);
    at = details?.cause ?? cause;
  }
  return new OdrlMistake('', error instanceof Error ? error.message : 'no JSON-LD');
}

interface SafeDetails {
  readonly event?: {
    readonly code: string;
    readonly details?: {
      readonly property?: string;
      readonly expandedProperty?: string;
      readonly reference?: string;
      readonly id?: string;
      readonly type?: string;
    };
  };
  readonly cause?: unknown;
}

function unsafe({ code, details = {} }: NonNullable<SafeDetails['event']>): OdrlMistake {
  const { property, id, type, reference } = details;
  const name = property ?? id ?? type ?? reference ?? code;
  return new OdrlMistake(
    name,
    'a relative name, or a term that ODRL does not have: write the whole IRI, or declare a prefix',
  );
}

/** Depth first: the parser of JSON would be at the end of its stack. */
function refuseDeepJson(text: string): void {
  let [depth, inText] = [0, false];
  for (let i = 0; i < text.length; i++) {
    const mark = text.charCodeAt(i);
    if (inText) {
      if (mark === 92) i++;
      else if (mark === 34) inText = false;
    } else if (mark === 34) inText = true;
    else if (mark === 123 || mark === 91) {
      if (++depth > MAX_NESTING)
        throw new OdrlMistake('', `at most ${MAX_NESTING} levels of nesting`);
    } else if (mark === 125 || mark === 93) depth--;
  }
}

/**
 * Contexts stand at the top alone and are small: the library copies the whole context for each
 * object that has its own.
 */
function refuseHostile(document: unknown): void {
  let values = 0;
  const visit = (value: unknown, depth: number): void => {
    if (++values > MAX_VALUES) throw new OdrlMistake('', `at most ${MAX_VALUES} values`);
    if (Array.isArray(value)) for (const item of value) visit(item, depth);
    else if (typeof value === 'object' && value !== null)
      for (const [key, member] of Object.entries(value)) {
        if (key === '__proto__') throw new OdrlMistake(key, 'a name that nothing may have');
        if (key !== '@context') visit(member, depth + 1);
        else if (depth > 0)
          throw new OdrlMistake(key, 'a context stands at the top of the document');
        else refuseContext(member);
      }
  };
  visit(document, 0);
}

function refuseContext(context: unknown): void {
  const parts = Array.isArray(context) ? (context as unknown[]) : [context];
  if (parts.length > 10) throw new OdrlMistake('@context', 'at most ten contexts');
  for (const part of parts) {
    if (typeof part !== 'object' || part === null) continue;
    const terms = Object.entries(part);
    if (terms.length > MAX_TERMS) throw new OdrlMistake('@context', `at most ${MAX_TERMS} terms`);
    for (const [term, definition] of terms) {
      const scoped =
        typeof definition === 'object' && definition !== null && '@context' in definition;
      if (term === '@import' || term === '__proto__' || scoped)
        throw new OdrlMistake(`@context ${term}`, 'only prefixes and terms are declared here');
    }
  }
}

/** The ODRL context: what its terms are called, and which of them name things. */
const CONTEXT: Readonly<Record<string, unknown>> = {
  ...PREFIXES,
  '@vocab': BASE,
  id: '@id',
  type: '@type',
  uid: '@id',
  ...termsOf([...vocabulary.terms, ...vocabulary.operands, ...Object.keys(vocabulary.actions)], {}),
  ...termsOf(vocabulary.id, { '@type': '@id' }),
  ...termsOf(vocabulary.vocab, { '@type': '@vocab' }),
  ...termsOf(vocabulary.list, { '@type': '@id' }),
  ...termsOf(vocabulary.boolean, { '@type': 'xsd:boolean' }),
};

function termsOf(names: readonly string[], more: object): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, { '@id': `${ODRL}${name}`, ...more }]));
}

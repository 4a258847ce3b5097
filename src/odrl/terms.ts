/** Namespaces and the terms that this profile reads and writes; `docs/odrl-profile.md`. */

export const ODRL = 'http://www.w3.org/ns/odrl/2/';
export const RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#';
export const RDFS = 'http://www.w3.org/2000/01/rdf-schema#';
export const SKOS = 'http://www.w3.org/2004/02/skos/core#';
export const DCT = 'http://purl.org/dc/terms/';
export const XSD = 'http://www.w3.org/2001/XMLSchema#';
/** Terms of our own, where ODRL has none. */
export const UMT = 'https://umutungo.example/ns/odrl#';
/** What one fact of a pack is called, followed by its path. */
export const FACT: string = `${UMT}fact/`;
/** Things of a register, followed by their kind and their name. */
const URN = 'urn:umutungo:';

/** Prefixes that are written, and that a JSON-LD document may use without declaring them. */
export const PREFIXES: Readonly<Record<string, string>> = {
  odrl: ODRL,
  rdf: RDF,
  rdfs: RDFS,
  skos: SKOS,
  dct: DCT,
  xsd: XSD,
  dpv: 'https://w3id.org/dpv#',
  loc: 'https://w3id.org/dpv/loc#',
  umt: UMT,
};

export const odrl = (name: string): string => `${ODRL}${name}`;
export const umt = (name: string): string => `${UMT}${name}`;
export const factIri = (path: string): string => `${FACT}${path}`;
export const urn = (kind: string, name: string): string => `${URN}${kind}:${name}`;

/** The name in a `urn:umutungo:KIND:NAME`; undefined where it is none of this kind. */
export function nameIn(kind: string, iri: string): string | undefined {
  const start = `${URN}${kind}:`;
  return iri.startsWith(start) ? iri.slice(start.length) : undefined;
}

/** What stands after the last `#` or `/` of an IRI. */
export function localName(iri: string): string {
  return iri.slice(Math.max(iri.lastIndexOf('#'), iri.lastIndexOf('/'), iri.lastIndexOf(':')) + 1);
}

/** Prefixes with which a program may write the words of others. */
const WORDS: readonly string[] = ['dpv'];

/** The IRI of a word that is written with a prefix, `dpv:AcademicResearch`; undefined for any other text. */
export function wordIri(text: string): string | undefined {
  const [, prefix = '', name] = /^([a-z]+):([A-Za-z]\w*)$/.exec(text) ?? [];
  return name !== undefined && WORDS.includes(prefix)
    ? `${PREFIXES[prefix] ?? ''}${name}`
    : undefined;
}

/** The word that `wordIri` gives this IRI for. */
export function prefixedWord(iri: string): string | undefined {
  const short = shortName(iri);
  return wordIri(short) === iri ? short : undefined;
}

/** An IRI for people: with a known prefix, or in angle brackets. */
export function shortName(iri: string): string {
  const prefix = Object.keys(PREFIXES).find((each) => iri.startsWith(PREFIXES[each] ?? ' '));
  return prefix ? `${prefix}:${iri.slice(PREFIXES[prefix]?.length)}` : `<${iri}>`;
}

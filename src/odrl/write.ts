import { PREFIXES, RDF, XSD } from './terms.ts';

/** A node of an RDF graph with what is said of it; without an id it is a blank node. */
export interface Out {
  readonly id?: string;
  readonly properties: readonly (readonly [string, readonly Value[]])[];
}

export type Value =
  | Out
  | { readonly iri: string }
  | { readonly value: string; readonly datatype?: string; readonly language?: string }
  | { readonly list: readonly Value[] };

/** JSON-LD 1.1 that needs nothing from elsewhere: its context has prefixes alone. */
export function writeJsonLd(root: Out): string {
  const document = { '@context': PREFIXES, ...nodeJson(root) };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function nodeJson({ id, properties }: Out): Record<string, unknown> {
  const json: Record<string, unknown> = id === undefined ? {} : { '@id': id };
  for (const [predicate, values] of properties) {
    if (values.length === 0) continue;
    const isType = predicate === `${RDF}type`;
    const all = values.map((each) => (isType && 'iri' in each ? name(each.iri) : valueJson(each)));
    json[isType ? '@type' : name(predicate)] = all.length === 1 ? all[0] : all;
  }
  return json;
}

function valueJson(value: Value): unknown {
  if ('iri' in value) return { '@id': name(value.iri) };
  if ('list' in value) return { '@list': value.list.map(valueJson) };
  if ('properties' in value) return nodeJson(value);
  const { value: text, datatype, language } = value;
  if (language !== undefined) return { '@value': text, '@language': language };
  if (datatype === undefined || datatype === `${XSD}string`) return text;
  return { '@value': text, '@type': name(datatype) };
}

/** Turtle 1.1: a statement for each node that has a name, blank nodes within them. */
export function writeTurtle(root: Out): string {
  const waiting: Out[] = [root];
  const parts = Object.entries(PREFIXES).map(([prefix, iri]) => `@prefix ${prefix}: <${iri}> .`);
  for (let node = waiting.shift(); node; node = waiting.shift()) {
    const named: Out[] = [];
    parts.push(`\n${term(node.id ?? '')} ${propertiesTurtle(node, named, '    ')} .`);
    waiting.unshift(...named);
  }
  return `${parts.join('\n')}\n`;
}

function propertiesTurtle({ properties }: Out, named: Out[], indent: string): string {
  return properties
    .filter(([, values]) => values.length > 0)
    .map(([predicate, values]) => {
      const verb = predicate === `${RDF}type` ? 'a' : term(predicate);
      return `${verb} ${values.map((each) => valueTurtle(each, named, indent)).join(', ')}`;
    })
    .join(` ;\n${indent}`);
}

function valueTurtle(value: Value, named: Out[], indent: string): string {
  if ('iri' in value) return term(value.iri);
  if ('list' in value) {
    const items = value.list.map((each) => valueTurtle(each, named, indent));
    return `( ${items.join(' ')} )`;
  }
  if ('properties' in value) {
    if (value.id === undefined) return `[ ${propertiesTurtle(value, named, `${indent}  `)} ]`;
    named.push(value);
    return term(value.id);
  }
  const { value: text, datatype, language } = value;
  const quoted = `"${text.replaceAll(/["\\]|\p{Cc}/gu, escaped)}"`;
  if (language !== undefined) return `${quoted}@${language}`;
  return datatype === undefined || datatype === `${XSD}string`
    ? quoted
    : `${quoted}^^${term(datatype)}`;
}

function escaped(mark: string): string {
  if (mark === '"' || mark === '\\') return `\\${mark}`;
  return `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** With a prefix where what follows is a plain word, else the whole IRI. */
function name(iri: string): string {
  const prefix = Object.keys(PREFIXES).find((each) => {
    const start = PREFIXES[each] ?? '';
    return iri.startsWith(start) && /^[A-Za-z]\w*$/.test(iri.slice(start.length));
  });
  return prefix === undefined ? iri : `${prefix}:${iri.slice(PREFIXES[prefix]?.length)}`;
}

function term(iri: string): string {
  const short = name(iri);
  return short === iri ? `<${iri}>` : short;
}

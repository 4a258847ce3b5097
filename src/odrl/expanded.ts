import { isObject } from '../pdp/facts.ts';
import { type Node, OdrlMistake, type Term, type Triple } from './graph.ts';
import { RDF, XSD } from './terms.ts';

/**
 * The triples of expanded JSON-LD (JSON-LD 1.1 API, 8.1 and 8.2), without named graphs, reverse
 * properties and JSON literals, which are refused. Linear in the size of the document.
 * @throws OdrlMistake
 */
export function triplesOf(expanded: readonly unknown[]): Triple[] {
  const writer = new TripleWriter();
  for (const each of expanded) writer.node(asObject(each));
  return writer.triples;
}

class TripleWriter {
  readonly triples: Triple[] = [];
  #blanks = 0;

  node(json: Record<string, unknown>): Node {
    const node = this.#nameOf(json['@id']);
    for (const [key, value] of Object.entries(json)) {
      switch (key) {
        case '@id':
        case '@index':
          break;
        case '@type':
          for (const type of value as string[]) this.#add(node, `${RDF}type`, this.#nameOf(type));
          break;
        case '@graph':
          this.#graph(json, value);
          break;
        case '@included':
          for (const each of value as unknown[]) this.node(asObject(each));
          break;
        default:
          if (key.startsWith('@'))
            throw new OdrlMistake(key, 'this is not read: write it the plain way');
          for (const each of value as unknown[]) this.#add(node, key, this.#value(asObject(each)));
      }
    }
    return node;
  }

  /** A graph is the document itself; one that has a name, or says something of itself, is another. */
  #graph(json: Record<string, unknown>, value: unknown): void {
    if (Object.keys(json).length > 1)
      throw new OdrlMistake('@graph', 'a named graph: a policy is one graph');
    for (const each of value as unknown[]) this.node(asObject(each));
  }

  #value(json: Record<string, unknown>): Term {
    if ('@value' in json) return literalOf(json);
    if ('@list' in json) return this.#list(json['@list'] as unknown[]);
    if ('@set' in json) throw new OdrlMistake('@set', 'a set within a list');
    return this.node(json);
  }

  #list(items: readonly unknown[]): Node {
    const nil: Node = { kind: 'iri', value: `${RDF}nil` };
    const cells = items.map(() => this.#blank());
    items.forEach((item, i) => {
      const cell = cells[i] ?? nil;
      this.#add(cell, `${RDF}first`, this.#value(asObject(item)));
      this.#add(cell, `${RDF}rest`, cells[i + 1] ?? nil);
    });
    return cells[0] ?? nil;
  }

  #nameOf(id: unknown): Node {
    if (typeof id !== 'string') return this.#blank();
    // Names of the document and those that are made here are kept apart.
    return id.startsWith('_:')
      ? { kind: 'blank', value: `d-${id.slice(2)}` }
      : { kind: 'iri', value: id };
  }

  #blank(): Node {
    this.#blanks++;
    return { kind: 'blank', value: `b${this.#blanks}` };
  }

  #add(subject: Node, predicate: string, object: Term): void {
    this.triples.push({ subject, predicate, object });
  }
}

function literalOf(json: Record<string, unknown>): Term {
  const { '@value': value, '@type': type, '@language': language } = json;
  if (type === '@json') throw new OdrlMistake('@json', 'a value of JSON is compared with nothing');
  const datatype = typeof type === 'string' ? type : nativeType(value);
  if (typeof language === 'string')
    return { kind: 'literal', value: String(value), datatype: `${RDF}langString`, language };
  return { kind: 'literal', value: String(value), datatype };
}

function nativeType(value: unknown): string {
  if (typeof value === 'boolean') return `${XSD}boolean`;
  if (typeof value !== 'number') return `${XSD}string`;
  return `${XSD}${Number.isInteger(value) ? 'integer' : 'double'}`;
}

function asObject(value: unknown): Record<string, unknown> {
  if (isObject(value)) return value;
  throw new OdrlMistake('', 'JSON-LD that is an object or a list of objects');
}

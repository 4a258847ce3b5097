/** Stands for `yaml`: as the library, but it reads each long text once in the life of a process. */
import * as yaml from '../../../node_modules/yaml/dist/index.js';
import type { Kept } from './worker.ts';

export * from '../../../node_modules/yaml/dist/index.js';

/** What the bundle of the tests is called with; see `worker.ts`. */
declare const kept: Kept;

const LONG = 2000;

function once<T>(key: string, make: () => T): T {
  if (key.length < LONG) return make();
  const known = kept.get(key) as T | undefined;
  if (known !== undefined) return known;
  const made = make();
  kept.set(key, made);
  return made;
}

export class Lexer extends yaml.Lexer {
  override *lex(text: string): Generator<string, void> {
    yield* once(`words ${text}`, () => [...super.lex(text)]);
  }
}

export function parseDocument(
  text: string,
  { lineCounter, ...options }: yaml.ParseOptions & yaml.DocumentOptions & yaml.SchemaOptions,
): yaml.Document {
  const { document, lineStarts } = once(`document ${JSON.stringify(options)} ${text}`, () => {
    const lines = new yaml.LineCounter();
    const read = yaml.parseDocument(text, { ...options, lineCounter: lines });
    return { document: read, lineStarts: lines.lineStarts };
  });
  if (lineCounter) lineCounter.lineStarts = [...lineStarts];
  return document;
}

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import {
  type Document,
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import packSchema from '../../policies/pack.schema.json' with { type: 'json' };
import partSchema from '../../policies/part.schema.json' with { type: 'json' };
import policySchema from '../../policies/policy.schema.json' with { type: 'json' };
import { type Condition, parseCondition, PolicyProblem } from './condition.ts';
import { type FactSpec, suggestion } from './facts.ts';
import { splitPack, withParts } from './parts.ts';

export type Texts = Readonly<Record<string, string>>;
export type Effect = 'permit' | 'deny' | 'review' | 'oblige';
export type Layer = 'statute' | 'regulation' | 'agreement' | 'national_choice' | 'steward';
export type Concern = 'sovereignty' | 'residency' | 'consent';
export type Confidence = 'high' | 'medium' | 'low' | 'not_confirmed';

export interface Citation {
  readonly instrument: string;
  readonly article: string;
  readonly confidence: Confidence;
}

export interface Outcome {
  readonly when?: Condition;
  readonly effect: Effect;
}

export interface Obligation {
  readonly sentence: Texts;
  readonly due: 'from_start' | 'throughout' | 'before_release' | { readonly fact: string };
  readonly evidence: Texts;
}

/**
 * One rule: where `applies` is true, `holds` true gives `then` (nothing, if not given), `holds`
 * false the first of `outcomes` whose `when` is true. A rule without `holds` goes straight there.
 */
export interface Rule {
  readonly id: string;
  readonly title: Texts;
  readonly sentence: Texts;
  readonly applies: Condition;
  readonly holds?: Condition;
  readonly then?: Effect;
  readonly outcomes: readonly Outcome[];
  readonly obligation?: Obligation;
  readonly cites: readonly Citation[];
  readonly note?: string;
}

export interface PolicyDocument {
  readonly policy: string;
  readonly version: number;
  readonly layer: Layer;
  readonly concern: Concern;
  /** The organisation whose datasets it is about; none where the policy is the nation's. */
  readonly owner?: string;
  /** Which datasets it is about, the owner's among them; each rule applies only to those. */
  readonly target?: Condition;
  readonly title: Texts;
  readonly description?: Texts;
  readonly instrument: string;
  readonly in_force: { readonly from: string; readonly until?: string };
  readonly rules: readonly Rule[];
}

export interface DerivedSpec {
  readonly title: Texts;
  readonly condition?: unknown;
  readonly union?: readonly string[];
  readonly without_home?: true;
}

/** A term of a list: a purpose, a sector, a disease. */
export interface TermSpec {
  readonly title: Texts;
  readonly broader?: readonly string[];
  /** The term of another vocabulary, as a CURIE, that says the very same. */
  readonly exact?: string;
}

export type Terms = Readonly<Record<string, TermSpec>>;

/** Where the content of a part is from. */
export interface PartSource {
  readonly title: string;
  readonly publisher: string;
  readonly version: string;
  readonly url: string;
  readonly licence: string;
}

/** A file that several packs may share: vocabularies, and what is to be known with them. */
export interface PartDocument {
  readonly part: string;
  readonly version: number;
  readonly title: Texts;
  readonly source: PartSource;
  readonly prefixes?: Readonly<Record<string, string>>;
  readonly instruments?: PackDocument['instruments'];
  readonly expiries?: PackDocument['expiries'];
  readonly purposes?: Terms;
  readonly sectors?: Terms;
  readonly taxonomies?: Readonly<Record<string, Terms>>;
  readonly closed?: readonly string[];
  readonly disjoint?: readonly (readonly string[])[];
  readonly facts?: PackDocument['facts'];
  readonly derived?: PackDocument['derived'];
}

/** What a pack has from one of its parts. */
export interface IncludedPart extends Pick<PartDocument, 'part' | 'version' | 'title' | 'source'> {
  /** By list, the codes of its terms. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
}

/** How long the record is kept, and on which grounds a value may go out of it. */
export interface Retention {
  /** Years for which who did what stays on record. */
  readonly record_years: number;
  readonly cites: readonly Citation[];
  /** How long a request for an erasure waits for its second person; left out, for ever. */
  readonly open_request?: { readonly days: number; readonly cites: readonly Citation[] };
  /** By the code of a reason. */
  readonly erasure: Readonly<
    Record<
      string,
      {
        readonly title: Texts;
        /** It reaches who did what before the years are over. */
        readonly during_retention: boolean;
        readonly cites: readonly Citation[];
      }
    >
  >;
}

/** Which of its rules' answers a pack lets win. */
export type Combining = 'deny_first' | 'review_first';

/** A part of the record that a controller keeps of its processing. */
export interface RecordSection {
  readonly id: string;
  readonly title: Texts;
  /** What the law wants it to say. */
  readonly sentence: Texts;
  readonly cites: readonly Citation[];
  /** Of datasets, and of requests that were permitted. */
  readonly facts: readonly string[];
  /** The facts are of the controller itself. */
  readonly controller?: true;
  /** What is wanted as well and no register keeps. */
  readonly not_kept?: readonly Texts[];
}

export interface RecordOfProcessing {
  readonly title: Texts;
  readonly cites: readonly Citation[];
  readonly sections: readonly RecordSection[];
}

/** A pack's own file, with what its parts bring. */
export interface PackDocument {
  readonly pack: string;
  readonly version: number;
  readonly title: Texts;
  readonly home: string;
  readonly timezone: string;
  readonly reviewed_by: string | null;
  readonly instruments: Readonly<Record<string, { title: Texts; kind: string; url?: string }>>;
  readonly examiners: Readonly<Record<Layer, { role: 'steward' | 'authority'; title: Texts }>>;
  readonly expiries: readonly { name: string; fact: string; always?: boolean }[];
  /** How long the record is kept; where it is not said, nothing is erased from it. */
  readonly retention?: Retention;
  readonly purposes: Terms;
  readonly sectors: Terms;
  /** Further lists of terms, by name. */
  readonly taxonomies?: Readonly<Record<string, Terms>>;
  /** Groups of terms of which no two have anything in common. */
  readonly disjoint?: readonly (readonly string[])[];
  /** Lists whose own terms are all there are, no two of them overlapping by silence. */
  readonly closed?: readonly string[];
  readonly prefixes?: Readonly<Record<string, string>>;
  /** The prefix of the pack's own terms. */
  readonly namespace?: string;
  /** Which answer wins; a denial, where it is not said. */
  readonly combining?: Combining;
  /** Files of parts, and of rules beside the pack's folder, below `policies/`. */
  readonly parts?: readonly string[];
  readonly rules?: readonly string[];
  /** What came from the parts; made when the pack is read. */
  readonly included?: readonly IncludedPart[];
  readonly place_groups: Readonly<Record<string, readonly string[]>>;
  /** None where the law knows no such record. */
  readonly record_of_processing?: RecordOfProcessing;
  readonly facts: Readonly<Record<string, Omit<FactSpec, 'path'>>>;
  readonly derived: Readonly<Record<string, DerivedSpec>>;
}

/** A mistake in a file of a pack, where it is and what was expected. */
export interface FileProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The rule it is in, where it is in one. */
  readonly rule?: string;
  readonly message: string;
}

/** A parsed file: its content, and the way back from a path in it to a line. */
export interface SourceFile<T> {
  readonly file: string;
  readonly content: T;
  problemAt(path: readonly (string | number)[], message: string): FileProblem;
}

export type Parsed<T> =
  | { readonly ok: true; readonly source: SourceFile<T> }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_PROBLEMS = 50;
const MAX_RULES = policySchema.properties.rules.maxItems;
const RULES_AT_A_TIME = 100;
const MAX_NESTING = 200;
// Ten thousand rules are some 600,000 tokens, and about two seconds.
const MAX_TOKENS = 800_000;

const ajv = new Ajv2020({ allErrors: true, strict: false, verbose: true });
addFormats.default(ajv);
const isPolicy: ValidateFunction = ajv.compile(policySchema);
const isPack: ValidateFunction = ajv.compile(packSchema);
const isPart: ValidateFunction = ajv.compile(partSchema);

/** What is meant where a document leaves something out. */
export type Complete = (content: unknown) => unknown;

/** A policy document from its YAML text; problems name file, line, column and rule. */
export function parsePolicy(
  file: string,
  text: string,
  complete: Complete = (content) => content,
): Parsed<PolicyDocument> {
  const read = readYaml(file, text);
  if (!read.ok) return read;
  const source = { ...read.source, content: complete(read.source.content) };
  const rules: Rule[] = [];
  const problems: FileProblem[] = [];
  const noting = <T>(parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof PolicyProblem)) throw error;
      problems.push(source.problemAt(error.path, error.message));
      return undefined;
    }
  };
  for (const [i, written] of rulesIn(source.content).entries()) {
    const rule = noting(() => parseRule(written, ['rules', i]));
    if (rule) rules.push(rule);
  }
  const target = noting(() => parseTarget(source.content));
  problems.push(...policyProblems(source));
  if (problems.length > 0) return { ok: false, problems: problems.slice(0, MAX_PROBLEMS) };
  const { target: _written, ...document } = source.content as PolicyDocument;
  const { from, until } = document.in_force;
  if (until !== undefined && until < from)
    return {
      ok: false,
      problems: [source.problemAt(['in_force', 'until'], '"until" is before "from"')],
    };
  const content = { ...document, ...(target && { target }), rules };
  return {
    ok: true,
    source: { file, content, problemAt: (path, message) => source.problemAt(path, message) },
  };
}

/** A pack from its YAML text: its own file, and the parts that it names behind it (`joinPack`). */
export function parsePack(file: string, text: string): Parsed<PackDocument> {
  const [own = '', ...others] = splitPack(text);
  const pack = parseAs<PackDocument>(isPack, file, own);
  const names = pack.ok ? (pack.source.content.parts ?? []) : [];
  const parts: SourceFile<PartDocument>[] = [];
  const problems = pack.ok ? [] : [...pack.problems];
  for (const [i, each] of others.entries()) {
    const part = parseAs<PartDocument>(isPart, names[i] ?? file, each);
    if (part.ok) parts.push(part.source);
    else problems.push(...part.problems);
  }
  if (!pack.ok || problems.length > 0) return { ok: false, problems };
  return withParts(pack.source, parts);
}

/** The files beside its folder that a pack's own file names; none where the file has mistakes. */
export function namedFiles(own: string): Required<Pick<PackDocument, 'parts' | 'rules'>> {
  const parsed = parseAs<PackDocument>(isPack, 'pack.yaml', own);
  const { parts = [], rules = [] } = parsed.ok ? parsed.source.content : {};
  return { parts, rules };
}

function parseAs<T>(validate: ValidateFunction, file: string, text: string): Parsed<T> {
  const read = readYaml(file, text);
  if (!read.ok) return read;
  const problems = schemaProblems(validate, read.source, () => false);
  if (problems.length > 0) return { ok: false, problems };
  return { ok: true, source: { ...read.source, content: read.source.content as T } };
}

function rulesIn(content: unknown): readonly unknown[] {
  const { rules } = (content ?? {}) as { rules?: unknown };
  return Array.isArray(rules) ? rules : [];
}

/** The target as written, and the owner's datasets only. */
function parseTarget(content: unknown): Condition | undefined {
  const { owner, target } = (content ?? {}) as { owner?: unknown; target?: unknown };
  const written = target === undefined ? [] : [parseCondition(target, ['target'])];
  const own: Condition[] =
    typeof owner === 'string'
      ? [
          {
            kind: 'compare',
            fact: 'dataset.publisher',
            operator: 'eq',
            right: { constant: owner },
          },
        ]
      : [];
  const [first, ...rest] = [...own, ...written];
  return first && rest.length > 0 ? { kind: 'and', of: [first, ...rest] } : first;
}

function parseRule(source: unknown, path: readonly (string | number)[]): Rule {
  const raw = (typeof source === 'object' && source !== null ? source : {}) as Record<
    string,
    unknown
  >;
  const { applies, holds, otherwise, outcome, ...rest } = raw;
  const key = outcome === undefined ? 'otherwise' : 'outcome';
  const condition = (value: unknown, name: string): Condition =>
    parseCondition(value, [...path, name]);
  return {
    ...(rest as unknown as Rule),
    applies:
      applies === undefined ? { kind: 'constant', value: true } : condition(applies, 'applies'),
    ...(holds === undefined ? {} : { holds: condition(holds, 'holds') }),
    outcomes: parseOutcomes(outcome ?? otherwise, [...path, key]),
  };
}

function parseOutcomes(source: unknown, path: readonly (string | number)[]): readonly Outcome[] {
  if (!Array.isArray(source)) return [{ effect: source as Effect }];
  return source.map((item: unknown, i) => {
    const { when, effect } = (item ?? {}) as { when?: unknown; effect: Effect };
    if (when === undefined) return { effect };
    return { effect, when: parseCondition(when, [...path, i, 'when']) };
  });
}

/**
 * What the schema says of a policy, some rules at a time: the validator copies its whole list of
 * mistakes for each rule that has one.
 */
function policyProblems(source: SourceFile<unknown>): FileProblem[] {
  const raw = source.content as object;
  const rules = rulesIn(raw);
  if (rules.length > MAX_RULES) return [source.problemAt(['rules'], `at most ${MAX_RULES} rules`)];
  const problems = new Map<string, FileProblem>();
  for (let from = 0; from === 0 || from < rules.length; from += RULES_AT_A_TIME) {
    const part = rules.slice(from, from + RULES_AT_A_TIME);
    const found = schemaProblems(
      isPolicy,
      {
        file: source.file,
        content: rules.length > 0 ? { ...raw, rules: part } : raw,
        problemAt: ([top, index, ...rest], message) =>
          top === 'rules' && typeof index === 'number'
            ? source.problemAt([top, from + index, ...rest], message)
            : source.problemAt(
                [top, index, ...rest].filter((key) => key !== undefined),
                message,
              ),
      },
      isInsideCondition,
    );
    for (const problem of found) problems.set(`${problem.line}:${problem.message}`, problem);
    if (problems.size >= MAX_PROBLEMS) break;
  }
  return [...problems.values()];
}

/** `parseCondition` has said it better already. */
function isInsideCondition(error: ErrorObject): boolean {
  return /^\/(target|rules\/\d+\/(applies|holds|(otherwise|outcome)\/\d+\/when))\b/.test(
    error.instancePath,
  );
}

function schemaProblems(
  validate: ValidateFunction,
  source: SourceFile<unknown>,
  skip: (error: ErrorObject) => boolean,
): FileProblem[] {
  if (validate(source.content)) return [];
  const problems = new Map<string, FileProblem>();
  for (const error of validate.errors ?? []) {
    if (problems.size === MAX_PROBLEMS) break;
    if (skip(error) || ['oneOf', 'anyOf', 'not', 'if'].includes(error.keyword)) continue;
    const problem = source.problemAt(pointerPath(error), describe(error));
    problems.set(`${problem.line}:${problem.message}`, problem);
  }
  if (problems.size === 0) {
    // All that is left is a choice that was not made, or made twice: there is one, and in rules.
    const left = (validate.errors ?? []).filter((error) => !skip(error)).slice(0, MAX_PROBLEMS);
    const message = 'a rule has either "outcome", or "holds" and "otherwise"';
    for (const error of left) {
      const problem = source.problemAt(pointerPath(error), message);
      problems.set(`${problem.line}:${problem.message}`, problem);
    }
  }
  return [...problems.values()];
}

function pointerPath(error: ErrorObject): (string | number)[] {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  const extra = (error.params as { additionalProperty?: string }).additionalProperty;
  return extra === undefined ? path : [...path, extra];
}

function describe(error: ErrorObject): string {
  const last = error.instancePath.split('/').at(-1);
  const where = last ? `"${last}"` : 'the file';
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      const known = Object.keys((error.parentSchema as { properties?: object }).properties ?? {});
      return `unknown key "${name}"${suggestion(name, known)}`;
    }
    case 'required':
      return `"${String(params['missingProperty'])}" is missing`;
    case 'enum': {
      const allowed = params['allowedValues'] as string[];
      return `${where} must be one of ${allowed.join(', ')}${suggestion(error.data, allowed)}`;
    }
    default:
      return `${where} ${error.message ?? 'is not as expected'}`;
  }
}

/** YAML from people who may mean harm: bounded in size, nesting, words and aliases. */
export function readYaml(file: string, text: string): Parsed<unknown> {
  const fail = (line: number, column: number, message: string): Parsed<unknown> => ({
    ok: false,
    problems: [{ file, line, column, message }],
  });
  if (Buffer.byteLength(text) > MAX_BYTES) return fail(1, 1, `at most ${MAX_BYTES} bytes`);
  const hostile = tooMuch(text);
  if (hostile) return fail(hostile.line, 1, hostile.message);
  const lines = new LineCounter();
  // The library's own check of keys compares each with each: minutes for a map of 100,000.
  const document = parseDocument(text, {
    lineCounter: lines,
    uniqueKeys: false,
    prettyErrors: false,
    strict: true,
  });
  const mistakes = document.errors.slice(0, MAX_PROBLEMS);
  const wrong = [
    ...mistakes.map(({ message, pos }) => ({ message, offset: pos[0] })),
    ...(mistakes.length > 0 ? [] : mistakenNodes(document)),
  ].map(({ message, offset }) => ({ file, ...placeOf(offset, lines), message }));
  if (wrong.length > 0) return { ok: false, problems: wrong };
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: 50 });
  } catch (error) {
    const message = error instanceof Error ? error.message : 'aliases that cannot be resolved';
    const unresolved = /^Unresolved alias .*: (\S+)$/.exec(message)?.[1];
    const { line, column } = placeOf(unresolved ? text.indexOf(`*${unresolved}`) : 0, lines);
    return fail(line, column, message);
  }
  return { ok: true, source: sourceFile(file, content, document, lines) };
}

/** Keys that come twice, and texts that no database and no canonical JSON (RFC 8785) takes. */
function mistakenNodes(document: Document): { message: string; offset: number }[] {
  const found: { message: string; offset: number }[] = [];
  const enough = (): symbol | undefined => (found.length < MAX_PROBLEMS ? undefined : visit.BREAK);
  visit(document, {
    Map(_key, map: YAMLMap): symbol | undefined {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value))
          found.push({ message: 'Map keys must be unique', offset: key.range?.[0] ?? 0 });
        seen.add(key.value);
      }
      return enough();
    },
    Scalar(_key, { value, range }): symbol | undefined {
      if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed()))
        found.push({ message: 'a text without \\0 and half characters', offset: range?.[0] ?? 0 });
      return enough();
    },
  });
  return found.slice(0, MAX_PROBLEMS);
}

/** What would cost the parser too much stack or time, and on which line it begins. */
function tooMuch(text: string): { line: number; message: string } | undefined {
  const deep = `at most ${MAX_NESTING} levels of nesting`;
  for (const [i, line] of text.split('\n').entries()) {
    const indent = line.length - line.trimStart().length;
    const dashes = /^(?:\s*-\s)+/.exec(line)?.[0].length ?? 0;
    if (Math.max(indent, dashes) > MAX_NESTING * 2) return { line: i + 1, message: deep };
  }
  let [flow, line, tokens, last] = [0, 1, 0, ''];
  for (const token of new Lexer().lex(text)) {
    // What follows this mark is text, whatever it looks like.
    const isText = last === '\u001F';
    if (!isText && (token === '[' || token === '{')) flow++;
    else if (!isText && (token === ']' || token === '}')) flow--;
    if (flow > MAX_NESTING) return { line, message: deep };
    if (flow < 0) return { line, message: `${token} closes nothing` };
    if (token === ',' && (last === ',' || last === '[' || last === '{'))
      return { line, message: 'a comma after nothing' };
    if (++tokens > MAX_TOKENS) return { line, message: `at most ${MAX_TOKENS} words and marks` };
    if (token.includes('\n')) line += token.split('\n').length - 1;
    if (isText || token.trim() !== '') last = token;
  }
  return undefined;
}

function sourceFile(
  file: string,
  content: unknown,
  document: Document,
  lines: LineCounter,
): SourceFile<unknown> {
  return {
    file,
    content,
    problemAt(path, message) {
      const [top, index] = path;
      const rule = top === 'rules' ? (rulesIn(content)[Number(index)] as { id?: unknown }) : {};
      return {
        file,
        ...placeOf(offsetOf(document, path), lines),
        message,
        ...(typeof rule?.id === 'string' ? { rule: rule.id } : {}),
      };
    },
  };
}

function placeOf(offset: number, lines: LineCounter): { line: number; column: number } {
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}

/** Where the deepest part of `path` that exists begins: a key where there is one, else its value. */
function offsetOf(document: Document, path: readonly (string | number)[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === String(key),
      );
      const range = isScalar(pair?.key) ? pair.key.range : undefined;
      if (range) return range[0];
    }
    const node = document.getIn(path.slice(0, length), true) as
      | { range?: [number, number, number] }
      | undefined;
    if (node?.range) return node.range[0];
  }
  return 0;
}

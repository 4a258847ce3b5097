import { boundTo } from './compose.ts';
import { readYaml } from './document.ts';
import { evaluate, type Verdict } from './evaluate.ts';
import { explain } from './explain.ts';
import { type Facts, isObject, suggestion } from './facts.ts';
import { loadFacts, type Program } from './program.ts';

/** One case of a scenario file: facts, and what is expected of them. */
export interface PolicyCase {
  readonly id: string;
  readonly facts: Facts;
  readonly expected: Readonly<Record<string, unknown>>;
}

/** Facts lie three or four levels deep. */
const MAX_LEVELS = 16;

/**
 * The cases of a scenario file: each scenario, and each of its variants, which changes the named
 * paths of its parent and inherits nothing of what is expected.
 * @throws Error naming the file and what is wrong with it.
 */
export function casesOf(file: string, text: string): PolicyCase[] {
  const content = contentOf(file, text);
  const scenarios = Array.isArray(content) ? (content as unknown[]) : [content];
  return scenarios.flatMap((scenario, i) => {
    if (!isObject(scenario) || typeof scenario['id'] !== 'string')
      throw new Error(`${file}: case ${i + 1} has no "id"`);
    const { id, dataset, request, expected, variants } = scenario;
    const facts: Facts = { dataset, request };
    const parent: PolicyCase = { id, facts, expected: isObject(expected) ? expected : {} };
    const children = Array.isArray(variants) ? (variants as unknown[]) : [];
    return [parent, ...children.map((variant) => variantOf(file, parent, variant))];
  });
}

function contentOf(file: string, text: string): unknown {
  if (!file.endsWith('.json')) {
    const read = readYaml(file, text);
    if (read.ok) return read.source.content;
    const [first] = read.problems;
    throw new Error(`${file}:${first?.line}:${first?.column}: ${first?.message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : 'cannot be read';
    throw new Error(`${file}: ${message}`, { cause: error });
  }
}

function variantOf(file: string, { id: parent, facts }: PolicyCase, variant: unknown): PolicyCase {
  if (!isObject(variant) || typeof variant['id'] !== 'string' || !isObject(variant['change'])) {
    throw new Error(`${file}: a variant of ${parent} has no "id" or no "change"`);
  }
  const { id, change, expected } = variant;
  const changed: Record<string, unknown> = { ...facts };
  const own = new Set<object>([changed]);
  for (const [path, value] of Object.entries(change)) {
    const keys = path.split('.', MAX_LEVELS + 1);
    if (keys.length > MAX_LEVELS)
      throw new Error(`${file}: a path in ${id} has more than ${MAX_LEVELS} levels`);
    setAt(changed, keys, value, own);
  }
  return { id, facts: changed, expected: isObject(expected) ? expected : variant };
}

/**
 * Objects that are not the variant's own are copied where they change, and shared elsewhere: a
 * parent may be large, and its variants many.
 */
function setAt(
  target: Record<string, unknown>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
  own: Set<object>,
): void {
  let member = value;
  if (rest.length > 0) {
    const found = Object.hasOwn(target, key) && isObject(target[key]) ? target[key] : {};
    const inner = own.has(found) ? found : { ...found };
    own.add(inner);
    setAt(inner, rest, value, own);
    member = inner;
  }
  Object.defineProperty(target, key, {
    value: member,
    enumerable: true,
    writable: true,
    configurable: true,
  });
}

/** What is wrong with the answer to a case; empty when it is as expected. */
export function testCase(inForce: Program, { facts, expected }: PolicyCase): string[] {
  const problems = inForce.vocabulary
    .check(facts)
    .map(({ path, expected: wanted }) => `${path}: expected ${wanted}`);
  if (problems.length > 0) return problems;
  const program = boundTo(inForce, facts);
  const verdict = evaluate(program, loadFacts(program, facts));
  return [
    ...misspelt(expected),
    ...(expected['decision'] === undefined && isObject(expected['rules'])
      ? []
      : compareDecision(expected['decision'], verdict)),
    ...compareRules(expected['rules'], facts, program),
    ...compareSet('deny', expected['deny'], verdict.deny),
    ...compareSet('review', expected['review'], verdict.review),
    ...compareSet('obligations', expected['obligations'], verdict.oblige),
  ];
}

/** The word that case files use for an answer. */
export function decisionWord({ effect, oblige }: Verdict): string {
  if (effect === 'review') return 'needs_review';
  return effect === 'permit' && oblige.length > 0 ? 'permit_with_obligations' : effect;
}

function compareDecision(expected: unknown, verdict: Verdict): string[] {
  const actual = decisionWord(verdict);
  if (expected === actual) return [];
  const { deny, review, oblige } = verdict;
  const rules = { deny, review, permit: oblige }[verdict.effect];
  return [
    `expected ${typeof expected === 'string' ? expected : 'a "decision"'}, got ${actual} (${rules.join(', ')})`,
  ];
}

const COMPARED = ['decision', 'rules', 'deny', 'review', 'obligations'] as const;

/** A key that is nearly one of those that are compared would go uncompared, and unnoticed. */
function misspelt(expected: PolicyCase['expected']): string[] {
  return Object.keys(expected)
    .filter((key) => !COMPARED.some((known) => known === key) && suggestion(key, COMPARED) !== '')
    .map((key) => `unknown key "${key}"${suggestion(key, COMPARED)}`);
}

/** Single rules by what they say, whatever others do. */
function compareRules(expected: unknown, facts: Facts, program: Program): string[] {
  if (expected === undefined) return [];
  if (!isObject(expected)) return [`rules: expected rule ids, each with one of ${SAID.join(', ')}`];
  const said = saidBy(program, facts);
  const ids = program.rules.map(({ rule }) => rule.id);
  const known = new Set(ids);
  let suggested = 0;
  return Object.entries(expected).flatMap(([id, wanted]) => {
    if (!known.has(id)) {
      // Looking for the nearest of all ids takes long, and nobody mistypes so many.
      const hint = suggested++ < MAX_SUGGESTIONS ? suggestion(id, ids) : '';
      return [`rules: there is no rule "${id}" here${hint}`];
    }
    const actual = said.get(id) ?? 'none';
    return actual === wanted ? [] : [`${id}: expected ${String(wanted)}, got ${actual}`];
  });
}

const MAX_SUGGESTIONS = 5;
const SAID = ['permit', 'deny', 'review', 'oblige', 'none'] as const;

/** What each rule said to a case; those that do not apply, or are content, said nothing. */
export function saidBy(program: Program, facts: Facts): ReadonlyMap<string, string> {
  const { reasons } = explain(program, facts);
  return new Map(
    reasons.flatMap(({ rule, effect }) => (effect === 'satisfied' ? [] : [[rule, effect]])),
  );
}

/** Rule ids as exact sets; arrays of objects are illustrations and not compared. */
function compareSet(name: string, expected: unknown, actual: readonly string[]): string[] {
  if (expected === undefined || expected === null) return [];
  if (!Array.isArray(expected)) return [`${name}: expected a list of rule ids`];
  if (!expected.every((id) => typeof id === 'string')) {
    return expected.every(isObject) ? [] : [`${name}: expected a list of rule ids`];
  }
  const missing = expected.filter((id) => !actual.includes(id));
  const extra = actual.filter((id) => !expected.includes(id));
  if (missing.length + extra.length === 0) return [];
  return [
    `${name}: ${[...missing.map((id) => `-${id}`), ...extra.map((id) => `+${id}`)].join(' ')}`,
  ];
}

import { parseDate, parseInstant } from './calendar.ts';
import { COUNTRIES } from './countries.ts';
import { isObject, Loader } from './load.ts';
import { Taxonomy } from './taxonomy.ts';

export { isObject } from './load.ts';

/** Where a fact comes from; a caller may assert `request` facts only. */
export type FactSource = 'register' | 'request' | 'derived';

export type FactType =
  | 'boolean'
  | 'integer'
  | 'number'
  | 'text'
  | 'code'
  | 'enum'
  | 'country'
  | 'date'
  | 'datetime'
  | 'set'
  | 'object'
  | 'list';

/** How a fact may be changed; `policies/pack.schema.json` says what each means. */
export type RemedyKind = 'home' | 'remove' | 'add' | 'value' | 'reach' | 'obtain' | 'state';

/** One truthful way in which whoever asks may change a fact, and the words for it. */
export interface RemedySpec {
  readonly to: RemedyKind;
  /** Values that may be asked for, least loss first; members that may be added. */
  readonly values?: readonly (string | boolean)[];
  /** A date that what is obtained should reach too: the end of the period asked for. */
  readonly cover?: string;
  /** A condition, as written, without which the change would say something untrue. */
  readonly when?: unknown;
  /** Whose doing it is; `requester` where it is not said. */
  readonly by?: RemedyActor;
  /** How much of what was asked for is given up; 0 where it is not said. */
  readonly loss?: number;
  /**
   * For people, with `{home}`, `{value}`, `{values}`, `{added}`, `{removed}`, and `{FACT}` for a
   * fact's value. Of a member of what is obtained: a clause, put where its object says `{clauses}`.
   */
  readonly sentence: Readonly<Record<string, string>>;
}

export type RemedyActor = 'requester' | 'authority' | 'agreement';

/** What a pack says of one fact. */
export interface FactSpec {
  readonly path: string;
  readonly type: FactType;
  /** Member type of a set. */
  readonly of?: 'code' | 'enum' | 'country' | 'text';
  /** Allowed values of an enum, or of a set of enums. */
  readonly values?: readonly string[];
  /** The list of terms that its codes are from. */
  readonly terms?: string;
  /** Order of an enum's values, for `lt` … `gteq`; facts with ranks compare with one another. */
  readonly ranks?: Readonly<Record<string, number>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly source: FactSource;
  /**
   * The authority's record that fills this fact: a registration of the requester, or an
   * authorisation of the project; `field` where the fact is one field of the record.
   */
  readonly record?: {
    readonly register: 'registration' | 'authorisation';
    readonly kind: string;
    readonly field?: string;
  };
  /**
   * What absence means: `none` (there is none, which is known), or the value it counts as.
   * Not given: absence is unknown.
   */
  readonly absent?: 'none' | { readonly counts_as: unknown };
  /** None: whoever asks cannot truthfully change it. */
  readonly remedies?: readonly RemedySpec[];
  /** Titles of its values, where the code would not do. */
  readonly value_titles?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly title: Readonly<Record<string, string>>;
  readonly basis: string;
}

/**
 * Facts in the evaluator's form, one slot a fact: booleans, numbers (dates are days, instants
 * milliseconds), strings, `CodeSet`; `null` is known to be none, `undefined` is unknown.
 * An object's own slot says whether there is one.
 */
export type Frame = unknown[];

export interface FactProblem {
  /** JSON pointer into the facts. */
  readonly path: string;
  readonly expected: string;
}

/** The explicit facts of one case: trees whose leaves are facts; a nation's are of these two. */
export interface Facts {
  readonly dataset?: unknown;
  readonly request?: unknown;
  readonly [branch: string]: unknown;
}

const MAX_MEMBERS = 100_000;
const MAX_TEXT = 20_000;
// Whoever sends more mistakes than this corrects the first ones first.
const MAX_PROBLEMS = 100;
const CODE = /^[A-Za-z0-9][A-Za-z0-9_.:/#-]{0,199}$/;

interface Node {
  readonly key: string;
  /** Its key as a part of a JSON pointer. */
  readonly pointer: string;
  spec: FactSpec | undefined;
  readonly children: Map<string, Node>;
  /** The children that are terms, or have some below them. */
  readonly withTerms: Node[];
}

/** The facts of a pack: which there are, of which type, and how JSON becomes a frame. */
export class Vocabulary {
  readonly specs: readonly FactSpec[];
  readonly #root: Node;
  readonly #slots = new Map<string, number>();
  readonly #loader: Loader;
  readonly #taxonomy: Taxonomy;
  readonly #blanks = new Map<string, Record<string, unknown>>();

  /** `taxonomy`: the codes that facts take from lists of the pack, such as its purposes. */
  constructor(specs: readonly FactSpec[], taxonomy: Taxonomy = new Taxonomy({ lists: {} })) {
    this.specs = specs;
    this.#taxonomy = taxonomy;
    this.#loader = new Loader(specs, [...taxonomy.broader.keys()]);
    this.#root = node('');
    specs.forEach((spec, slot) => {
      this.#slots.set(spec.path, slot);
      let at = this.#root;
      for (const key of spec.path.split('.')) {
        let next = at.children.get(key);
        if (!next) {
          next = node(key);
          at.children.set(key, next);
        }
        if (spec.terms !== undefined && !at.withTerms.includes(next)) at.withTerms.push(next);
        at = next;
      }
      at.spec = spec;
    });
  }

  get(path: string): FactSpec | undefined {
    const slot = this.#slots.get(path);
    return slot === undefined ? undefined : this.specs[slot];
  }

  slotOf(path: string): number | undefined {
    return this.#slots.get(path);
  }

  /** Is there a fact of this name, or one below it? */
  has(branch: string): boolean {
    return this.#nodeAt(branch) !== undefined;
  }

  /**
   * What is wrong with explicit facts: unknown names, wrong types, values that do not exist.
   * `null` is the same as absent everywhere. An empty answer means that `load` loses nothing.
   * At most a hundred are listed.
   */
  check(facts: unknown): FactProblem[] {
    const problems: FactProblem[] = [];
    if (!isObject(facts)) return [{ path: '', expected: 'an object with "dataset" and "request"' }];
    this.#checkMembers(this.#root, facts, '', problems);
    return problems;
  }

  /** As `check`, for one branch: `dataset`, `request`, or an object below them. */
  checkAt(branch: string, value: unknown): FactProblem[] {
    const problems: FactProblem[] = [];
    const at = this.#nodeAt(branch);
    if (!at) return [{ path: '', expected: `a fact, not ${branch}` }];
    this.#checkNode(at, value, '', problems);
    return problems;
  }

  /**
   * An object with a member for each fact at a branch, sorted by name, none of which is stated.
   * What is filled in from one has the same shape each time; an object that grows by so many names
   * becomes a dictionary, and reading and writing it took an eighth of an evaluation.
   */
  blank(branch: string): Record<string, unknown> {
    let blank = this.#blanks.get(branch);
    if (!blank) {
      const names = [...(this.#nodeAt(branch)?.children.keys() ?? [])].toSorted();
      // Parsed: it would be a dictionary too.
      blank = JSON.parse(
        `{${names.map((name) => `${JSON.stringify(name)}:null`).join(',')}}`,
      ) as Record<string, unknown>;
      for (const name of names) blank[name] = undefined;
      this.#blanks.set(branch, blank);
    }
    return { ...blank };
  }

  /**
   * What a caller says at a branch, less what is no fact there or null, and less what only a
   * register may say, which goes to `ignored` by the fact's name; the very same object where
   * nothing is left out.
   */
  sayable(
    branch: string,
    said: Readonly<Record<string, unknown>>,
    ignored: Map<string, unknown>,
  ): Readonly<Record<string, unknown>> {
    const at = this.#nodeAt(branch);
    return at ? sayable(at, said, ignored) : {};
  }

  #nodeAt(branch: string): Node | undefined {
    let at: Node | undefined = this.#root;
    for (const key of branch.split('.')) at = at?.children.get(key);
    return at;
  }

  #checkMembers(at: Node, value: object, pointer: string, problems: FactProblem[]): void {
    for (const [key, member] of Object.entries(value)) {
      if (problems.length >= MAX_PROBLEMS) return;
      if (member === undefined) continue;
      const child = at.children.get(key);
      if (!child) {
        const path = `${pointer}${pointerPart(key)}`;
        problems.push({ path, expected: unknownName(key, [...at.children.keys()]) });
      } else if (member !== null) {
        this.#checkNode(child, member, `${pointer}${child.pointer}`, problems);
      }
    }
  }

  #checkNode(at: Node, value: unknown, path: string, problems: FactProblem[]): void {
    if (at.spec?.type === 'list') {
      if (!Array.isArray(value) || value.length > MAX_MEMBERS) {
        problems.push({ path, expected: `a list of at most ${MAX_MEMBERS} objects` });
        return;
      }
      for (const [i, item] of value.entries()) {
        if (problems.length >= MAX_PROBLEMS) return;
        if (isObject(item)) this.#checkMembers(at, item, `${path}/${i}`, problems);
        else problems.push({ path: `${path}/${i}`, expected: 'an object' });
      }
    } else if (at.spec && at.spec.type !== 'object') {
      this.#checkValue(at.spec, value, path, problems);
    } else if (isObject(value)) {
      this.#checkMembers(at, value, path, problems);
    } else {
      problems.push({ path, expected: 'an object' });
    }
  }

  #checkValue(spec: FactSpec, value: unknown, path: string, problems: FactProblem[]): void {
    const before = problems.length;
    checkValue(spec, value, path, problems);
    const terms = problems.length > before ? undefined : this.termsOf(spec);
    if (!terms) return;
    for (const [i, code] of [value].flat().entries()) {
      if (problems.length >= MAX_PROBLEMS) return;
      if (terms.has(this.#taxonomy.canonical(String(code)))) continue;
      const at = Array.isArray(value) ? `${path}/${i}` : path;
      problems.push({
        path: at,
        expected: `a term of the pack's list "${spec.terms}"${suggestion(code, [...terms])}`,
      });
    }
  }

  /** The terms that a fact takes and no others; undefined where any code will do. */
  termsOf({ terms, source }: FactSpec): ReadonlySet<string> | undefined {
    // What was asked for is looked at with what the registers know of it.
    return source === 'register' ? this.#taxonomy.closedTermsOf(terms) : undefined;
  }

  /**
   * One branch of facts with the codes of terms that it calls by their CURIEs or IRIs; the very
   * same value where there are none.
   */
  canonical<T>(branch: string, value: T): T {
    const at = this.#nodeAt(branch);
    return at ? (this.#canonical(at, value) as T) : value;
  }

  #canonical({ spec, withTerms }: Node, value: unknown): unknown {
    const isTerm = spec?.terms !== undefined;
    if (isTerm && typeof value === 'string') return this.#taxonomy.canonical(value);
    if (isTerm && Array.isArray(value)) {
      const codes = (value as unknown[]).map((each) =>
        typeof each === 'string' ? this.#taxonomy.canonical(each) : each,
      );
      return codes.every((code, i) => code === value[i]) ? value : [...new Set(codes)];
    }
    if (!isObject(value)) return value;
    let changed: Record<string, unknown> | undefined;
    for (const child of withTerms) {
      const member = Object.hasOwn(value, child.key) ? value[child.key] : undefined;
      const next = this.#canonical(child, member);
      if (next !== member) changed = { ...(changed ?? value), [child.key]: next };
    }
    return changed ?? value;
  }

  /** Loads one branch of explicit facts into a frame, as `load` would with this value at `path`. */
  put(frame: Frame, path: string, value: unknown): void {
    this.#loader.put(frame, path, value);
  }

  /**
   * The frame of explicit facts, with `width` slots in all (the rest is for derived facts).
   * Call `check` first: here a value of a wrong type counts as unknown, and nothing else is
   * looked at. `given`, of that width too, takes the explicit values as they are, or `ELSEWHERE`.
   */
  load(facts: Facts, width: number = this.specs.length, given?: unknown[]): Frame {
    return this.#loader.load(facts, width, given);
  }
}

function node(key: string): Node {
  return {
    key,
    pointer: pointerPart(key),
    spec: undefined,
    children: new Map(),
    withTerms: [],
  };
}

function sayable(
  { children }: Node,
  said: Readonly<Record<string, unknown>>,
  ignored: Map<string, unknown>,
): Readonly<Record<string, unknown>> {
  const kept: Record<string, unknown> = {};
  let isAll = true;
  for (const [key, value] of Object.entries(said)) {
    const child = children.get(key);
    let saying: unknown;
    if (!child || value === null || value === undefined) saying = undefined;
    else if (child.spec?.source === 'register') ignored.set(child.spec.path, value);
    else saying = isObject(value) ? sayable(child, value, ignored) : value;
    isAll &&= saying === value;
    if (saying !== undefined) kept[key] = saying;
  }
  return isAll ? said : kept;
}

function pointerPart(key: string): string {
  return `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function checkValue(spec: FactSpec, value: unknown, path: string, problems: FactProblem[]): void {
  const expected = spec.type === 'set' ? undefined : scalarExpectation(spec.type, spec, value);
  if (expected) problems.push({ path, expected });
  if (spec.type !== 'set') return;
  if (!Array.isArray(value) || value.length > MAX_MEMBERS) {
    problems.push({ path, expected: `a list of at most ${MAX_MEMBERS} values` });
    return;
  }
  const seen = new Set<unknown>();
  for (const [i, item] of value.entries()) {
    if (problems.length >= MAX_PROBLEMS) return;
    const wrong = seen.has(item) ? 'each value once' : memberExpectation(spec, item);
    seen.add(item);
    if (wrong) problems.push({ path: `${path}/${i}`, expected: wrong });
  }
}

// A member has one form: a text by language is for people to read and belongs in no set.
function memberExpectation(spec: FactSpec, item: unknown): string | undefined {
  if (spec.of === 'text' && typeof item !== 'string') return 'a text';
  return scalarExpectation(spec.of ?? 'code', spec, item);
}

/** What a value of this type should have been; undefined when it is one. */
function scalarExpectation(type: FactType, spec: FactSpec, value: unknown): string | undefined {
  switch (type) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'true or false';
    case 'integer':
    case 'number':
      return numberExpectation(type, spec, value);
    case 'enum':
      return spec.values?.includes(value as string)
        ? undefined
        : `one of ${spec.values?.join(', ')}${suggestion(value, spec.values ?? [])}`;
    case 'country':
      return COUNTRIES.has(value as string)
        ? undefined
        : 'an ISO 3166-1 alpha-2 country code, in capital letters';
    case 'date':
      return typeof value === 'string' && parseDate(value) !== undefined
        ? undefined
        : 'a date that exists, YYYY-MM-DD';
    case 'datetime':
      return typeof value === 'string' && parseInstant(value) !== undefined
        ? undefined
        : 'an RFC 3339 date-time with seconds and an offset';
    case 'code':
      return typeof value === 'string' && isCode(value)
        ? undefined
        : 'a code: letters, digits, "_", "-", ".", ":", "/", "#", at most 200';
    case 'text':
      return isText(value) ? undefined : `a text, or an object of texts by language`;
    default:
      return undefined;
  }
}

/** May a fact of type `code` have this value? */
export function isCode(value: string): boolean {
  return CODE.test(value);
}

function numberExpectation(type: FactType, spec: FactSpec, value: unknown): string | undefined {
  const minimum = spec.minimum ?? Number.MIN_SAFE_INTEGER;
  const maximum = spec.maximum ?? Number.MAX_SAFE_INTEGER;
  const isKind = type === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value);
  const fits = isKind && (value as number) >= minimum && (value as number) <= maximum;
  if (fits) return undefined;
  const kind = type === 'integer' ? 'a whole number' : 'a number';
  return spec.maximum === undefined
    ? `${kind} from ${minimum}`
    : `${kind} from ${minimum} to ${maximum}`;
}

function isText(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= MAX_TEXT;
  if (!isObject(value)) return false;
  const texts = Object.values(value);
  return (
    texts.length > 0 && texts.every((text) => typeof text === 'string' && text.length <= MAX_TEXT)
  );
}

function unknownName(key: string, names: readonly string[]): string {
  return `one of ${names.join(', ')}${suggestion(key, names)}`;
}

/** " (did you mean …?)" for the nearest of `names` within two edits, or nothing. */
export function suggestion(wrong: unknown, names: readonly string[]): string {
  if (typeof wrong !== 'string' || wrong.length > 100) return '';
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.ceil(wrong.length / 2));
  for (const name of names) {
    const distance = editDistance(wrong, name);
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  return best === undefined ? '' : ` (did you mean ${best}?)`;
}

/** Insertions, deletions, substitutions, and neighbours that changed places; 3 where there are more. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? (before[j - 2] ?? 0) + 1 : substitute;
      next.push(Math.min(substitute, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}

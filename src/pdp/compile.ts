import { parseDate, parseInstant } from './calendar.ts';
import { type Condition, type Constant, type Operator, PolicyProblem } from './condition.ts';
import { type FactSpec, type Frame, suggestion } from './facts.ts';
import { internalised } from './load.ts';
import { COUNTRIES } from './countries.ts';
import {
  type CodeSet,
  contains,
  EMPTY_SET,
  FALSE,
  intersects,
  isNonEmpty,
  isSubset,
  NONE_SET,
  not,
  type Truth,
  TRUE,
  UNKNOWN,
} from './logic.ts';
import type { Taxonomy } from './taxonomy.ts';

/** A compiled condition: three-valued, allocation-free, reads slots of a frame and nothing else. */
export type Test = (frame: Frame) => Truth;

export type ValueType = 'boolean' | 'number' | 'date' | 'datetime' | 'string' | 'set' | 'object';

export interface Variable {
  readonly slot: number;
  readonly type: ValueType;
  readonly spec?: FactSpec;
}

/** What a condition's names mean where it stands. */
export interface Scope {
  readonly variables: ReadonlyMap<string, Variable>;
  /** Slots of the rules that conditions may refer to: three-valued "applies" and "holds". */
  readonly rules: ReadonlyMap<
    string,
    { readonly applies: number; readonly holds: number | undefined }
  >;
  /** Named groups of places, each a list of country codes. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
  /** Which codes are kinds of which. */
  readonly taxonomy: Taxonomy;
}

/**
 * Hook around each leaf: explain records which slots a leaf has read, in the order of short
 * circuits; the plain evaluator leaves the leaf as it is.
 */
export type LeafHook = (test: Test, slots: readonly number[]) => Test;

type Path = readonly (string | number)[];

interface Context {
  readonly scope: Scope;
  readonly leaf: LeafHook;
}

/**
 * Closures for a condition.
 * @throws PolicyProblem for facts and rules that do not exist, and for values of a wrong type.
 */
export function compileCondition(
  condition: Condition,
  scope: Scope,
  path: Path,
  leaf: LeafHook = (test) => test,
): Test {
  return compile(condition, { scope, leaf }, path);
}

function compile(condition: Condition, context: Context, path: Path): Test {
  switch (condition.kind) {
    case 'constant': {
      const value: Truth = condition.value ? TRUE : FALSE;
      return () => value;
    }
    case 'and':
    case 'or':
    case 'xone': {
      const tests = condition.of.map((part, i) =>
        compile(part, context, [...path, condition.kind, i]),
      );
      return { and, or, xone }[condition.kind](tests);
    }
    case 'not': {
      const test = compile(condition.of, context, [...path, 'not']);
      return (frame) => not(test(frame));
    }
    case 'exists':
      return compileExists(variable(condition.fact, context.scope, [...path, 'exists']), context);
    case 'nonempty': {
      const at = [...path, 'nonempty'];
      const { slot, type } = variable(condition.fact, context.scope, at);
      if (type !== 'set') throw new PolicyProblem(at, `${condition.fact} is not a set`);
      return context.leaf((frame) => isNonEmpty(frame[slot] as CodeSet), [slot]);
    }
    case 'applies':
    case 'holds':
      return compileReference(condition, context, [...path, condition.kind]);
    case 'compare':
      return compileComparison(condition, context, path);
  }
}

function and(tests: readonly Test[]): Test {
  const [first, second] = tests;
  if (first && second && tests.length === 2) {
    return (frame) => {
      const left = first(frame);
      if (left === FALSE) return FALSE;
      const right = second(frame);
      return left < right ? left : right;
    };
  }
  return (frame) => {
    let all: Truth = TRUE;
    for (const test of tests) {
      const truth = test(frame);
      if (truth === FALSE) return FALSE;
      if (truth < all) all = truth;
    }
    return all;
  };
}

function or(tests: readonly Test[]): Test {
  return (frame) => {
    let any: Truth = FALSE;
    for (const test of tests) {
      const truth = test(frame);
      if (truth === TRUE) return TRUE;
      if (truth > any) any = truth;
    }
    return any;
  };
}

function xone(tests: readonly Test[]): Test {
  return (frame) => {
    let trues = 0;
    let unknowns = 0;
    for (const test of tests) {
      const truth = test(frame);
      if (truth === TRUE) trues++;
      else if (truth === UNKNOWN) unknowns++;
    }
    if (trues > 1) return FALSE;
    if (unknowns > 0) return UNKNOWN;
    return trues === 1 ? TRUE : FALSE;
  };
}

function variable(name: string, scope: Scope, path: Path): Variable {
  const found = scope.variables.get(name);
  if (found) return found;
  throw new PolicyProblem(
    path,
    `there is no fact "${name}"${suggestion(name, [...scope.variables.keys()])}`,
  );
}

function compileExists({ slot, type }: Variable, { leaf }: Context): Test {
  if (type === 'set')
    return leaf(
      (frame) => (frame[slot] === NONE_SET ? FALSE : knownOf(frame[slot] as CodeSet)),
      [slot],
    );
  return leaf(
    (frame) => {
      const value = frame[slot];
      if (value === undefined) return UNKNOWN;
      return value === null || (type === 'object' && value === false) ? FALSE : TRUE;
    },
    [slot],
  );
}

// A set is stated when it is closed or when at least one member is known.
function knownOf(set: CodeSet): Truth {
  return set.open && set.items.length === 0 ? UNKNOWN : TRUE;
}

function compileReference(
  condition: { readonly kind: 'applies' | 'holds'; readonly rule: string },
  { scope, leaf }: Context,
  path: Path,
): Test {
  const rule = scope.rules.get(condition.rule);
  if (!rule) {
    throw new PolicyProblem(
      path,
      `there is no rule "${condition.rule}"${suggestion(condition.rule, [...scope.rules.keys()])}`,
    );
  }
  const slot = rule[condition.kind];
  if (slot === undefined) throw new PolicyProblem(path, `${condition.rule} has no "holds"`);
  return leaf((frame) => frame[slot] as Truth, [slot]);
}

export type Comparison = Extract<Condition, { kind: 'compare' }>;

/** How the operand on the right is read: a constant of the left's type, or another slot. */
export interface Operands {
  readonly left: Variable;
  readonly leftSlot: number;
  readonly right: Variable | undefined;
  readonly constant: Constant | undefined;
}

/**
 * What a comparison compares.
 * @throws PolicyProblem for facts that do not exist, and for objects.
 */
export function operandsOf(condition: Comparison, scope: Scope, path: Path): Operands {
  const left = variable(condition.fact, scope, [...path, 'fact']);
  const at = [...path, condition.operator];
  if (left.type === 'object') {
    throw new PolicyProblem(
      at,
      `${condition.fact} is an object: use "exists", or one of its members`,
    );
  }
  const right = 'fact' in condition.right ? variable(condition.right.fact, scope, at) : undefined;
  const constant = 'constant' in condition.right ? condition.right.constant : undefined;
  return { left, leftSlot: left.slot, right, constant };
}

function compileComparison(condition: Comparison, { scope, leaf }: Context, path: Path): Test {
  const operands = operandsOf(condition, scope, path);
  const { left, right } = operands;
  const test = comparisonOf(condition.operator, operands, scope, [...path, condition.operator]);
  return leaf(test, right ? [left.slot, right.slot] : [left.slot]);
}

function comparisonOf(operator: Operator, operands: Operands, scope: Scope, path: Path): Test {
  switch (operator) {
    case 'eq':
      return equality(operands, path);
    case 'neq':
      return negated(equality(operands, path));
    case 'lt':
    case 'lteq':
    case 'gt':
    case 'gteq':
      return ordering(operator, operands, path);
    case 'isA':
      return kindOf(operands, scope, path);
    case 'overlaps':
      return overlapping(operands, scope, path);
    case 'isAnyOf':
      return membership(operands, setOperand(operands, undefined, path), intersects);
    case 'isNoneOf':
      return negated(membership(operands, setOperand(operands, undefined, path), intersects));
    case 'isPartOf':
      return membership(operands, setOperand(operands, scope.groups, path), isSubset);
    case 'isAllOf':
    case 'hasPart':
      return containment(operands, path);
  }
}

function negated(test: Test): Test {
  return (frame) => not(test(frame));
}

function equality({ left, leftSlot, right, constant }: Operands, path: Path): Test {
  if (left.type === 'set')
    throw new PolicyProblem(
      path,
      'sets compare with isAnyOf, isAllOf, isNoneOf, hasPart, isPartOf',
    );
  if (right) {
    sameType(left, right, path);
    const rightSlot = right.slot;
    return (frame) => equal(frame[leftSlot], frame[rightSlot]);
  }
  const value = scalarConstant(left, constant, path);
  return (frame) => {
    const actual = frame[leftSlot];
    if (actual === undefined) return UNKNOWN;
    return actual === value ? TRUE : FALSE;
  };
}

// Nothing equals nothing: a comparison with what is known to be absent does not hold.
function equal(left: unknown, right: unknown): Truth {
  if (left === null || right === null) return FALSE;
  if (left === undefined || right === undefined) return UNKNOWN;
  return left === right ? TRUE : FALSE;
}

const ORDERINGS = {
  lt: (a: number, b: number) => a < b,
  lteq: (a: number, b: number) => a <= b,
  gt: (a: number, b: number) => a > b,
  gteq: (a: number, b: number) => a >= b,
} as const;

function ordering(operator: keyof typeof ORDERINGS, operands: Operands, path: Path): Test {
  const { left, leftSlot, right, constant } = operands;
  const holds = ORDERINGS[operator];
  if (left.spec?.ranks) return rankOrdering(holds, operands, path);
  if (left.type !== 'number' && left.type !== 'date' && left.type !== 'datetime') {
    throw new PolicyProblem(path, `${operator} compares numbers, dates and ranked values`);
  }
  if (right) sameType(left, right, path);
  const rightSlot = right?.slot;
  const value = right ? undefined : scalarConstant(left, constant, path);
  return (frame) => {
    const a = frame[leftSlot];
    const b = rightSlot === undefined ? value : frame[rightSlot];
    if (a === null || b === null) return FALSE;
    if (a === undefined || b === undefined) return UNKNOWN;
    return holds(a as number, b as number) ? TRUE : FALSE;
  };
}

function rankOrdering(
  holds: (a: number, b: number) => boolean,
  { left, leftSlot, right, constant }: Operands,
  path: Path,
): Test {
  const leftRanks = new Map(Object.entries(left.spec?.ranks ?? {}));
  const rightRanks = right ? new Map(Object.entries(right.spec?.ranks ?? {})) : leftRanks;
  if (rightRanks.size === 0) throw new PolicyProblem(path, 'both facts need ranks');
  const value = right ? undefined : scalarConstant(left, constant, path);
  const rightSlot = right?.slot;
  return (frame) => {
    const a = frame[leftSlot];
    const b = rightSlot === undefined ? value : frame[rightSlot];
    if (a === null || b === null) return FALSE;
    const rankA = leftRanks.get(a as string);
    const rankB = rightRanks.get(b as string);
    if (rankA === undefined || rankB === undefined) return UNKNOWN;
    return holds(rankA, rankB) ? TRUE : FALSE;
  };
}

function kindOf(operands: Operands, scope: Scope, path: Path): Test {
  const { left, leftSlot, right, constant } = operands;
  const { taxonomy } = scope;
  hierarchical(operands, path);
  if (right?.type === 'set') {
    const rightSlot = right.slot;
    const kind = (code: string, whole: CodeSet): Truth => kindIn(taxonomy, code, whole);
    if (left.type === 'set')
      return (frame) => every(frame[leftSlot] as CodeSet, frame[rightSlot] as CodeSet, kind);
    return (frame) => {
      const actual = frame[leftSlot];
      const whole = frame[rightSlot] as CodeSet;
      return typeof actual === 'string' ? kind(actual, whole) : element(actual, whole);
    };
  }
  if (right) {
    sameType(left, right, path);
    const rightSlot = right.slot;
    return (frame) => {
      const [actual, target] = [frame[leftSlot], frame[rightSlot]];
      if (actual === null || target === null) return FALSE;
      if (actual === undefined || target === undefined) return UNKNOWN;
      return taxonomy.isKind(actual as string, target as string) ? TRUE : FALSE;
    };
  }
  const wanted = constantList(left, constant, path);
  if (left.type === 'set') {
    const whole: CodeSet = { items: [...taxonomy.narrower(wanted)], open: false };
    return (frame) => isSubset(frame[leftSlot] as CodeSet, whole);
  }
  const kinds = taxonomy.narrower(wanted);
  return (frame) => {
    const actual = frame[leftSlot];
    if (actual === undefined) return UNKNOWN;
    return kinds.has(actual as string) ? TRUE : FALSE;
  };
}

/** A code is a kind of a member of the set. */
function kindIn(taxonomy: Taxonomy, code: string, whole: CodeSet): Truth {
  if (contains(whole, code) === TRUE) return TRUE;
  for (const kind of taxonomy.kindsOf(code)) if (contains(whole, kind) === TRUE) return TRUE;
  return whole.open ? UNKNOWN : FALSE;
}

/** Each member of `part` stands in the relation to `whole`. */
function every(
  part: CodeSet,
  whole: CodeSet,
  relation: (code: string, whole: CodeSet) => Truth,
): Truth {
  let all: Truth = TRUE;
  for (const code of part.items) {
    const truth = relation(code, whole);
    if (truth === FALSE) return FALSE;
    if (truth < all) all = truth;
  }
  return part.open ? UNKNOWN : all;
}

/** Some member on the left has something in common with one on the right. */
function overlapping(operands: Operands, scope: Scope, path: Path): Test {
  const { left, leftSlot, right, constant } = operands;
  const { taxonomy } = scope;
  hierarchical(operands, path);
  if (right && right.type !== 'set') sameType(left, right, path);
  const read = (slot: number, { type }: Variable): ((frame: Frame) => CodeSet) =>
    type === 'set' ? (frame) => frame[slot] as CodeSet : (frame) => singleton(frame[slot]);
  const whole: CodeSet | undefined = right
    ? undefined
    : { items: constantList(left, constant, path), open: false };
  const one = read(leftSlot, left);
  const other = right ? read(right.slot, right) : () => whole ?? EMPTY_SET;
  return (frame) => overlapOf(taxonomy, one(frame), other(frame));
}

function overlapOf(taxonomy: Taxonomy, left: CodeSet, right: CodeSet): Truth {
  const isNothing = (set: CodeSet): boolean => set.items.length === 0 && !set.open;
  if (isNothing(left) || isNothing(right)) return FALSE;
  let any: Truth = left.open || right.open ? UNKNOWN : FALSE;
  for (const a of left.items) {
    for (const b of right.items) {
      const truth = taxonomy.overlap(a, b);
      if (truth === TRUE) return TRUE;
      if (truth > any) any = truth;
    }
  }
  return any;
}

/** What a hierarchy relates: codes, and sets of codes. */
function hierarchical({ left, right }: Operands, path: Path): void {
  if (left.type !== 'string' && left.type !== 'set')
    throw new PolicyProblem(path, `${path.at(-1) ?? ''} compares codes and sets of codes`);
  if (left.type === 'set' && right && right.type !== 'set')
    throw new PolicyProblem(path, 'a set is compared with a set, or with constants');
}

export type SetOperand =
  | { readonly set: CodeSet }
  | { readonly slot: number; readonly isSet: boolean };

/** The operand on the right as a set; a named group of places stands for its members. */
export function setOperand(
  { left, right, constant }: Operands,
  groups: ReadonlyMap<string, readonly string[]> | undefined,
  path: Path,
): SetOperand {
  if (right) return { slot: right.slot, isSet: right.type === 'set' };
  const named = typeof constant === 'string' ? groups?.get(constant) : undefined;
  return { set: { items: named ?? constantList(left, constant, path), open: false } };
}

/** A scalar is in the set; a set relates to it by `relation`. */
function membership(
  { left, leftSlot }: Operands,
  operand: SetOperand,
  relation: (left: CodeSet, right: CodeSet) => Truth,
): Test {
  if ('set' in operand) {
    const { set } = operand;
    if (left.type === 'set') return (frame) => relation(frame[leftSlot] as CodeSet, set);
    return (frame) => element(frame[leftSlot], set);
  }
  const rightSlot = operand.slot;
  const read = operand.isSet
    ? (frame: Frame) => frame[rightSlot] as CodeSet
    : (frame: Frame) => singleton(frame[rightSlot]);
  if (left.type === 'set') return (frame) => relation(frame[leftSlot] as CodeSet, read(frame));
  return (frame) => element(frame[leftSlot], read(frame));
}

/** A value, which may be known to be absent (null) or unknown (undefined), is in the set. */
export function element(value: unknown, set: CodeSet): Truth {
  if (value === null) return FALSE;
  if (value === undefined) return set.items.length === 0 && !set.open ? FALSE : UNKNOWN;
  return contains(set, value as string);
}

function singleton(value: unknown): CodeSet {
  if (value === null) return NONE_SET;
  return { items: value === undefined ? [] : [value as string], open: value === undefined };
}

/** The set on the left has the value, or all of the values, on the right. */
function containment(operands: Operands, path: Path): Test {
  const { left, leftSlot, right } = operands;
  if (left.type !== 'set')
    throw new PolicyProblem(path, 'hasPart and isAllOf need a set on the left');
  if (right && right.type !== 'set') {
    const rightSlot = right.slot;
    return (frame) => element(frame[rightSlot], frame[leftSlot] as CodeSet);
  }
  if (right) {
    const rightSlot = right.slot;
    return (frame) => isSubset(frame[rightSlot] as CodeSet, frame[leftSlot] as CodeSet);
  }
  const wanted = constantList(left, operands.constant, path);
  const only = wanted[0];
  if (wanted.length === 1 && only !== undefined) {
    return (frame) => contains(frame[leftSlot] as CodeSet, only);
  }
  const part: CodeSet = { items: wanted, open: false };
  return (frame) => isSubset(part, frame[leftSlot] as CodeSet);
}

function sameType(left: Variable, right: Variable, path: Path): void {
  if (left.type !== right.type) {
    throw new PolicyProblem(path, `compares a ${left.type} with a ${right.type}`);
  }
}

/** A constant in the form the frame holds: dates as days, instants as milliseconds. */
export function scalarConstant(
  { type, spec }: Variable,
  constant: Constant | undefined,
  path: Path,
): unknown {
  // A number is no date, though dates are numbers of days in a frame.
  const text = typeof constant === 'string' ? constant : '';
  const value =
    type === 'date' ? parseDate(text) : type === 'datetime' ? parseInstant(text) : constant;
  const expected = type === 'date' || type === 'datetime' ? 'number' : type;
  if (typeof value !== expected || Number.isNaN(value)) {
    throw new PolicyProblem(path, `expected a ${type}`);
  }
  if (typeof value === 'string') allowed(spec, value, path);
  return value;
}

export function constantList(
  { spec }: Variable,
  constant: Constant | undefined,
  path: Path,
): readonly string[] {
  const list = Array.isArray(constant) ? constant : [constant];
  return list.map((value) => {
    if (typeof value !== 'string') throw new PolicyProblem(path, 'expected codes');
    allowed(spec, value, path);
    return internalised(value);
  });
}

function allowed(spec: FactSpec | undefined, value: string, path: Path): void {
  if (spec?.values && !spec.values.includes(value)) {
    throw new PolicyProblem(
      path,
      `"${value}" is no value of ${spec.path}: one of ${spec.values.join(', ')}${suggestion(value, spec.values)}`,
    );
  }
  if ((spec?.type === 'country' || spec?.of === 'country') && !COUNTRIES.has(value)) {
    throw new PolicyProblem(
      path,
      `"${value}" is no country (ISO 3166-1 alpha-2) and no group of places`,
    );
  }
}

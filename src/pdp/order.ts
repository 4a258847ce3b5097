/**
 * Numbers that stand in an order: bounds of each, and which is before which. Exact for whole
 * numbers and for numbers between which there is always another.
 */

/** The numbers that a fact may have: both ends included, unless said otherwise. */
export interface Range {
  readonly low: number;
  readonly high: number;
  readonly lowOut: boolean;
  readonly highOut: boolean;
  readonly whole: boolean;
  /** Numbers in between that it may not have. */
  readonly not: ReadonlySet<number>;
  /** The number to prefer. */
  readonly anchor: number;
}

/** `low` is less than `high`, or at most equal where not `strict`. */
export interface Before {
  readonly low: string;
  readonly high: string;
  readonly strict: boolean;
}

export interface OrderProblem {
  readonly ranges: ReadonlyMap<string, Range>;
  readonly before: readonly Before[];
  /** Pairs that must differ. */
  readonly differ: readonly (readonly [string, string])[];
}

/** The part of a range from, above, up to, or below a number; or without it. */
export function narrowed(
  range: Range,
  operator: 'eq' | 'neq' | 'lt' | 'lteq' | 'gt' | 'gteq',
  value: number,
): Range {
  switch (operator) {
    case 'eq':
      return narrowed(narrowed(range, 'lteq', value), 'gteq', value);
    case 'neq':
      return tightened({ ...range, not: new Set([...range.not, value]) });
    case 'lt':
    case 'lteq': {
      const out = operator === 'lt';
      if (value > range.high || (value === range.high && (range.highOut || !out))) return range;
      return tightened({ ...range, high: value, highOut: out });
    }
    case 'gt':
    case 'gteq': {
      const out = operator === 'gt';
      if (value < range.low || (value === range.low && (range.lowOut || !out))) return range;
      return tightened({ ...range, low: value, lowOut: out });
    }
  }
}

/** The same numbers, with ends that belong to them. */
export function tightened(range: Range): Range {
  let { low, high, lowOut, highOut } = range;
  const { not, whole } = range;
  if (!whole) {
    lowOut ||= not.has(low);
    highOut ||= not.has(high);
    return { ...range, lowOut, highOut };
  }
  low = lowOut ? Math.floor(low) + 1 : Math.ceil(low);
  high = highOut ? Math.ceil(high) - 1 : Math.floor(high);
  while (not.has(low) && low <= high) low++;
  while (not.has(high) && low <= high) high--;
  return { ...range, low, high, lowOut: false, highOut: false };
}

/** Is there no number in it? */
export function isEmptyRange({ low, high, lowOut, highOut }: Range): boolean {
  return low > high || (low === high && (lowOut || highOut));
}

/**
 * A number for each name, or undefined where there are none. `step` is called before each try
 * and may throw to end the search: pairs that must differ are tried in both orders, if need be.
 */
export function solveOrder(
  problem: OrderProblem,
  step: () => void,
): ReadonlyMap<string, number> | undefined {
  step();
  const classes = classesOf(problem);
  if (!classes) return undefined;
  const ranges = boundsOf(classes);
  if (!ranges) return undefined;
  const found = assign(classes, ranges);
  if (found) {
    return new Map(
      [...problem.ranges.keys()].map((name) => [name, found.get(classes.of(name)) ?? 0]),
    );
  }
  const [pair, ...differ] = problem.differ;
  if (!pair) return undefined;
  const [a, b] = pair;
  const rest = { ...problem, differ };
  return (
    solveOrder({ ...rest, before: [...problem.before, { low: a, high: b, strict: true }] }, step) ??
    solveOrder({ ...rest, before: [...problem.before, { low: b, high: a, strict: true }] }, step)
  );
}

/** The range that each name is left with, its neighbours' ranges considered; undefined for none. */
export function boundsIn(problem: OrderProblem): ReadonlyMap<string, Range> | undefined {
  const classes = classesOf(problem);
  const ranges = classes && boundsOf(classes);
  return (
    ranges &&
    new Map(
      [...problem.ranges].map(([name, range]) => [name, ranges.get(classes.of(name)) ?? range]),
    )
  );
}

/** Names that must be equal, under one of them, in an order in which the low come first. */
interface Classes {
  of(name: string): string;
  readonly order: readonly string[];
  readonly ranges: ReadonlyMap<string, Range>;
  readonly before: readonly Before[];
  readonly above: ReadonlyMap<string, readonly Before[]>;
  readonly below: ReadonlyMap<string, readonly Before[]>;
  readonly differ: ReadonlyMap<string, readonly string[]>;
}

function classesOf({ ranges, before, differ }: OrderProblem): Classes | undefined {
  const leaders = components([...ranges.keys()], grouped(before, 'low'));
  const of = (name: string): string => leaders.get(name) ?? name;
  const merged = new Map<string, Range>();
  for (const [name, range] of ranges) {
    const known = merged.get(of(name));
    merged.set(of(name), known ? intersection(known, range) : range);
  }
  const edges: Before[] = [];
  for (const { low, high, strict } of before) {
    if (of(low) !== of(high)) edges.push({ low: of(low), high: of(high), strict });
    else if (strict) return undefined;
  }
  const apart = new Map<string, string[]>();
  for (const [a, b] of differ) {
    if (of(a) === of(b)) return undefined;
    apart.set(of(a), [...(apart.get(of(a)) ?? []), of(b)]);
    apart.set(of(b), [...(apart.get(of(b)) ?? []), of(a)]);
  }
  return {
    of,
    // The algorithm ends components that come after others first.
    order: [...new Set(leaders.values())].toReversed(),
    ranges: merged,
    before: edges,
    above: grouped(edges, 'low'),
    below: grouped(edges, 'high'),
    differ: apart,
  };
}

function intersection(a: Range, b: Range): Range {
  const whole = a.whole || b.whole;
  const not = new Set([...a.not, ...b.not]);
  const both = narrowed(
    narrowed({ ...a, whole, not }, b.lowOut ? 'gt' : 'gteq', b.low),
    b.highOut ? 'lt' : 'lteq',
    b.high,
  );
  return tightened(both);
}

function grouped(before: readonly Before[], by: 'low' | 'high'): Map<string, Before[]> {
  const groups = new Map<string, Before[]>();
  for (const edge of before) {
    const group = groups.get(edge[by]);
    if (group) group.push(edge);
    else groups.set(edge[by], [edge]);
  }
  return groups;
}

/** Tarjan's strongly connected components: of each name, its component's leader. */
function components(
  names: readonly string[],
  edges: ReadonlyMap<string, readonly Before[]>,
): Map<string, string> {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const leaders = new Map<string, string>();
  const visit = (name: string): number => {
    const own = index.size;
    let least = own;
    index.set(name, own);
    stack.push(name);
    for (const { high } of edges.get(name) ?? []) {
      if (!index.has(high)) least = Math.min(least, visit(high));
      else if (!leaders.has(high)) least = Math.min(least, low.get(high) ?? index.get(high) ?? own);
    }
    low.set(name, least);
    if (least === own) {
      let member: string | undefined;
      do {
        member = stack.pop();
        if (member !== undefined) leaders.set(member, name);
      } while (member !== name && member !== undefined);
    }
    return least;
  };
  for (const name of names) if (!index.has(name)) visit(name);
  return leaders;
}

function boundsOf({ order, ranges, above, below }: Classes): Map<string, Range> | undefined {
  const bounds = new Map(ranges);
  for (const name of order) {
    const range = bounds.get(name);
    if (!range) continue;
    for (const { high, strict } of above.get(name) ?? []) {
      const other = bounds.get(high);
      if (other)
        bounds.set(high, narrowed(other, strict || range.lowOut ? 'gt' : 'gteq', range.low));
    }
  }
  for (const name of order.toReversed()) {
    const range = bounds.get(name);
    if (!range || isEmptyRange(range)) return undefined;
    for (const { low, strict } of below.get(name) ?? []) {
      const other = bounds.get(low);
      if (other)
        bounds.set(low, narrowed(other, strict || range.highOut ? 'lt' : 'lteq', range.high));
    }
  }
  return bounds;
}

function assign(
  classes: Classes,
  bounds: ReadonlyMap<string, Range>,
): Map<string, number> | undefined {
  const found = new Map<string, number>();
  for (const name of classes.order) {
    let range = bounds.get(name);
    if (!range) continue;
    for (const { low, strict } of classes.below.get(name) ?? []) {
      const value = found.get(low);
      if (value !== undefined) range = narrowed(range, strict ? 'gt' : 'gteq', value);
    }
    const taken = (classes.differ.get(name) ?? []).map((other) => found.get(other));
    const value = choose(range, new Set(taken.filter((each) => each !== undefined)));
    if (value === undefined) return undefined;
    found.set(name, value);
  }
  return found;
}

/** A number of the range, near its anchor, that is not taken. */
function choose(range: Range, taken: ReadonlySet<number>): number | undefined {
  if (isEmptyRange(range)) return undefined;
  const { low, high, not, whole, anchor } = range;
  const fits = (value: number): boolean =>
    isIn(range, value) && !not.has(value) && !taken.has(value);
  const near = Math.min(Math.max(anchor, low), high);
  if (fits(near)) return near;
  const tries = not.size + taken.size + 1;
  for (let i = 1; i <= tries; i++) {
    const [up, down] = whole
      ? [near + i, near - i]
      : // Between any two numbers there is another, as far as a machine's numbers go.
        [low + (high - low) * (i / (tries + 1)), Math.min(low + i, high)];
    if (fits(up)) return up;
    if (fits(down)) return down;
  }
  return undefined;
}

function isIn({ low, high, lowOut, highOut }: Range, value: number): boolean {
  return (lowOut ? value > low : value >= low) && (highOut ? value < high : value <= high);
}

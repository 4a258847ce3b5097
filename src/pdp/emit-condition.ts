import {
  type Comparison,
  compileCondition,
  constantList,
  element,
  type Operands,
  operandsOf,
  scalarConstant,
  type Scope,
  setOperand,
  type Test,
} from './compile.ts';
import type { Condition } from './condition.ts';
import { internalised } from './load.ts';
import { contains, intersects, isNonEmpty, isSubset } from './logic.ts';

/** What emitted text calls, by these names. */
const HELPERS = { contains, element, intersects, isNonEmpty, isSubset };

/** Conditions come here compiled already: what is wrong with them has been said, with its place. */
const NOWHERE: readonly (string | number)[] = [];
type Leaf = Extract<Condition, { fact: string } | { rule: string }>;
type FactLeaf = Extract<Condition, { fact: string }>;

const SYMBOLS = { eq: '===', neq: '===', lt: '<', lteq: '<=', gt: '>', gteq: '>=' } as const;
// A longer list is a set, which is looked up.
const MOST_COMPARED = 8;

/**
 * Conditions as expressions that are 0, 1 or 2 (`Truth`), for the body of one function of a frame
 * `f`. A leaf that stands more than once is computed once, before everything else. The text holds
 * slot numbers and names of our own, nothing of a document: constants are passed by reference.
 */
export class Emitter {
  readonly #scope: Scope;
  readonly #constants: unknown[] = [];
  /** Rules of the same function, whose truths are variables. */
  readonly #rules = new Map<string, Readonly<Record<'applies' | 'holds', string>>>();
  readonly #uses = new Map<string, number>();
  readonly #shared = new Map<string, { readonly name: string; readonly text: string }>();
  readonly #traced: boolean;
  #temporaries = 0;
  #reads = 0;

  /**
   * `conditions`: all that the function will hold, to find the leaves that stand more than once.
   * `traced`: each leaf notes the slots that it reads, in `R` from index `n` on.
   */
  constructor(scope: Scope, conditions: readonly Condition[], traced = false) {
    this.#scope = scope;
    this.#traced = traced;
    for (const condition of conditions) this.#count(condition);
  }

  /** Slots of the rules that the conditions refer to. */
  readonly referred: Set<number> = new Set();

  /** How many slots a traced function can note at most. */
  get reads(): number {
    return this.#reads;
  }

  #count(condition: Condition): void {
    if ('of' in condition) {
      for (const part of [condition.of].flat()) this.#count(part);
    } else {
      const key = keyOf(condition);
      if (key !== undefined) this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    }
  }

  /** Where conditions that follow find whether `rule` applies and holds. */
  keep(rule: string, variables: Readonly<Record<'applies' | 'holds', string>>): void {
    this.#rules.set(rule, variables);
  }

  constant(value: unknown): string {
    const passed = typeof value === 'string' ? internalised(value) : value;
    const known = this.#constants.indexOf(passed);
    return `k${known >= 0 ? known : this.#constants.push(passed) - 1}`;
  }

  /** The function of `parameters` (the first is `f`) with this body, which this emitter has made. */
  make(parameters: string, body: string): unknown {
    const constants = this.#constants.map((_, i) => `const k${i} = K[${i}];`);
    const temporaries = Array.from({ length: this.#temporaries }, (_, i) => `, t${i}`);
    const shared = [...this.#shared.values()].map(({ name, text }) => `const ${name} = ${text};`);
    const source = `
      const { ${Object.keys(HELPERS).join(', ')} } = H;
      ${constants.join(' ')}
      return function run(${parameters}) {
        let v, w${temporaries.join('')};
        ${shared.join('\n')}
        ${body}
      };`;
    // oxlint-disable-next-line no-new-func, typescript/no-implied-eval -- the text is ours alone
    const make = new Function('K', 'H', source) as (
      constants: readonly unknown[],
      helpers: typeof HELPERS,
    ) => unknown;
    return make(this.#constants, HELPERS);
  }

  condition(condition: Condition): string {
    switch (condition.kind) {
      case 'constant':
        return condition.value ? '2' : '0';
      case 'not':
        return `(2 - ${this.condition(condition.of)})`;
      case 'and':
        return this.#chain(condition.of, { stop: 0, whole: 2 });
      case 'or':
        return this.#chain(condition.of, { stop: 2, whole: 0 });
      case 'xone':
        return this.#xone(condition.of);
      default:
        return this.#leaf(condition);
    }
  }

  /** Stops at the first part that settles the answer; else whole if all parts are, else unknown. */
  #chain(
    parts: readonly Condition[],
    { stop, whole }: { readonly stop: 0 | 2; readonly whole: 0 | 2 },
  ): string {
    const steps = parts.map((part) => ({
      name: `t${this.#temporaries++}`,
      text: this.condition(part),
    }));
    const tests = steps.map(({ name, text }) => `(${name} = ${text}) === ${stop} ? ${stop} : `);
    const all = steps.map(({ name }) => `${name} === ${whole}`).join(' && ');
    return `(${tests.join('')}${all} ? ${whole} : 1)`;
  }

  #xone(parts: readonly Condition[]): string {
    const names = parts.map(() => `t${this.#temporaries++}`);
    const count = `t${this.#temporaries++}`;
    const steps = parts.map((part, i) => `${names[i]} = ${this.condition(part)}`);
    const trues = names.map((name) => `(${name} === 2)`).join(' + ');
    const unknown = names.map((name) => `${name} === 1`).join(' || ');
    return `(${steps.join(', ')}, ${count} = 0 + ${trues}, ${count} > 1 ? 0 : ${unknown} ? 1 : ${count} === 1 ? 2 : 0)`;
  }

  #leaf(condition: Leaf): string {
    let slots: readonly number[] = [];
    const test = compileCondition(condition, this.#scope, NOWHERE, (leaf, read) => {
      slots = read;
      return leaf;
    });
    const text = this.#truth(condition, test);
    if (!this.#traced) return text;
    this.#reads += slots.length;
    return `(${slots.map((slot) => `R[n++] = ${slot}, `).join('')}${text})`;
  }

  #truth(condition: Leaf, test: Test): string {
    if ('rule' in condition) {
      const slot = this.#scope.rules.get(condition.rule)?.[condition.kind] ?? -1;
      this.referred.add(slot);
      return this.#rules.get(condition.rule)?.[condition.kind] ?? `f[${slot}]`;
    }
    const key = keyOf(condition);
    const text = (): string => this.#inlined(condition) ?? `${this.constant(test)}(f)`;
    if (key === undefined || (this.#uses.get(key) ?? 0) < 2) return text();
    const shared = this.#shared.get(key) ?? { name: `s${this.#shared.size}`, text: text() };
    this.#shared.set(key, shared);
    return shared.name;
  }

  /** Undefined for the rare leaves, of which the closure is called. */
  #inlined(condition: FactLeaf): string | undefined {
    if (condition.kind === 'compare') return this.#comparison(condition);
    const { slot, type } = this.#scope.variables.get(condition.fact) ?? {};
    if (condition.kind === 'nonempty') return `isNonEmpty(f[${slot}])`;
    if (type === 'set') return undefined;
    const none = type === 'object' ? 'v === null || v === false' : 'v === null';
    return `((v = f[${slot}]) === undefined ? 1 : ${none} ? 0 : 2)`;
  }

  #comparison(condition: Comparison): string | undefined {
    const operands = operandsOf(condition, this.#scope, NOWHERE);
    switch (condition.operator) {
      case 'eq':
      case 'neq':
        return this.#scalars(condition.operator, operands);
      case 'lt':
      case 'lteq':
      case 'gt':
      case 'gteq':
        return operands.left.spec?.ranks ? undefined : this.#scalars(condition.operator, operands);
      case 'isAnyOf':
        return this.#membership(operands, 'intersects');
      case 'isNoneOf': {
        const among = this.#membership(operands, 'intersects');
        return among && `(2 - ${among})`;
      }
      case 'isPartOf':
        return this.#membership(operands, 'isSubset');
      case 'hasPart':
      case 'isAllOf':
        return this.#containment(operands);
      case 'isA':
      case 'overlaps':
        return undefined;
    }
  }

  // What is known to be absent equals nothing, and is neither before nor after anything.
  #scalars(operator: keyof typeof SYMBOLS, { left, right, constant }: Operands): string {
    const [yes, no] = operator === 'neq' ? [0, 2] : [2, 0];
    const symbol = SYMBOLS[operator];
    const read = `(v = f[${left.slot}]) === undefined`;
    if (right) {
      const absent = `v === null || w === null ? ${no}`;
      return `(w = f[${right.slot}], ${read} ? w === null ? ${no} : 1 : ${absent} : w === undefined ? 1 : v ${symbol} w ? ${yes} : ${no})`;
    }
    const wanted = this.constant(scalarConstant(left, constant, NOWHERE));
    const known = symbol === '===' ? '' : 'v !== null && ';
    return `(${read} ? 1 : ${known}v ${symbol} ${wanted} ? ${yes} : ${no})`;
  }

  #membership(operands: Operands, relation: 'intersects' | 'isSubset'): string | undefined {
    const { left } = operands;
    const groups = relation === 'isSubset' ? this.#scope.groups : undefined;
    const operand = setOperand(operands, groups, NOWHERE);
    if ('slot' in operand && !operand.isSet) return undefined;
    const whole = 'slot' in operand ? `f[${operand.slot}]` : this.constant(operand.set);
    if (left.type === 'set') return `${relation}(f[${left.slot}], ${whole})`;
    const codes = 'set' in operand ? operand.set.items : [];
    if (codes.length === 0 || codes.length > MOST_COMPARED)
      return `element(f[${left.slot}], ${whole})`;
    const among = codes.map((code) => `v === ${this.constant(code)}`).join(' || ');
    return `((v = f[${left.slot}]) === undefined ? 1 : ${among} ? 2 : 0)`;
  }

  #containment({ left, right, constant }: Operands): string {
    if (right) {
      return right.type === 'set'
        ? `isSubset(f[${right.slot}], f[${left.slot}])`
        : `element(f[${right.slot}], f[${left.slot}])`;
    }
    const items = constantList(left, constant, NOWHERE);
    return items.length === 1
      ? `contains(f[${left.slot}], ${this.constant(items[0])})`
      : `isSubset(${this.constant({ items, open: false })}, f[${left.slot}])`;
  }
}

/** Two leaves with one key say the same; a leaf with a long list has none. */
function keyOf(condition: Condition): string | undefined {
  const list =
    condition.kind === 'compare' && 'constant' in condition.right && condition.right.constant;
  return Array.isArray(list) && list.length > MOST_COMPARED ? undefined : JSON.stringify(condition);
}

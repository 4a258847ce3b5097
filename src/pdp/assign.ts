import type { Literal, Term } from './demand.ts';

/** Codes and sets of codes that stand in relations to one another: values for all of them. */

export interface CodeChoice {
  /** Undefined where any code will do that is valid. */
  readonly values: readonly string[] | undefined;
  readonly excluded: readonly ReadonlySet<unknown>[];
  /** Values that nobody names are as good as one another. */
  readonly interchangeable: boolean;
}

export interface SetChoice {
  readonly must: ReadonlySet<string>;
  readonly lacks: readonly ReadonlySet<string>[];
  readonly only: ReadonlySet<string> | undefined;
  /** May it have members at all, and this one? */
  readonly takes: (code: string) => boolean;
  /** All that it may have, of a set that does not take just any code. */
  readonly offered: Iterable<string>;
}

export interface AssignmentProblem {
  readonly codes: ReadonlyMap<string, CodeChoice>;
  readonly sets: ReadonlyMap<string, SetChoice>;
  readonly relations: readonly Extract<Literal, { kind: 'codes' }>[];
  readonly members: readonly Extract<Literal, { kind: 'in' }>[];
  readonly universals: readonly Extract<Literal, { kind: 'subset' | 'disjoint' }>[];
  /** Codes that are kinds of one another. */
  readonly terms: readonly string[];
}

export interface Assignment {
  readonly codes: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

type Relation = Extract<Literal, { kind: 'codes' }>;

/** Undefined where there are none. `step` is called before each try and may throw to end it. */
export function assignCodes(problem: AssignmentProblem, step: () => void): Assignment | undefined {
  return new Assigner(problem, step).solve();
}

class Assigner {
  readonly #problem: AssignmentProblem;
  readonly #step: () => void;
  /** Of each fact, the first of those that must equal it. */
  readonly #leaders = new Map<string, string>();
  readonly #values = new Map<string, string>();
  #order: { name: string; candidates: readonly string[] }[] = [];
  readonly #relations = new Map<string, Relation[]>();

  constructor(problem: AssignmentProblem, step: () => void) {
    this.#problem = problem;
    this.#step = step;
  }

  solve(): Assignment | undefined {
    const { codes, relations } = this.#problem;
    for (const { relation, left, right } of relations) {
      if (relation === 'eq') join(this.#leaders, left, right);
    }
    const classes = new Map<string, string[]>();
    for (const name of codes.keys()) {
      const leader = find(this.#leaders, name);
      classes.set(leader, [...(classes.get(leader) ?? []), name]);
    }
    for (const each of relations) {
      const [left, right] = [find(this.#leaders, each.left), find(this.#leaders, each.right)];
      for (const side of new Set([left, right]))
        this.#relations.set(side, [...(this.#relations.get(side) ?? []), each]);
    }
    const pools = new Pools(this.#problem, this.#leaders);
    for (const [name, names] of classes) {
      const candidates = this.#candidates(name, names, pools);
      if (candidates.length === 0) return undefined;
      this.#order.push({ name, candidates });
    }
    this.#order.sort((a, b) => a.candidates.length - b.candidates.length);
    return this.#assign(0);
  }

  #candidates(leader: string, names: readonly string[], pools: Pools): readonly string[] {
    const { codes, sets, members } = this.#problem;
    const choices = names.flatMap((name) => codes.get(name) ?? []);
    const finite = choices.flatMap(({ values }) => (values ? [values] : []));
    const pool = pools.poolOf(leader);
    let candidates = finite[0] ?? [...pool.codes, ...pools.freshFor(leader, names)];
    for (const values of finite.slice(1)) {
      const allowed = new Set(values);
      candidates = candidates.filter((code) => allowed.has(code));
    }
    const own = new Set(names);
    const within = members.filter(({ element }) => own.has(element));
    candidates = candidates.filter((code) => {
      if (choices.some(({ excluded }) => excluded.some((each) => each.has(code)))) return false;
      return within.every(({ set, positive }) => {
        const choice = sets.get(set);
        return !choice || (positive ? mayHave(choice, code) : !choice.must.has(code));
      });
    });
    if (choices.some(({ interchangeable }) => !interchangeable)) return candidates;
    let others = pool.size + 1;
    return candidates.filter((code) => pool.codes.has(code) || others-- > 0);
  }

  #assign(index: number): Assignment | undefined {
    const next = this.#order[index];
    if (!next) return this.#fill();
    for (const code of next.candidates) {
      this.#step();
      this.#values.set(next.name, code);
      if (!this.#related(next.name)) continue;
      const found = this.#assign(index + 1);
      if (found) return found;
    }
    this.#values.delete(next.name);
    return undefined;
  }

  #valueOf(name: string): string | undefined {
    return this.#values.get(find(this.#leaders, name));
  }

  #related(name: string): boolean {
    return (this.#relations.get(name) ?? []).every(({ left, right, relation }) => {
      const [a, b] = [this.#valueOf(left), this.#valueOf(right)];
      return a === undefined || b === undefined || relation === 'eq' || relation(a, b);
    });
  }

  /** Every code has a value: sets with no more members than they need. */
  #fill(): Assignment | undefined {
    const sets = new Map<string, Set<string>>();
    const forbidden = new Map<string, Set<string>>();
    for (const { element, set, positive } of this.#problem.members) {
      const code = this.#valueOf(element);
      if (positive || code === undefined) continue;
      forbidden.set(set, (forbidden.get(set) ?? new Set()).add(code));
    }
    const add = (set: string, code: string): boolean => {
      const choice = this.#problem.sets.get(set);
      if (!choice || !mayHave(choice, code) || forbidden.get(set)?.has(code)) return false;
      sets.set(set, (sets.get(set) ?? new Set()).add(code));
      return true;
    };
    for (const [name, { must }] of this.#problem.sets) {
      sets.set(name, new Set());
      for (const code of must) if (!add(name, code)) return undefined;
    }
    for (const { element, set, positive } of this.#problem.members) {
      const code = this.#valueOf(element);
      if (positive && code !== undefined && !add(set, code)) return undefined;
    }
    return this.#close(sets, add);
  }

  /** Adds what a subset's members ask of the whole; where there is a choice, each in turn. */
  #close(
    sets: Map<string, Set<string>>,
    add: (set: string, code: string) => boolean,
  ): Assignment | undefined {
    this.#step();
    for (const { kind, left, right, kin } of this.#problem.universals) {
      const others = kin && this.#membersOf(right, sets);
      for (const code of this.#membersOf(left, sets)) {
        const isIn = others
          ? [...others].some((other) => kin.holds(code, other))
          : right.some((term) => this.#hasMember(term, code, sets));
        if (isIn === (kind === 'subset')) continue;
        if (kind === 'disjoint') return undefined;
        for (const wanted of kin?.reached(code) ?? [code]) {
          for (const term of right) {
            if (term.kind !== 'set' || term.without.includes(wanted)) continue;
            if (!add(term.fact, wanted)) continue;
            const found = this.#close(sets, add);
            if (found) return found;
            sets.get(term.fact)?.delete(wanted);
          }
        }
        return undefined;
      }
    }
    const codes = new Map<string, string>();
    for (const name of this.#problem.codes.keys()) codes.set(name, this.#valueOf(name) ?? '');
    return { codes, sets: new Map([...sets].map(([name, items]) => [name, new Set(items)])) };
  }

  #membersOf(terms: readonly Term[], sets: ReadonlyMap<string, ReadonlySet<string>>): Set<string> {
    const members = new Set<string>();
    for (const term of terms) {
      if (term.kind === 'codes') for (const code of term.codes) members.add(code);
      else if (term.kind === 'single') {
        const value = this.#valueOf(term.fact);
        if (value !== undefined) members.add(value);
      } else {
        for (const code of sets.get(term.fact) ?? [])
          if (!term.without.includes(code)) members.add(code);
      }
    }
    return members;
  }

  #hasMember(term: Term, code: string, sets: ReadonlyMap<string, ReadonlySet<string>>): boolean {
    if (term.kind === 'codes') return term.codes.has(code);
    if (term.kind === 'single') return this.#valueOf(term.fact) === code;
    return !term.without.includes(code) && (sets.get(term.fact)?.has(code) ?? false);
  }
}

function mayHave({ lacks, only, takes }: SetChoice, code: string): boolean {
  return takes(code) && (only?.has(code) ?? true) && !lacks.some((each) => each.has(code));
}

/** The codes that are named in one web of relations, and how many facts are in it. */
interface Pool {
  readonly codes: Set<string>;
  size: number;
}

class Pools {
  readonly #webs = new Map<string, string>();
  readonly #pools = new Map<string, Pool>();
  readonly #partners = new Map<string, string[]>();
  readonly #fresh = new Map<string, string>();

  constructor(
    { codes, sets, relations, members, universals, terms }: AssignmentProblem,
    leaders: ReadonlyMap<string, string>,
  ) {
    const facts = [...codes.keys(), ...sets.keys()];
    for (const { left, right } of relations) join(this.#webs, left, right);
    for (const { element, set } of members) join(this.#webs, element, set);
    for (const { left, right } of universals) {
      const names = factsIn([...left, ...right]);
      for (const name of names) join(this.#webs, names[0] ?? name, name);
    }
    for (const name of facts) this.poolOf(name).size++;
    for (const [name, { values, excluded, interchangeable }] of codes) {
      const named = this.poolOf(name).codes;
      if (values && !interchangeable) for (const code of values) named.add(code);
      for (const each of excluded) for (const code of each) named.add(String(code));
    }
    for (const [name, { must, lacks, only, offered }] of sets) {
      const named = this.poolOf(name).codes;
      for (const each of [must, ...lacks, only ?? [], offered])
        for (const code of each) named.add(code);
    }
    for (const { left, right, kin } of universals) {
      const names = factsIn([...left, ...right]);
      if (kin && names[0]) for (const term of terms) this.poolOf(names[0]).codes.add(term);
      for (const term of [...left, ...right]) {
        const more = term.kind === 'codes' ? term.codes : term.kind === 'set' ? term.without : [];
        for (const code of more) if (names[0]) this.poolOf(names[0]).codes.add(code);
      }
    }
    for (const { left, right, relation, shares } of relations) {
      if (!shares || relation === 'eq') continue;
      for (const term of terms) this.poolOf(left).codes.add(term);
      this.#partners.set(left, [...(this.#partners.get(left) ?? []), right]);
      this.#partners.set(right, [...(this.#partners.get(right) ?? []), left]);
    }
    let i = 0;
    for (const name of codes.keys()) {
      let code: string;
      do code = `other-${++i}`;
      while (this.poolOf(name).codes.has(code));
      this.#fresh.set(find(leaders, name), code);
    }
    this.#leaders = leaders;
  }

  readonly #leaders: ReadonlyMap<string, string>;

  poolOf(name: string): Pool {
    const web = find(this.#webs, name);
    let pool = this.#pools.get(web);
    if (!pool) {
      pool = { codes: new Set(), size: 0 };
      this.#pools.set(web, pool);
    }
    return pool;
  }

  /** Codes that nobody names: its own, and those of facts that it may have to equal. */
  freshFor(leader: string, names: readonly string[]): string[] {
    const partners = names.flatMap((name) => this.#partners.get(name) ?? []);
    const leaders = new Set([leader, ...partners.map((name) => find(this.#leaders, name))]);
    return [...leaders].flatMap((each) => this.#fresh.get(each) ?? []);
  }
}

function factsIn(terms: readonly Term[]): string[] {
  return terms.flatMap((term) => (term.kind === 'codes' ? [] : [term.fact]));
}

/** The last of those that lead from a name on: itself where it has no other. */
function find(leaders: ReadonlyMap<string, string>, name: string): string {
  let at = name;
  for (let next = leaders.get(at); next !== undefined && next !== at; next = leaders.get(at))
    at = next;
  return at;
}

function join(leaders: Map<string, string>, left: string, right: string): void {
  leaders.set(find(leaders, right), find(leaders, left));
}

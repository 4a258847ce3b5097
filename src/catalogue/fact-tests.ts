import { type RawBuilder, sql } from 'kysely';
import type { FactTest, Load, Members, Reading, Scalar, StoredFact } from '../pdp/predicate.ts';

/** An expression whose NULL is the logic's "unknown". */
export type Expression = RawBuilder<unknown>;

type Tag = 's' | 'b' | 'n' | 't' | 'a' | 'o' | 'd' | 'i';

/** Where stored facts are read from; the tags are those of migration 0005. */
interface Source {
  /** The value of a fact with this tag, NULL where it has none; undefined where none ever has. */
  get(tag: Tag, path: string): Expression | undefined;
  /** Does the dataset state anything at the path? */
  has(path: string): Expression;
}

const TAGS: Readonly<Record<Load, Tag>> = {
  text: 's',
  number: 'n',
  boolean: 'b',
  date: 'd',
  instant: 'i',
  set: 't',
  object: 'o',
  list: 'a',
  member: 'a',
};
const EMPTY: Expression = sql`'[]'::jsonb`;
const YES: Expression = sql`true`;
const NO: Expression = sql`false`;
const ID = 'id';
const CONSENT = 'consent';

/**
 * What a test must have come out as. NULL or false where it did not: "and" and "or" of such
 * expressions are true exactly where the predicate is.
 */
export function readAs(truth: Expression, is: Reading): Expression {
  switch (is) {
    case 'true':
      return truth;
    case 'false':
      return sql`(not ${truth})`;
    case 'not_true':
      return sql`(${truth} is not true)`;
    case 'not_false':
      return sql`(${truth} is not false)`;
  }
}

/** A comparison of a number, a date or a moment of the dataset with a known one. */
export interface Limit {
  readonly fact: StoredFact;
  readonly operator: 'lt' | 'lteq' | 'gt' | 'gteq';
  /** As in a frame. */
  readonly value: number;
}

const TURNED = { lt: 'gt', lteq: 'gteq', gt: 'lt', gteq: 'lteq' } as const;

/** A test as the limit that it is; undefined of another one. */
export function limitOf(test: FactTest): Limit | undefined {
  if (test.kind !== 'order') return undefined;
  const { left, right, operator } = test;
  const [scalar, other] = 'fact' in left ? [left, right] : [right, left];
  if (!('fact' in scalar) || scalar.ranks || !('value' in other)) return undefined;
  const { value } = other;
  if (typeof value !== 'number' || !NUMBERS.includes(scalar.fact.load)) return undefined;
  return { fact: scalar.fact, operator: scalar === left ? operator : TURNED[operator], value };
}

const NUMBERS: readonly Load[] = ['number', 'date', 'instant'];

/**
 * Writes tests of stored facts as SQL, over `p` (a fact_profile), `f` (a dataset_facts), `r` (the
 * numbers and dates read of it) and `t` (the dataset's consent_total for the purpose asked). Names
 * and values of facts are parameters.
 */
export class FactTests {
  /** Facts that some dataset has beside its profile although its type belongs in one. */
  readonly #apart: ReadonlySet<string>;
  readonly #reads = new Map<string, Expression>();

  constructor(apart: ReadonlySet<string>) {
    this.#apart = apart;
  }

  /** Is the test one of the profile alone, the same for all its datasets? */
  ofProfile(test: FactTest): boolean {
    if (test.kind === 'stated') return isOfProfile(test.fact) && !LISTS.includes(test.fact.load);
    return factsOf(test).every(
      (fact) =>
        isOfProfile(fact) &&
        ['text', 'boolean', 'set', 'object'].includes(fact.load) &&
        !this.#apart.has(`${TAGS[fact.load]}:${fact.path}`),
    );
  }

  /** The numbers and dates that tests have read, as columns of `r`. */
  get reads(): readonly Expression[] {
    return [...this.#reads.values()];
  }

  /** What a test comes out as. */
  truth(test: FactTest): Expression {
    switch (test.kind) {
      case 'stated':
        return this.#stated(test.fact);
      case 'stated_union': {
        const { items, open } = this.#set(test.set);
        return sql`nullif(not ${open} or ${items} <> '[]', false)`;
      }
      case 'nonempty': {
        const { items, open } = this.#set(test.set);
        return sql`(${items} <> '[]' or ${maybe(open)})`;
      }
      case 'in':
        return this.#in(test.fact, test.values);
      case 'equal':
        return this.#related(test, sql`=`);
      case 'order':
        return this.#related(test, ORDER[test.operator]);
      case 'kind_of': {
        const [left, right] = [this.#fact(test.left), this.#fact(test.right)];
        const kinds = sql`(${JSON.stringify(test.broader)}::jsonb -> ${left.value})`;
        return sql`(coalesce(${kinds} ? ${right.value}, ${left.value} = ${right.value}) and not ${left.none} and not ${right.none})`;
      }
      case 'contains':
        return this.#contains(test.set, test.value);
      case 'subset': {
        const [part, whole] = [this.#set(test.part), this.#set(test.whole)];
        return sql`((${whole.items} @> ${part.items} or ${maybe(whole.open)}) and not ${maybe(part.open)})`;
      }
      case 'intersects': {
        const [left, right] = [this.#set(test.left), this.#set(test.right)];
        const common = sql`exists (select from jsonb_array_elements_text(${left.items}) each where ${right.items} ? each.value)`;
        const possible = sql`(${left.open} and (${right.open} or ${right.items} <> '[]') or ${right.open} and ${left.items} <> '[]')`;
        return sql`(${common} or ${maybe(possible)})`;
      }
    }
  }

  #in(fact: StoredFact, values: readonly string[]): Expression {
    const { value, none } = this.#fact(fact);
    if (values.length === 0) return sql`(${value} <> ${value} and not ${none})`;
    const found =
      values.length === 1 ? sql`${value} = ${values[0]}` : sql`${value} = any(${values}::text[])`;
    return unless(found, none);
  }

  #related(
    { left, right }: { readonly left: Scalar; readonly right: Scalar },
    operator: Expression,
  ): Expression {
    const load = [left, right].flatMap((each) => ('fact' in each ? [each] : []))[0];
    const type = load?.ranks ? 'number' : (load?.fact.load ?? 'text');
    const [a, b] = [this.#scalar(left, type), this.#scalar(right, type)];
    return unless(sql`${a.value} ${operator} ${b.value}`, a.none, b.none);
  }

  /** What a limit comes out as with `bound` as its value, a number. */
  within({ fact, operator }: Limit, bound: Expression): Expression {
    const { value, none } = this.#fact(fact);
    return unless(sql`${value} ${ORDER[operator]} ${bound}`, none);
  }

  #contains(set: Members, value: Scalar): Expression {
    const wanted = this.#scalar(value, 'fact' in value ? value.fact.load : 'text');
    // A set has codes only: a number or a date is none of them.
    const isText = 'fact' in value ? value.fact.load === 'text' : typeof value.value === 'string';
    const { items, open } = this.#set(set);
    const member = isText ? sql`${items} ? ${wanted.value}` : NO;
    if ('value' in value && typeof value.value === 'string') {
      const only = this.#onlyFact(set);
      // NULL where the set is unknown.
      return only ? sql`(${only} ? ${value.value})` : sql`(${member} or ${maybe(open)})`;
    }
    return sql`(case when ${wanted.none} then false
      when ${wanted.value} is null then ${maybe(sql`(${open} or ${items} <> '[]')`)}
      else ${member} or ${maybe(open)} end)`;
  }

  /** The set that is one fact and nothing else. */
  #onlyFact({ items, open, facts }: Members): Expression | undefined {
    const [only] = facts;
    if (!only || facts.length > 1 || open || items.length > 0) return undefined;
    if (only.without.length > 0 || only.fact.load !== 'set') return undefined;
    return this.#fact(only.fact).value;
  }

  /** A scalar of a type, NULL where it is unknown or none, and whether it is known to be none. */
  #scalar(scalar: Scalar, load: Load): { value: Expression; none: Expression } {
    if ('value' in scalar) {
      return { value: literal(scalar.value, load), none: scalar.value === null ? YES : NO };
    }
    const { value, none } = this.#fact(scalar.fact);
    if (!scalar.ranks) return { value, none };
    return { value: sql`(${JSON.stringify(scalar.ranks)}::jsonb ->> ${value})::float8`, none };
  }

  /** A union: the members that are known, never NULL, and whether it may have others. */
  #set({ items, open, facts }: Members): { items: Expression; open: Expression } {
    const parts = facts.map(({ fact, without }) => {
      const part = this.#members(fact);
      return { ...part, items: without.length === 0 ? part.items : less(part.items, without) };
    });
    const known =
      items.length > 0 || parts.length === 0 ? [sql`${JSON.stringify(items)}::jsonb`] : [];
    const opens = [...(open ? [YES] : []), ...parts.flatMap((part) => part.open)];
    return {
      items: sql`(${sql.join([...known, ...parts.map((part) => part.items)], sql` || `)})`,
      open: opens.length === 0 ? NO : sql`(${sql.join(opens, sql` or `)})`,
    };
  }

  #members(fact: StoredFact): { items: Expression; open: Expression } {
    if (fact.load === 'member') return this.#listMembers(fact);
    const { value, none } = this.#fact(fact);
    if (fact.load === 'set')
      return { items: sql`coalesce(${value}, '[]')`, open: sql`(${value} is null)` };
    return {
      items: sql`(case when ${value} is null then '[]' else jsonb_build_array(${value}) end)`,
      open: sql`(${value} is null and not ${none})`,
    };
  }

  /** What the items of a list have under one key, open where an item has no text there. */
  #listMembers({ path, key }: StoredFact): { items: Expression; open: Expression } {
    const list = this.#list(path);
    if (key === null || key === undefined)
      return { items: EMPTY, open: sql`(jsonb_array_length(${list}) > 0 is not false)` };
    const text = sql`jsonb_typeof(each.value -> ${key}::text) = 'string'`;
    return {
      items: sql`coalesce((select jsonb_agg(distinct each.value -> ${key}::text) from jsonb_array_elements(${list}) each where ${text}), '[]')`,
      open: sql`(${list} is null or exists (select from jsonb_array_elements(${list}) each where (${text}) is not true))`,
    };
  }

  #read(key: string): Expression {
    const known = [...this.#reads.keys()].indexOf(key);
    const at = known < 0 ? this.#reads.size : known;
    this.#reads.set(key, sql`(f.apart ->> ${key}::text)::float8`);
    return sql`r.${sql.ref(`r${at}`)}`;
  }

  #list(path: string): Expression {
    return sql`coalesce(f.apart -> ${`a:${path}`}::text, f.apart -> ${`t:${path}`}::text, p.facts -> ${`t:${path}`}::text)`;
  }

  #fact(fact: StoredFact): { value: Expression; none: Expression } {
    const declared = this.#load(fact, this.#declared);
    if (!isConsent(fact.path)) return declared;
    const recorded = this.#load(fact, this.#recorded);
    return {
      value: sql`(case when f.consented then ${recorded.value} else ${declared.value} end)`,
      none:
        recorded.none === declared.none
          ? declared.none
          : sql`(case when f.consented then ${recorded.none} else ${declared.none} end)`,
    };
  }

  #load(fact: StoredFact, source: Source): { value: Expression; none: Expression } {
    const found = source.get(TAGS[fact.load], fact.path) ?? literal(undefined, fact.load);
    const stated = fact.load === 'object' ? sql`nullif(${found} is not null, false)` : found;
    const absences = absencesOf(fact, source);
    const counted = absences.filter(({ value }) => fact.load === 'set' || value !== null);
    const nones = absences.filter(({ value }) => value === null).map(({ where }) => where);
    const cases = counted.map(
      ({ where, value }) => sql`when ${where} then ${literal(value, fact.load)}`,
    );
    return {
      value:
        cases.length === 0 ? stated : sql`coalesce(${stated}, case ${sql.join(cases, sql` `)} end)`,
      none: nones.length === 0 ? NO : sql`(${sql.join(nones, sql` or `)})`,
    };
  }

  #stated(fact: StoredFact): Expression {
    if (LISTS.includes(fact.load)) return this.#statedList(fact);
    const declared = this.#statedIn(fact, this.#declared);
    if (!isConsent(fact.path)) return declared;
    return sql`(case when f.consented then ${this.#statedIn(fact, this.#recorded)} else ${declared} end)`;
  }

  #statedIn(fact: StoredFact, source: Source): Expression {
    const tag = TAGS[fact.load];
    const isDeclared = source === this.#declared && fact.path !== ID;
    const found = source.get(tag, fact.path);
    const present = isDeclared
      ? sql`p.facts ? ${`${tag}:${fact.path}`}`
      : found
        ? sql`${found} is not null`
        : NO;
    const none = fact.load === 'object' ? false : null;
    const cases = absencesOf(fact, source).map(
      ({ where, value }) => sql`when ${where} then ${value !== none}::boolean`,
    );
    return sql`(case when ${present} then true ${sql.join(cases, sql` `)} end)`;
  }

  #statedList(fact: StoredFact): Expression {
    if (fact.load === 'list') {
      const list = this.#list(fact.path);
      const nones = absencesOf(fact, this.#declared).map(
        ({ where }) => sql`when ${where} then false`,
      );
      return sql`(case when ${list} is not null then jsonb_array_length(${list}) > 0 ${sql.join(nones, sql` `)} end)`;
    }
    const { items, open } = this.#listMembers(fact);
    return sql`nullif(not ${open} or ${items} <> '[]', false)`;
  }

  /** What the dataset itself states. */
  readonly #declared: Source = {
    get: (tag, path) => {
      if (path === ID) return tag === 's' ? sql`f.dataset` : undefined;
      const key = `${tag}:${path}`;
      switch (tag) {
        case 's':
          if (isTitle(path))
            return sql`(select o.document #>> ${path.split('.')}::text[] from dataset o where o.id = f.dataset and p.facts ? ${key})`;
          return this.#apart.has(key)
            ? sql`coalesce(f.apart ->> ${key}::text, p.facts ->> ${key}::text)`
            : sql`(p.facts ->> ${key}::text)`;
        case 't':
          return this.#apart.has(key)
            ? sql`coalesce(f.apart -> ${key}::text, p.facts -> ${key}::text)`
            : sql`(p.facts -> ${key}::text)`;
        case 'b':
          return sql`(p.facts ->> ${key}::text)::boolean`;
        case 'o':
          return sql`(p.facts -> ${key}::text)`;
        case 'n':
        case 'd':
        case 'i':
          return this.#read(key);
        case 'a':
          return sql`(f.apart -> ${key}::text)`;
      }
    },
    has: (path) =>
      path === ID
        ? YES
        : sql`p.facts ?| ${['s', 'b', 'n', 't', 'a', 'o'].map((tag) => `${tag}:${path}`)}::text[]`,
  };

  /** `dataset.consent` where there are consent records, as `consentFacts` makes it of the totals. */
  readonly #recorded: Source = {
    get: (tag, path) =>
      DECLARED_CONSENT.includes(path) ? this.#declared.get(tag, path) : RECORDED[path]?.[tag],
    has: (path) => {
      if (DECLARED_CONSENT.includes(path)) return this.#declared.has(path);
      if (path === CONSENT) return YES;
      const values = Object.values(RECORDED[path] ?? {});
      return values.length === 0
        ? NO
        : sql`(${sql.join(
            values.map((value) => sql`${value} is not null`),
            sql` or `,
          )})`;
    },
  };
}

const LISTS: readonly Load[] = ['list', 'member'];
const DECLARED_CONSENT: readonly string[] = ['consent.model', 'consent.withdrawal_filterable'];
const SUBJECTS = sql`(f.apart ->> 'n:subject_count')::float8`;
const LAST = sql`date_trunc('milliseconds', t.last_withdrawal_at at time zone 'UTC')`;
const RECORDED: Readonly<Record<string, Partial<Record<Tag, Expression>>>> = {
  consent: { o: sql`'true'::jsonb` },
  'consent.purposes': {
    t: sql`(select coalesce(jsonb_agg(c.purpose), '[]') from consent_total c where c.dataset = f.dataset and c.given > 0)`,
  },
  'consent.coverage_pct': {
    n: sql`(case when t.dataset is null then 0
      when t.given + t.refused + t.withdrawn <= ${SUBJECTS} and ${SUBJECTS} <> 0
      then 100::float8 * (t.given + t.withdrawn) / ${SUBJECTS} end)`,
  },
  'consent.withdrawn_count': { n: sql`coalesce(t.withdrawn, 0)::float8` },
  'consent.last_withdrawal_at': {
    s: sql`to_char(${LAST}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
    i: sql`(extract(epoch from ${LAST}) * 1000)::float8`,
  },
  'consent.transfer_abroad_covered': {
    b: sql`coalesce(t.given > 0 and t.given_covering_transfer = t.given, false)`,
  },
};

const ORDER = { lt: sql`<`, lteq: sql`<=`, gt: sql`>`, gteq: sql`>=` } as const;

function isConsent(path: string): boolean {
  return path === CONSENT || path.startsWith(`${CONSENT}.`);
}

function isTitle(path: string): boolean {
  return path === 'title' || path.startsWith('title.');
}

/** Neither the identifier, nor the title, nor consent, which hang on the dataset. */
function isOfProfile({ path }: StoredFact): boolean {
  return path !== ID && !isTitle(path) && !isConsent(path);
}

/** The absences of a fact that mean something, and where each is the case. */
function absencesOf(
  { absences }: StoredFact,
  source: Source,
): readonly { readonly where: Expression; readonly value: unknown }[] {
  return absences.flatMap(({ path, value }, i) => {
    if (isUnknown(value)) return [];
    const outer = absences[i - 1]?.path;
    const inside = outer === undefined ? undefined : source.get('o', outer);
    if (outer !== undefined && !inside) return [];
    const stated = source.has(path);
    if (stated === YES) return [];
    const absent = sql`not ${stated}`;
    return [
      { where: inside ? sql`(${inside} is not null and ${absent})` : sql`(${absent})`, value },
    ];
  });
}

function isUnknown(value: unknown): boolean {
  if (value === undefined) return true;
  return typeof value === 'object' && value !== null && (value as Members).open;
}

/** A known value in the type that a fact is loaded as. */
function literal(value: unknown, load: Load): Expression {
  switch (load) {
    case 'number':
    case 'date':
    case 'instant':
      return sql`${value ?? null}::float8`;
    case 'boolean':
    case 'object':
      return sql`${value ?? null}::boolean`;
    case 'set': {
      if (value === undefined) return sql`null::jsonb`;
      return sql`${JSON.stringify(value === null ? [] : (value as Members).items)}::jsonb`;
    }
    case 'text':
    case 'list':
    case 'member':
      return sql`${value ?? null}::text`;
  }
}

/** A comparison, which is false where one of the values is known to be none. */
function unless(comparison: Expression, ...nones: readonly Expression[]): Expression {
  const possible = nones.filter((none) => none !== NO).map((none) => sql` and not ${none}`);
  return sql`(${comparison}${sql.join(possible, sql``)})`;
}

function less(items: Expression, without: readonly string[]): Expression {
  return sql`(${items} - ${without}::text[])`;
}

/** Unknown where it may be so, and false where not. */
function maybe(open: Expression): Expression {
  return open === NO ? NO : sql`(case when ${open} then null else false end)`;
}

function factsOf(test: FactTest): StoredFact[] {
  const ofScalar = (scalar: Scalar): StoredFact[] => ('fact' in scalar ? [scalar.fact] : []);
  const ofSet = ({ facts }: Members): StoredFact[] => facts.map(({ fact }) => fact);
  switch (test.kind) {
    case 'stated':
    case 'in':
      return [test.fact];
    case 'stated_union':
    case 'nonempty':
      return ofSet(test.set);
    case 'equal':
    case 'order':
      return [...ofScalar(test.left), ...ofScalar(test.right)];
    case 'kind_of':
      return [test.left, test.right];
    case 'contains':
      return [...ofSet(test.set), ...ofScalar(test.value)];
    case 'subset':
      return [...ofSet(test.part), ...ofSet(test.whole)];
    case 'intersects':
      return [...ofSet(test.left), ...ofSet(test.right)];
  }
}

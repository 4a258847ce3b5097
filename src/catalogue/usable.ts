import { CompiledQuery, sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import { type FactTest, type Predicate, type Reading, sizeOf } from '../pdp/predicate.ts';
import type { PolicyReference } from '../pdp/program.ts';
import type { Dataset } from './dataset.ts';
import { type Expression, FactTests, type Limit, limitOf, readAs } from './fact-tests.ts';
import { type DatasetFilter, narrowing } from './store.ts';

/** Which datasets may be used for one request, and what that was computed from. */
export interface Usability {
  readonly usable: Predicate;
  /** Of those datasets: a person has to look at it first. */
  readonly review: Predicate;
  readonly purpose: string;
  /** Datasets of which the predicates say nothing, and what is answered for each. */
  readonly exceptions: ReadonlyMap<string, 'permit' | 'review' | 'deny'>;
  readonly as_of: string;
  readonly pack: { readonly pack: string; readonly version: number; readonly sha256: string };
  readonly policies: readonly PolicyReference[];
  /** Organisations of whose datasets nothing is said: their policies are too intricate for a list. */
  readonly left_out: readonly string[];
}

type Asked = Pick<Usability, 'usable' | 'review' | 'purpose' | 'exceptions'>;

export interface UsableDataset extends Dataset {
  readonly usable: 'permit' | 'review';
}

/** With so few profiles their newest datasets are found by an index at once. */
const FEW_PROFILES = 200;
/** With more, the page is first looked for among so many of the newest datasets. */
const NEWEST = 4_000;
/** With so many profiles going through all datasets takes less than going from profile to profile. */
const MANY_PROFILES = 4_000;
/** Tests in one statement at the most. */
export const MAX_TESTS = 30_000;

/**
 * Active datasets for which `usable` holds, newest registration first. Each profile is tested once,
 * however many datasets have it; what hangs on a dataset itself (its numbers, dates, consent) is
 * tested among the datasets of those profiles only.
 * @throws ServiceError `unavailable` where policies refer to one another so much that the question
 * gets too long.
 */
export async function readUsableDatasets(
  tx: Tx,
  question: Asked,
  filter: DatasetFilter,
  limit: number,
): Promise<UsableDataset[]> {
  // Compiling the question would take longer than asking it.
  await sql`set local jit = off`.execute(tx);
  const general = await readGeneral(tx, question, filter, limit);
  const special = await readExceptions(tx, question, filter, limit);
  if (special.length === 0) return general;
  const position = ({ created_at, id }: Dataset): string => `${created_at} ${id}`;
  return [...general, ...special]
    .toSorted((a, b) => (position(a) < position(b) ? 1 : -1))
    .slice(0, limit);
}

async function readGeneral(
  tx: Tx,
  question: Asked,
  filter: DatasetFilter,
  limit: number,
): Promise<UsableDataset[]> {
  if (question.usable.kind === 'constant' && !question.usable.value) return [];
  const plan = new Plan(new FactTests(await readApart(tx)), question);
  const profiles = await plan.profiles(tx);
  if (profiles?.length === 0) return [];
  return readRows(tx, plan.rows({ profiles, filter, limit }));
}

async function readExceptions(
  tx: Tx,
  { exceptions }: Asked,
  filter: DatasetFilter,
  limit: number,
): Promise<UsableDataset[]> {
  const usable = [...exceptions].filter(([, effect]) => effect !== 'deny');
  if (usable.length === 0) return [];
  const where = sql.join([sql`f.active`, ...narrowing(filter), ...after(filter)], sql` and `);
  return readRows(
    tx,
    sql`
      select f.dataset, f.created_at, e.effect as usable
      from unnest(${usable.map(([id]) => id)}::text[], ${usable.map(([, effect]) => effect)}::text[]) e (id, effect)
        join dataset_facts f on f.dataset = e.id join dataset d on d.id = e.id
      where ${where} ${NEWEST_FIRST} limit ${limit}`,
  );
}

async function readRows(tx: Tx, found: Expression): Promise<UsableDataset[]> {
  const rows = await asked(
    tx,
    sql`
      select d.id, d.version, d.status, d.publisher, d.document, d.created_at, d.updated_at, u.usable
      from (${found}) u join dataset d on d.id = u.dataset
      order by u.created_at desc, u.dataset desc`,
  );
  return rows as UsableDataset[];
}

/** Parameters of one statement at the most: the protocol counts them in 16 bits. */
const MAX_PARAMETERS = 65_535;

/**
 * Asks with one parameter for all that are equal and read as the same type: policies say the same
 * few words again and again.
 */
async function asked(tx: Tx, question: Expression): Promise<unknown[]> {
  const { sql: text, parameters } = question.compile(tx);
  const places = new Map<string, number>();
  const values: unknown[] = [];
  const shared = text.replace(/\$(\d+)(::[a-z0-9]+(?:\[\])?)?/g, (_, number: string, type = '') => {
    const value = parameters[Number(number) - 1];
    const key = `${typeof value} ${JSON.stringify(value)} ${type}`;
    // Each of the hashes of profiles is another one, and there are many.
    const known = Buffer.isBuffer(value) ? undefined : places.get(key);
    const place = known ?? values.push(value);
    if (known === undefined) places.set(key, place);
    return `$${place}${type}`;
  });
  if (values.length > MAX_PARAMETERS) throw tooIntricate();
  return (await tx.executeQuery(CompiledQuery.raw(shared, values))).rows;
}

function tooIntricate(): ServiceError {
  return new ServiceError(
    'unavailable',
    'The policies in force are too intricate to be asked this.',
  );
}

const NEWEST_FIRST: Expression = sql`order by f.created_at desc, f.dataset desc`;

function after({ after: last }: DatasetFilter): Expression[] {
  if (!last) return [];
  return [sql`(f.created_at, f.dataset) < (${last.created_at}::timestamptz, ${last.id})`];
}

async function readApart(db: Db): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('fact_apart').select('fact').execute();
  return new Set(rows.map(({ fact }) => fact));
}

interface Search {
  readonly profiles: readonly Buffer[] | undefined;
  readonly filter: DatasetFilter;
  readonly limit: number;
}

/** Of an `and`: the limit holds, or one of `where`; of an `or`: it does, and all of `where`. */
interface Limited {
  readonly limit: Limit;
  readonly is: Reading;
  readonly where: readonly Predicate[];
  /** The same for limits of which one is the narrowest. */
  readonly key: string;
}

const DUAL = { and: 'or', or: 'and' } as const;

/** A question in two steps: what a profile settles, and the rest. */
class Plan {
  readonly #tests: FactTests;
  readonly #purpose: string;
  readonly #exceptions: readonly string[];
  readonly #profileOnly = new Map<Predicate, boolean>();
  /** Tests of a profile that are needed more than once. */
  readonly #repeated: ReadonlyMap<FactTest, number>;
  /** True for each profile of which a dataset may be usable; undefined where all of them are. */
  readonly #fits: Expression | undefined;
  /** What a profile settles of the predicates. */
  readonly #columns = new Map<string, { name: Expression; value: Expression }>();
  readonly #names = new Map<Predicate, number>();
  readonly #usable: Expression;
  readonly #review: Expression;

  constructor(tests: FactTests, { usable, review, purpose, exceptions }: Asked) {
    if (sizeOf(usable) + sizeOf(review) > MAX_TESTS) throw tooIntricate();
    this.#tests = tests;
    this.#purpose = purpose;
    this.#exceptions = [...exceptions.keys()];
    const repeated = repeatedTests([usable, review]).filter((test) => tests.ofProfile(test));
    this.#repeated = new Map(repeated.map((test, i) => [test, i]));
    this.#fits = this.#upper(usable);
    // What the profile alone has settled holds already.
    const open = (usable.kind === 'and' ? usable.of : [usable]).filter(
      (part) => !this.#ofProfile(part),
    );
    this.#usable = joined('and', [sql`true`, ...this.#settleAll('and', open)]);
    this.#review = this.#settle(review);
  }

  /** The profiles that fit; undefined where all of them do. */
  async profiles(tx: Tx): Promise<Buffer[] | undefined> {
    if (!this.#fits) return undefined;
    const rows = await asked(tx, sql`select p.sha256 from fact_profile p where ${this.#fits}`);
    return (rows as { sha256: Buffer }[]).map(({ sha256 }) => sha256);
  }

  /**
   * One statement, so that profiles are settled once: where many fit, the page is looked for among
   * the newest datasets, and only where these do not fill it, among all of the profiles.
   */
  rows({ profiles, filter, limit }: Search): Expression {
    const narrowed = narrowing(filter);
    const dataset = narrowed.length === 0 ? sql`` : sql`join dataset d on d.id = f.dataset`;
    const reads = named('r', this.#tests.reads);
    const beside = sql`${dataset} cross join lateral (select${reads} offset 0) r`;
    const total = sql`t.dataset = f.dataset and t.purpose = ${this.#purpose} and f.consented`;
    // One by one where few are looked at, or the planner would gather the totals of everybody.
    const totals = sql`left join lateral (select * from consent_total t where ${total} offset 0) t on true`;
    const others =
      this.#exceptions.length === 0 ? [] : [sql`f.dataset <> all(${this.#exceptions}::text[])`];
    const listed = sql.join([sql`f.active`, ...after(filter), ...others], sql` and `);
    // One condition, or the planner would weigh each of its parts.
    const where = sql.join([sql`(${this.#usable} is true)`, ...narrowed], sql` and `);
    const shown = sql`f.dataset, f.created_at, case when ${this.#review} then 'review' else 'permit' end as usable`;
    const page = sql`${NEWEST_FIRST} limit ${limit}`;
    const profile = sql`
      select u.* from p cross join lateral (
        select ${shown} from dataset_facts f ${totals} ${beside}
        where f.profile = p.sha256 and ${listed} and ${where} ${page}) u`;
    const last = sql`order by created_at desc, dataset desc limit ${limit}`;
    const settled = sql`with p as materialized (${this.#settledOf(profiles)})`;
    if (profiles && profiles.length <= FEW_PROFILES) return sql`${settled} ${profile} ${last}`;
    const all =
      profiles && profiles.length < MANY_PROFILES
        ? profile
        : sql`
          select ${shown} from dataset_facts f join p on p.sha256 = f.profile
            left join consent_total t on ${total} ${beside}
          where ${listed} and ${where}`;
    return sql`
      ${settled},
        f as materialized (select * from dataset_facts f where ${listed} ${NEWEST_FIRST} limit ${NEWEST}),
        n as materialized (
          select ${shown} from f join p on p.sha256 = f.profile ${totals} ${beside} where ${where} ${page})
      (select * from n where (select count(*) from n) = ${limit})
      union all (select * from (${all}) rest where (select count(*) from n) < ${limit})
      ${last}`;
  }

  /** Profiles and what they settle; tests that are needed more than once are done once. */
  #settledOf(profiles: readonly Buffer[] | undefined): Expression {
    const tests = [...this.#repeated.keys()].map((test) => this.#tests.truth(test));
    const fitting = profiles ? sql`where p.sha256 = any(${profiles}::bytea[])` : sql``;
    return sql`
      select p.sha256, p.facts, ${named(
        'c',
        [...this.#columns.values()].map(({ value }) => value),
      )} from (
        select p.sha256, p.facts, ${named('t', tests)} from fact_profile p ${fitting} offset 0
      ) p offset 0`;
  }

  /** The predicate over a profile alone, as if all else were as the predicate wants it. */
  #upper(predicate: Predicate): Expression | undefined {
    if (predicate.kind === 'constant') return sql`${predicate.value}::boolean`;
    if (predicate.kind === 'test') {
      if (!this.#ofProfile(predicate)) return undefined;
      return readAs(this.#tests.truth(predicate.test), predicate.is);
    }
    const parts = predicate.of.map((part) => this.#upper(part));
    const known = parts.filter((part) => part !== undefined);
    const lost = predicate.kind === 'or' ? known.length < parts.length : known.length === 0;
    return lost ? undefined : joined(predicate.kind, known);
  }

  /** The predicate for one dataset; what its profile settles is a column of the profile's. */
  #settle(predicate: Predicate): Expression {
    if (predicate.kind === 'constant') return sql`${predicate.value}::boolean`;
    if (this.#ofProfile(predicate)) return this.#column('and', [predicate]);
    if (!('of' in predicate)) return this.#test(predicate);
    const settled = predicate.of.filter((part) => this.#ofProfile(part));
    const open = predicate.of.filter((part) => !this.#ofProfile(part));
    const columns = settled.length === 0 ? [] : [this.#column(predicate.kind, settled)];
    return joined(predicate.kind, [...columns, ...this.#settleAll(predicate.kind, open)]);
  }

  /**
   * Parts of a junction that the profile does not settle. Of many limits of one fact, each where the
   * profile says so (policies have numbers of their own), the profile settles which one is the
   * narrowest, of an `or` the widest: one comparison is left for the dataset.
   */
  #settleAll(kind: 'and' | 'or', parts: readonly Predicate[]): Expression[] {
    const limited = Map.groupBy(parts, (part) => this.#limited(kind, part)?.key);
    const others = limited.get(undefined) ?? [];
    limited.delete(undefined);
    const single = [...limited.values()].filter((group) => group.length === 1).flat();
    const many = [...limited.values()].filter((group) => group.length > 1);
    return [
      ...[...others, ...single].map((part) => this.#settle(part)),
      ...many.map((group) => this.#narrowest(kind, group)),
    ];
  }

  /** A part as a limit that holds, or is enough, where the profile says so. */
  #limited(kind: 'and' | 'or', part: Predicate): Limited | undefined {
    const all = part.kind === DUAL[kind] ? part.of : [part];
    const [test, ...more] = all.filter((each) => !this.#ofProfile(each));
    if (test?.kind !== 'test' || more.length > 0) return undefined;
    const limit = limitOf(test.test);
    if (!limit) return undefined;
    const where = all.filter((each) => each !== test);
    const { is } = test;
    return { limit, is, where, key: `${limit.fact.name} ${limit.operator} ${is}` };
  }

  #narrowest(kind: 'and' | 'or', group: readonly Predicate[]): Expression {
    const all = group.flatMap((part) => this.#limited(kind, part) ?? []);
    const [{ limit, is }] = all as [Limited, ...Limited[]];
    const isUpper = limit.operator === 'lt' || limit.operator === 'lteq';
    const isSaid = is === 'true' || is === 'not_false';
    const isLeast = (isUpper === isSaid) === (kind === 'and');
    const bounds = all.map(({ where, limit: { value } }) => {
      if (where.length === 0) return sql`${value}::float8`;
      const says = joined(
        DUAL[kind],
        where.map((part) => this.#whole(part)),
      );
      return kind === 'and'
        ? sql`case when ${says} then null else ${value}::float8 end`
        : sql`case when ${says} then ${value}::float8 end`;
    });
    const value = sql`${isLeast ? sql`least` : sql`greatest`}(${sql.join(bounds, sql`, `)})`;
    const bound = this.#named(
      `bound ${kind} ${group.map((part) => this.#nameOf(part)).join()}`,
      () => value,
    );
    const met = readAs(this.#tests.within(limit, bound), is);
    return kind === 'and'
      ? sql`(${bound} is null or ${met})`
      : sql`(${bound} is not null and ${met})`;
  }

  #column(kind: 'and' | 'or', parts: readonly Predicate[]): Expression {
    return this.#named(`${kind} ${parts.map((part) => this.#nameOf(part)).join()}`, () =>
      joined(
        kind,
        parts.map((part) => this.#whole(part)),
      ),
    );
  }

  /** The column of a profile for what `key` names. */
  #named(key: string, value: () => Expression): Expression {
    const column = this.#columns.get(key);
    if (column) return column.name;
    const name = sql`p.${sql.ref(`c${this.#columns.size}`)}`;
    this.#columns.set(key, { name, value: value() });
    return name;
  }

  #nameOf(predicate: Predicate): number {
    const name = this.#names.get(predicate) ?? this.#names.size;
    this.#names.set(predicate, name);
    return name;
  }

  #whole(predicate: Predicate): Expression {
    if (predicate.kind === 'constant') return sql`${predicate.value}::boolean`;
    if (!('of' in predicate)) return this.#test(predicate);
    return joined(
      predicate.kind,
      predicate.of.map((part) => this.#whole(part)),
    );
  }

  #test({ test, is }: Predicate & { kind: 'test' }): Expression {
    const at = this.#repeated.get(test);
    return readAs(at === undefined ? this.#tests.truth(test) : sql`p.${sql.ref(`t${at}`)}`, is);
  }

  #ofProfile(predicate: Predicate): boolean {
    const known = this.#profileOnly.get(predicate);
    if (known !== undefined) return known;
    const only =
      predicate.kind === 'constant' ||
      (predicate.kind === 'test'
        ? this.#tests.ofProfile(predicate.test)
        : predicate.of.every((part) => this.#ofProfile(part)));
    this.#profileOnly.set(predicate, only);
    return only;
  }
}

/** Expressions as columns `x0`, `x1`, …; at least one, which is nothing. */
function named(name: string, expressions: readonly Expression[]): Expression {
  const columns = expressions.map((each, i) => sql` ${each} as ${sql.ref(`${name}${i}`)}`);
  return columns.length === 0 ? sql` null` : sql.join(columns, sql`,`);
}

function joined(kind: 'and' | 'or', parts: readonly Expression[]): Expression {
  return sql`(${sql.join(parts, kind === 'and' ? sql` and ` : sql` or `)})`;
}

/** Tests that stand in more than one place of some predicates. */
function repeatedTests(predicates: readonly Predicate[]): FactTest[] {
  const places = new Map<FactTest, number>();
  const seen = new Set<Predicate>();
  const visit = (predicate: Predicate): void => {
    if (predicate.kind === 'test')
      places.set(predicate.test, (places.get(predicate.test) ?? 0) + 1);
    if (!('of' in predicate) || seen.has(predicate)) return;
    seen.add(predicate);
    for (const part of predicate.of) visit(part);
  };
  for (const predicate of predicates) visit(predicate);
  return [...places].filter(([, count]) => count > 1).map(([test]) => test);
}

import { sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import type { FactTest, Predicate } from '../pdp/predicate.ts';
import type { PolicyReference } from '../pdp/program.ts';
import type { Dataset } from './dataset.ts';
import { type Expression, FactTests, readAs } from './fact-tests.ts';
import { type DatasetFilter, narrowing } from './store.ts';

/** Which datasets may be used for one request, and what that was computed from. */
export interface Usability {
  readonly usable: Predicate;
  /** Of those datasets: a person has to look at it first. */
  readonly review: Predicate;
  readonly purpose: string;
  readonly as_of: string;
  readonly pack: { readonly pack: string; readonly version: number; readonly sha256: string };
  readonly policies: readonly PolicyReference[];
}

type Asked = Pick<Usability, 'usable' | 'review' | 'purpose'>;

export interface UsableDataset extends Dataset {
  readonly usable: 'permit' | 'review';
}

/** With so few profiles their datasets are found by an index; with more, the newest are gone through. */
const FEW_PROFILES = 200;
/** Tests in one statement at the most. */
const MAX_TESTS = 30_000;

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
  if (question.usable.kind === 'constant' && !question.usable.value) return [];
  // Compiling the question would take longer than asking it.
  await sql`set local jit = off`.execute(tx);
  const tests = new FactTests(await readApart(tx));
  const plan = new Plan(tests, question);
  const few = await plan.fewProfiles(tx);
  if (few?.length === 0) return [];
  const rows = plan.rows(few, filter, limit);
  const { rows: found } = await sql<UsableDataset>`
    select d.id, d.version, d.status, d.publisher, d.document, d.created_at, d.updated_at, u.usable
    from (${rows}) u join dataset d on d.id = u.dataset
    order by u.created_at desc, u.dataset desc`.execute(tx);
  return found;
}

async function readApart(db: Db): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('fact_apart').select('fact').execute();
  return new Set(rows.map(({ fact }) => fact));
}

/** A question in two steps: what a profile settles, and the rest. */
export class Plan {
  readonly #tests: FactTests;
  readonly #purpose: string;
  readonly #profileOnly = new Map<Predicate, boolean>();
  /** Tests of a profile that are needed more than once. */
  readonly #repeated: ReadonlyMap<FactTest, number>;
  /** True for each profile of which a dataset may be usable; undefined where all of them are. */
  readonly #fits: Expression | undefined;
  /** What a profile settles of the predicates. */
  readonly #columns = new Map<Predicate, Expression>();
  readonly #usable: Expression;
  readonly #review: Expression;

  constructor(tests: FactTests, { usable, review, purpose }: Asked) {
    if (sizeOf(usable) + sizeOf(review) > MAX_TESTS)
      throw new ServiceError(
        'unavailable',
        'The policies in force are too intricate to be asked this.',
      );
    this.#tests = tests;
    this.#purpose = purpose;
    const repeated = repeatedTests([usable, review]).filter((test) => tests.ofProfile(test));
    this.#repeated = new Map(repeated.map((test, i) => [test, i]));
    this.#fits = this.#upper(usable);
    // What the profile alone has settled holds already.
    const open = (usable.kind === 'and' ? usable.of : [usable]).filter(
      (part) => !this.#ofProfile(part),
    );
    this.#usable = joined('and', [sql`true`, ...open.map((part) => this.#settle(part))]);
    this.#review = this.#settle(review);
  }

  /** The profiles that fit, where they are few. */
  async fewProfiles(tx: Tx): Promise<Buffer[] | undefined> {
    if (!this.#fits) return undefined;
    const { rows } = await sql<{ sha256: Buffer }>`
      select p.sha256 from ${this.#profiles} where ${this.#fits} limit ${FEW_PROFILES + 1}`.execute(
      tx,
    );
    return rows.length > FEW_PROFILES ? undefined : rows.map(({ sha256 }) => sha256);
  }

  rows(few: readonly Buffer[] | undefined, filter: DatasetFilter, limit: number): Expression {
    const narrowed = narrowing(filter);
    const dataset = narrowed.length === 0 ? sql`` : sql`join dataset d on d.id = f.dataset`;
    const after = filter.after
      ? [
          sql`(f.created_at, f.dataset) < (${filter.after.created_at}::timestamptz, ${filter.after.id})`,
        ]
      : [];
    const reads = named('r', this.#tests.reads);
    const beside = sql`
      left join consent_total t on t.dataset = f.dataset and t.purpose = ${this.#purpose} and f.consented
      ${dataset} cross join lateral (select${reads} offset 0) r`;
    // One condition, or the planner would weigh each of its parts.
    const usable = sql`(${this.#usable} is true)`;
    const where = sql.join([sql`f.active`, ...narrowed, ...after, usable], sql` and `);
    const shown = sql`f.dataset, f.created_at, case when ${this.#review} then 'review' else 'permit' end as usable`;
    const newest = sql`order by f.created_at desc, f.dataset desc limit ${limit}`;
    const settled = sql`select p.sha256, p.facts, ${named('c', [...this.#columns.values()])} from ${this.#profiles}`;
    if (few) {
      return sql`
        select u.* from (${settled} where p.sha256 = any(${few}::bytea[]) offset 0) p cross join lateral (
          select ${shown} from dataset_facts f ${beside} where f.profile = p.sha256 and ${where} ${newest}
        ) u order by u.created_at desc, u.dataset desc limit ${limit}`;
    }
    return sql`
      with p as materialized (${settled} where ${this.#fits ?? sql`true`})
      select ${shown} from dataset_facts f join p on p.sha256 = f.profile ${beside}
      where ${where} ${newest}`;
  }

  /** Profiles, with the tests of them that are needed more than once. */
  get #profiles(): Expression {
    const tests = [...this.#repeated.keys()].map((test) => this.#tests.truth(test));
    return sql`(select p.sha256, p.facts, ${named('t', tests)} from fact_profile p offset 0) p`;
  }

  /** The predicate over a profile alone, as if all else were as the predicate wants it. */
  #upper(predicate: Predicate): Expression | undefined {
    if (this.#ofProfile(predicate)) return this.#whole(predicate);
    if (!('of' in predicate)) return undefined;
    const parts = predicate.of.map((part) => this.#upper(part));
    const known = parts.filter((part) => part !== undefined);
    const lost = predicate.kind === 'or' ? known.length < parts.length : known.length === 0;
    return lost ? undefined : joined(predicate.kind, known);
  }

  /** The predicate for one dataset; what its profile settles is a column of the profile's. */
  #settle(predicate: Predicate): Expression {
    if (predicate.kind === 'constant') return sql`${predicate.value}::boolean`;
    if (this.#ofProfile(predicate)) return this.#column(predicate);
    if (!('of' in predicate)) return this.#test(predicate);
    const settled = predicate.of.filter((part) => this.#ofProfile(part));
    const open = predicate.of.filter((part) => !this.#ofProfile(part));
    const columns =
      settled.length === 0 ? [] : [this.#column({ kind: predicate.kind, of: settled })];
    return joined(predicate.kind, [...columns, ...open.map((part) => this.#settle(part))]);
  }

  #column(predicate: Predicate): Expression {
    const known = [...this.#columns.keys()].indexOf(predicate);
    const at = known < 0 ? this.#columns.size : known;
    if (known < 0) this.#columns.set(predicate, this.#whole(predicate));
    return sql`p.${sql.ref(`c${at}`)}`;
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

/** How many tests a predicate takes when it is written out. */
function sizeOf(predicate: Predicate, known = new Map<Predicate, number>()): number {
  if (!('of' in predicate)) return 1;
  const before = known.get(predicate);
  if (before !== undefined) return before;
  const size = predicate.of.reduce((sum, part) => sum + sizeOf(part, known), 0);
  known.set(predicate, size);
  return size;
}

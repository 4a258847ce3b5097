import { sql } from 'kysely';
import type { Db, Tx } from '../db/connection.ts';
import { ServiceError } from '../errors.ts';
import type { Predicate } from '../pdp/predicate.ts';
import type { PolicyReference } from '../pdp/program.ts';
import type { Dataset } from './dataset.ts';
import { type Expression, FactTests } from './fact-tests.ts';
import { type DatasetFilter, narrowing } from './store.ts';

/** Which datasets may be used for one request, and what that was computed from. */
export interface Usability {
  /** Datasets that a permit could be had for, after review at the least. */
  readonly usable: Predicate;
  /** Those of them that need no review. */
  readonly permit: Predicate;
  readonly purpose: string;
  readonly as_of: string;
  readonly pack: { readonly pack: string; readonly version: number; readonly sha256: string };
  readonly policies: readonly PolicyReference[];
}

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
  question: Pick<Usability, 'usable' | 'permit' | 'purpose'>,
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
class Plan {
  readonly #tests: FactTests;
  readonly #purpose: string;
  /** True for each profile of which a dataset may be usable; undefined where all of them are. */
  readonly #fits: Expression | undefined;
  /** What a profile settles of the predicates, as columns. */
  readonly #columns: Expression[] = [];
  readonly #settled = new Map<Predicate, Expression>();
  readonly #profileOnly = new Map<Predicate, boolean>();
  readonly #usable: Expression;
  readonly #permit: Expression;

  constructor(
    tests: FactTests,
    { usable, permit, purpose }: Pick<Usability, 'usable' | 'permit' | 'purpose'>,
  ) {
    if (sizeOf(usable) + sizeOf(permit) > MAX_TESTS)
      throw new ServiceError(
        'unavailable',
        'The policies in force are too intricate to be asked this.',
      );
    this.#tests = tests;
    this.#purpose = purpose;
    this.#fits = this.#upper(usable);
    this.#usable = this.#settle(usable);
    this.#permit = this.#settle(permit);
  }

  /** The profiles that fit, where they are few. */
  async fewProfiles(tx: Tx): Promise<Buffer[] | undefined> {
    if (!this.#fits) return undefined;
    const { rows } = await sql<{ sha256: Buffer }>`
      select p.sha256 from fact_profile p where ${this.#fits} limit ${FEW_PROFILES + 1}`.execute(
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
    const where = sql.join([sql`f.active`, this.#usable, ...narrowed, ...after], sql` and `);
    const totals = sql`left join consent_total t on t.dataset = f.dataset and t.purpose = ${this.#purpose} and f.consented`;
    const shown = sql`f.dataset, f.created_at, case when ${this.#permit} then 'permit' else 'review' end as usable`;
    const newest = sql`order by f.created_at desc, f.dataset desc limit ${limit}`;
    const columns = this.#columns.map((column, i) => sql`, ${column} as ${sql.ref(`c${i}`)}`);
    const settled = sql.join(columns, sql``);
    if (few) {
      return sql`
        select u.* from (
          select p.sha256, p.facts${settled} from fact_profile p where p.sha256 = any(${few}::bytea[]) offset 0
        ) p cross join lateral (
          select ${shown} from dataset_facts f ${totals} ${dataset}
          where f.profile = p.sha256 and ${where} ${newest}
        ) u order by u.created_at desc, u.dataset desc limit ${limit}`;
    }
    return sql`
      with p as materialized (
        select p.sha256, p.facts${settled} from fact_profile p where ${this.#fits ?? sql`true`}
      )
      select ${shown} from dataset_facts f join p on p.sha256 = f.profile ${totals} ${dataset}
      where ${where} ${newest}`;
  }

  /** The predicate over a profile alone, as if all else were as the predicate wants it. */
  #upper(predicate: Predicate): Expression | undefined {
    switch (predicate.kind) {
      case 'constant':
        return predicate.value ? undefined : sql`false`;
      case 'test':
        return this.#tests.ofProfile(predicate.test)
          ? this.#tests.expression(predicate)
          : undefined;
      case 'and': {
        const parts = predicate.of.flatMap((part) => this.#upper(part) ?? []);
        return parts.length === 0 ? undefined : joined('and', parts);
      }
      case 'or': {
        const parts = predicate.of.map((part) => this.#upper(part));
        const known = parts.filter((part) => part !== undefined);
        return known.length < parts.length ? undefined : joined('or', known);
      }
    }
  }

  /** The predicate for one dataset; what its profile settles is a column of the profile's. */
  #settle(predicate: Predicate): Expression {
    if (predicate.kind === 'constant') return sql`${predicate.value}::boolean`;
    if (this.#ofProfile(predicate)) return this.#column(predicate);
    if (predicate.kind === 'test') return this.#tests.expression(predicate);
    const settled = predicate.of.filter((part) => this.#ofProfile(part));
    const open = predicate.of.filter((part) => !this.#ofProfile(part));
    const columns =
      settled.length === 0 ? [] : [this.#column({ kind: predicate.kind, of: settled })];
    return joined(predicate.kind, [...columns, ...open.map((part) => this.#settle(part))]);
  }

  #column(predicate: Predicate): Expression {
    const known = this.#settled.get(predicate);
    if (known) return known;
    const column = sql`p.${sql.ref(`c${this.#columns.push(this.#whole(predicate)) - 1}`)}`;
    this.#settled.set(predicate, column);
    return column;
  }

  #whole(predicate: Predicate): Expression {
    switch (predicate.kind) {
      case 'constant':
        return sql`${predicate.value}::boolean`;
      case 'test':
        return this.#tests.expression(predicate);
      case 'and':
      case 'or':
        return joined(
          predicate.kind,
          predicate.of.map((part) => this.#whole(part)),
        );
    }
  }

  #ofProfile(predicate: Predicate): boolean {
    const known = this.#profileOnly.get(predicate);
    if (known !== undefined) return known;
    const only = this.#isOfProfile(predicate);
    this.#profileOnly.set(predicate, only);
    return only;
  }

  #isOfProfile(predicate: Predicate): boolean {
    switch (predicate.kind) {
      case 'constant':
        return true;
      case 'test':
        return this.#tests.ofProfile(predicate.test);
      case 'and':
      case 'or':
        return predicate.of.every((part) => this.#ofProfile(part));
    }
  }
}

function joined(kind: 'and' | 'or', parts: readonly Expression[]): Expression {
  return sql`(${sql.join(parts, kind === 'and' ? sql` and ` : sql` or `)})`;
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

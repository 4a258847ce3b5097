import { isDuplicate, transact, type Tx } from '../db/connection.ts';
import type { DatasetStatus } from '../db/schema.ts';
import { notFound, ServiceError } from '../errors.ts';
import { type IdempotentCall, readClaims } from '../idempotency.ts';
import type { AnswerOf, Call, Handlers, Reply } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { overseesAll, type Principal } from '../principal.ts';
import { etagOf, expectedVersion, mergePatch, refuseManaged, staleVersion } from '../versions.ts';
import {
  changeDataset,
  type CatalogueWriter,
  type DatasetChange,
  registerDataset,
  retireDataset,
} from './commands.ts';
import { type Dataset, documentOf, mayRead, showDataset, stewards } from './dataset.ts';
import {
  type DatasetFilter,
  readDataset,
  readDatasets,
  readDatasetVersion,
  readDatasetVersions,
  readVersionEvent,
} from './store.ts';
import { receiptOf } from '../audit/record.ts';
import { readUsableDatasets, type Usability } from './usable.ts';

export interface CatalogueRoutes extends CatalogueWriter {
  /** Checks a value against a named schema of the contract. @throws ServiceError `invalid_request`. */
  readonly checkSchema: (schema: string, value: unknown) => void;
  /** What is asked of the policies, which are not the catalogue's; undefined where nothing is. */
  readonly usableQuestion: (query: ListQuery) => UsableQuestion | undefined;
}

type ListQuery = Call<'listDatasets'>['query'];

/** @throws ServiceError `unknown_reference`, `invalid_facts`. */
type UsableQuestion = (tx: Tx, principal: Principal) => Promise<Usability>;

type CatalogueOperation =
  | 'listDatasets'
  | 'registerDataset'
  | 'getDataset'
  | 'changeDataset'
  | 'retireDataset'
  | 'listDatasetVersions'
  | 'getDatasetVersion';

export function catalogueHandlers(deps: CatalogueRoutes): Handlers<CatalogueOperation> {
  return {
    listDatasets: async ({ principal, query }) => {
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [created_at, id] = readCursor(query.cursor, ['instant', 'slug']) ?? [];
      const { q, publisher, sector, classification, status } = query;
      const after = created_at === undefined || id === undefined ? undefined : { created_at, id };
      const filter = {
        q,
        publisher,
        sector,
        classification,
        status,
        allOf: allOf(principal),
        after,
      };
      const question = deps.usableQuestion(query);
      if (question) return usableDatasets(deps, { question, principal, filter, limit });
      const rows = await readDatasets(deps.db, filter, limit + 1);
      return {
        status: 200,
        body: toPage(rows, limit, showDataset, (row) => [row.created_at, row.id]),
      };
    },
    registerDataset: (call) => register(deps, call),
    getDataset: async ({ principal, path }) => {
      const dataset = await readable(deps, principal, path.dataset);
      return {
        status: 200,
        body: showDataset(dataset),
        headers: { ETag: etagOf(dataset.version) },
      };
    },
    changeDataset: async ({ principal, path, headers, body }) => {
      const current = await ownDataset(deps, principal, path.dataset);
      const version = expectedVersion(headers.ifMatch);
      if (current.version !== version) throw staleVersion();
      const input = mergePatch(
        showDataset(current),
        refuseManaged(body, current, MANAGED),
      ) as Record<string, unknown>;
      const { status = current.status, ...rest } = input;
      const document = documentOf(rest);
      deps.checkSchema('DatasetInput', { ...document, id: current.id });
      const changed = await changeDataset(deps, principal, {
        id: current.id,
        version,
        status: status as DatasetStatus,
        document,
      });
      return { status: 200, ...shown(changed) };
    },
    retireDataset: async ({ principal, path, headers }) => {
      const { id } = await ownDataset(deps, principal, path.dataset);
      const changed = await retireDataset(deps, principal, {
        id,
        version: expectedVersion(headers.ifMatch),
      });
      return { status: 200, ...shown(changed) };
    },
    listDatasetVersions: async ({ principal, path, query }) => {
      const { id, publisher } = await readable(deps, principal, path.dataset);
      const limit = query.limit ?? DEFAULT_LIMIT;
      const [before] = readCursor(query.cursor, ['integer']) ?? [];
      const filter = {
        before: before === undefined ? undefined : Number(before),
        activeOnly: !mayRead({ status: 'draft', publisher }, principal),
      };
      const rows = await readDatasetVersions(deps.db, id, filter, limit + 1);
      return {
        status: 200,
        body: toPage(rows, limit, showDataset, ({ version }) => [String(version)]),
      };
    },
    getDatasetVersion: async ({ principal, path }) => {
      await readable(deps, principal, path.dataset);
      const dataset = await readDatasetVersion(deps.db, path.dataset, path.version);
      if (!dataset || !mayRead(dataset, principal)) throw notFound();
      return { status: 200, body: showDataset(dataset) };
    },
  };
}

interface UsableList {
  readonly question: UsableQuestion;
  readonly principal: Principal;
  readonly filter: DatasetFilter;
  readonly limit: number;
}

/** Policies, registers and datasets are those of one moment. */
async function usableDatasets(
  { db }: CatalogueRoutes,
  { question, principal, filter, limit }: UsableList,
): Promise<Reply<'listDatasets'>> {
  return transact(
    db,
    async (tx) => {
      const asked = await question(tx, principal);
      const { as_of, pack, policies, left_out } = asked;
      const rows = await readUsableDatasets(tx, asked, filter, limit + 1);
      const page = toPage(
        rows,
        limit,
        ({ usable: effect, ...dataset }) => ({ ...showDataset(dataset), usable: effect }),
        (row) => [row.created_at, row.id],
      );
      return {
        status: 200,
        body: {
          ...page,
          computed: { as_of, pack, policies: [...policies], left_out: [...left_out] },
        },
      };
    },
    'repeatable read',
  );
}

const MANAGED = ['id', 'publisher', 'version', 'created_at', 'updated_at'] as const;

/** A dataset that the caller may read. @throws ServiceError `not_found`. */
async function readable(
  { db }: CatalogueRoutes,
  principal: Principal,
  id: string,
): Promise<Dataset> {
  const dataset = await readDataset(db, id);
  if (!dataset || !mayRead(dataset, principal)) throw notFound();
  return dataset;
}

/**
 * A dataset that the caller may change.
 * @throws ServiceError `not_found`; `forbidden` where it is only visible.
 */
async function ownDataset(
  deps: CatalogueRoutes,
  principal: Principal,
  id: string,
): Promise<Dataset> {
  const dataset = await readable(deps, principal, id);
  if (stewards(dataset, principal)) return dataset;
  throw new ServiceError('forbidden', 'Only the stewards of its publisher may change a dataset.');
}

function allOf(principal: Principal): string | null {
  if (overseesAll(principal)) return '*';
  return principal.role === 'steward' ? principal.organisation : null;
}

async function register(
  deps: CatalogueRoutes,
  call: Call<'registerDataset'>,
): Promise<Reply<'registerDataset'>> {
  const { principal, body, headers } = call;
  const { id, status = 'draft', ...rest } = body;
  const publisher = principal.organisation ?? '';
  if (rest['publisher'] !== undefined && rest['publisher'] !== publisher) {
    throw new ServiceError(
      'invalid_request',
      'A steward registers datasets of their own organisation.',
      [{ path: '/publisher', expected: `${publisher}, or leave it out` }],
    );
  }
  const idempotent: IdempotentCall | undefined =
    headers.idempotencyKey === undefined
      ? undefined
      : {
          actor: principal.actor,
          operation: 'registerDataset',
          key: headers.idempotencyKey,
          request_sha256: call.bodySha256(),
        };
  const madeBefore = async (): Promise<string | undefined> =>
    idempotent && (await readClaims(deps.db, [idempotent])).resourceOf(idempotent);
  const before = await madeBefore();
  if (before !== undefined) return registered(deps, before);
  try {
    const changed = await registerDataset(
      deps,
      principal,
      { id, status, publisher, document: documentOf(rest) },
      idempotent,
    );
    // From the store, as a retry gets it: the same bytes.
    if (idempotent) return await registered(deps, id);
    return {
      status: 201,
      ...shown(changed),
      headers: { ...shown(changed).headers, Location: `/v1/datasets/${id}` },
    };
  } catch (error) {
    // The same call, at the same time: the other one has made it.
    if (!idempotent || !isDuplicate(error)) throw error;
    return registered(deps, (await madeBefore()) ?? id);
  }
}

/** The stored answer of a registration that was made before. */
async function registered(deps: CatalogueRoutes, id: string): Promise<Reply<'registerDataset'>> {
  const dataset = await readDatasetVersion(deps.db, id, 1);
  const eventId = await readVersionEvent(deps.db, id, 1);
  if (!dataset || eventId === undefined) throw notFound();
  const recorded = await receiptOf(deps, eventId);
  return {
    status: 201,
    body: { ...showDataset(dataset), ...recorded },
    headers: { ETag: etagOf(1), Location: `/v1/datasets/${id}` },
  };
}

function shown({ dataset, recorded }: DatasetChange): {
  body: AnswerOf<'changeDataset'>;
  headers: Record<string, string>;
} {
  return {
    body: { ...showDataset(dataset), ...recorded },
    headers: { ETag: etagOf(dataset.version) },
  };
}

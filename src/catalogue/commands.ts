import { change, record, type Recorded, type Writer } from '../audit/record.ts';
import { type Db, isDuplicate, sqlState, type Tx } from '../db/connection.ts';
import type { DatasetStatus } from '../db/schema.ts';
import { notFound, ServiceError, unknownReference } from '../errors.ts';
import { claimKeys, type IdempotentCall } from '../idempotency.ts';
import type { Program } from '../pdp/program.ts';
import type { Principal } from '../principal.ts';
import { staleVersion } from '../versions.ts';
import { checkDocument, type Dataset, type DatasetDocument } from './dataset.ts';
import { insertDataset, insertDatasetVersion, readDataset, updateDataset } from './store.ts';

export interface CatalogueWriter extends Writer {
  /** The program of the policies in force now. */
  readonly inForce: (db: Db) => Promise<Program>;
}

export interface DatasetChange {
  readonly dataset: Dataset;
  readonly recorded: Recorded;
}

export interface NewDataset {
  readonly id: string;
  readonly status: DatasetStatus;
  readonly publisher: string;
  readonly document: DatasetDocument;
}

/**
 * Registers a dataset as version 1.
 * @throws ServiceError `invalid_facts`, `already_exists`; a unique violation when `idempotent` was
 * claimed by another call in the meantime.
 */
export async function registerDataset(
  writer: CatalogueWriter,
  principal: Pick<Principal, 'actor' | 'role'>,
  input: NewDataset,
  idempotent?: IdempotentCall,
): Promise<DatasetChange> {
  return change(writer, async (tx) => {
    const document = await checked(tx, writer, input.document);
    const now = writer.clock().toISOString();
    const dataset: Dataset = { ...input, document, version: 1, created_at: now, updated_at: now };
    if (idempotent) await claimKeys(tx, [{ ...idempotent, resource: input.id }], now);
    try {
      await insertDataset(tx, dataset);
    } catch (error) {
      if (sqlState(error) === '23503') {
        throw unknownReference('/publisher', 'an organisation that the authority has registered');
      }
      if (!isDuplicate(error)) throw error;
      throw new ServiceError('already_exists', 'There is another dataset with this id.', [
        { path: '/id', expected: 'an id that is not taken' },
      ]);
    }
    return finish(tx, writer, { principal, dataset, type: 'registerDataset' });
  });
}

/**
 * Makes the next version of a dataset that is still at `version`.
 * @throws ServiceError `invalid_facts`, `precondition_failed`, `retired`.
 */
export async function changeDataset(
  writer: CatalogueWriter,
  principal: Principal,
  next: {
    readonly id: string;
    readonly version: number;
    readonly status: DatasetStatus;
    readonly document: DatasetDocument;
  },
): Promise<DatasetChange> {
  return change(writer, async (tx) => {
    const document = await checked(tx, writer, next.document);
    return advance(tx, writer, principal, { ...next, document, type: 'changeDataset' });
  });
}

/** Retires a dataset that is still at `version`; it keeps everything it had. */
export async function retireDataset(
  writer: CatalogueWriter,
  principal: Principal,
  { id, version }: { readonly id: string; readonly version: number },
): Promise<DatasetChange> {
  return change(writer, (tx) =>
    advance(tx, writer, principal, { id, version, status: 'retired', type: 'retireDataset' }),
  );
}

interface Advance {
  readonly id: string;
  readonly version: number;
  readonly status: DatasetStatus;
  readonly document?: DatasetDocument;
  readonly type: 'changeDataset' | 'retireDataset';
}

async function advance(
  tx: Tx,
  writer: CatalogueWriter,
  principal: Principal,
  next: Advance,
): Promise<DatasetChange> {
  const current = await readDataset(tx, next.id);
  if (!current) throw notFound();
  if (current.version !== next.version) throw staleVersion();
  if (current.status === 'retired')
    throw new ServiceError('retired', 'A retired dataset is not changed any more.');
  const dataset: Dataset = {
    ...current,
    version: next.version + 1,
    status: next.status,
    document: next.document ?? current.document,
    updated_at: writer.clock().toISOString(),
  };
  // Another writer may have come between the read and this: the version in the statement decides.
  if (!(await updateDataset(tx, dataset, next.version))) throw staleVersion();
  return finish(tx, writer, { principal, dataset, type: next.type });
}

/** The document with the pack's own codes for terms that it calls by their IRIs. */
async function checked(
  tx: Tx,
  writer: CatalogueWriter,
  written: DatasetDocument,
): Promise<DatasetDocument> {
  const program = await writer.inForce(tx);
  const document = program.vocabulary.canonical('dataset', written);
  const problems = checkDocument(document, program);
  if (problems.length > 0) {
    throw new ServiceError(
      'invalid_facts',
      'The dataset has members that are neither DCAT nor facts of the pack, or facts with impossible values.',
      problems,
    );
  }
  return document;
}

interface DatasetEvent {
  readonly principal: Pick<Principal, 'actor' | 'role'>;
  readonly dataset: Dataset;
  readonly type: string;
}

async function finish(
  tx: Tx,
  { log }: Writer,
  { principal, dataset, type }: DatasetEvent,
): Promise<DatasetChange> {
  const { actor, role } = principal;
  const recorded = await record(tx, log, dataset.updated_at, {
    type,
    actor,
    role,
    subject_ids: [dataset.id, dataset.publisher],
    outcome: 'success',
    body: { dataset },
  });
  await insertDatasetVersion(tx, dataset, recorded.event_id);
  return { dataset, recorded };
}

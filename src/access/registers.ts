import { type Dataset, mayRead } from '../catalogue/dataset.ts';
import { holdDatasets } from '../catalogue/store.ts';
import type { ConsentTotal } from '../consent/consent.ts';
import { readTotals } from '../consent/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import { ServiceError, unknownReference } from '../errors.ts';
import { PARTIES, type Parties } from '../parties/party.ts';
import { type ProjectRecords, readAgreements, readProjectRecords } from '../parties/store.ts';
import type { Principal } from '../principal.ts';
import type { Registers } from './facts.ts';

/** What a request names in the registers; a simulation may name less. */
export interface References {
  readonly dataset?: string | undefined;
  readonly project?: string | undefined;
  readonly agreement?: string | undefined;
}

/**
 * Everything that some requests touch, read together: one round trip however many they are. The
 * rows are held, so that a change of them is either seen or comes after the decision (in repeatable
 * read a row that was changed in between gives 40001, and the batch is decided again).
 */
export interface Snapshot {
  readonly datasets: ReadonlyMap<string, Dataset>;
  readonly agreements: ReadonlyMap<string, Parties['agreement']>;
  readonly totals: ReadonlyMap<string, readonly ConsentTotal[]>;
  readonly records: ProjectRecords;
}

const NO_RECORDS: ProjectRecords = { projects: new Map(), registrations: [], authorisations: [] };

export async function holdSnapshot(tx: Tx, references: readonly References[]): Promise<Snapshot> {
  const distinct = (key: keyof References): string[] => [
    ...new Set(references.flatMap((each) => each[key] ?? [])),
  ];
  const ids = distinct('dataset');
  const projects = distinct('project');
  const [datasets, agreements, totals, records] = await Promise.all([
    holdDatasets(tx, ids),
    readAgreements(tx, distinct('agreement')),
    readTotals(tx, ids),
    projects.length > 0 ? readProjectRecords(tx, projects, 'held') : NO_RECORDS,
  ]);
  return {
    datasets: new Map(datasets.map((row) => [row.id, row])),
    agreements: new Map(agreements.map((row) => [row.id, row])),
    totals: Map.groupBy(totals, ({ dataset }) => dataset),
    records,
  };
}

/**
 * The dataset that a request names, where the caller may see it.
 * @throws ServiceError `unknown_reference`, the same whether it is not there or not theirs;
 * `retired` to those who see retired ones.
 */
export function datasetFor(snapshot: Snapshot, principal: Principal, id: string): Dataset {
  const dataset = snapshot.datasets.get(id);
  if (!dataset || !mayRead(dataset, principal))
    throw unknownReference('/dataset', 'the id of an active dataset');
  if (dataset.status === 'retired') throw new ServiceError('retired', 'The dataset is retired.');
  return dataset;
}

/**
 * What the registers know of the project and the agreement that a request names. The agreement
 * must have the project's organisation among its signatories.
 * @throws ServiceError `unknown_reference`.
 */
export function registersFor(
  { agreements, records }: Pick<Snapshot, 'agreements' | 'records'>,
  principal: Principal,
  {
    project: projectId,
    agreement: agreementId,
  }: { readonly project: string; readonly agreement?: string | undefined },
  prefix = '',
): Registers {
  const found = records.projects.get(projectId);
  if (!found || !PARTIES.project.visibleTo(found.project, principal)) {
    throw unknownReference(`${prefix}/project`, 'the id of one of your projects');
  }
  const { project, organisation } = found;
  const agreement = agreementId === undefined ? null : agreements.get(agreementId);
  if (agreement === undefined || (agreement && !agreement.signatories.includes(organisation.id))) {
    throw unknownReference(
      `${prefix}/agreement`,
      "the id of an agreement that the project's organisation signed",
    );
  }
  return {
    project,
    organisation,
    agreement,
    registrations: records.registrations.filter((each) => each.organisation === organisation.id),
    authorisations: records.authorisations.filter((each) => each.project === project.id),
  };
}

/** As `registersFor`, read for a question that changes nothing. */
export async function readRegisters(
  db: Db,
  principal: Principal,
  names: { readonly project: string; readonly agreement?: string | undefined },
): Promise<Registers> {
  const [agreements, records] = await Promise.all([
    readAgreements(db, names.agreement === undefined ? [] : [names.agreement]),
    readProjectRecords(db, [names.project]),
  ]);
  const byId = new Map(agreements.map((row) => [row.id, row]));
  return registersFor({ agreements: byId, records }, principal, names);
}

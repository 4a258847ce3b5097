import { type Dataset, mayRead } from '../catalogue/dataset.ts';
import { readDatasetsById } from '../catalogue/store.ts';
import type { ConsentTotal } from '../consent/consent.ts';
import { readTotals } from '../consent/store.ts';
import type { Db, Tx } from '../db/connection.ts';
import { ServiceError, unknownReference } from '../errors.ts';
import { PARTIES, type Parties } from '../parties/party.ts';
import { type ProjectRecords, readAgreements, readProjectRecords } from '../parties/store.ts';
import type { Principal } from '../principal.ts';
import type { Registers } from './facts.ts';
import { holdRevisions, type Register, type Revision } from './store.ts';

/** What a request names in the registers; a simulation may name less. */
export interface References {
  readonly dataset?: string | undefined;
  readonly project?: string | undefined;
  readonly agreement?: string | undefined;
}

/** What a register says of one thing and of what hangs on it, and the revision that this is. */
export interface Known<T> {
  readonly said: T;
  readonly basis: Revision;
}

/** What each register says, by id. */
export interface Said {
  readonly dataset: { readonly dataset: Dataset; readonly totals: readonly ConsentTotal[] };
  readonly project: {
    readonly project: Parties['project'];
    readonly authorisations: readonly Parties['authorisation'][];
  };
  readonly organisation: {
    readonly organisation: Parties['organisation'];
    readonly registrations: readonly Parties['registration'][];
  };
  readonly agreement: Parties['agreement'];
}

/** Where what is known of the registers is looked up. */
export interface Snapshot {
  get<R extends keyof Said>(register: R, id: string): Known<Said[R]> | undefined;
}

/** A snapshot that was read whole: all of one moment. */
class ReadSnapshot implements Snapshot {
  readonly #known = new Map<string, Known<unknown>>();
  readonly #basisOf: (register: Register, id: string) => Revision | undefined;

  constructor(basisOf: (register: Register, id: string) => Revision | undefined) {
    this.#basisOf = basisOf;
  }

  get<R extends keyof Said>(register: R, id: string): Known<Said[R]> | undefined {
    return this.#known.get(nameOf(register, id)) as Known<Said[R]> | undefined;
  }

  entries(): Iterable<[string, Known<unknown>]> {
    return this.#known.entries();
  }

  add<R extends keyof Said>(register: R, id: string, said: Said[R]): void {
    const basis = this.#basisOf(register, id);
    if (!basis) throw new Error(`the ${register} ${id} has no revision`);
    this.#known.set(nameOf(register, id), { said, basis });
  }
}

/** A snapshot whose revisions are held until its transaction ends. */
export class HeldSnapshot extends ReadSnapshot {
  /** Of what is in force, which hangs on no id. */
  readonly revisionOfPack: Revision | undefined;

  constructor(revisions: readonly Revision[]) {
    const byName = new Map(revisions.map((each) => [nameOf(each.register, each.id), each]));
    super((register, id) => byName.get(nameOf(register, id)));
    this.revisionOfPack = byName.get(nameOf('pack', PACK_IN_FORCE));
  }
}

/** The basis of what nobody holds: no request is ever made on it. */
const UNHELD: Revision = { register: 'pack', id: '', revision: '' };

/** The name of the one row of `pack_in_force`. */
const PACK_IN_FORCE = 'true';

export function nameOf(register: Register, id: string): string {
  return `${register} ${id}`;
}

/**
 * Everything that some requests touch, read together: one round trip however many they are. The
 * revisions are held, so that a change is either seen or comes after the decision. Call it in a
 * repeatable read transaction: everything is of one moment, and a thing that was changed since
 * gives 40001, on which the transaction runs again.
 */
export async function holdSnapshot(
  tx: Tx,
  references: readonly References[],
): Promise<HeldSnapshot> {
  const distinct = (key: keyof References): string[] => [
    ...new Set(references.flatMap((each) => each[key] ?? [])),
  ];
  const [datasets, projects, agreements] = [
    distinct('dataset'),
    distinct('project'),
    distinct('agreement'),
  ];
  const [revisions, rows, totals, records, signed] = await Promise.all([
    holdRevisions(tx, { datasets, projects, agreements }),
    readDatasetsById(tx, datasets),
    readTotals(tx, datasets),
    readProjectRecords(tx, projects),
    readAgreements(tx, agreements),
  ]);
  const snapshot = new HeldSnapshot(revisions);
  addDatasets(snapshot, rows, totals);
  addRecords(snapshot, records, signed);
  return snapshot;
}

function addDatasets(
  snapshot: ReadSnapshot,
  datasets: readonly Dataset[],
  totals: readonly (ConsentTotal & { readonly dataset: string })[],
): void {
  for (const dataset of datasets) {
    const own = totals.filter((each) => each.dataset === dataset.id);
    snapshot.add('dataset', dataset.id, { dataset, totals: own });
  }
}

function addRecords(
  snapshot: ReadSnapshot,
  records: ProjectRecords,
  signed: readonly Parties['agreement'][],
): void {
  for (const project of records.projects) {
    const own = records.authorisations.filter((each) => each.project === project.id);
    snapshot.add('project', project.id, { project, authorisations: own });
  }
  for (const organisation of records.organisations) {
    const own = records.registrations.filter((each) => each.organisation === organisation.id);
    snapshot.add('organisation', organisation.id, { organisation, registrations: own });
  }
  for (const agreement of signed) snapshot.add('agreement', agreement.id, agreement);
}

/**
 * The dataset that a request names, where the caller may see it.
 * @throws ServiceError `unknown_reference`, the same whether it is not there or not theirs;
 * `retired` to those who see retired ones.
 */
export function datasetFor(
  snapshot: Snapshot,
  principal: Principal,
  id: string,
): Known<Said['dataset']> {
  const known = snapshot.get('dataset', id);
  if (!known || !mayRead(known.said.dataset, principal))
    throw unknownReference('/dataset', 'the id of an active dataset');
  if (known.said.dataset.status === 'retired')
    throw new ServiceError('retired', 'The dataset is retired.');
  return known;
}

/** What the registers know that a request touches, and the revisions of it. */
export interface RegistersKnown extends Registers {
  readonly basis: readonly Revision[];
}

/**
 * What the registers know of the project and the agreement that a request names. The agreement
 * must have the project's organisation among its signatories.
 * @throws ServiceError `unknown_reference`.
 */
export function registersFor(
  snapshot: Snapshot,
  principal: Principal,
  {
    project: projectId,
    agreement: agreementId,
  }: { readonly project: string; readonly agreement?: string | undefined },
  prefix = '',
): RegistersKnown {
  const own = snapshot.get('project', projectId);
  const whose = own && snapshot.get('organisation', own.said.project.organisation);
  if (!own || !whose || !PARTIES.project.visibleTo(own.said.project, principal)) {
    throw unknownReference(`${prefix}/project`, 'the id of one of your projects');
  }
  const { project, authorisations } = own.said;
  const { organisation, registrations } = whose.said;
  const signed = agreementId === undefined ? null : snapshot.get('agreement', agreementId);
  if (signed === undefined || (signed && !signed.said.signatories.includes(organisation.id))) {
    throw unknownReference(
      `${prefix}/agreement`,
      "the id of an agreement that the project's organisation signed",
    );
  }
  return {
    project,
    organisation,
    agreement: signed && signed.said,
    registrations,
    authorisations,
    basis: [own.basis, whose.basis, ...(signed ? [signed.basis] : [])],
  };
}

/** What projects and agreements are, read for a question that changes nothing: held by nobody. */
export async function readSnapshot(
  db: Db,
  names: { readonly projects: readonly string[]; readonly agreement?: string | undefined },
): Promise<Snapshot> {
  const [agreements, records] = await Promise.all([
    readAgreements(db, names.agreement === undefined ? [] : [names.agreement]),
    readProjectRecords(db, names.projects),
  ]);
  return snapshotOf({ ...records, agreements, datasets: [], totals: [] });
}

/** What the registers said at some moment: read elsewhere, and held by nobody. */
export function snapshotOf({
  datasets,
  totals,
  agreements,
  ...records
}: ProjectRecords & {
  readonly datasets: readonly Dataset[];
  readonly totals: readonly (ConsentTotal & { readonly dataset: string })[];
  readonly agreements: readonly Parties['agreement'][];
}): Snapshot {
  const snapshot = new ReadSnapshot(() => UNHELD);
  addDatasets(snapshot, datasets, totals);
  addRecords(snapshot, records, agreements);
  return snapshot;
}

/** As `registersFor`, of what nobody holds. */
export async function readRegisters(
  db: Db,
  principal: Principal,
  names: { readonly project: string; readonly agreement?: string | undefined },
): Promise<Registers> {
  const { project, agreement } = names;
  return registersFor(await readSnapshot(db, { projects: [project], agreement }), principal, names);
}

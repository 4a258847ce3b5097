import type { Moment } from '../audit/moment.ts';
import { readDatasetsAt } from '../catalogue/store.ts';
import { readTotalsAt } from '../consent/store.ts';
import type { Db } from '../db/connection.ts';
import { readPartiesAt, readRecordsAt } from '../parties/store.ts';
import { type Snapshot, snapshotOf } from './registers.ts';

/** What requests name in the registers. */
export interface Names {
  readonly datasets: readonly string[];
  readonly projects: readonly string[];
  readonly agreements: readonly string[];
}

/** The registers at a moment, and what of them nobody can tell any more. */
export interface RegistersAt {
  readonly snapshot: Snapshot;
  readonly unknown: { readonly [Register in keyof Names]: ReadonlySet<string> };
}

/** Everything that some requests touch, as the registers had it at a moment. */
export async function readRegistersAt(
  db: Db,
  { datasets, projects, agreements }: Names,
  moment: Moment,
): Promise<RegistersAt> {
  const [rows, consent, own, signed, authorisations] = await Promise.all([
    readDatasetsAt(db, datasets, moment),
    readTotalsAt(db, datasets, moment),
    readPartiesAt(db, 'project', projects, moment),
    readPartiesAt(db, 'agreement', agreements, moment),
    readRecordsAt(db, 'authorisation', projects, moment),
  ]);
  const owners = [...new Set(own.rows.map(({ organisation }) => organisation))];
  const [organisations, registrations] = await Promise.all([
    readPartiesAt(db, 'organisation', owners, moment),
    readRecordsAt(db, 'registration', owners, moment),
  ]);
  const strange = new Set([
    ...organisations.unknown.map(({ id }) => id),
    ...registrations.unknown.map(({ organisation }) => organisation),
  ]);
  return {
    snapshot: snapshotOf({
      datasets: rows,
      totals: consent.totals,
      projects: own.rows,
      organisations: organisations.rows,
      registrations: registrations.rows,
      authorisations: authorisations.rows,
      agreements: signed.rows,
    }),
    unknown: {
      datasets: new Set(consent.unknown),
      projects: new Set([
        ...own.unknown.map(({ id }) => id),
        ...authorisations.unknown.map(({ project }) => project),
        ...own.rows.filter(({ organisation }) => strange.has(organisation)).map(({ id }) => id),
      ]),
      agreements: new Set(signed.unknown.map(({ id }) => id)),
    },
  };
}

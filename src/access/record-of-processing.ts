import { readNewestCheckpoint } from '../audit/log-store.ts';
import { type Dataset, datasetFacts } from '../catalogue/dataset.ts';
import { readDatasetsOf } from '../catalogue/store.ts';
import { transact, type Tx } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import type { Parties } from '../parties/party.ts';
import { readAgreements, readParties, readParty, readProjectRecords } from '../parties/store.ts';
import type { Citation, PackDocument, RecordSection, Texts } from '../pdp/document.ts';
import { isObject } from '../pdp/facts.ts';
import type { Program } from '../pdp/program.ts';
import type { AccessWriter } from './access.ts';
import { type StoredDecision, storedIn } from './decision.ts';
import { factsOfOrganisation } from './facts.ts';
import { type PermittedAccess, readPermittedAccess } from './store.ts';

/** A record is whole: one that would have more is refused, and can be asked for a dataset at a time. */
const MAX_DATASETS = 2_000;
const MAX_ACCESSES = 10_000;
const MAX_REGISTRATIONS = 100;

export interface CitedArticle extends Citation {
  /** Of the instrument. */
  readonly title: Texts;
}

/** Facts of one thing; null: no register has it, which is not the same as an empty list. */
interface RecordRow {
  readonly of: string;
  readonly values: Readonly<Record<string, unknown>>;
}

interface RecordTable {
  readonly facts: readonly { readonly fact: string; readonly title: Texts }[];
  readonly rows: readonly RecordRow[];
}

export interface RecordPart {
  readonly id: string;
  readonly title: Texts;
  readonly sentence: Texts;
  readonly citations: readonly CitedArticle[];
  /** A citation is of less than high confidence. */
  readonly to_review: boolean;
  /** What is wanted and no register of the service keeps. */
  readonly not_kept: readonly Texts[];
  /** By id of the controller, of a dataset, of an access request. */
  readonly controller: RecordTable | null;
  readonly datasets: RecordTable | null;
  readonly accesses: RecordTable | null;
}

/** What a controller does with the data that it keeps, as the registers know it at one moment. */
export interface ProcessingRecord {
  readonly title: Texts;
  readonly citations: readonly CitedArticle[];
  readonly taken_at: string;
  /** The newest that was published then; null before the first. */
  readonly checkpoint: { readonly size: number; readonly note: string } | null;
  readonly pack: {
    readonly pack: string;
    readonly version: number;
    readonly sha256: string;
    readonly title: Texts;
    readonly reviewed_by: string | null;
  };
  readonly controller: Pick<
    Parties['organisation'],
    'id' | 'name' | 'country' | 'legal_form' | 'homepage'
  >;
  readonly datasets: readonly RecordedDataset[];
  readonly accesses: readonly RecordedAccess[];
  readonly sections: readonly RecordPart[];
}

interface RecordedDataset extends Pick<Dataset, 'id' | 'version' | 'status'> {
  readonly title: Texts;
  /** DCAT's, as the steward wrote it; null where it is not said. */
  readonly contact_point: unknown;
}

/** Whom a dataset was permitted to, by which decision, and until when. */
interface RecordedAccess {
  readonly id: string;
  readonly dataset: string;
  readonly project: string;
  readonly project_title: Texts;
  readonly agreement: string | null;
  readonly agreement_title: Texts | null;
  readonly decision_id: string;
  readonly event_id: string;
  readonly permitted_at: string;
  readonly requests: number;
  /** Last day; null where nothing that it rests on ends. */
  readonly until: string | null;
}

/**
 * The record of processing of an organisation, in the sections that the country's pack wants, and
 * the pack.
 * @throws ServiceError `not_found` for no such organisation and for a pack that knows no such
 * record; `invalid_request` where it would be too large to be whole.
 */
export async function recordOfProcessing(
  deps: Pick<AccessWriter, 'db' | 'clock' | 'inForce'>,
  asked: { readonly organisation: string; readonly dataset: string | undefined },
): Promise<{ readonly record: ProcessingRecord; readonly pack: PackDocument }> {
  const taken_at = deps.clock().toISOString();
  return transact(
    deps.db,
    async (tx) => {
      const program = await deps.inForce(tx);
      const { pack } = program;
      const { record_of_processing: wanted } = pack;
      const known = await readKnown(tx, asked);
      if (!wanted || !known) throw notFound();
      const checkpoint = await readNewestCheckpoint(tx);
      const { id, name, country, legal_form, homepage } = known.controller;
      const record: ProcessingRecord = {
        title: wanted.title,
        citations: cited(program, wanted.cites),
        taken_at,
        checkpoint: checkpoint ? { size: checkpoint.size, note: checkpoint.note } : null,
        pack: {
          pack: pack.pack,
          version: pack.version,
          sha256: program.packSha256,
          title: pack.title,
          reviewed_by: pack.reviewed_by,
        },
        controller: { id, name, country, legal_form, homepage },
        datasets: known.datasets.map((each) => ({
          id: each.id,
          version: each.version,
          status: each.status,
          title: each.document.title,
          contact_point: each.document['contact_point'] ?? null,
        })),
        accesses: known.accesses.map((each) => showAccess(each, known)),
        sections: wanted.sections.map((section) => partOf(program, section, known)),
      };
      return { record, pack };
    },
    'repeatable read',
  );
}

interface Known {
  readonly controller: Parties['organisation'];
  readonly registrations: readonly Parties['registration'][];
  readonly datasets: readonly Dataset[];
  readonly accesses: readonly (PermittedAccess & { readonly stored: StoredDecision })[];
  readonly projects: ReadonlyMap<string, Parties['project']>;
  readonly agreements: ReadonlyMap<string, Parties['agreement']>;
}

async function readKnown(
  tx: Tx,
  {
    organisation,
    dataset,
  }: { readonly organisation: string; readonly dataset: string | undefined },
): Promise<Known | undefined> {
  const controller = await readParty(tx, 'organisation', organisation);
  if (!controller) return undefined;
  const of = { publisher: organisation, dataset };
  const registrations = await readParties(tx, 'registration', { organisation }, MAX_REGISTRATIONS);
  const datasets = await readDatasetsOf(tx, of, MAX_DATASETS + 1);
  const accesses = await readPermittedAccess(tx, of, MAX_ACCESSES + 1);
  if (dataset !== undefined && datasets.length === 0) return undefined;
  if (datasets.length > MAX_DATASETS || accesses.length > MAX_ACCESSES) {
    throw new ServiceError('invalid_request', 'The record would be too large to be whole.', [
      { path: 'dataset', expected: 'one dataset: the record is to be asked for each' },
    ]);
  }
  const { projects } = await readProjectRecords(tx, unique(accesses.map(({ project }) => project)));
  const agreements = await readAgreements(
    tx,
    unique(accesses.flatMap(({ agreement }) => agreement ?? [])),
  );
  return {
    controller,
    registrations: registrations.filter(({ revoked }) => !revoked),
    datasets,
    accesses: accesses.map((each) => ({
      ...each,
      stored: storedIn(each.document),
    })),
    projects: new Map(projects.map((each) => [each.id, each])),
    agreements: new Map(agreements.map((each) => [each.id, each])),
  };
}

function unique(ids: readonly string[]): string[] {
  return [...new Set(ids)];
}

function cited({ pack }: Program, cites: readonly Citation[]): CitedArticle[] {
  return cites.map((each) => ({
    ...each,
    title: pack.instruments[each.instrument]?.title ?? { en: each.instrument },
  }));
}

function showAccess(
  {
    id,
    dataset,
    project,
    agreement,
    decision,
    event_id,
    created_at,
    requests,
    stored,
  }: Known['accesses'][number],
  { projects, agreements }: Known,
): RecordedAccess {
  return {
    id,
    dataset,
    project,
    project_title: projects.get(project)?.title ?? { en: project },
    agreement,
    agreement_title: agreement === null ? null : (agreements.get(agreement)?.title ?? null),
    decision_id: decision,
    event_id,
    permitted_at: created_at,
    requests,
    until: stored.expiry?.date ?? null,
  };
}

function partOf(program: Program, section: RecordSection, known: Known): RecordPart {
  const { id, title, sentence, cites, facts, controller = false, not_kept = [] } = section;
  const table = (
    prefix: string,
    rows: readonly (readonly [string, Readonly<Record<string, unknown>>])[],
  ): RecordTable | null => {
    const chosen = facts.filter((fact) => fact.startsWith(`${prefix}.`));
    if (chosen.length === 0) return null;
    return {
      facts: chosen.map((fact) => ({
        fact,
        title: program.pack.facts[fact]?.title ?? { en: fact },
      })),
      rows: rows.map(([of, branch]) => ({
        of,
        values: Object.fromEntries(
          chosen.map((fact) => [fact, valueAt(branch, fact.slice(prefix.length + 1))]),
        ),
      })),
    };
  };
  const own = factsOfOrganisation(program, known.controller, known.registrations);
  return {
    id,
    title,
    sentence,
    citations: cited(program, cites),
    to_review: cites.some(({ confidence }) => confidence !== 'high'),
    not_kept,
    controller: controller ? table('request', [[known.controller.id, own]]) : null,
    datasets: controller
      ? null
      : table(
          'dataset',
          known.datasets.map((each) => [each.id, datasetFacts(each)]),
        ),
    accesses: controller
      ? null
      : table(
          'request',
          known.accesses.map(({ id: request, stored }) => [
            request,
            (stored.facts as { request: Record<string, unknown> }).request,
          ]),
        ),
  };
}

/** What stands at a path of facts; null where nothing does. */
function valueAt(facts: Readonly<Record<string, unknown>>, path: string): unknown {
  let at: unknown = facts;
  for (const key of path.split('.')) at = isObject(at) ? at[key] : undefined;
  return at ?? null;
}

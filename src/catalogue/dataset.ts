import type { DatasetStatus, Texts } from '../db/schema.ts';
import type { InputProblem } from '../errors.ts';
import type { Program } from '../pdp/program.ts';
import { overseesAll, type Principal } from '../principal.ts';

/** DCAT's members; everything else in a dataset is a policy fact of the pack. */
const CORE = [
  'title',
  'description',
  'keyword',
  'theme',
  'language',
  'identifier',
  'landing_page',
  'issued',
  'modified',
  'spatial',
  'temporal',
  'accrual_periodicity',
  'creator',
  'access_rights',
  'provenance',
  'contact_point',
  'distribution',
] as const;

/** What the service sets itself. */
const MANAGED = ['id', 'version', 'status', 'publisher', 'created_at', 'updated_at'] as const;

/** Title, DCAT members and policy facts, as the steward wrote them. */
export type DatasetDocument = { readonly title: Texts } & Readonly<Record<string, unknown>>;

export interface Dataset {
  readonly id: string;
  readonly version: number;
  readonly status: DatasetStatus;
  readonly publisher: string;
  readonly document: DatasetDocument;
  readonly created_at: string;
  readonly updated_at: string;
}

/** A dataset as the API shows it: the document's members beside those of the register. */
export function showDataset({
  document,
  ...row
}: Dataset): Record<string, unknown> & { title: Texts } & Omit<Dataset, 'document'> {
  return { ...document, ...row };
}

/** The document in what a steward sent. */
export function documentOf(input: Readonly<Record<string, unknown>>): DatasetDocument {
  const entries = Object.entries(input).filter(
    ([key, value]) => !(MANAGED as readonly string[]).includes(key) && value !== null,
  );
  return Object.fromEntries(entries) as DatasetDocument;
}

/** Policy facts of a dataset, in the shape that policies read. */
export function datasetFacts(
  dataset: Pick<Dataset, 'id' | 'publisher' | 'document'>,
): Record<string, unknown> {
  const { id, publisher, document } = dataset;
  const facts = Object.entries(document).filter(
    ([key]) => !(CORE as readonly string[]).includes(key),
  );
  return { ...Object.fromEntries(facts), id, title: document.title, publisher };
}

/** Members that are neither DCAT's nor facts of the pack, and facts with values that do not exist. */
export function checkDocument(document: DatasetDocument, program: Program): InputProblem[] {
  const facts = Object.fromEntries(
    Object.entries(document).filter(([key]) => !(CORE as readonly string[]).includes(key)),
  );
  const { start_date, end_date } = (document['temporal'] ?? {}) as {
    start_date?: string;
    end_date?: string;
  };
  const backwards = start_date !== undefined && end_date !== undefined && end_date < start_date;
  return [
    ...program.vocabulary.checkAt('dataset', facts),
    ...(backwards
      ? [{ path: '/temporal/end_date', expected: 'a date on or after start_date' }]
      : []),
  ];
}

/**
 * Everybody with a role sees active datasets; drafts and retired ones only the publisher's
 * stewards, auditors and the authority.
 */
export function mayRead(
  { status, publisher }: Pick<Dataset, 'status' | 'publisher'>,
  principal: Principal,
): boolean {
  return status === 'active' || overseesAll(principal) || stewards({ publisher }, principal);
}

/** Is the caller a steward of this dataset? */
export function stewards({ publisher }: Pick<Dataset, 'publisher'>, principal: Principal): boolean {
  return principal.role === 'steward' && principal.organisation === publisher;
}

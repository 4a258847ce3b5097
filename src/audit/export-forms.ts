import { CSV } from './export-csv.ts';
import type { ExportForm } from './export-form.ts';
import { JSONL } from './export-jsonl.ts';
import { OCSF } from './export-ocsf.ts';
import { PARQUET } from './export-parquet.ts';

export type ExportFormat = 'jsonl' | 'csv' | 'ocsf' | 'parquet';

/** The forms of an export, by the name that the API and the shell have for them. */
export const EXPORT_FORMS: Readonly<Record<ExportFormat, ExportForm>> = {
  jsonl: JSONL,
  csv: CSV,
  ocsf: OCSF,
  parquet: PARQUET,
};

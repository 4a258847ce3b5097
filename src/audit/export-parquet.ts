import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { columnsOf, type Export, type ExportForm, type ExportRow } from './export-form.ts';

/**
 * A row group is held in memory and encoded in one go, while nothing else is done: both are kept
 * short. Characters count as well as rows, since a body may have 64 KiB.
 */
const MAX_ROWS = 2_048;
const MAX_CHARACTERS = 4_000_000;

type Schema = ConstructorParameters<typeof ParquetWriter>[0]['schema'];

const text = (
  name: string,
  repetition_type: 'REQUIRED' | 'OPTIONAL' = 'REQUIRED',
): Schema[number] => ({ name, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type });

/** A list in the three levels that the format asks for (LogicalTypes.md, Lists). */
const texts = (name: string): Schema => [
  { name, converted_type: 'LIST', repetition_type: 'REQUIRED', num_children: 1 },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  text('element'),
];

interface Column {
  readonly elements: Schema;
  readonly value: (row: ExportRow, columns: ReturnType<typeof columnsOf>) => unknown;
}

const COLUMNS: Readonly<Record<string, Column>> = {
  index: {
    elements: [{ name: 'index', type: 'INT64', repetition_type: 'REQUIRED' }],
    value: ({ index }) => BigInt(index),
  },
  event_id: {
    elements: [
      {
        name: 'event_id',
        type: 'FIXED_LEN_BYTE_ARRAY',
        type_length: 16,
        logical_type: { type: 'UUID' },
        repetition_type: 'REQUIRED',
      },
    ],
    value: (_row, { event_id }) => event_id,
  },
  time: {
    elements: [
      {
        name: 'time',
        type: 'INT64',
        converted_type: 'TIMESTAMP_MILLIS',
        repetition_type: 'REQUIRED',
      },
    ],
    value: (_row, { time }) => new Date(time),
  },
  type: { elements: [text('type')], value: (_row, { type }) => type },
  actor: { elements: [text('actor')], value: (_row, { actor }) => actor },
  role: { elements: [text('role')], value: (_row, { role }) => role },
  outcome: { elements: [text('outcome')], value: (_row, { outcome }) => outcome },
  subject_ids: { elements: texts('subject_ids'), value: (_row, { subject_ids }) => subject_ids },
  deny: { elements: texts('deny'), value: (_row, { deny }) => deny },
  review: { elements: texts('review'), value: (_row, { review }) => review },
  obligations: { elements: texts('obligations'), value: (_row, { obligations }) => obligations },
  leaf_hash: { elements: [text('leaf_hash')], value: ({ leaf_hash }) => leaf_hash },
  leaf: { elements: [text('leaf')], value: ({ leaf }) => leaf },
  body: { elements: [text('body', 'OPTIONAL')], value: ({ body }) => body },
  disclosures: {
    elements: texts('disclosures'),
    value: ({ disclosures = [] }) => disclosures,
  },
  // As JSON: what was erased is looked at in events, not counted in columns.
  erased: {
    elements: [text('erased', 'OPTIONAL')],
    value: ({ erased }) => (erased ? JSON.stringify(erased) : null),
  },
  proof: { elements: texts('proof'), value: ({ proof = [] }) => proof },
};

const SCHEMA: Schema = [
  { name: 'event', num_children: Object.keys(COLUMNS).length },
  ...Object.values(COLUMNS).flatMap(({ elements }) => elements),
];

/**
 * Parquet, for what reads columns. It holds all that JSONL holds: a column each, and the first and
 * the last line under `umutungo.header` and `umutungo.end` in the file's own metadata. Those come
 * last: a file that was broken off cannot be opened.
 */
export const PARQUET: ExportForm = {
  mediaType: 'application/vnd.apache.parquet',
  extension: 'parquet',
  resumable: false,
  proves: true,
  async *write({ header, rows, right }: Export) {
    const writer = new ByteWriter();
    const kvMetadata = [{ key: 'umutungo.header', value: JSON.stringify(header) }];
    const parquet = new ParquetWriter({
      writer,
      schema: SCHEMA,
      kvMetadata,
      createdBy: 'umutungo',
    });
    let count = 0;
    for await (const group of groupsOf(rows)) {
      count += group.length;
      void parquet.write({ columnData: columnDataOf(group), rowGroupSize: group.length });
      yield taken(writer);
    }
    const end = { end: true, count, right: right() };
    kvMetadata.push({ key: 'umutungo.end', value: JSON.stringify(end) });
    void parquet.finish();
    yield taken(writer);
  },
};

function columnDataOf(rows: readonly ExportRow[]) {
  const pairs = rows.map((row) => [row, columnsOf(row)] as const);
  return Object.entries(COLUMNS).map(([name, { value }]) => ({
    name,
    data: pairs.map(([row, columns]) => value(row, columns)),
  }));
}

async function* groupsOf(rows: AsyncIterable<ExportRow>): AsyncGenerator<ExportRow[]> {
  let group: ExportRow[] = [];
  let characters = 0;
  for await (const row of rows) {
    group.push(row);
    characters += sizeOf(row);
    if (group.length < MAX_ROWS && characters < MAX_CHARACTERS) continue;
    yield group;
    group = [];
    characters = 0;
  }
  if (group.length > 0) yield group;
}

function sizeOf({ leaf, body, disclosures = [] }: ExportRow): number {
  return disclosures.reduce((sum, { length }) => sum + length, leaf.length + (body?.length ?? 0));
}

/** What was written since it was last taken; the writer counts on. */
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice();
  writer.index = 0;
  return bytes;
}

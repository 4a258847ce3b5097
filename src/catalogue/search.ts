import { type RawBuilder, sql } from 'kysely';
import type { DatasetDocument } from './dataset.ts';

/**
 * Text search, behind this one module. Titles weigh most, then identifiers and keywords, then
 * descriptions. Words are kept as written beside their English and French stems, so that
 * Kinyarwanda, which has no dictionary in PostgreSQL, is found by its words.
 */
export function searchVector(id: string, document: DatasetDocument): RawBuilder<unknown> {
  const title = texts(document.title);
  const middle = [id, document['identifier'], ...list(document['keyword']), document['creator']]
    .filter(isText)
    .join(' ');
  const rest = texts(document['description']);
  return sql`(
    setweight(to_tsvector('simple', ${title}), 'A') || setweight(to_tsvector('english', ${title}), 'A')
    || setweight(to_tsvector('french', ${title}), 'A') || setweight(to_tsvector('simple', ${middle}), 'B')
    || setweight(to_tsvector('simple', ${rest}), 'C') || setweight(to_tsvector('english', ${rest}), 'C'))`;
}

/** Matches when each word, its stem, or a word that it begins is there. */
export function matches(words: string): RawBuilder<boolean> {
  const terms =
    words
      .normalize('NFC')
      .match(/[\p{L}\p{N}]+/gu)
      ?.slice(0, 12) ?? [];
  if (terms.length === 0) return sql<boolean>`false`;
  const each = terms.map(
    (term) =>
      sql`(to_tsquery('simple', ${`${term}:*`}) || plainto_tsquery('english', ${term}) || plainto_tsquery('french', ${term}))`,
  );
  return sql<boolean>`search @@ (${sql.join(each, sql` && `)})`;
}

function texts(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).filter(isText).join(' ');
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

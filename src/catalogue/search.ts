import { type RawBuilder, sql } from 'kysely';
import type { DatasetDocument } from './dataset.ts';

/**
 * Text search, behind this one module. Titles weigh most, then identifiers and keywords, then
 * descriptions. Words are kept as written beside their English and French stems, so that
 * Kinyarwanda, which has no dictionary in PostgreSQL, is found by its words.
 */
export function searchVector(id: string, document: DatasetDocument): RawBuilder<unknown> {
  const title = texts(document.title);
  const middle = [id, document['identifier'], ...list(document['keyword']), document['creator']];
  const about = middle.flatMap(words).join(' ');
  const rest = texts(document['description']);
  return sql`(
    setweight(to_tsvector('simple', ${title}), 'A') || setweight(to_tsvector('english', ${title}), 'A')
    || setweight(to_tsvector('french', ${title}), 'A') || setweight(to_tsvector('simple', ${about}), 'B')
    || setweight(to_tsvector('simple', ${rest}), 'C') || setweight(to_tsvector('english', ${rest}), 'C')
    || setweight(to_tsvector('french', ${rest}), 'C'))`;
}

// Words that join others, in English, French and Kinyarwanda: asked for with others they say nothing.
const JOINING = new Set(
  'a an and at by for from in of on or the to with de des du en et la le les un une mu ku na ya wa'.split(
    ' ',
  ),
);

/** Matches when each word, its stem, or a word that it begins is there. */
export function matches(query: string): RawBuilder<boolean> {
  const all = words(query);
  const telling = all.filter((word) => !JOINING.has(word.toLowerCase()));
  const terms = (telling.length > 0 ? telling : all).slice(0, 12);
  if (terms.length === 0) return sql<boolean>`false`;
  const each = terms.map(
    (term) =>
      sql`(to_tsquery('simple', ${`${term}:*`}) || plainto_tsquery('english', ${term}) || plainto_tsquery('french', ${term}))`,
  );
  return sql<boolean>`search @@ (${sql.join(each, sql` && `)})`;
}

/**
 * The words of a text, the same for what is stored and what is asked for: PostgreSQL's own parser
 * takes `2016-2017` for 2016 and minus 2017, and `cost/benefit` for a file.
 */
function words(text: unknown): string[] {
  return typeof text === 'string'
    ? (text.normalize('NFC').match(/[\p{L}\p{M}\p{N}]+/gu) ?? [])
    : [];
}

function texts(value: unknown): string {
  if (typeof value !== 'object' || value === null) return '';
  return Object.values(value).flatMap(words).join(' ');
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

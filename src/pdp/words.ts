import type { PackDocument, Texts } from './document.ts';
import { isObject } from './facts.ts';

/** The words of the language itself that readings for people need; all else is the pack's. */
interface Words {
  readonly and: string;
  readonly or: string;
  readonly yes: string;
  readonly no: string;
  readonly nothing: string;
  /** Joins an obtained record with what it must say: "an authorisation that covers Japan". */
  readonly that: string;
}

const WORDS: { readonly en: Words } & Readonly<Record<string, Partial<Words>>> = {
  en: { and: 'and', or: 'or', yes: 'yes', no: 'no', nothing: 'not stated', that: 'that' },
  fr: { and: 'et', or: 'ou', yes: 'oui', no: 'non', nothing: 'non indiqué', that: 'qui' },
  rw: { and: 'na', or: 'cyangwa', yes: 'yego', no: 'oya' },
};

const PLACES = new Map(
  ['en', 'fr'].map((language) => [language, new Intl.DisplayNames([language], { type: 'region' })]),
);

/** A text in a language, in English where it has none. */
export function textIn(texts: Texts, language: string): string {
  return (Object.hasOwn(texts, language) ? texts[language] : undefined) ?? texts['en'] ?? '';
}

export function wordsIn(language: string): Words {
  return { ...WORDS.en, ...(Object.hasOwn(WORDS, language) ? WORDS[language] : {}) };
}

/** "Japan, Kenya and Uganda" */
export function listed(items: readonly string[], word: string): string {
  const last = items.at(-1) ?? '';
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} ${word} ${last}`;
}

/** The name of a country, from Unicode's tables (CLDR). */
export function placeTitle(code: string, language: string): string {
  return (PLACES.get(language) ?? PLACES.get('en'))?.of(code) ?? code;
}

/** A value of a fact in words: places, purposes and sectors by their titles, codes without "_". */
export function valueTitle(
  pack: PackDocument,
  fact: string,
  value: unknown,
  language: string,
): string {
  const words = wordsIn(language);
  if (value === null || value === undefined) return words.nothing;
  if (typeof value === 'boolean') return value ? words.yes : words.no;
  if (Array.isArray(value)) {
    const items = value.map((each) => valueTitle(pack, fact, each, language));
    return items.length === 0 ? words.nothing : listed(items, words.and);
  }
  if (isObject(value)) return JSON.stringify(value);
  if (typeof value === 'number') return String(value);
  return codeTitle(pack, fact, value as string, language);
}

function codeTitle(pack: PackDocument, fact: string, code: string, language: string): string {
  const spec = Object.hasOwn(pack.facts, fact) ? pack.facts[fact] : undefined;
  const member = spec?.type === 'set' ? spec.of : spec?.type;
  if (member === 'text' || member === 'date' || member === 'datetime') return code;
  if (member === 'country') return placeTitle(code, language);
  const title =
    own(spec?.value_titles, code) ??
    own(pack.purposes, code)?.title ??
    own(pack.sectors, code)?.title;
  return title ? textIn(title, language) : code.replaceAll('_', ' ');
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record && Object.hasOwn(record, key) ? record[key] : undefined;
}

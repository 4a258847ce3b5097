import { ServiceError } from '../errors.ts';
import { splitDisclosures } from './disclosures.ts';
import { bodyOf } from './event.ts';
import type { EventRow } from './store.ts';

/** What an auditor asks for; all of it must fit. */
export interface EventQuery {
  readonly type?: string | undefined;
  /** Pseudonym, as it stands in leaves. */
  readonly actor?: string | undefined;
  /** Identifiers that the event is about. */
  readonly subjects?: readonly string[] | undefined;
  readonly outcome?: string | undefined;
  /** A rule that denied, sent to review or obliged. */
  readonly rule?: string | undefined;
  /** Words that stand in the body, in any order. */
  readonly text?: string | undefined;
}

export type Indexed = Pick<
  EventRow,
  'type' | 'actor' | 'subject_ids' | 'outcome' | 'body' | 'disclosures'
>;

// Long and random texts are found by nobody and would fill the index.
const MAX_WORD = 40;
const MAX_WORDS = 300;
// Each stands in one event or two, which are found by it without an index of words.
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const RULES = ['deny', 'review', 'obligations'] as const;

type KnownWords = Map<string, readonly string[]>;

/**
 * The terms that an event can be found by, each once.
 * @param known the words of texts that were seen before: events say the same again and again.
 */
export function termsOf(event: Indexed, known: KnownWords = new Map()): Set<string> {
  const { type, actor, subject_ids, outcome } = event;
  const terms = new Set([`type:${type}`, `actor:${actor}`, `outcome:${outcome}`]);
  for (const subject of subject_ids) if (subject.search(UUID) < 0) terms.add(`subject:${subject}`);
  const body = parse(event);
  for (const member of RULES) {
    const rules = body[member];
    if (Array.isArray(rules)) for (const rule of rules) terms.add(`rule:${String(rule)}`);
  }
  const words = new Set<string>();
  // Of many decisions in one event there may be too many words: those of all of them come first.
  const { decisions, ...others } = body;
  addWords([others, decisions], words, known);
  for (const word of words) terms.add(`word:${word}`);
  return terms;
}

/**
 * The terms that a query asks for. Empty where it asks for nothing but a time.
 * @throws ServiceError `invalid_request` for a text that has no word which could be found.
 */
export function termsOfQuery(query: EventQuery): string[] {
  const { type, actor, subjects = [], outcome, rule, text } = query;
  const single = { type, actor, outcome, rule };
  const words = text === undefined ? [] : wordsOf(text);
  if (text !== undefined && words.length === 0) {
    throw new ServiceError('invalid_request', 'The text has no word to look for.', [
      { path: 'text', expected: `words of 2 to ${MAX_WORD} letters or digits` },
    ]);
  }
  return [
    ...Object.entries(single).flatMap(([name, value]) => (value ? [`${name}:${value}`] : [])),
    ...subjects.map((subject) => `subject:${subject}`),
    ...words.map((word) => `word:${word}`),
  ];
}

/**
 * May an event have the terms that a query asks for? What its columns and the letters of its body
 * rule out needs no look at all its words.
 */
export function mayFit(event: Indexed, query: EventQuery): boolean {
  const { type, actor, subjects = [], outcome, rule, text } = query;
  if (type !== undefined && event.type !== type) return false;
  if (actor !== undefined && event.actor !== actor) return false;
  if (outcome !== undefined && event.outcome !== outcome) return false;
  if (!subjects.every((subject) => event.subject_ids.includes(subject))) return false;
  if (rule !== undefined && !event.body?.includes(rule)) return false;
  if (text === undefined) return true;
  const beside = splitDisclosures(event.disclosures).map((each) => Buffer.from(each, 'base64url'));
  const letters = folded([event.body ?? '', ...beside].join(' '));
  return wordsOf(text).every((word) => letters.includes(word));
}

/** A body that is no JSON any more is found by its other terms; `log verify` says what happened to it. */
function parse(event: Indexed): Record<string, unknown> {
  try {
    return bodyOf(event);
  } catch {
    return {};
  }
}

function addWords(value: unknown, words: Set<string>, known: KnownWords): void {
  if (words.size >= MAX_WORDS) return;
  if (typeof value === 'string') {
    for (const word of knownWordsOf(value, known)) if (words.size < MAX_WORDS) words.add(word);
  } else if (Array.isArray(value)) {
    for (const item of value) addWords(item, words, known);
  } else if (typeof value === 'object' && value !== null) {
    for (const name of Object.keys(value)) {
      if (name === 'salt' || name.endsWith('sha256')) continue;
      addWords((value as Record<string, unknown>)[name], words, known);
    }
  }
}

function knownWordsOf(text: string, known: KnownWords): readonly string[] {
  const words = known.get(text) ?? wordsOf(text.replaceAll(UUID, ' '));
  known.set(text, words);
  return words;
}

/** Words in any script: runs of letters, marks and digits, in lower case and one Unicode form. */
function wordsOf(text: string): string[] {
  const found = folded(text).match(/[\p{L}\p{M}\p{N}]{2,}/gu) ?? [];
  return [...new Set(found.filter((word) => word.length <= MAX_WORD))];
}

/** In lower case and one Unicode form. */
function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase();
}

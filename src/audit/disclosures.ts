import { hash } from 'node:crypto';
import { randomToken } from '../ids.ts';
import { canonicalText } from './canonical.ts';

/**
 * A value that lies beside the body, which has its digest: a disclosure as SD-JWT has them
 * (RFC 9901 section 4.2.1), base64url of the JSON of `[salt, path, value]`. Whoever has it can
 * prove that the event said so; once it is erased, salt and all, the digest says nothing.
 */
export interface Disclosure {
  /** JSON pointer (RFC 6901) of where the value belongs in the body. */
  readonly path: string;
  readonly value: unknown;
  readonly text: string;
}

type Body = Readonly<Record<string, unknown>>;

/**
 * Members of bodies that may name a person, describe one, or hold free text, under the name of the
 * member of the body that they are in or are. Every event type is covered: where a member with this
 * name stands, it is kept beside the body. A digest of what could be guessed is one of them.
 */
const ERASABLE: ReadonlyMap<string, true | readonly string[]> = new Map(
  Object.entries({
    actor: true, // the issuer's name of whoever acted
    query: true, // what an auditor looked for: names, words
    question: true, // subject, resource and context of a question to a decision point of a space
    subject: true, // whom a question, an erasure or a legal hold is about
    resource: true,
    questions: true, // several of those about what is not there
    processing_activity_id: true, // texts of the caller's choice
    algorithm_id: true,
    note: true,
    changes_sha256: true, // entities of a space can be guessed
    dataset: [
      'title',
      'description',
      'keyword',
      'identifier',
      'landing_page',
      'spatial',
      'creator',
      'access_rights',
      'provenance',
      'contact_point',
      'distribution',
    ].map((name) => `document/${name}`),
    organisation: ['name', 'homepage'], // one person may be one
    agreement: ['title', 'subprocessors_authorised'],
    project: ['title', 'team', 'poc'],
    registration: ['fields'],
    authorisation: ['fields'],
  }),
);

/** Takes what may have to be erased out of a body, and binds it there by digests, in `_sd`. */
export function seal(body: Body): {
  readonly body: Record<string, unknown>;
  readonly disclosures: readonly string[];
} {
  const kept: Record<string, unknown> = { _sd: [] };
  const disclosures: string[] = [];
  const take = (path: string, value: unknown): void => {
    disclosures.push(disclosureOf(path, value));
  };
  for (const [name, value] of Object.entries(body)) {
    const rule = ERASABLE.get(name);
    if (rule === true && value !== null) take(`/${name}`, value);
    else if (Array.isArray(rule) && isObject(value)) {
      kept[name] = rule.reduce(
        (rest, path) => without(rest, path, `/${name}/${path}`, take),
        value,
      );
    } else kept[name] = value;
  }
  // In an order that says nothing of which is which.
  kept['_sd'] = disclosures.map(digestOf).toSorted();
  return { body: kept, disclosures };
}

function without(
  object: Body,
  path: string,
  whole: string,
  take: (path: string, value: unknown) => void,
): Body {
  const [name = '', ...rest] = path.split('/');
  const value = object[name];
  if (value === undefined || value === null) return object;
  if (rest.length > 0) {
    if (!isObject(value)) return object;
    return { ...object, [name]: without(value, rest.join('/'), whole, take) };
  }
  take(whole, value);
  const { [name]: _taken, ...others } = object;
  return others;
}

function disclosureOf(path: string, value: unknown): string {
  const array = canonicalText([randomToken(), path, value]);
  return Buffer.from(array, 'utf8').toString('base64url');
}

/** What a body has in `_sd` for a disclosure: base64url of SHA-256 of its ASCII text. */
export function digestOf(disclosure: string): string {
  return hash('sha256', disclosure, 'base64url');
}

const SEPARATOR = '~';

/** Disclosures as they are stored with an event, in one text. */
export function joinDisclosures(disclosures: readonly string[]): string {
  return disclosures.join(SEPARATOR);
}

export function splitDisclosures(stored: string | null): string[] {
  return stored === null || stored === '' ? [] : stored.split(SEPARATOR);
}

/** What a disclosure says; undefined for a text that is none. */
export function readDisclosure(text: string): Disclosure | undefined {
  try {
    const said: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    if (!Array.isArray(said) || said.length !== 3 || typeof said[1] !== 'string') return undefined;
    return { path: said[1], value: said[2], text };
  } catch {
    return undefined;
  }
}

/** The digests of a body, each of a value that is beside it or was erased. */
export function digestsIn(body: Body): string[] {
  const { _sd: digests } = body;
  return Array.isArray(digests) ? digests.map(String) : [];
}

/** Puts the values that are beside a body back in their places; the body is not used any more. */
export function putBack(body: Body, stored: string | null): Record<string, unknown> {
  const { _sd: _digests, ...whole } = body;
  for (const each of splitDisclosures(stored).map(readDisclosure)) {
    if (!each) continue;
    const names = each.path.slice(1).split('/');
    const last = names.pop() ?? '';
    let at: Record<string, unknown> | undefined = whole;
    for (const name of names) {
      // A path may be a stranger's: it leads to what the body has itself.
      const next: unknown = at && Object.hasOwn(at, name) ? at[name] : undefined;
      at = isObject(next) ? next : undefined;
    }
    if (at && last !== '__proto__') at[last] = each.value;
  }
  return whole;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

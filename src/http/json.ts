import { ServiceError } from '../errors.ts';

const MAX_DEPTH = 40;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Parses JSON as I-JSON wants it (RFC 7493): UTF-8, no member twice, no unpaired surrogate; and
 * not deeper than 40 levels.
 * @throws ServiceError `malformed_request` that says what is wrong, and where.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    throw malformed('', 'UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const where =
      error instanceof Error
        ? (/position \d+|line \d+ column \d+/.exec(error.message)?.[0] ?? '')
        : '';
    throw malformed('', `JSON${where ? ` (it breaks off at ${where})` : ''}`);
  }
  checkMembers(text);
  if (!text.isWellFormed() || /\\u[dD][89a-fA-F]/.test(text)) checkSurrogates(value, '');
  return value;
}

function malformed(path: string, expected: string): ServiceError {
  return new ServiceError('malformed_request', 'The body cannot be read as JSON.', [
    { path, expected },
  ]);
}

/** An object or list around the place that is being read. */
interface Level {
  /** Names of the members so far; undefined in a list. */
  readonly members: Set<string> | undefined;
  /** The member or item that is being read. */
  at: string | number;
}

/**
 * One pass over text that JSON.parse has accepted, which keeps the last of two equal members: it
 * finds members that come twice in one object. Costs about as much as the parse itself.
 */
function checkMembers(text: string): void {
  const levels: Level[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === 0x7b || character === 0x5b) {
      if (levels.length >= MAX_DEPTH) throw malformed('', `at most ${MAX_DEPTH} levels`);
      levels.push(
        character === 0x7b ? { members: new Set(), at: '' } : { members: undefined, at: 0 },
      );
    } else if (character === 0x7d || character === 0x5d) {
      levels.pop();
    } else if (character === COMMA) {
      const level = levels.at(-1);
      if (typeof level?.at === 'number') level.at += 1;
    } else if (character === QUOTE) {
      const end = endOfString(text, i + 1);
      const level = levels.at(-1);
      if (level?.members && isMember(text, end + 1)) {
        const raw = text.slice(i, end + 1);
        level.at = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
        if (level.members.has(level.at)) {
          throw malformed(pointerOf(levels), 'each member once in an object');
        }
        level.members.add(level.at);
      }
      i = end;
    }
  }
}

function pointerOf(levels: readonly Level[]): string {
  return levels.map(({ at }) => `/${escapePointer(String(at))}`).join('');
}

/** A member's name as a part of a JSON pointer (RFC 6901). */
export function escapePointer(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}

function endOfString(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === BACKSLASH) i++;
    else if (character === QUOTE) return i;
  }
  return text.length;
}

// A string is a member's name when a colon follows.
function isMember(text: string, from: number): boolean {
  for (let i = from; i < text.length; i++) {
    const character = text.charCodeAt(i);
    if (character === 0x3a) return true;
    if (character !== 0x20 && character !== 0x0a && character !== 0x0d && character !== 0x09)
      return false;
  }
  return false;
}

function checkSurrogates(value: unknown, path: string): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw malformed(path, 'text without unpaired surrogates');
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      checkSurrogates(key, path);
      checkSurrogates(member, `${path}/${escapePointer(key)}`);
    }
  }
}

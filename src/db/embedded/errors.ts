/** What went wrong, for programs and for people. */

export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const PLAIN_WORDS: readonly (readonly [RegExp, string])[] = [
  [/No space left on device|Disk quota exceeded/i, 'the disk is full.'],
  [/Permission denied|invalid permissions|wrong ownership/i, 'it may not use one of its files.'],
  [/unrecognized configuration parameter|invalid value for parameter/, 'a setting is not valid.'],
];

/** The usual reasons, to put before the server's own words. */
export function inPlainWords(lines: string): string {
  return PLAIN_WORDS.find(([pattern]) => pattern.test(lines))?.[1] ?? 'see its own words below.';
}

export function lastLines(text: string): string {
  return text.trim().split('\n').slice(-12).join('\n');
}

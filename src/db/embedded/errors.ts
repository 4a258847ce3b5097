/** What went wrong, for programs and for people. */

export function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return String(error.code);
}

const PLAIN_WORDS: readonly (readonly [RegExp, string])[] = [
  [/No space left on device|Disk quota exceeded/i, 'the disk is full.'],
  [/unrecognized configuration parameter|invalid value for parameter/, 'a setting is not valid.'],
];

/** The usual reasons in plain words, then the last lines of what the program said. */
export function explain(output: string): string {
  const lines = output.trim().split('\n').slice(-12).join('\n');
  const known = PLAIN_WORDS.find(([pattern]) => pattern.test(lines));
  return `${known?.[1] ?? 'see its own words below.'}\n${lines}`;
}

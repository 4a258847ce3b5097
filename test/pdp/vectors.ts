/** Questions and answers that are kept in files, and made anew where UPDATE_GOLDEN=yes asks for it. */
import { readFileSync, writeFileSync } from 'node:fs';

interface Vector<Q, A> {
  readonly asked: Q;
  readonly answer: A;
}

const UPDATE = process.env['UPDATE_GOLDEN'] === 'yes';

/**
 * The vectors of a file; made anew of `questions` where that is asked for. Without them the file's
 * own are answered anew: those chosen of many random ones, since they tell apart what others do not.
 */
export function vectorsOf<Q, A>(
  name: string,
  questions: (() => readonly Q[]) | undefined,
  answer: (asked: Q) => A,
): readonly Vector<Q, A>[] {
  const file = new URL(`vectors/${name}.jsonl`, import.meta.url);
  const kept = (): readonly Vector<Q, A>[] =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Vector<Q, A>);
  if (UPDATE) {
    const all = questions?.() ?? kept().map(({ asked }) => asked);
    const made = all.map((asked) => JSON.stringify({ asked, answer: answer(asked) }));
    writeFileSync(file, `${made.join('\n')}\n`);
  }
  return kept();
}

export function inParts<T>(items: readonly T[], size: number): [number, readonly T[]][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => [
    i * size + 1,
    items.slice(i * size, (i + 1) * size),
  ]);
}

/** As it is in a file: what is undefined is not there. */
export function written(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

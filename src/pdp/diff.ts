import type { PackDocument, PolicyDocument } from './document.ts';
import { renderPolicy } from './render.ts';

/** A line that only one version has, or that both have. */
export interface DiffLine {
  readonly mark: '-' | '+' | ' ';
  readonly text: string;
}

/** What a version of a policy changes, in plain language. */
export interface PolicyDiff {
  /** What is said of the policy itself: dates, target, title. */
  readonly policy: readonly DiffLine[];
  /** Rules that differ, with the lines of both. */
  readonly rules: readonly {
    readonly rule: string;
    readonly change: 'added' | 'removed' | 'changed';
    readonly lines: readonly DiffLine[];
  }[];
}

/** Compares two versions as `renderPolicy` reads them: what reads the same is the same. */
export function diffPolicies(
  before: PolicyDocument,
  after: PolicyDocument,
  pack: PackDocument,
  language: string,
): PolicyDiff {
  const textOf = (document: PolicyDocument, rule?: string): string[] => {
    const rules = document.rules.filter(({ id }) => id === rule);
    return renderPolicy({ ...document, rules }, pack, language).split('\n');
  };
  const head = { before: textOf(before), after: textOf(after) };
  const linesOf = (document: PolicyDocument, rule: string, without: readonly string[]): string[] =>
    document.rules.some(({ id }) => id === rule)
      ? textOf(document, rule).slice(without.findLastIndex((line) => line !== '') + 1)
      : [];
  const ids = [...new Set([...before.rules, ...after.rules].map(({ id }) => id))];
  const rules = ids.flatMap((rule) => {
    const old = linesOf(before, rule, head.before);
    const next = linesOf(after, rule, head.after);
    const lines = diffLines(old, next);
    if (lines.every(({ mark }) => mark === ' ')) return [];
    const change = old.length === 0 ? 'added' : next.length === 0 ? 'removed' : 'changed';
    return [{ rule, change, lines } as const];
  });
  return {
    policy: diffLines(head.before, head.after).filter(({ mark }) => mark !== ' '),
    rules,
  };
}

/** The fewest lines taken out and put in that lead from one text to the other. */
function diffLines(before: readonly string[], after: readonly string[]): DiffLine[] {
  // The length of the longest common rest, from each pair of places.
  const rest = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  const at = (i: number, j: number): number => rest[i]?.[j] ?? 0;
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const longest =
        before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
      rest[i]?.fill(longest, j, j + 1);
    }
  }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const [old, next] = [before[i], after[j]];
    if (old !== undefined && old === next) {
      lines.push({ mark: ' ', text: old });
      [i, j] = [i + 1, j + 1];
    } else if (old !== undefined && (next === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ mark: '-', text: old });
      i++;
    } else {
      lines.push({ mark: '+', text: next ?? '' });
      j++;
    }
  }
  return lines;
}

import { type FactProblem, suggestion } from './facts.ts';
import type { Program } from './program.ts';
import { taxonomyOf } from './terms.ts';

/** Purposes that registers keep beside the facts: the codes of the list that requests name theirs from. */

function listOf({ vocabulary }: Program): string | undefined {
  return vocabulary.get('request.purpose')?.terms;
}

/** The codes of purposes that are called by their codes, CURIEs or IRIs. */
export function purposesNamed(program: Program, names: readonly string[]): readonly string[] {
  if (listOf(program) === undefined) return names;
  const taxonomy = taxonomyOf(program.pack);
  return names.map((name) => taxonomy.canonical(name));
}

/** Purposes that a closed list has not: they would permit nothing, and nobody would be told. */
export function purposeProblems(
  program: Program,
  purposes: readonly string[],
  path: (index: number) => string,
): FactProblem[] {
  const list = listOf(program);
  const terms = taxonomyOf(program.pack).closedTermsOf(list);
  if (!terms) return [];
  return purposes.flatMap((purpose, i) =>
    terms.has(purpose)
      ? []
      : [
          {
            path: path(i),
            expected: `a term of the pack's list "${list}"${suggestion(purpose, [...terms])}`,
          },
        ],
  );
}

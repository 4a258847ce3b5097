import { readFile } from 'node:fs/promises';
import { ServiceError } from '../errors.ts';
import { importOdrl } from '../odrl/import.ts';
import { type Comparison, comparePolicies } from '../pdp/compare.ts';
import { parsePolicy, type PolicyDocument } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { compilePack, problemOf, readPackFolder } from '../policies/files.ts';
import { readPolicyFile, sayError } from './policy-files.ts';

const QUESTIONS = {
  a_implies_b: 'whatever A permits, B permits',
  b_implies_a: 'whatever B permits, A permits',
  equal: 'they answer every request alike',
  together: 'some request is permitted by both',
  conflict: 'one permits what a rule of the other denies',
} as const;

/**
 * Prints how two policies relate, ours or ODRL's (.ttl, .jsonld), with a request that shows it.
 * Exit code 0 when they are equal, 1 when they are not or it is not known, 2 when a file cannot be
 * read.
 */
export async function runPolicyCompare(packDir: string, a: string, b: string): Promise<number> {
  try {
    const program = compilePack(await readPackFolder(packDir));
    const documents = [await documentIn(program, a), await documentIn(program, b)] as const;
    const compared = comparePolicies(program, ...documents);
    if (!compared.ok) {
      const file = compared.of === 'a' ? a : b;
      throw new ServiceError(
        'invalid_policy',
        `${file} has mistakes.`,
        compared.problems.map(problemOf),
      );
    }
    for (const [key, question] of Object.entries(QUESTIONS))
      console.log(lineOf(question, compared.relation[key as keyof typeof QUESTIONS]));
    return compared.relation.equal.answer === 'yes' ? 0 : 1;
  } catch (error) {
    return sayError(error);
  }
}

function lineOf(question: string, { answer, witness }: Comparison): string {
  return `${question}: ${answer}${witness ? `, as ${JSON.stringify(witness)} shows` : ''}`;
}

async function documentIn({ pack }: Program, file: string): Promise<PolicyDocument> {
  if (!/\.(ttl|jsonld)$/.test(file)) return (await readPolicyFile(file)).source.content;
  const imported = await importOdrl(await readFile(file, 'utf8'), {
    format: file.endsWith('.ttl') ? 'turtle' : 'jsonld',
    profile: 'national',
    pack,
    // Days in force are not compared.
    header: { in_force: { from: '2000-01-01' } },
  });
  const problems = imported.ok ? [] : imported.problems;
  const parsed = imported.ok ? parsePolicy(file, imported.text) : undefined;
  if (parsed?.ok) return parsed.source.content;
  throw new ServiceError(
    'invalid_policy',
    `${file} cannot be taken over.`,
    problems.map(({ where, message }) => ({ path: `${file} ${where}`, expected: message })),
  );
}

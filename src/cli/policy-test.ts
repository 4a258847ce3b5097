import { readFile } from 'node:fs/promises';
import { casesOf, type PolicyCase, testCase } from '../pdp/cases.ts';
import type { Program } from '../pdp/program.ts';
import { readPackFolder } from '../policies/files.ts';
import { packWith, readPolicyFile, sayError } from './policy-files.ts';

export interface TestOptions {
  readonly packDir: string;
  /** Files of policies that come beside the pack's, or replace one of them. */
  readonly policies: readonly string[];
  /** Only failed cases and the sum. */
  readonly quiet: boolean;
}

/**
 * Decides every case of the files, prints a line a case, and returns the exit code: 0 when all
 * are as expected, 1 when one is not, 2 when a file or the pack cannot be read.
 */
export async function runPolicyTest(
  files: readonly string[],
  { packDir, policies, quiet }: TestOptions,
): Promise<number> {
  let program: Program;
  const cases: PolicyCase[] = [];
  try {
    const beside = await Promise.all(policies.map(readPolicyFile));
    program = packWith(await readPackFolder(packDir), beside);
    for (const file of files) cases.push(...casesOf(file, await readFile(file, 'utf8')));
  } catch (error) {
    return sayError(error);
  }
  const lines: string[] = [];
  let failed = 0;
  for (const each of cases) {
    const problems = testCase(program, each);
    if (problems.length > 0) failed++;
    if (problems.length > 0) lines.push(`FAIL ${each.id}  ${problems.join('; ')}`);
    else if (!quiet) lines.push(`ok   ${each.id}  ${expectedOf(each)}`);
  }
  lines.push(`${cases.length - failed} passed, ${failed} failed`);
  console.log(lines.join('\n'));
  if (cases.length === 0) console.error('There is no case in these files.');
  return failed > 0 || cases.length === 0 ? 1 : 0;
}

function expectedOf({ expected }: PolicyCase): string {
  if (typeof expected['decision'] === 'string') return expected['decision'];
  return Object.entries(expected['rules'] ?? {})
    .map(([rule, said]) => `${rule} ${String(said)}`)
    .join(', ');
}

import { readFile } from 'node:fs/promises';
import { ServiceError } from '../errors.ts';
import { casesOf, type PolicyCase, testCase } from '../pdp/cases.ts';
import type { Program } from '../pdp/program.ts';
import { compilePack, readPackFolder } from '../policies/files.ts';

/**
 * Decides every case of the files, prints a line a case, and returns the exit code: 0 when all
 * are as expected, 1 when one is not, 2 when a file or the pack cannot be read.
 */
export async function runPolicyTest(
  packDir: string,
  files: readonly string[],
  quiet: boolean,
): Promise<number> {
  let program: Program;
  const cases: PolicyCase[] = [];
  try {
    program = compilePack(await readPackFolder(packDir));
    for (const file of files) cases.push(...casesOf(file, await readFile(file, 'utf8')));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    if (error instanceof ServiceError) {
      for (const { path, expected, rule } of error.errors)
        console.error(`${path}${rule ? ` ${rule}` : ''}: ${expected}`);
    }
    return 2;
  }
  const lines: string[] = [];
  let failed = 0;
  for (const each of cases) {
    const problems = testCase(program, each);
    if (problems.length > 0) failed++;
    if (problems.length > 0) lines.push(`FAIL ${each.id}  ${problems.join('; ')}`);
    else if (!quiet) lines.push(`ok   ${each.id}  ${String(each.expected['decision'])}`);
  }
  lines.push(`${cases.length - failed} passed, ${failed} failed`);
  console.log(lines.join('\n'));
  if (cases.length === 0) console.error('There is no case in these files.');
  return failed > 0 || cases.length === 0 ? 1 : 0;
}

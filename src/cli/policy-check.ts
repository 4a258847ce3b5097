import { counted } from '../counted.ts';
import { checkPolicy, findingsOf, type FindingView } from '../policies/check.ts';
import { type PackFiles, readPackFolder } from '../policies/files.ts';
import { packWith, readCasesBeside, readPolicyFile, sayError } from './policy-files.ts';

/**
 * Checks policies, each with the pack and the cases beside it; without files, the pack itself.
 * Prints a line a finding, and returns the exit code: 0 when nothing is in the way of approval, 1
 * when something is, 2 when a file cannot be read as a policy.
 */
export async function runPolicyCheck(packDir: string, files: readonly string[]): Promise<number> {
  let code = 0;
  try {
    const pack = await readPackFolder(packDir);
    if (files.length === 0) return checkPack(pack);
    for (const file of files) code = Math.max(code, await checkFile(pack, file));
  } catch (error) {
    return sayError(error);
  }
  return code;
}

function checkPack(pack: PackFiles): number {
  const program = packWith(pack, []);
  const findings = pack.policies.flatMap(({ file, text }, i) => {
    const policy = program.policies[i]?.policy ?? '';
    return findingsOf(program, { policy, document: text }).map((finding) => lineOf(file, finding));
  });
  for (const { line } of findings) console.log(line);
  const errors = findings.filter(({ isError }) => isError).length;
  console.log(
    [
      `${program.pack.pack}: ${counted(program.rules.length, 'rule')} in ${counted(pack.policies.length, 'policy', 'policies')}`,
      counted(errors, 'error'),
      counted(findings.length - errors, 'other finding'),
    ].join(', '),
  );
  return errors > 0 ? 1 : 0;
}

async function checkFile(pack: PackFiles, file: string): Promise<number> {
  const policy = await readPolicyFile(file);
  const cases = await readCasesBeside(file);
  const program = packWith(pack, [policy]);
  const report = await checkPolicy(program, {
    policy: policy.source.content.policy,
    document: policy.text,
    cases: cases?.text ?? null,
  });
  for (const finding of report.findings) console.log(lineOf(file, finding).line);
  for (const { id, problems } of report.cases.failed)
    console.log(`${cases?.file ?? ''} FAIL ${id}: ${problems.join('; ')}`);
  for (const rule of report.cases.untested_rules)
    console.log(`${file} hint ${rule}: no case names it or sets it off`);
  if (report.cases.total === 0)
    console.log(
      `${file} error: there is no case beside it, in ${file.replace(/(\.\w+)$/, '.cases$1')}`,
    );
  const { total, failed } = report.cases;
  console.log(
    `${file}: ${report.passed ? 'may be approved' : 'may not be approved'}, ${total - failed.length} of ${counted(total, 'case')} pass`,
  );
  return report.passed ? 0 : 1;
}

function lineOf(
  file: string,
  { line, column, severity, kind, rule, sentence }: FindingView,
): { line: string; isError: boolean } {
  return {
    line: `${file}:${line}:${column} ${severity} ${kind}${rule ? ` ${rule}` : ''}: ${sentence}`,
    isError: severity === 'error',
  };
}

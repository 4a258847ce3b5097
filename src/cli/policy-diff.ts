import { readFile } from 'node:fs/promises';
import { counted } from '../counted.ts';
import { casesOf, type PolicyCase } from '../pdp/cases.ts';
import { boundTo } from '../pdp/compose.ts';
import { type DiffLine, diffPolicies } from '../pdp/diff.ts';
import { evaluate, type Verdict } from '../pdp/evaluate.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import { renderPolicy } from '../pdp/render.ts';
import { readPackFolder } from '../policies/files.ts';
import { packWith, readCasesBeside, readPolicyFile, sayError } from './policy-files.ts';

/** Prints a policy in plain language, as Markdown. Exit code 0, or 2 when it cannot be read. */
export async function runPolicyRender(
  packDir: string,
  file: string,
  language: string,
): Promise<number> {
  try {
    const { pack } = packWith(await readPackFolder(packDir), []);
    const { source } = await readPolicyFile(file);
    process.stdout.write(renderPolicy(source.content, pack, language));
    return 0;
  } catch (error) {
    return sayError(error);
  }
}

export interface DiffOptions {
  readonly packDir: string;
  readonly language: string;
  /** Scenario files whose answers are compared, beside the cases that lie beside the two versions. */
  readonly cases: readonly string[];
}

/**
 * Prints what a new version of a policy changes: its rules in plain language, and the cases that
 * are decided otherwise. Exit code 0 when nothing differs, 1 when something does, 2 when a file
 * cannot be read.
 */
export async function runPolicyDiff(
  oldFile: string,
  newFile: string,
  { packDir, language, cases: files }: DiffOptions,
): Promise<number> {
  try {
    const pack = await readPackFolder(packDir);
    const [before, after] = [await readPolicyFile(oldFile), await readPolicyFile(newFile)];
    const programs = [packWith(pack, [before]), packWith(pack, [after])] as const;
    const { policy, rules } = diffPolicies(
      before.source.content,
      after.source.content,
      programs[1].pack,
      language,
    );
    sayLines(policy);
    for (const { rule, change, lines } of rules) {
      console.log(`${rule} ${change}`);
      sayLines(lines);
    }
    const cases = [
      ...(await Promise.all(
        files.map(async (file) => casesOf(file, await readFile(file, 'utf8'))),
      )),
      ...(await Promise.all([oldFile, newFile].map(casesBeside))),
    ].flat();
    const changed = cases.flatMap((each) => changeOf(programs, each));
    for (const line of changed) console.log(line);
    const same = policy.length === 0 && rules.length === 0;
    const text = same
      ? 'the text reads the same'
      : counted(rules.length, 'rule differs', 'rules differ');
    const otherwise = `${changed.length} of ${counted(cases.length, 'case')}`;
    console.log(`${text}; ${otherwise} ${changed.length === 1 ? 'is' : 'are'} decided otherwise`);
    return same && changed.length === 0 ? 0 : 1;
  } catch (error) {
    return sayError(error);
  }
}

async function casesBeside(file: string): Promise<PolicyCase[]> {
  const beside = await readCasesBeside(file);
  return beside ? casesOf(beside.file, beside.text) : [];
}

function sayLines(lines: readonly DiffLine[]): void {
  for (const { mark, text } of lines) if (mark !== ' ') console.log(`${mark} ${text}`);
}

function changeOf(
  [before, after]: readonly [Program, Program],
  { id, facts }: PolicyCase,
): string[] {
  const decide = (program: Program): Verdict => {
    const bound = boundTo(program, facts);
    return evaluate(bound, loadFacts(bound, facts));
  };
  const [old, next] = [decide(before), decide(after)];
  const marks = (['deny', 'review', 'oblige'] as const).flatMap((set) => [
    ...old[set].filter((rule) => !next[set].includes(rule)).map((rule) => `-${rule} (${set})`),
    ...next[set].filter((rule) => !old[set].includes(rule)).map((rule) => `+${rule} (${set})`),
  ]);
  if (old.effect === next.effect && marks.length === 0) return [];
  const effect =
    old.effect === next.effect ? `stays ${old.effect}` : `${old.effect} → ${next.effect}`;
  return [`${id}: ${effect}  ${marks.join(' ')}`];
}

import { readFile } from 'node:fs/promises';
import { ServiceError } from '../errors.ts';
import { buildExtension, type PackFile } from '../pdp/build.ts';
import { withExtensions } from '../pdp/compose.ts';
import { parsePolicy, type SourceFile, type PolicyDocument } from '../pdp/document.ts';
import type { Program } from '../pdp/program.ts';
import { compilePack, type PackFiles, problemOf } from '../policies/files.ts';

/** A policy from the shell: its text, and its document. */
export interface PolicyFile extends PackFile {
  readonly source: SourceFile<PolicyDocument>;
}

/** @throws ServiceError `invalid_policy` with file, line and column of every mistake. */
export async function readPolicyFile(file: string): Promise<PolicyFile> {
  const text = await readFile(file, 'utf8');
  const parsed = parsePolicy(file, text);
  if (!parsed.ok)
    throw new ServiceError(
      'invalid_policy',
      `${file} has mistakes.`,
      parsed.problems.map(problemOf),
    );
  return { file, text, source: parsed.source };
}

/** The tests beside a policy, `NAME.cases.yaml` beside `NAME.yaml`; undefined without any. */
export async function readCasesBeside(
  file: string,
): Promise<{ file: string; text: string } | undefined> {
  const beside = file.replace(/\.(ya?ml|json)$/, '.cases.$1');
  try {
    return { file: beside, text: await readFile(beside, 'utf8') };
  } catch {
    return undefined;
  }
}

/**
 * The pack with policies in their places: a version of one of its own replaces that, any other
 * comes beside it.
 * @throws ServiceError `invalid_policy`.
 */
export function packWith(pack: PackFiles, policies: readonly PolicyFile[]): Program {
  const nameOf = ({ file, text }: PackFile): string | undefined => {
    const parsed = parsePolicy(file, text);
    return parsed.ok ? parsed.source.content.policy : undefined;
  };
  const own = new Map(pack.policies.map((file) => [nameOf(file), file]));
  const replaced = policies.filter(({ source }) => own.has(source.content.policy));
  for (const policy of replaced) own.set(policy.source.content.policy, policy);
  const base = compilePack({ pack: pack.pack, policies: [...own.values()] });
  const beside = policies.filter((policy) => !replaced.includes(policy));
  const extensions = beside.map((policy) => {
    const built = buildExtension(base, policy);
    if (built.ok) return built.value;
    throw new ServiceError(
      'invalid_policy',
      `${policy.file} has mistakes.`,
      built.problems.map(problemOf),
    );
  });
  return withExtensions(base, extensions);
}

/** Says what went wrong, one mistake a line, and returns the exit code for it. */
export function sayError(error: unknown): 2 {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof ServiceError) {
    for (const { path, expected, rule } of error.errors)
      console.error(`${path}${rule ? ` ${rule}` : ''}: ${expected}`);
  }
  return 2;
}

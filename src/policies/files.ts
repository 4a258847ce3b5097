import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ServiceError } from '../errors.ts';
import type { FileProblem } from '../pdp/document.ts';
import { buildProgram, type PackFile } from '../pdp/build.ts';
import type { Program } from '../pdp/program.ts';

export interface PackFiles {
  readonly pack: PackFile;
  readonly policies: readonly PackFile[];
}

/**
 * The files of a pack: `pack.yaml`, and every policy under `rules/` in the order of their names.
 * @throws ServiceError `invalid_policy` when the folder holds no pack.
 */
export async function readPackFolder(folder: string): Promise<PackFiles> {
  const name = basename(folder);
  const read = async (file: string): Promise<PackFile> => ({
    file: `${name}/${file}`,
    text: await readFile(join(folder, file), 'utf8'),
  });
  try {
    const rules = (await readdir(join(folder, 'rules')))
      .filter((file) => /\.ya?ml$/.test(file))
      .toSorted();
    return {
      pack: await read('pack.yaml'),
      policies: await Promise.all(rules.map((file) => read(join('rules', file)))),
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'cannot be read';
    throw new ServiceError('invalid_policy', `The pack cannot be read: ${detail}`);
  }
}

/**
 * Compiles a pack's files.
 * @throws ServiceError `invalid_policy` with file, line, column and rule of every mistake.
 */
export function compilePack({ pack, policies }: PackFiles): Program {
  const built = buildProgram(pack, policies);
  if (built.ok) return built.value;
  throw new ServiceError(
    'invalid_policy',
    'The pack has mistakes. The last good version stays in force.',
    built.problems.map(problemOf),
  );
}

function problemOf({ file, line, column, message, rule }: FileProblem): {
  path: string;
  expected: string;
  rule?: string;
} {
  return {
    path: `${file}:${line}:${column}`,
    expected: message,
    ...(rule === undefined ? {} : { rule }),
  };
}

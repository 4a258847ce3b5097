import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ServiceError } from '../errors.ts';
import { type FileProblem, namedFiles, parsePolicy, type Texts } from '../pdp/document.ts';
import { buildExtension, buildProgram, type PackFile } from '../pdp/build.ts';
import { joinPack } from '../pdp/parts.ts';
import type { Program } from '../pdp/program.ts';

/** Where a pack finds what others share with it, when it is not beside it. */
const SHIPPED = join(import.meta.dirname, '../../policies');

export interface PackFiles {
  readonly pack: PackFile;
  readonly policies: readonly PackFile[];
}

/**
 * The files of a pack: `pack.yaml` with the parts that it names, every policy under `rules/` in the
 * order of their names, and the rules elsewhere that it names. What it names stands beside its
 * folder, or else is what the service ships.
 * @throws ServiceError `invalid_policy` when the folder holds no pack, or lacks what it names.
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
    const pack = await read('pack.yaml');
    const named = namedFiles(pack.text);
    const shared = async (file: string): Promise<PackFile> => ({
      file,
      text: await readFile(join(folder, '..', file), 'utf8').catch(() =>
        readFile(join(SHIPPED, file), 'utf8'),
      ),
    });
    const parts = await Promise.all(named.parts.map(shared));
    return {
      pack: {
        ...pack,
        text: joinPack(
          pack.text,
          parts.map(({ text }) => text),
        ),
      },
      policies: await Promise.all([
        ...rules.map((file) => read(join('rules', file))),
        ...named.rules.map(shared),
      ]),
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'cannot be read';
    throw new ServiceError('invalid_policy', `The pack cannot be read: ${detail}`);
  }
}

/** The folders of `policies/` that hold a pack, in the order of their names. */
export async function packFolders(policies: string): Promise<string[]> {
  const names = (await readdir(policies)).toSorted();
  const folders = names.map((name) => join(policies, name));
  return folders.filter((folder) => existsSync(join(folder, 'pack.yaml')));
}

/** A policy to start from, with its cases; names in capital letters are for the writer to fill in. */
export interface Template {
  readonly template: string;
  readonly title: Texts;
  readonly description: Texts;
  readonly document: string;
  readonly cases: string;
}

/** The templates in a folder: `NAME.yaml`, and `NAME.cases.yaml` beside it; none without a folder. */
export async function readTemplates(folder: string): Promise<readonly Template[]> {
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((file) => /^[a-z-]+\.yaml$/.test(file)).toSorted();
  return Promise.all(
    files.map(async (file) => {
      const template = basename(file, '.yaml');
      const document = await readFile(join(folder, file), 'utf8');
      const cases = await readFile(join(folder, `${template}.cases.yaml`), 'utf8');
      const parsed = parsePolicy(file, document);
      if (!parsed.ok) throw new Error(`the template ${file} is no policy`);
      const { title, description = title } = parsed.source.content;
      return { template, title, description, document, cases };
    }),
  );
}

/** Does the pack have the facts and words that a template reads? */
export function fits(program: Program, { template, document }: Template): boolean {
  return buildExtension(program, { file: `${template}.yaml`, text: document }).ok;
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

/** A mistake in a file as an error names it: `FILE:LINE:COLUMN`, and what was expected there. */
export function problemOf({ file, line, column, message, rule }: FileProblem): {
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

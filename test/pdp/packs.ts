import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { casesOf, type PolicyCase } from '../../src/pdp/cases.ts';
import type { Program } from '../../src/pdp/program.ts';
import { compilePack, readPackFolder } from '../../src/policies/files.ts';

const policies = new URL('../../policies/', import.meta.url);

/** Case files that do not bear the name of their pack, and the packs that they are cases of. */
const OTHER_CASE_FILES: Readonly<Record<string, readonly string[]>> = {
  'rules.yaml': ['rwanda'],
  'rwanda-terms.yaml': ['rwanda'],
  'data-use.yaml': ['duo', 'rwanda'],
};

export interface ShippedPack {
  readonly name: string;
  readonly folder: string;
  readonly program: Program;
  readonly cases: readonly PolicyCase[];
}

/** Every pack under `policies/`, compiled, with its cases under `policies/cases/`. */
export const packs: readonly ShippedPack[] = await Promise.all(
  readdirSync(policies)
    .filter((name) => existsSync(new URL(`${name}/pack.yaml`, policies)))
    .toSorted()
    .map(async (name) => {
      const folder = fileURLToPath(new URL(name, policies));
      return {
        name,
        folder,
        program: compilePack(await readPackFolder(folder)),
        cases: caseFilesOf(name).flatMap((file) =>
          casesOf(file, readFileSync(new URL(`cases/${file}`, policies), 'utf8')),
        ),
      };
    }),
);

/** `NAME.yaml` and `NAME.json` of a pack, and files that are listed as its own. */
function caseFilesOf(pack: string): string[] {
  return readdirSync(new URL('cases/', policies)).filter((file) =>
    (OTHER_CASE_FILES[file] ?? [basename(file).split('.')[0]]).includes(pack),
  );
}

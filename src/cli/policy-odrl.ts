import { readFile } from 'node:fs/promises';
import { exportOdrl } from '../odrl/export.ts';
import { type Bindings, importOdrl } from '../odrl/import.ts';
import type { ProfileName } from '../odrl/mapping.ts';
import type { Format } from '../odrl/read.ts';
import { readPackFolder } from '../policies/files.ts';
import { packWith, readPolicyFile, sayError } from './policy-files.ts';

/** Prints a policy as ODRL. Exit code 0, or 2 when it cannot be read. */
export async function runPolicyExport(
  packDir: string,
  file: string,
  format: Format,
): Promise<number> {
  try {
    const { pack } = packWith(await readPackFolder(packDir), []);
    const { source } = await readPolicyFile(file);
    process.stdout.write(exportOdrl(source.content, { format, pack }));
    return 0;
  } catch (error) {
    return sayError(error);
  }
}

export interface ImportOptions {
  readonly packDir: string;
  readonly format: Format;
  readonly profile: ProfileName;
  readonly bindings: Bindings;
  readonly owner: string | undefined;
  /** The first day on which it is in force, YYYY-MM-DD. */
  readonly from: string;
}

/**
 * Prints an ODRL policy as a policy document of ours. Exit code 0, 1 when something in it has no
 * meaning here, 2 when the file cannot be read.
 */
export async function runPolicyImport(
  file: string,
  { packDir, format, profile, bindings, owner, from }: ImportOptions,
): Promise<number> {
  try {
    const { pack } = packWith(await readPackFolder(packDir), []);
    const read = await importOdrl(await readFile(file, 'utf8'), {
      format,
      bindings,
      ...(profile === 'national' ? { profile, pack } : { profile }),
      header: {
        in_force: { from },
        ...(owner === undefined ? {} : { layer: 'steward' as const, owner }),
      },
    });
    if (read.ok) {
      process.stdout.write(read.text);
      return 0;
    }
    for (const { where, message } of read.problems) console.error(`${file} ${where}: ${message}`);
    return 1;
  } catch (error) {
    return sayError(error);
  }
}

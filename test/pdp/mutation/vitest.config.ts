import { join } from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

/** The engine's own tests, without a database: what `npm run mutation` runs for each mutant. */
const config: ViteUserConfig = defineConfig({
  resolve: { alias: { 'fast-check': join(import.meta.dirname, 'fast-check.ts') } },
  test: {
    // Without the comparison with Cedar: an oracle by itself, but ten times as slow as all others.
    include: ['test/pdp/mutation/all.ts'],
    // Sizes and attacks are about time, which a mutant seldom changes.
    testNamePattern: /^(?!.*(?:thousand|100,000|30,000|meant to hurt|deletion of a line))/,
    testTimeout: 60_000,
  },
});

export default config;

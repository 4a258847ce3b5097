import { expect, test } from 'vitest';
import { checkPolicy } from '../../src/policies/check.ts';
import { program } from '../pdp/support.ts';

const CASES = 50;

test('between the cases of a check others have their turn', async () => {
  const cases = Array.from({ length: CASES }, (_, i) => ({
    id: `C${i}`,
    expected: { decision: 'deny' },
  }));
  let turns = 0;
  const count = (): void => {
    turns++;
    next = setImmediate(count);
  };
  let next = setImmediate(count);
  const { cases: report } = await checkPolicy(program, {
    policy: 'none',
    document: '',
    cases: JSON.stringify(cases),
  });
  clearImmediate(next);
  expect(report).toMatchObject({ total: CASES, failed: [] });
  expect(turns).toBeGreaterThanOrEqual(CASES);
});

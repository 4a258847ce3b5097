import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { casesOf } from '../src/pdp/cases.ts';
import { evaluate } from '../src/pdp/evaluate.ts';
import { explain } from '../src/pdp/explain.ts';
import { type Facts } from '../src/pdp/facts.ts';
import { loadFacts } from '../src/pdp/program.ts';
import { compilePack, readPackFolder } from '../src/policies/files.ts';

const ROOT = join(import.meta.dirname, '..');
const ROUNDS = 5;

export interface DecisionRates {
  readonly cases: number;
  readonly decisionsPerSecond: number;
  readonly loadsPerSecond: number;
  readonly fromJsonPerSecond: number;
  readonly explainedPerSecond: number;
}

/**
 * One core, the scenario set and its variants in turn, no two equal requests in a row: decisions
 * from facts in the evaluator's form; beside them what loading costs, the way from JSON text, and
 * decisions with their explanation. The best of five rounds: the machine is shared.
 */
export async function measureDecisions(): Promise<DecisionRates> {
  const program = compilePack(await readPackFolder(join(ROOT, 'policies/rwanda')));
  const file = join(ROOT, 'policies/cases/rwanda.json');
  const facts = casesOf(file, readFileSync(file, 'utf8')).map((each) => each.facts);
  const texts = facts.map((each) => JSON.stringify(each));
  const frames = facts.map((each) => loadFacts(program, each));
  let sum = 0;
  const rate = (times: number, work: (i: number) => number): number => {
    let best = 0;
    for (let round = 0; round <= ROUNDS; round++) {
      const start = performance.now();
      for (let i = 0; i < times; i++) sum += work(i % facts.length);
      best = Math.max(best, (times / (performance.now() - start)) * 1000);
    }
    return Math.round(best);
  };
  const at = <T>(list: readonly T[], i: number): T => list[i] as T;
  const result = {
    cases: facts.length,
    decisionsPerSecond: rate(500_000, (i) => evaluate(program, at(frames, i)).deny.length),
    loadsPerSecond: rate(50_000, (i) => loadFacts(program, at(facts, i)).length),
    fromJsonPerSecond: rate(
      20_000,
      (i) => evaluate(program, loadFacts(program, JSON.parse(at(texts, i)) as Facts)).deny.length,
    ),
    explainedPerSecond: rate(4_000, (i) => explain(program, at(facts, i)).reasons.length),
  };
  if (sum === 0) throw new Error('nothing was decided');
  return result;
}

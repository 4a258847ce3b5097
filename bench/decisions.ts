import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { casesOf } from '../src/pdp/cases.ts';
import { evaluate } from '../src/pdp/evaluate.ts';
import { explain } from '../src/pdp/explain.ts';
import { type Facts } from '../src/pdp/facts.ts';
import { loadFacts } from '../src/pdp/program.ts';
import { compilePack, readPackFolder } from '../src/policies/files.ts';
import { Cedar } from './cedar.ts';

const ROOT = join(import.meta.dirname, '..');
const ROUNDS = 7;

/** Per second of one core's processor time, each the best of the rounds. */
export interface DecisionRates {
  readonly cases: number;
  readonly decisionsPerSecond: number;
  readonly loadsPerSecond: number;
  readonly fromJsonPerSecond: number;
  readonly explainedPerSecond: number;
  /** Of the cases that Cedar can decide: see bench/cedar.ts. */
  readonly cedarCases: number;
  readonly cedarPerSecond: number;
  /** The median over the rounds, in each of which both were measured on Cedar's cases. */
  readonly toCedar: number;
}

/**
 * One core, the scenario set and its variants in turn, no two equal requests in a row: decisions
 * from facts in the evaluator's form; beside them what loading costs, the way from JSON text,
 * decisions with their explanation, and Cedar with the same rules, from a context that is ready.
 * Processor time, not the clock's: the machine is shared.
 */
export async function measureDecisions(): Promise<DecisionRates> {
  const program = compilePack(await readPackFolder(join(ROOT, 'policies/rwanda')));
  const file = join(ROOT, 'policies/cases/rwanda.json');
  const facts = casesOf(file, readFileSync(file, 'utf8')).map((each) => each.facts);
  const texts = facts.map((each) => JSON.stringify(each));
  const frames = facts.map((each) => loadFacts(program, each));
  const cedar = new Cedar(program, 'bench');
  const settled = frames.filter((_, i) => explain(program, at(facts, i)).missing.length === 0);
  const contexts = settled.map((frame) => {
    evaluate(program, frame);
    return cedar.contextOf(frame);
  });
  const contests = {
    decisions: contest(500_000, frames, (frame) => evaluate(program, frame).deny.length),
    loads: contest(50_000, facts, (each) => loadFacts(program, each).length),
    fromJson: contest(20_000, texts, (text) => {
      const parsed = JSON.parse(text) as Facts;
      return evaluate(program, loadFacts(program, parsed)).deny.length;
    }),
    explained: contest(20_000, facts, (each) => explain(program, each).reasons.length),
    settled: contest(500_000, settled, (frame) => evaluate(program, frame).deny.length),
    cedar: contest(2_000, contexts, (context) => cedar.satisfied(context).length),
  };
  const rounds = Array.from({ length: ROUNDS }, () => ({
    decisions: contests.decisions(),
    loads: contests.loads(),
    fromJson: contests.fromJson(),
    explained: contests.explained(),
    settled: contests.settled(),
    cedar: contests.cedar(),
  }));
  const best = (key: keyof typeof contests): number =>
    Math.round(Math.max(...rounds.map((round) => round[key])));
  const ratios = rounds.map((round) => round.settled / round.cedar).toSorted((a, b) => a - b);
  return {
    cases: facts.length,
    decisionsPerSecond: best('decisions'),
    loadsPerSecond: best('loads'),
    fromJsonPerSecond: best('fromJson'),
    explainedPerSecond: best('explained'),
    cedarCases: contexts.length,
    cedarPerSecond: best('cedar'),
    toCedar: Math.round(at(ratios, Math.floor(ROUNDS / 2))),
  };
}

/** Goes through the cases in turn, and answers how many a second were done. */
function contest<T>(times: number, cases: readonly T[], work: (each: T) => number): () => number {
  return () => {
    let done = 0;
    const before = process.cpuUsage();
    for (let i = 0; i < times; i++) done += work(at(cases, i % cases.length));
    const { user, system } = process.cpuUsage(before);
    if (done === 0) throw new Error('nothing was decided');
    return (times / (user + system)) * 1e6;
  };
}

function at<T>(list: readonly T[], index: number): T {
  return list[index] as T;
}

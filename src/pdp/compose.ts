import { type Facts, type Frame, isObject } from './facts.ts';
import { FALSE } from './logic.ts';
import { type Extension, loadFacts, type Program } from './program.ts';

/** Compositions that are kept for one program: datasets share few of them. */
const KEEP = 1_000;

interface Index {
  readonly national: readonly Extension[];
  readonly byOwner: ReadonlyMap<string | undefined, readonly Extension[]>;
  readonly composed: Map<string, Program>;
}

const indexes = new WeakMap<Program, Index>();

/** A program with policies beside the pack's, in their order. */
export function withExtensions(base: Program, extensions: readonly Extension[]): Program {
  return { ...base, extensions };
}

/**
 * The program of one case: the pack's policies, and those of the extensions that are about its
 * dataset, or of which its facts leave that unknown. A dataset without a publisher is nobody's: it
 * has the nation's. How many others there are does not matter.
 * `loaded`: the facts as the program's vocabulary loads them, where the caller has that already.
 */
export function boundTo(program: Program, facts: Facts, loaded?: Frame): Program {
  if (program.extensions.length === 0) return program;
  const index = indexOf(program);
  const publisher = isObject(facts.dataset) ? facts.dataset['publisher'] : undefined;
  const owned = typeof publisher === 'string' ? index.byOwner.get(publisher) : undefined;
  const candidates = owned ? [...index.national, ...owned] : index.national;
  if (candidates.length === 0) return composed(program, index, []);
  const frame = loaded ?? loadFacts(program, facts);
  return composed(
    program,
    index,
    candidates.filter(({ bound }) => !bound || bound(frame) !== FALSE),
  );
}

/** The pack's policies with every extension that may be about datasets of an owner; of the nation alone, without one. */
export function whole(program: Program, owner?: string): Program {
  const index = indexOf(program);
  const owned = owner === undefined ? [] : (index.byOwner.get(owner) ?? []);
  return composed(program, index, [...index.national, ...owned]);
}

function indexOf(program: Program): Index {
  const known = indexes.get(program);
  if (known) return known;
  const index: Index = {
    national: program.extensions.filter(({ owner }) => owner === undefined),
    byOwner: Map.groupBy(program.extensions, ({ owner }) => owner),
    composed: new Map(),
  };
  indexes.set(program, index);
  return index;
}

function composed(
  program: Program,
  { composed: kept }: Index,
  parts: readonly Extension[],
): Program {
  const key = parts.map(({ part }) => part.policies[0]?.sha256).join();
  const known = kept.get(key);
  if (known) return known;
  const widest = parts.reduce((most, { part }) => (part.width > most.width ? part : most), program);
  const joined: Program = {
    ...program,
    policies: [...program.policies, ...parts.flatMap(({ part }) => part.policies)],
    rules: [...program.rules, ...parts.flatMap(({ part }) => part.rules)],
    runners: [...program.runners, ...parts.flatMap(({ part }) => part.runners)],
    width: widest.width,
    slotNames: widest.slotNames,
    extensions: [],
  };
  kept.set(key, joined);
  const oldest = kept.keys().next().value;
  if (kept.size > KEEP && oldest !== undefined) kept.delete(oldest);
  return joined;
}

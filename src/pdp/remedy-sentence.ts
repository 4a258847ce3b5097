import type { Texts } from './document.ts';
import { valueAt } from './trace.ts';
import { type Facts, isObject } from './facts.ts';
import type { Lever, Move, Unit } from './levers.ts';
import type { Program } from './program.ts';
import { listed, placeTitle, textIn, valueTitle, wordsIn } from './words.ts';

/** One change of a remedy, for its sentence. */
interface Said {
  readonly unit: Unit;
  readonly from: unknown;
  readonly to: unknown;
  readonly moves: readonly Move[];
  readonly one_of: readonly unknown[];
}

interface Saying {
  readonly program: Program;
  readonly facts: Facts;
  readonly language: string;
}

/** What has to be done, in every language in which the pack says all of it, and in English. */
export function changeSentence(program: Program, facts: Facts, said: Said): Texts {
  const texts = textsOf(said);
  const languages = Object.keys(texts[0] ?? {}).filter(
    (language) => language === 'en' || texts.every((each) => Object.hasOwn(each, language)),
  );
  return Object.fromEntries(
    languages.map((language) => [language, sentenceIn({ program, facts, language }, said)]),
  );
}

function textsOf(said: Said): Texts[] {
  const clauses = changedMembers(said).map(({ remedies }) => remedies[0]?.sentence ?? {});
  const own = said.unit.obtain?.sentence;
  return own ? [own, ...clauses] : effectiveMoves(said).map(({ remedy }) => remedy.sentence);
}

function sentenceIn(saying: Saying, said: Said): string {
  const { unit } = said;
  if (!unit.obtain) {
    const sentences = effectiveMoves(said).map(({ remedy, lever }) => {
      const { from, to } = membersOf(said, lever);
      return fill(remedy.sentence, saying, { lever, from, to, one_of: said.one_of });
    });
    return [...new Set(sentences)].join(' ');
  }
  const clauses = changedMembers(said).map((lever) => {
    const { from, to } = membersOf(said, lever);
    return fill(lever.remedies[0]?.sentence ?? {}, saying, { lever, from, to, one_of: [] });
  });
  const { and, that } = wordsIn(saying.language);
  const joined = clauses.length > 0 ? ` ${that} ${listed(clauses, and)}` : '';
  return fill(unit.obtain.sentence, saying, undefined).replace('{clauses}', () => joined);
}

/** The moves that made the value what it is: what came before a move to the home country is undone. */
function effectiveMoves({ moves, from, to }: Said): readonly Move[] {
  const settled = moves.findLastIndex(({ delta }) => 'set' in delta || 'keep' in delta);
  const last = settled < 0 ? moves : moves.slice(settled);
  const used = new Set<unknown>();
  const { added, removed } = difference(from, to);
  return last.filter(({ remedy, delta }) => {
    const idle =
      ('add' in delta && added.length === 0) || ('remove' in delta && removed.length === 0);
    const again = used.has(remedy);
    used.add(remedy);
    return !idle && !again;
  });
}

function changedMembers({ unit, from, to }: Said): Lever[] {
  const before = isObject(from) ? from : {};
  const after = isObject(to) ? to : {};
  return unit.members.filter(({ key }) => {
    if (key === undefined || unit.shape !== 'record' || !(key in after)) return false;
    return JSON.stringify(before[key]) !== JSON.stringify(after[key]);
  });
}

/** The values of a lever before and after: a member of a record, or of each object of a list. */
function membersOf({ unit, from, to }: Said, { key }: Lever): { from: unknown; to: unknown } {
  if (key === undefined) return { from, to };
  const member = (value: unknown): unknown => (isObject(value) ? value[key] : undefined);
  if (unit.shape === 'record') return { from: member(from), to: member(to) };
  const members = (value: unknown): unknown[] => [
    ...new Set((Array.isArray(value) ? (value as unknown[]) : []).map(member)),
  ];
  return { from: members(from), to: members(to) };
}

function difference(from: unknown, to: unknown): { added: unknown[]; removed: unknown[] } {
  const before = Array.isArray(from) ? (from as unknown[]) : [];
  const after = Array.isArray(to) ? (to as unknown[]) : [];
  return {
    added: after.filter((each) => !before.includes(each)),
    removed: before.filter((each) => !after.includes(each)),
  };
}

interface Filling {
  readonly lever: Lever;
  readonly from: unknown;
  readonly to: unknown;
  readonly one_of: readonly unknown[];
}

function fill(sentence: Texts, saying: Saying, filling: Filling | undefined): string {
  const { program, facts, language } = saying;
  const { pack } = program;
  return textIn(sentence, language).replaceAll(/\{([a-z0-9_.]+)\}/g, (whole, name: string) => {
    if (name === 'home') return placeTitle(pack.home, language);
    if (name.includes('.')) {
      const value = valueAt(facts, name.split('.'));
      const title = Object.hasOwn(pack.facts, name) ? pack.facts[name]?.title : undefined;
      return value === null && title
        ? textIn(title, language)
        : valueTitle(pack, name, value, language);
    }
    if (!filling) return whole;
    const { lever, from, to, one_of } = filling;
    const values = { value: to, values: one_of, ...difference(from, to) };
    if (!Object.hasOwn(values, name)) return whole;
    const value = values[name as keyof typeof values];
    if (name === 'values')
      return listed(
        one_of.map((each) => valueTitle(pack, lever.spec.path, each, language)),
        wordsIn(language).or,
      );
    return valueTitle(pack, lever.spec.path, value, language);
  });
}

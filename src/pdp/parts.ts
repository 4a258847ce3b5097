import type {
  FileProblem,
  IncludedPart,
  PackDocument,
  Parsed,
  PartDocument,
  SourceFile,
  Terms,
} from './document.ts';

/**
 * A pack's text is its own file and behind it the parts that it names, as one stream of YAML
 * documents: so one hash stands for all that a decision rests on, whoever shares the parts.
 */

const MARK = '---\n';

/** The text of a pack whose own file names these parts, in this order. */
export function joinPack(pack: string, parts: readonly string[]): string {
  if (parts.length === 0) return pack;
  return [pack, ...parts].map((text, i) => (i > 0 ? MARK : '') + ended(text)).join('');
}

/** Its documents: none of YAML's texts can hold a line that begins with the mark. */
export function splitPack(text: string): string[] {
  return text.split(/^---\n/m);
}

function ended(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}

type Lists = Record<string, Record<string, Terms[string]>>;

/** A pack with its parts: its own entries come first. @returns a problem for a name that is there twice. */
export function withParts(
  pack: SourceFile<PackDocument>,
  parts: readonly SourceFile<PartDocument>[],
): Parsed<PackDocument> {
  if (parts.length === 0) return { ok: true, source: pack };
  const problems: FileProblem[] = [];
  const merge = <T>(key: Merged, own: Readonly<Record<string, T>> | undefined) => {
    const merged: Record<string, T> = { ...own };
    for (const part of parts) {
      for (const [name, value] of Object.entries(part.content[key] ?? {})) {
        if (Object.hasOwn(merged, name))
          problems.push(part.problemAt([key, name], `there is another "${name}" in the pack`));
        else merged[name] = value as T;
      }
    }
    return merged;
  };
  const own = pack.content;
  const exact = exactIn(own);
  const lists = listsOf(own);
  for (const part of parts) {
    for (const [list, terms] of Object.entries(listsOf(part.content))) {
      const all = (lists[list] ??= {});
      for (const [code, term] of Object.entries(terms)) {
        const name = exact.get(code);
        const same = name === undefined ? undefined : all[name];
        if (name !== undefined && same) {
          const broader = [...(same.broader ?? []), ...(term.broader ?? [])];
          all[name] = { ...same, title: { ...term.title, ...same.title }, broader };
        } else if (Object.hasOwn(all, code)) {
          problems.push(part.problemAt([list, code], `there is another "${code}" in the pack`));
        } else all[code] = term;
      }
    }
  }
  const { purposes = {}, sectors = {}, ...taxonomies } = renamed(lists, exact);
  const all = <T>(of: (part: PartDocument) => readonly T[] | undefined): readonly T[] =>
    parts.flatMap(({ content }) => of(content) ?? []);
  const content: PackDocument = {
    ...own,
    prefixes: merge('prefixes', own.prefixes),
    instruments: merge('instruments', own.instruments),
    expiries: [...own.expiries, ...all(({ expiries }) => expiries)],
    purposes,
    sectors,
    taxonomies,
    closed: [...(own.closed ?? []), ...all(({ closed }) => closed)],
    disjoint: [...(own.disjoint ?? []), ...all(({ disjoint }) => disjoint)].map((group) =>
      group.map((code) => exact.get(code) ?? code),
    ),
    facts: merge('facts', own.facts),
    derived: merge('derived', own.derived),
    included: parts.map(({ content: part }) => includedOf(part, exact)),
  };
  if (problems.length > 0) return { ok: false, problems };
  // A mistake is said of the file that it stands in.
  const problemAt: SourceFile<PackDocument>['problemAt'] = (path, message) =>
    ([pack, ...parts].find((source) => has(source.content, path)) ?? pack).problemAt(path, message);
  return { ok: true, source: { file: pack.file, content, problemAt } };
}

type Merged = 'prefixes' | 'instruments' | 'facts' | 'derived';

function listsOf({ purposes, sectors, taxonomies }: Partial<PackDocument>): Lists {
  const lists: Lists = {};
  for (const [list, terms] of Object.entries({ purposes, sectors, ...taxonomies }))
    if (terms) lists[list] = { ...terms };
  return lists;
}

/** By a name of another vocabulary, the pack's own term that says the very same. */
function exactIn(pack: PackDocument): ReadonlyMap<string, string> {
  return new Map(
    Object.values(listsOf(pack)).flatMap((terms) =>
      Object.entries(terms).flatMap(([code, { exact }]) => (exact ? [[exact, code] as const] : [])),
    ),
  );
}

/** What stands under another vocabulary's name that the pack has its own for comes under its own. */
function renamed(lists: Lists, exact: ReadonlyMap<string, string>): Record<string, Terms> {
  const term = ({ broader, ...rest }: Terms[string]): Terms[string] =>
    broader ? { ...rest, broader: broader.map((code) => exact.get(code) ?? code) } : rest;
  return Object.fromEntries(
    Object.entries(lists).map(([list, terms]) => [
      list,
      Object.fromEntries(Object.entries(terms).map(([code, each]) => [code, term(each)])),
    ]),
  );
}

function includedOf(content: PartDocument, exact: ReadonlyMap<string, string>): IncludedPart {
  const { part, version, title, source } = content;
  const lists = Object.entries(listsOf(content)).map(
    ([list, terms]) => [list, Object.keys(terms).filter((code) => !exact.has(code))] as const,
  );
  return { part, version, title, source, lists: Object.fromEntries(lists) };
}

function has(content: unknown, path: readonly (string | number)[]): boolean {
  let at = content;
  for (const key of path.slice(0, 2)) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return false;
    at = (at as Record<string | number, unknown>)[key];
  }
  return true;
}

import type { FileProblem, PackDocument, SourceFile, TermSpec, Terms } from './document.ts';
import type { Condition, Constant } from './condition.ts';
import { suggestion } from './facts.ts';
import { Taxonomy } from './taxonomy.ts';

/** The lists of terms of a pack: purposes, sectors and others by name. */
export function termLists({
  purposes,
  sectors,
  taxonomies,
}: Pick<PackDocument, 'purposes' | 'sectors' | 'taxonomies'>): Readonly<Record<string, Terms>> {
  return { purposes, sectors, ...taxonomies };
}

const taxonomies = new WeakMap<PackDocument, Taxonomy>();

/** The terms of a pack in their hierarchy, made once. */
export function taxonomyOf(pack: PackDocument): Taxonomy {
  const known = taxonomies.get(pack);
  if (known) return known;
  const { disjoint, closed } = pack;
  const own = Object.entries(termLists(pack)).map(
    ([list, terms]) =>
      [list, Object.keys(terms).filter((code) => isOwn(pack, list, code))] as const,
  );
  const made = new Taxonomy({
    lists: termLists(pack),
    aliases: aliasesOf(pack),
    ...(disjoint && { disjoint }),
    ...(closed && { closed }),
    own: Object.fromEntries(own),
  });
  taxonomies.set(pack, made);
  return made;
}

/** Is a term the pack's own, and not from one of its parts? */
export function isOwn({ included = [] }: PackDocument, list: string, code: string): boolean {
  return !included.some(({ lists }) => lists[list]?.includes(code));
}

/** The IRI of a term: that of the vocabulary that it is from, or equals; null where it has none. */
export function iriOf(pack: PackDocument, list: string, code: string): string | null {
  const [name] = namesOf(pack, list, code, termLists(pack)[list]?.[code]);
  return name === undefined ? null : (expanded(pack, name) ?? null);
}

/** CURIEs of a term: what it equals, and what it is in the pack's own namespace. */
function namesOf(
  pack: PackDocument,
  list: string,
  code: string,
  term: TermSpec | undefined,
): string[] {
  const exact = term?.exact === undefined ? [] : [term.exact];
  if (code.includes(':')) return [...exact, code];
  const { namespace } = pack;
  return namespace !== undefined && isOwn(pack, list, code)
    ? [...exact, `${namespace}:${code}`]
    : exact;
}

function expanded({ prefixes = {} }: PackDocument, curie: string): string | undefined {
  const at = curie.indexOf(':');
  const prefix = curie.slice(0, at);
  return Object.hasOwn(prefixes, prefix) ? `${prefixes[prefix]}${curie.slice(at + 1)}` : undefined;
}

/** By CURIE and by IRI, the code of the term that it names. */
function aliasesOf(pack: PackDocument): Readonly<Record<string, string>> {
  const aliases: Record<string, string> = {};
  for (const [list, terms] of Object.entries(termLists(pack))) {
    for (const [code, term] of Object.entries(terms)) {
      for (const name of namesOf(pack, list, code, term)) {
        for (const alias of [name, expanded(pack, name)])
          if (alias !== undefined && alias !== code) aliases[alias] ??= code;
      }
    }
  }
  return aliases;
}

function canonicalConstant(constant: Constant, taxonomy: Taxonomy): Constant {
  if (typeof constant === 'string') return taxonomy.canonical(constant);
  if (typeof constant !== 'object') return constant;
  const list = constant.map((each) => (typeof each === 'string' ? taxonomy.canonical(each) : each));
  return list.every((each, i) => each === constant[i]) ? constant : list;
}

/** A pack's mistakes in its terms: names that do not exist, and declarations that contradict. */
export function termProblems(source: SourceFile<PackDocument>): FileProblem[] {
  const pack = source.content;
  const lists = termLists(pack);
  const taxonomy = taxonomyOf(pack);
  const problems: FileProblem[] = [];
  const say = (path: readonly (string | number)[], message: string): void => {
    problems.push(source.problemAt(path, message));
  };
  for (const [list, terms] of Object.entries(lists)) {
    for (const [code, { broader = [], exact }] of Object.entries(terms)) {
      const path = list in pack ? [list, code] : ['taxonomies', list, code];
      for (const wider of broader) {
        if (!Object.hasOwn(terms, wider))
          say(
            path,
            `there is no term "${wider}" in ${list}${suggestion(wider, Object.keys(terms))}`,
          );
      }
      const unknown = exact !== undefined && expanded(pack, exact) === undefined;
      if (unknown) say(path, `"${exact}" begins with no prefix of the pack`);
    }
  }
  const { namespace, prefixes = {}, closed = [], disjoint = [] } = pack;
  if (namespace !== undefined && !Object.hasOwn(prefixes, namespace))
    say(['namespace'], `there is no prefix "${namespace}"`);
  closed.forEach((list, i) => {
    if (!Object.hasOwn(lists, list)) say(['closed', i], `there is no list "${list}"`);
  });
  disjoint.forEach((group, i) => {
    for (const [j, code] of group.entries()) {
      if (!taxonomy.broader.has(code)) say(['disjoint', i], `there is no term "${code}"`);
      const other = group.slice(j + 1).find((each) => taxonomy.overlapping(code).has(each));
      if (other !== undefined)
        say(['disjoint', i], `${code} and ${other} are not disjoint: a term is a kind of both`);
    }
  });
  return problems;
}

/**
 * A condition with the codes of terms that it calls by their CURIEs or IRIs; the very same where
 * there are none.
 */
export function canonicalCondition(
  condition: Condition,
  termsOf: (fact: string) => string | undefined,
  taxonomy: Taxonomy,
): Condition {
  const each = (part: Condition): Condition => canonicalCondition(part, termsOf, taxonomy);
  switch (condition.kind) {
    case 'not': {
      const of = each(condition.of);
      return of === condition.of ? condition : { ...condition, of };
    }
    case 'and':
    case 'or':
    case 'xone': {
      const of = condition.of.map(each);
      return of.every((part, i) => part === condition.of[i]) ? condition : { ...condition, of };
    }
    case 'compare': {
      if ('fact' in condition.right || termsOf(condition.fact) === undefined) return condition;
      const { constant } = condition.right;
      const named = canonicalConstant(constant, taxonomy);
      return named === constant ? condition : { ...condition, right: { constant: named } };
    }
    default:
      return condition;
  }
}

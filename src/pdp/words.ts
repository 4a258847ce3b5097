import type { Operator } from './condition.ts';
import type { Concern, Confidence, Effect, Layer, PackDocument, Texts } from './document.ts';
import { COUNTRIES } from './countries.ts';
import { type FactSpec, isObject, type RemedyActor } from './facts.ts';

/** How a comparison is said; `{fact}` and `{value}` stand for its two sides. */
type Comparisons = Readonly<
  Record<Exclude<Operator, 'isAnyOf' | 'isNoneOf' | 'eq' | 'neq'> | 'before' | 'after', string> &
    Record<'eq' | 'neq' | 'yes' | 'notYes' | 'notBefore' | 'notAfter', string> &
    Record<'isAnyOf' | 'isNoneOf' | 'sharesAnyOf' | 'sharesNoneOf' | 'exists' | 'nonempty', string>
>;

/** The words of a language that readings for people need; everything else is the pack's. */
interface Words {
  readonly and: string;
  readonly or: string;
  readonly yes: string;
  readonly no: string;
  readonly none: string;
  readonly not_stated: string;
  /** Joins an obtained record with what it must say: "an authorisation that covers A". */
  readonly that: string;
  readonly quote: string;
  readonly colon: string;
  readonly home: string;
  readonly today: string;
  readonly always: string;
  readonly never: string;
  readonly all_of: string;
  readonly any_of: string;
  readonly one_of: string;
  readonly not: string;
  readonly rule_applies: string;
  readonly rule_holds: string;
  readonly comparisons: Comparisons;
  readonly effects: Readonly<Record<Effect | 'satisfied', string>>;
  readonly answers: Readonly<Record<'permit' | 'deny' | 'review', string>>;
  readonly layers: Readonly<Record<Layer, string>>;
  readonly concerns: Readonly<Record<Concern, string>>;
  readonly confidences: Readonly<Record<Confidence, string>>;
  readonly sources: Readonly<Record<'register' | 'request' | 'derived', string>>;
  readonly actors: Readonly<Record<RemedyActor, string>>;
  readonly due: Readonly<Record<'from_start' | 'throughout' | 'before_release', string>>;
  readonly labels: Readonly<Record<Label, string>>;
}

type Label =
  | 'policy'
  | 'version'
  | 'layer'
  | 'concern'
  | 'instrument'
  | 'in_force'
  | 'owner'
  | 'target'
  | 'applies'
  | 'holds'
  | 'then'
  | 'otherwise'
  | 'outcome'
  | 'when'
  | 'else'
  | 'obligation'
  | 'due'
  | 'evidence'
  | 'sources'
  | 'confidence'
  | 'note'
  | 'words'
  | 'union'
  | 'without_home'
  | 'reasons'
  | 'uncertain'
  | 'facts'
  | 'obligations'
  | 'missing'
  | 'examiners'
  | 'expiry'
  | 'remedies'
  | 'remaining';

const EN: Words = {
  and: 'and',
  or: 'or',
  yes: 'yes',
  no: 'no',
  none: 'none',
  not_stated: 'not stated',
  that: 'that',
  quote: '“{value}”',
  colon: ':',
  home: 'home country ({value})',
  today: 'day of the decision',
  always: 'always',
  never: 'never',
  all_of: 'all of these are true',
  any_of: 'at least one of these is true',
  one_of: 'exactly one of these is true',
  not: 'it is not true that',
  rule_applies: 'the rule {value} applies',
  rule_holds: 'the rule {value} applies and holds',
  comparisons: {
    eq: '{fact} is {value}',
    neq: '{fact} is not {value}',
    yes: '{fact}: {value}',
    notYes: '{fact}: not {value}',
    lt: '{fact} is less than {value}',
    lteq: '{fact} is at most {value}',
    gt: '{fact} is more than {value}',
    gteq: '{fact} is at least {value}',
    before: '{fact} is before {value}',
    notAfter: '{fact} is not after {value}',
    after: '{fact} is after {value}',
    notBefore: '{fact} is not before {value}',
    isA: '{fact} is a kind of {value}',
    overlaps: '{fact} has something in common with {value}',
    hasPart: '{fact}: {value} is among them',
    isAllOf: '{fact}: all of {value} are among them',
    isPartOf: '{fact}: nothing besides {value}',
    isAnyOf: '{fact} is one of {value}',
    isNoneOf: '{fact} is none of {value}',
    sharesAnyOf: '{fact}: at least one of {value} is among them',
    sharesNoneOf: '{fact}: none of {value} is among them',
    exists: '{fact}: there is one',
    nonempty: '{fact}: there is at least one',
  },
  effects: {
    permit: 'permission',
    deny: 'refusal',
    review: 'a person examines it',
    oblige: 'an obligation',
    satisfied: 'nothing stands in the way',
  },
  answers: {
    permit: 'The policies permit it.',
    deny: 'The policies deny it.',
    review: 'A person must decide. Until then nothing may be released.',
  },
  layers: {
    statute: 'statute',
    regulation: 'regulation',
    agreement: 'agreement',
    national_choice: 'national choice, not a law',
    steward: 'condition of the steward, not a law',
  },
  concerns: { sovereignty: 'sovereignty', residency: 'residency', consent: 'consent' },
  confidences: {
    high: 'high',
    medium: 'medium',
    low: 'low',
    not_confirmed: 'not confirmed',
  },
  sources: { register: 'from the registers', request: 'from the request', derived: 'computed' },
  actors: {
    requester: 'yours to change',
    authority: 'granted or recorded by the authority',
    agreement: 'to be agreed with the other parties',
  },
  due: { from_start: 'from the start', throughout: 'throughout', before_release: 'before release' },
  labels: {
    policy: 'Policy',
    version: 'version',
    layer: 'Layer',
    concern: 'Concern',
    instrument: 'Rests on',
    in_force: 'In force',
    owner: 'Only for datasets of',
    target: 'Only for datasets of which',
    applies: 'Applies when',
    holds: 'Holds when',
    then: 'Then',
    otherwise: 'Otherwise',
    outcome: 'Result',
    when: 'when',
    else: 'in all other cases',
    obligation: 'Obligation',
    due: 'Due',
    evidence: 'Evidence',
    sources: 'Sources',
    confidence: 'confidence',
    note: 'Note',
    words: 'Words used',
    union: 'everything in',
    without_home: 'without the home country',
    reasons: 'Why',
    uncertain: 'A fact is missing, so this is not settled.',
    facts: 'Facts',
    obligations: 'What must be done',
    missing: 'Missing facts',
    examiners: 'Who decides',
    expiry: 'At the longest until',
    remedies: 'What would change the answer',
    remaining: 'A person would still examine',
  },
};

const FR: Words = {
  and: 'et',
  or: 'ou',
  yes: 'oui',
  no: 'non',
  none: 'aucun',
  not_stated: 'non indiqué',
  that: 'qui',
  quote: '« {value} »',
  colon: ' :',
  home: "pays d'origine ({value})",
  today: 'jour de la décision',
  always: 'toujours',
  never: 'jamais',
  all_of: 'tout ce qui suit est vrai',
  any_of: "au moins l'un des points suivants est vrai",
  one_of: "exactement l'un des points suivants est vrai",
  not: "il n'est pas vrai que",
  rule_applies: "la règle {value} s'applique",
  rule_holds: "la règle {value} s'applique et est respectée",
  comparisons: {
    eq: '{fact} est {value}',
    neq: "{fact} n'est pas {value}",
    yes: '{fact} : {value}',
    notYes: '{fact} : pas {value}',
    lt: '{fact} est inférieur à {value}',
    lteq: '{fact} est au plus {value}',
    gt: '{fact} est supérieur à {value}',
    gteq: '{fact} est au moins {value}',
    before: '{fact} est avant {value}',
    notAfter: "{fact} n'est pas après {value}",
    after: '{fact} est après {value}',
    notBefore: "{fact} n'est pas avant {value}",
    isA: '{fact} est une sorte de {value}',
    overlaps: '{fact} a quelque chose en commun avec {value}',
    hasPart: '{fact} : {value} en fait partie',
    isAllOf: '{fact} : {value} en font tous partie',
    isPartOf: '{fact} : rien en dehors de {value}',
    isAnyOf: "{fact} est l'un de {value}",
    isNoneOf: "{fact} n'est aucun de {value}",
    sharesAnyOf: "{fact} : au moins l'un de {value} en fait partie",
    sharesNoneOf: '{fact} : aucun de {value} en fait partie',
    exists: '{fact} : il y en a un',
    nonempty: '{fact} : il y en a au moins un',
  },
  effects: {
    permit: 'autorisation',
    deny: 'refus',
    review: "une personne l'examine",
    oblige: 'une obligation',
    satisfied: "rien ne s'y oppose",
  },
  answers: {
    permit: "Les politiques l'autorisent.",
    deny: 'Les politiques le refusent.',
    review: "Une personne doit décider. D'ici là, rien ne peut être communiqué.",
  },
  layers: {
    statute: 'loi',
    regulation: 'règlement',
    agreement: 'accord',
    national_choice: 'choix national, non une loi',
    steward: 'condition du responsable du jeu de données, non une loi',
  },
  concerns: { sovereignty: 'souveraineté', residency: 'résidence', consent: 'consentement' },
  confidences: { high: 'élevée', medium: 'moyenne', low: 'faible', not_confirmed: 'non confirmée' },
  sources: { register: 'des registres', request: 'de la demande', derived: 'calculé' },
  actors: {
    requester: 'à votre main',
    authority: "accordé ou enregistré par l'autorité",
    agreement: 'à convenir avec les autres parties',
  },
  due: {
    from_start: 'dès le début',
    throughout: 'en permanence',
    before_release: 'avant diffusion',
  },
  labels: {
    policy: 'Politique',
    version: 'version',
    layer: 'Niveau',
    concern: 'Objet',
    instrument: 'Fondement',
    in_force: 'En vigueur',
    owner: 'Seulement pour les jeux de données de',
    target: 'Seulement pour les jeux de données tels que',
    applies: "S'applique lorsque",
    holds: 'Est respectée lorsque',
    then: 'Alors',
    otherwise: 'Sinon',
    outcome: 'Résultat',
    when: 'lorsque',
    else: 'dans tous les autres cas',
    obligation: 'Obligation',
    due: 'Échéance',
    evidence: 'Preuve',
    sources: 'Sources',
    confidence: 'confiance',
    note: 'Note',
    words: 'Termes employés',
    union: 'tout ce qui est dans',
    without_home: "sans le pays d'origine",
    reasons: 'Pourquoi',
    uncertain: "Un fait manque ; ce point n'est pas tranché.",
    facts: 'Faits',
    obligations: 'Ce qui doit être fait',
    missing: 'Faits manquants',
    examiners: 'Qui décide',
    expiry: "Au plus tard jusqu'au",
    remedies: 'Ce qui changerait la réponse',
    remaining: 'Une personne examinerait encore',
  },
};

/** Kinyarwanda only where it is sure; the rest is English. */
const KINYARWANDA: Words = { ...EN, and: 'na', or: 'cyangwa', yes: 'yego', no: 'oya' };

const WORDS: ReadonlyMap<string, Words> = new Map([
  ['en', EN],
  ['fr', FR],
  ['rw', KINYARWANDA],
]);

const PLACES = new Map(
  ['en', 'fr'].map((language) => [language, new Intl.DisplayNames([language], { type: 'region' })]),
);

/** A text in a language, in English where it has none. */
export function textIn(texts: Texts, language: string): string {
  return own(texts, language) ?? texts['en'] ?? '';
}

/** The words of a language, English for one that is not known. */
export function wordsIn(language: string): Words {
  return WORDS.get(language) ?? EN;
}

/** "A, B and C" */
export function listed(items: readonly string[], word: string): string {
  const last = items.at(-1) ?? '';
  return items.length < 2 ? last : `${items.slice(0, -1).join(', ')} ${word} ${last}`;
}

/** The name of a country, from Unicode's tables (CLDR). */
export function placeTitle(code: string, language: string): string {
  if (!COUNTRIES.has(code)) return code;
  return (PLACES.get(language) ?? PLACES.get('en'))?.of(code) ?? code;
}

/** What a fact is called; where two are called the same, its name tells them apart. */
export function factTitle(pack: PackDocument, name: string, language: string): string {
  const words = wordsIn(language);
  if (name === 'home') return words.home.replace('{value}', placeTitle(pack.home, language));
  if (name === 'today') return words.today;
  const title = own(pack.facts, name)?.title ?? own(pack.derived, name)?.title;
  if (!title) return name;
  const text = textIn(title, language);
  return (titlesOf(pack, language).get(text) ?? 0) > 1 ? `${text} (${name})` : text;
}

const counts = new WeakMap<PackDocument, Map<string, ReadonlyMap<string, number>>>();

/** How many facts of a pack have a title. */
function titlesOf(pack: PackDocument, language: string): ReadonlyMap<string, number> {
  const known = counts.get(pack) ?? new Map<string, ReadonlyMap<string, number>>();
  counts.set(pack, known);
  const found = known.get(language);
  if (found) return found;
  const titles = new Map<string, number>();
  for (const { title } of [...Object.values(pack.facts), ...Object.values(pack.derived)]) {
    const text = textIn(title, language);
    titles.set(text, (titles.get(text) ?? 0) + 1);
  }
  // A language that nobody has words for has the English titles, and needs no table of its own.
  if (WORDS.has(language)) known.set(language, titles);
  return titles;
}

/** What the pack says of a fact; of a derived set, what it says of those that it unites. */
export function specOf(pack: PackDocument, name: string): Omit<FactSpec, 'path'> | undefined {
  const [first] = own(pack.derived, name)?.union ?? [];
  return own(pack.facts, name) ?? (first === undefined ? undefined : specOf(pack, first));
}

/** A value of a fact in words: places, purposes and sectors by their titles, codes without "_". */
export function valueTitle(
  pack: PackDocument,
  fact: string,
  value: unknown,
  language: string,
): string {
  const words = wordsIn(language);
  if (value === null || value === undefined) return words.not_stated;
  if (typeof value === 'boolean') return value ? words.yes : words.no;
  if (Array.isArray(value)) {
    const items = value.map((each) => valueTitle(pack, fact, each, language));
    return items.length === 0 ? words.none : listed(items, words.and);
  }
  if (isObject(value)) {
    const members = Object.entries(value).map(([key, member]) => {
      const name = `${fact}.${key}`;
      return `${factTitle(pack, name, language)}${words.colon} ${valueTitle(pack, name, member, language)}`;
    });
    return members.length === 0 ? words.yes : members.join('; ');
  }
  if (typeof value === 'number') return String(value);
  return codeTitle(pack, fact, value as string, language);
}

function codeTitle(pack: PackDocument, fact: string, code: string, language: string): string {
  const spec = specOf(pack, fact);
  const member = spec?.type === 'set' ? spec.of : spec?.type;
  if (member === 'text' || member === 'date' || member === 'datetime') return code;
  if (member === 'country') return placeTitle(code, language);
  const title =
    own(spec?.value_titles, code) ??
    own(pack.purposes, code)?.title ??
    own(pack.sectors, code)?.title;
  return title ? textIn(title, language) : code.replaceAll('_', ' ');
}

function own<T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return record && Object.hasOwn(record, key) ? record[key] : undefined;
}

import { canonicalText } from '../audit/canonical.ts';
import type { Recorded } from '../audit/record.ts';
import { counted } from '../counted.ts';
import { ServiceError } from '../errors.ts';
import { sha256 } from '../ids.ts';
import { boundTo } from '../pdp/compose.ts';
import { explain, type Explanation, type Expiry } from '../pdp/explain.ts';
import type { Facts } from '../pdp/facts.ts';
import type { PolicyReference, Program } from '../pdp/program.ts';
import { remedies, type Remedy } from '../pdp/remedies.ts';

/**
 * A decision as it is stored, in canonical JSON: what it was made from and what came out. Loading
 * the versions that it names and deciding its facts again gives the same bytes.
 */
export interface StoredDecision {
  readonly v: 1;
  readonly simulation: boolean;
  /** RFC 3339; also the fact `request.as_of` where the facts have none. */
  readonly as_of: string;
  readonly pack: { readonly pack: string; readonly version: number; readonly sha256: string };
  readonly policies: readonly PolicyReference[];
  readonly facts: Facts;
  readonly effect: 'permit' | 'deny' | 'review';
  readonly deny: readonly string[];
  readonly review: readonly string[];
  readonly obligations: readonly string[];
  readonly missing_facts: readonly string[];
  readonly expiry: Expiry | null;
}

export interface Decided {
  /** The policies that decided. */
  readonly program: Program;
  readonly stored: StoredDecision;
  readonly explanation: Explanation;
}

/** Decides explicit facts by the policies that are about them. Pure: the instant is in `asOf`. */
export function decide(
  inForce: Program,
  facts: Facts,
  { asOf, simulation }: { asOf: string; simulation: boolean },
): Decided {
  const program = boundTo(inForce, facts);
  const explanation = explain(program, facts);
  const stored: StoredDecision = {
    v: 1,
    simulation,
    as_of: asOf,
    pack: { pack: program.pack.pack, version: program.pack.version, sha256: program.packSha256 },
    policies: program.policies,
    facts,
    effect: explanation.effect,
    deny: explanation.deny,
    review: explanation.review,
    obligations: explanation.oblige,
    missing_facts: explanation.missing,
    expiry: explanation.expiry,
  };
  return { program, stored, explanation };
}

/** What many decisions say alike: canonical JSON, and its SHA-256 in hex. */
export interface DecisionPart {
  readonly sha256: string;
  readonly text: string;
}

/** The canonical JSON of a decision about a dataset. */
export interface DecisionText {
  readonly whole: string;
  /** As the database keeps it: with the hashes of its parts in their places. */
  readonly kept: string;
  readonly parts: readonly DecisionPart[];
}

/**
 * Writes a decision, whose facts are those of a dataset and of a request. What its policies and its
 * dataset say is written once for all decisions that share these very objects: nobody may change
 * them. `asked` is the canonical JSON of the facts of the request, where the caller has it.
 */
export function textOf(
  decision: StoredDecision,
  asked: string = canonicalText(decision.facts.request),
): DecisionText {
  const { facts, policies, ...own } = decision;
  const { dataset } = facts as { readonly dataset: object };
  const { as_of, deny, effect, expiry, missing_facts, obligations, pack, ...rest } = own;
  const before = canonicalText({ as_of, deny, effect, expiry }).slice(0, -1);
  const between = canonicalText({ missing_facts, obligations, pack }).slice(1, -1);
  const after = canonicalText(rest).slice(1);
  const write = (said: string, inForce: string): string =>
    `${before},"facts":{"dataset":${said},"request":${asked}},${between},"policies":${inForce},${after}`;
  const parts = [partOf(dataset), partOf(policies)] as const;
  const [said, inForce] = parts;
  return {
    whole: write(said.text, inForce.text),
    kept: write(`"${said.sha256}"`, `"${inForce.sha256}"`),
    parts,
  };
}

/** A part that a kept text names: its hash, and where the text has it, in quotes. */
interface PartReference {
  readonly at: number;
  readonly sha256: string;
}

/** The parts that a kept text names, in the order in which they stand; none where it is whole. */
export function referencesIn(kept: string): readonly PartReference[] {
  // The first value of its name, and the last one. No text has a bare quote.
  const places = [
    kept.indexOf(DATASET) + DATASET.length,
    kept.lastIndexOf(POLICIES) + POLICIES.length,
  ];
  const found = places.map((at) => ({ at, sha256: kept.slice(at + 1, at + REFERENCE - 1) }));
  const isReference = ({ at, sha256: hash }: PartReference): boolean =>
    kept.startsWith(`"${hash}"`, at) && /^[0-9a-f]{64}$/.test(hash);
  return found.every(isReference) ? found : [];
}

const DATASET = '"facts":{"dataset":';
const POLICIES = '"policies":';
/** A hash of 64 digits in quotes. */
const REFERENCE = 66;

/** The whole text of a kept one, as `whole_document` in the database gives it; a part that is gone leaves its hash. */
export function wholeOf(kept: string, partWith: (sha256: string) => string | undefined): string {
  let whole = '';
  let from = 0;
  for (const { at, sha256: hash } of referencesIn(kept)) {
    whole += kept.slice(from, at) + (partWith(hash) ?? `"${hash}"`);
    from = at + REFERENCE;
  }
  return whole + kept.slice(from);
}

/**
 * What a whole document says.
 * @throws Error where what its dataset said is gone, ServiceError `facts_erased` where all facts are.
 */
export function storedIn(document: string): StoredDecision {
  const stored = JSON.parse(document) as StoredDecision;
  if (!('facts' in stored)) throw factsErased(stored);
  if (typeof stored.facts.dataset === 'string')
    throw new Error(`what the dataset of a decision said is gone: ${stored.facts.dataset}`);
  return stored;
}

function factsErased({ effect, as_of }: Omit<StoredDecision, 'facts'>): ServiceError {
  return new ServiceError(
    'facts_erased',
    `What was asked has been erased, and what it was decided from. The decision of ${as_of} was "${effect}".`,
  );
}

const knownParts = new WeakMap<object, DecisionPart>();

function partOf(value: object): DecisionPart {
  const known = knownParts.get(value);
  if (known) return known;
  const text = canonicalText(value);
  const part = { sha256: sha256(text), text };
  knownParts.set(value, part);
  return part;
}

/** A decision as the API shows it. */
export interface DecisionView extends Recorded {
  readonly id: string;
  readonly simulation: boolean;
  readonly effect: StoredDecision['effect'];
  readonly as_of: string;
  readonly summary: string;
  readonly deny: string[];
  readonly review: string[];
  readonly reasons: Explanation['reasons'];
  readonly instruments: Explanation['instruments'];
  readonly obligations: Explanation['obligations'];
  readonly missing_facts: string[];
  readonly remedies: readonly Remedy[];
  readonly examiners: Explanation['examiners'];
  readonly expiry: Expiry | null;
  readonly pack: StoredDecision['pack'];
  readonly policies: readonly PolicyReference[];
}

export function viewOf(
  id: string,
  { program, stored, explanation }: Decided,
  recorded: Recorded,
): DecisionView {
  return {
    id,
    simulation: stored.simulation,
    effect: stored.effect,
    as_of: stored.as_of,
    summary: summaryOf(stored, explanation),
    deny: [...stored.deny],
    review: [...stored.review],
    reasons: explanation.reasons,
    instruments: explanation.instruments,
    obligations: explanation.obligations,
    missing_facts: [...stored.missing_facts],
    remedies: remedies(program, stored.facts),
    examiners: explanation.examiners,
    expiry: stored.expiry,
    pack: stored.pack,
    policies: stored.policies,
    ...recorded,
  };
}

/** A decision in one sentence. */
export function summaryOf(
  { effect, deny, review, obligations, expiry, missing_facts }: StoredDecision,
  { examiners }: Explanation,
): string {
  const missing = missing_facts.length > 0 ? ` Missing facts: ${missing_facts.join(', ')}.` : '';
  switch (effect) {
    case 'deny':
      return deny.length > 0
        ? `Denied by ${deny.join(', ')}.${missing}`
        : `Denied: nothing permits it.${missing}`;
    case 'review': {
      const who = examiners.map(({ title }) => title['en']).join('; ');
      return `A person must decide (${review.join(', ')}): ${who}. Until then nothing may be released.${missing}`;
    }
    case 'permit': {
      const duties =
        obligations.length > 0
          ? ` with ${counted(obligations.length, 'obligation')} (${obligations.join(', ')})`
          : '';
      const end = expiry
        ? `, at the longest until ${expiry.date} (${expiry.name.replaceAll('_', ' ')})`
        : '';
      return `Permitted by the policies${duties}${end}.${missing}`;
    }
  }
}

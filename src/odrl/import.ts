import type { PolicyDocument } from '../pdp/document.ts';
import { parsePolicy } from '../pdp/document.ts';
import { PROFILE } from './export.ts';
import { readForeign } from './foreign.ts';
import { type Graph, type Node, type OdrlProblem, OdrlMistake, where } from './graph.ts';
import type { AttributeSpec, TermSpec } from './mapping.ts';
import { readNative } from './native.ts';
import { type Format, readGraph } from './read.ts';
import { type Bindings, type Facts, Reading } from './reading.ts';
import { documentText } from '../pdp/source.ts';
import { odrl, umt } from './terms.ts';

export type { AttributeSpec, TermSpec } from './mapping.ts';
export type { OdrlProblem } from './graph.ts';
export type { Bindings } from './reading.ts';

export type ImportOptions = {
  readonly format: Format;
  readonly bindings?: Bindings;
  /** What a policy document has and an ODRL policy has not; of our own exports nothing is taken. */
  readonly header: ImportHeader;
} & (
  | { readonly profile: 'national'; readonly pack: Facts }
  /** A space gets the facts that the policy needs. */
  | { readonly profile: 'space' }
);

/** Left out, the name is made from the policy's IRI, and the rest is that of the profile. */
export type ImportHeader = Pick<PolicyDocument, 'in_force'> &
  Partial<
    Pick<PolicyDocument, 'policy' | 'version' | 'layer' | 'concern' | 'owner' | 'instrument'>
  >;

export type Imported =
  | {
      readonly ok: true;
      /** A policy document that `parsePolicy` takes. */
      readonly text: string;
      /** Of the profile `space`: the facts that the policy reads and that a space must have. */
      readonly attributes: Readonly<Record<string, AttributeSpec>>;
      /** Of the profile `space`: the words of its hierarchies, for `isA`. */
      readonly terms: Readonly<Record<string, TermSpec>>;
    }
  | { readonly ok: false; readonly problems: readonly OdrlProblem[] };

/**
 * An ODRL 2.2 policy (JSON-LD or Turtle; Set or Agreement) as a policy document of our language.
 * Pure: nothing is fetched, and there is no clock. What has no meaning here is refused with the
 * reason and where it stands; nothing is dropped. Never throws for what the text says.
 * Which word of ODRL is which fact: `policies/odrl/`; the meaning: `docs/odrl-profile.md`.
 */
export async function importOdrl(text: string, options: ImportOptions): Promise<Imported> {
  try {
    const graph = await readGraph(text, options.format);
    const policy = onlyPolicy(graph);
    const profiles = graph.nodesOf(policy, odrl('profile')).map(({ value }) => value);
    const isOwn = profiles.length === 1 && profiles[0] === PROFILE;
    const {
      document,
      problems: refused,
      ...more
    } = isOwn
      ? { document: readNative(graph, policy), problems: [], ...NOTHING }
      : foreign(graph, policy, options);
    if (refused.length > 0) return { ok: false, problems: refused };
    const written = documentText(document);
    const parsed = parsePolicy(document.policy, written);
    if (parsed.ok) return { ok: true, text: written, ...more };
    const problems = parsed.problems.map(({ rule, message }) => ({
      where: rule ?? document.policy,
      message,
    }));
    return { ok: false, problems };
  } catch (error) {
    if (!(error instanceof OdrlMistake)) throw error;
    return { ok: false, problems: [{ where: error.where, message: error.message }] };
  }
}

const NOTHING = { attributes: {}, terms: {} };

function foreign(graph: Graph, policy: Node, options: ImportOptions) {
  const pack = options.profile === 'national' ? options.pack : undefined;
  const reading = new Reading(graph, options.profile, options.bindings ?? {}, pack);
  const { document, problems } = readForeign(reading, policy, options.header);
  if (pack) return { document, problems, ...NOTHING };
  const attributes = Object.fromEntries(reading.attributes);
  return { document, problems, attributes, terms: reading.terms() };
}

/** Kinds of policies that grant nothing, or that say too little. */
const REFUSED: Readonly<Record<string, string>> = {
  Offer: 'an offer grants nothing until it is agreed on (ODRL 2.2, 2.1.3): import the Agreement',
  Request: 'a request asks for rights and grants none',
  Assertion: 'an assertion claims rights and grants none',
  Ticket: 'a ticket is for whoever holds it, and no fact says who does',
  Privacy: 'a privacy policy binds the assigner, whom no decision is about',
};
const GRANTING = ['Set', 'Agreement', 'Policy'].map(odrl);
const RULES = [...['permission', 'prohibition', 'obligation'].map(odrl), umt('review')];

/** @throws OdrlMistake unless there is one policy, of a kind that grants something. */
function onlyPolicy(graph: Graph): Node {
  const kinds = [...GRANTING, ...Object.keys(REFUSED).map(odrl)];
  const policies = graph
    .nodes()
    .filter(
      (node) =>
        graph.types(node).some((type) => kinds.includes(type)) ||
        graph.predicates(node).some((each) => RULES.includes(each)),
    );
  const [policy, other] = policies;
  if (!policy) throw new OdrlMistake('', 'there is no ODRL policy in this text');
  if (other) throw new OdrlMistake(where(other), 'a second policy: import one at a time');
  for (const [kind, reason] of Object.entries(REFUSED))
    if (graph.types(policy).includes(odrl(kind))) throw new OdrlMistake(where(policy), reason);
  return policy;
}

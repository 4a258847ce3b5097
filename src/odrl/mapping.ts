import duo from '../../policies/odrl/duo.json' with { type: 'json' };
import national from '../../policies/odrl/national.json' with { type: 'json' };
import space from '../../policies/odrl/space.json' with { type: 'json' };
import type { Operator } from '../pdp/condition.ts';
import type { Texts } from '../pdp/document.ts';
import type { FactSpec } from '../pdp/facts.ts';

/** How ODRL's words and a program's facts correspond: `policies/odrl/`, one file a profile. */
export interface Mapping {
  /** What a rule's action, assignee and target are; none where the facts do not say. */
  readonly action?: string;
  readonly assignee?: string;
  readonly target?: string;
  /** A set of what the party or asset belongs to, beside `odrl:partOf` in the policy itself. */
  readonly assignee_groups?: string;
  readonly target_groups?: string;
  /** Actions that every request does: nothing is asked of the fact. */
  readonly every_action: readonly string[];
  /** Is a permission also a limit: what it does not permit is denied? */
  readonly closes: boolean;
  /** Left operands; of several facts each must satisfy the constraint. */
  readonly operands: Readonly<Record<string, OperandMapping>>;
  /** Where left operands without a line of their own are found, by where the constraint stands. */
  readonly elsewhere?: Readonly<Record<Place, string>>;
  /** Parties that are a condition: a class of organisations. */
  readonly parties: Readonly<Record<string, unknown>>;
  /** What asking for an action as a duty comes to, where the facts can say whether it was done. */
  readonly duties: Readonly<Record<string, DutyMapping>>;
  /** What an exported fact is called; every other has a name of our own. */
  readonly exports: Readonly<Record<string, string>>;
  /** What the values of a fact are called; values without a name are written as they are. */
  readonly values: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Followed by an ISO 3166-1 code. */
  readonly places: string;
  readonly header: Readonly<Record<'layer' | 'concern' | 'instrument', string>>;
}

/** Where a constraint stands: at the rule, or as a refinement. */
export type Place = 'rule' | 'action' | 'assignee' | 'target';

export interface OperandMapping {
  readonly facts: readonly string[];
  /** Compared by what contains what: lteq is within, gt is not within. */
  readonly containment?: true;
  /** Used instead where the right operand is a date without a time. */
  readonly day?: string;
}

export interface DutyMapping {
  /** A condition of the permission. */
  readonly condition?: unknown;
  readonly attributes?: Readonly<Record<string, AttributeSpec>>;
  readonly due?: 'from_start' | 'throughout' | 'before_release';
  readonly sentence?: Texts;
  readonly evidence?: Texts;
}

/** A fact of a space: as in a pack, but for where it comes from. */
export type AttributeSpec = Omit<FactSpec, 'path' | 'source'> & {
  readonly source: 'request' | 'stored' | 'request_over_stored';
};

/** Words of others that a policy may use without declaring them. */
export interface Words {
  /** IRIs that begin so stand for a value that the importer must give. */
  readonly placeholders: readonly string[];
  /** Properties of a party that say what it is or belongs to. */
  readonly membership: readonly string[];
  readonly operators: Readonly<
    Record<string, { readonly operator: Operator; readonly negated?: true }>
  >;
  readonly terms: Readonly<Record<string, TermSpec>>;
  readonly duties: Readonly<Record<string, DutyMapping>>;
  /** ODRL profiles that these words are. */
  readonly profiles: readonly string[];
}

/** A word of a hierarchy, and the words that it is a kind of. */
export interface TermSpec {
  readonly title: Texts;
  readonly broader?: readonly string[];
}

export type ProfileName = 'national' | 'space';

export const MAPPINGS: Readonly<Record<ProfileName, Mapping>> = {
  national: national as unknown as Mapping,
  space: space as unknown as Mapping,
};

export const WORDS: Words = duo as unknown as Words;

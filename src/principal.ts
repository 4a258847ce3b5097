export const ROLES = ['steward', 'partner', 'auditor', 'authority', 'holder'] as const;
export type Role = (typeof ROLES)[number];

/** Who calls: a subject of the token issuer in one role, acting for an organisation. */
export interface Principal {
  readonly actor: string;
  readonly role: Role;
  /** Steward, partner and holder act for one; null for auditors and the authority. */
  readonly organisation: string | null;
  /** A partner's projects. */
  readonly projects: readonly string[];
}

/** The service itself, for what happens at start. */
export const SERVICE: { readonly actor: string; readonly role: 'service' } = {
  actor: 'umutungo',
  role: 'service',
};

/** Sees every register and every event, whoever owns them. */
export function overseesAll({ role }: Principal): boolean {
  return role === 'auditor' || role === 'authority';
}

/** Whose reads are recorded: those of auditors. */
export function isOverseen({ role }: Principal): boolean {
  return role === 'auditor';
}

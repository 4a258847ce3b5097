import { hash } from 'node:crypto';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { ServiceError } from '../errors.ts';
import { type Principal, type Role, ROLES } from '../principal.ts';

/** Whose tokens are accepted. The algorithms are fixed: none of them is symmetric, none is `none`. */
export interface Issuer {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: URL | JSONWebKeySet;
}

const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'RS256', 'PS256'];
const CACHE_MS = 30_000;
const KEYS_MS = 5 * 60_000;
const CACHE_SIZE = 5_000;
const MAX_TOKEN = 8_192;
const CLOCK_TOLERANCE_S = 5;
const SLUG = /^[a-z0-9][a-z0-9_-]{0,99}$/;

interface Verified {
  readonly principal: Principal;
  /** When to look at the token again, by the service's clock. */
  readonly until: number;
}

/**
 * Checks bearer tokens (RFC 6750) as JWTs: signature by a key of the issuer's set, issuer,
 * audience, expiry. Keys rotate: an unknown `kid` makes a remote set be fetched again, at most every
 * ten seconds; a key that the issuer has taken back is forgotten within five minutes. A token that
 * was verified is trusted for half a minute more, so that a busy caller costs one signature check.
 */
export function authenticator(
  issuer: Issuer,
  clock: () => Date,
): (header: string | undefined) => Promise<Principal> {
  const keys =
    issuer.keys instanceof URL ? remoteKeys(issuer.keys) : createLocalJWKSet(issuer.keys);
  const cache = new Map<string, Verified>();
  return async (header) => {
    const token = tokenOf(header);
    const now = clock().getTime();
    const name = hash('sha256', token, 'base64');
    const cached = cache.get(name);
    if (cached && now < cached.until) return cached.principal;
    const payload = await verify(token, issuer, keys, now);
    const principal = principalOf(payload);
    const until = Math.min(now + CACHE_MS, (payload.exp ?? 0) * 1000);
    cache.set(name, { principal, until });
    const oldest = cache.keys().next().value;
    if (cache.size > CACHE_SIZE && oldest !== undefined) cache.delete(oldest);
    return principal;
  };
}

/** @throws ServiceError `unavailable` when the issuer gives no key set: the token is not to blame. */
function remoteKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, {
    timeoutDuration: 3_000,
    cooldownDuration: 10_000,
    cacheMaxAge: KEYS_MS,
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      if (
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys
      )
        throw error;
      throw new ServiceError('unavailable', "The issuer's keys cannot be fetched now.");
    }
  };
}

function tokenOf(header: string | undefined): string {
  if (header === undefined)
    throw new ServiceError('unauthenticated', 'Send "Authorization: Bearer TOKEN".');
  const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(header)?.[1];
  if (token === undefined || token.length > MAX_TOKEN) throw invalid('it is no JWT');
  return token;
}

async function verify(
  token: string,
  { issuer, audience }: Issuer,
  keys: JWTVerifyGetKey,
  now: number,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      currentDate: new Date(now),
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['exp', 'sub'],
    });
    return payload;
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw invalid(REASONS[error.code] ?? 'it cannot be verified');
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ERR_JWT_EXPIRED: 'it has expired',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'its issuer, audience or another claim is not the one expected',
  ERR_JOSE_ALG_NOT_ALLOWED: 'its algorithm is not allowed',
  ERR_JWKS_NO_MATCHING_KEY: 'its key is not one of the issuer',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'its signature does not hold',
  ERR_JWS_INVALID: 'it is malformed',
  ERR_JWT_INVALID: 'it is malformed',
};

function invalid(reason: string): ServiceError {
  return new ServiceError('invalid_token', `The token is not accepted: ${reason}.`);
}

function principalOf({ sub, role, organisation, projects }: JWTPayload): Principal {
  if (
    typeof sub !== 'string' ||
    sub.length === 0 ||
    sub.length > 200 ||
    !sub.isWellFormed() ||
    /\p{Cc}|\p{Cf}/u.test(sub)
  )
    throw invalid('it has no usable "sub"');
  if (!isRole(role)) throw invalid(`its "role" is none of ${ROLES.join(', ')}`);
  if (role === 'auditor' || role === 'authority')
    return { actor: sub, role, organisation: null, projects: [] };
  if (typeof organisation !== 'string' || !SLUG.test(organisation))
    throw invalid('it names no "organisation"');
  const list = role === 'partner' && Array.isArray(projects) ? (projects as unknown[]) : [];
  const own = list.filter((each): each is string => typeof each === 'string' && SLUG.test(each));
  return { actor: sub, role, organisation, projects: own };
}

function isRole(role: unknown): role is Role {
  return (ROLES as readonly unknown[]).includes(role);
}

import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isKeyName } from './tlog/key-name.ts';

/** What the service is told from outside, checked whole at start. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  /** A PostgreSQL of one's own; null for the embedded one in `dataDir`. */
  readonly databaseUrl: string | null;
  readonly demo: boolean;
  /** Folder of the home pack. */
  readonly packDir: string;
  readonly logOrigin: string;
  /** A file in C2SP tlog-policy form with the witnesses that checkpoints need; null for none. */
  readonly logPolicy: string | null;
  /** Name of this service as a witness, and a tlog-policy file with the logs that it witnesses. */
  readonly witness: { readonly name: string; readonly logs: string } | null;
  /** Whose tokens are accepted; null in demo mode. */
  readonly issuer: {
    readonly issuer: string;
    readonly audience: string;
    readonly jwksUrl: URL;
  } | null;
  /** Connections to the database, of each process. */
  readonly poolSize: number;
  /** Processes that answer requests. */
  readonly processes: number;
  /** Where callers find the service: `https://data.example`; null where they find it at once. */
  readonly publicUrl: string | null;
}

const POLICIES = join(import.meta.dirname, '../policies');
const LOOPBACK = ['127.0.0.1', '::1', 'localhost'];

export class ConfigError extends Error {}

/**
 * Reads the environment.
 * @throws ConfigError naming every variable that is wrong, at once.
 */
export function readConfig(env: NodeJS.ProcessEnv, now: Date): Config {
  const problems: string[] = [];
  const databaseUrl = env['DATABASE_URL'] || null;
  const demo = readSwitch(env, 'DEMO', databaseUrl === null, problems);
  const host = env['HOST'] || '127.0.0.1';
  if (demo && !LOOPBACK.includes(host) && env['ALLOW_REMOTE_DEMO'] !== 'yes') {
    problems.push(
      `HOST=${host}: demo mode hands out tokens of every role and listens on loopback only; set DEMO=off, or ALLOW_REMOTE_DEMO=yes if you know what that means`,
    );
  }
  const config: Config = {
    host,
    port: readNumber(env, 'PORT', { otherwise: 8080, least: 0, most: 65_535 }, problems),
    dataDir: resolve(env['DATA_DIR'] || '.data'),
    databaseUrl,
    demo,
    packDir: readPackDir(POLICIES, env['PACK'], problems),
    logOrigin: readOrigin(env['LOG_ORIGIN'], now, problems),
    logPolicy: env['LOG_POLICY'] || null,
    witness: readWitness(env, problems),
    issuer: demo ? null : readIssuer(env, problems),
    publicUrl: readPublicUrl(env['PUBLIC_URL'], problems),
    poolSize: readNumber(env, 'DATABASE_POOL', { otherwise: 10, least: 2, most: 200 }, problems),
    processes: readNumber(env, 'PROCESSES', { otherwise: 1, least: 1, most: 64 }, problems),
  };
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return config;
}

function readSwitch(
  env: NodeJS.ProcessEnv,
  name: string,
  otherwise: boolean,
  problems: string[],
): boolean {
  const value = env[name] || (otherwise ? 'on' : 'off');
  if (value !== 'on' && value !== 'off') problems.push(`${name}=${value}: "on" or "off"`);
  return value === 'on';
}

function readNumber(
  env: NodeJS.ProcessEnv,
  name: string,
  { otherwise, least, most }: { otherwise: number; least: number; most: number },
  problems: string[],
): number {
  const text = env[name] || String(otherwise);
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    problems.push(`${name}=${text}: a number from ${least} to ${most}`);
  return value;
}

/**
 * The folder of the home pack: the one that `named` names, else the one that the file `home` in
 * `policies` names. A name that is no pack there is added to the problems.
 */
export function readPackDir(
  policies: string,
  named: string | undefined,
  problems: string[],
): string {
  const packs = readdirSync(policies).filter((each) =>
    existsSync(join(policies, each, 'pack.yaml')),
  );
  const chosen = named || readHome(policies);
  if (!packs.includes(chosen)) {
    const said = named ? `PACK=${named}` : `PACK is not set, and policies/home says "${chosen}"`;
    problems.push(`${said}: the home pack is one of ${packs.toSorted().join(', ')}`);
  }
  return join(policies, chosen);
}

function readHome(policies: string): string {
  const file = join(policies, 'home');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}

// Fixed at the first start and kept in the database; the year lets whole logs expire. The random
// part keeps two installations that nobody has named from sharing an identity.
function readOrigin(given: string | undefined, now: Date, problems: string[]): string {
  const origin = given || `umutungo.example/${randomUUID().slice(0, 8)}/${now.getUTCFullYear()}`;
  if (!/^[a-z0-9.-]+(\/[A-Za-z0-9._-]+)+$/.test(origin) || !/\d{4}/.test(origin)) {
    problems.push(
      `LOG_ORIGIN=${origin}: a URL without scheme that includes the year, such as log.example.org/umutungo/2026`,
    );
  }
  return origin;
}

function readPublicUrl(given: string | undefined, problems: string[]): string | null {
  if (!given) return null;
  const url = URL.parse(given);
  // A path would come before those of the contract, and no route has one.
  if (url && url.origin === given.replace(/\/$/, '') && /^https?:$/.test(url.protocol))
    return url.origin;
  problems.push(`PUBLIC_URL=${given}: an address without a path, such as https://data.example`);
  return null;
}

function readWitness(env: NodeJS.ProcessEnv, problems: string[]): Config['witness'] {
  const [name, logs] = [env['WITNESS_NAME'], env['WITNESS_LOGS']];
  if (!name && !logs) return null;
  if (!name || !isKeyName(name))
    problems.push(
      `WITNESS_NAME=${name ?? ''}: the name of this service as a witness, a URL without scheme such as witness.example.org`,
    );
  if (!logs) problems.push('WITNESS_LOGS: a file with a line "log VKEY" for each log to witness');
  return name && logs ? { name, logs } : null;
}

function readIssuer(env: NodeJS.ProcessEnv, problems: string[]): Config['issuer'] {
  const issuer = env['AUTH_ISSUER'];
  const jwksUrl = env['AUTH_JWKS_URL'];
  if (!issuer) problems.push('AUTH_ISSUER: the issuer of tokens is required outside demo mode');
  if (!jwksUrl || !URL.canParse(jwksUrl))
    problems.push("AUTH_JWKS_URL: the URL of the issuer's keys is required outside demo mode");
  if (!issuer || !jwksUrl || !URL.canParse(jwksUrl)) return null;
  return { issuer, audience: env['AUTH_AUDIENCE'] || 'umutungo', jwksUrl: new URL(jwksUrl) };
}

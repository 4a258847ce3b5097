import { generateKeyPairSync, createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportJWK, type JSONWebKeySet, SignJWT } from 'jose';
import { readOrMake } from './audit/keys.ts';
import { type CatalogueWriter, registerDataset } from './catalogue/commands.ts';
import { documentOf } from './catalogue/dataset.ts';
import { existingDatasets } from './catalogue/store.ts';
import type { DatasetStatus } from './db/schema.ts';
import { ServiceError } from './errors.ts';
import { type PartyWriter, registerParty } from './parties/commands.ts';
import type { PartyInput, PartyKind } from './parties/party.ts';
import { PARTY_DEFAULTS } from './parties/routes.ts';
import { readParty } from './parties/store.ts';
import { type Principal, type Role } from './principal.ts';
import type { Entity } from './spaces/authzen.ts';
import { changeSpaceEntities, registerSpace, type SpaceWriter } from './spaces/commands.ts';
import { type NewSpaceInput, spaceDocumentOf } from './spaces/routes.ts';
import { readSpace } from './spaces/store.ts';

export const DEMO_ISSUER = 'urn:umutungo:demo';
export const DEMO_AUDIENCE = 'umutungo';
const TOKEN_HOURS = 12;
const KEY_ID = 'demo';
const FOLDER = join(import.meta.dirname, '../demo');

/** Who acts when the demo is filled. */
const SETUP: Principal = {
  actor: 'demo-setup',
  role: 'authority',
  organisation: null,
  projects: [],
};

/** One request of the API that shows something of the demo's records. */
export interface DemoTry {
  readonly role: Role;
  readonly path: string;
}

/** What is said of the demo's records in `demo/demo.json`. */
interface Demo {
  /** The pack whose facts the records state. */
  readonly pack: string;
  /** For whom a demo token speaks when nothing else is said. */
  readonly tokens: Readonly<Record<Role, { organisation?: string; projects?: string[] }>>;
  readonly tries: readonly DemoTry[];
}

/** The demo issuer's keys, as its JWK set. It exists in demo mode only. */
export async function demoKeys(dataDir: string): Promise<JSONWebKeySet> {
  const { d: _secret, ...jwk } = await exportJWK(await demoKey(dataDir));
  return { keys: [{ ...jwk, kid: KEY_ID, alg: 'ES256', use: 'sig' }] };
}

export interface DemoClaims {
  readonly organisation?: string | undefined;
  readonly projects?: readonly string[] | undefined;
  readonly subject?: string | undefined;
}

/** A token of the demo issuer, valid for 12 hours. */
export async function demoToken(
  dataDir: string,
  role: Role,
  { organisation, projects, subject }: DemoClaims = {},
): Promise<string> {
  const defaults = (await readDemo<Demo>('demo.json')).tokens[role];
  const own = organisation ?? defaults.organisation;
  const claims = {
    role,
    ...(own === undefined ? {} : { organisation: own }),
    ...(role === 'partner' ? { projects: projects ?? defaults.projects } : {}),
  };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: KEY_ID, typ: 'JWT' })
    .setIssuer(DEMO_ISSUER)
    .setAudience(DEMO_AUDIENCE)
    .setSubject(subject ?? `demo-${role}`)
    .setIssuedAt()
    .setExpirationTime(`${TOKEN_HOURS}h`)
    .sign(await demoKey(dataDir));
}

async function demoKey(dataDir: string): Promise<KeyObject> {
  const folder = join(dataDir, 'demo');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const make = (): string =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' })
      .privateKey.export({ type: 'pkcs8', format: 'pem' })
      .toString();
  return createPrivateKey(await readOrMake(join(folder, 'issuer-es256.pem'), make));
}

interface DemoDataset {
  readonly id: string;
  readonly status?: DatasetStatus;
  readonly publisher?: string;
}

type DemoParties = {
  readonly [Kind in PartyKind as `${Kind}s`]: readonly (Partial<PartyInput<Kind>> & {
    id: string;
  })[];
};
type Scenarios = DemoParties & { readonly datasets: readonly DemoDataset[] };

/** How many rows there are to fill, and how many of them are there; not called when all were there. */
export type Progress = (done: number, total: number) => void;

/**
 * Fills what is missing of the demo: parties and datasets of the worked scenarios, and studies of
 * a public catalogue. Each is registered as a person would, with its event. A fill that was cut
 * off goes on where it stopped. Records of another pack than the one in force are not filled in:
 * their facts would not exist there.
 * @returns what to try first, and the pack that the records are of.
 */
export async function fillDemo(
  writer: CatalogueWriter & PartyWriter & SpaceWriter,
  progress: Progress,
): Promise<{ readonly filled: boolean; readonly demoPack: string; tries: readonly DemoTry[] }> {
  const { pack: demoPack, tries } = await readDemo<Demo>('demo.json');
  const { pack } = await writer.inForce(writer.db);
  if (pack.pack !== demoPack) return { filled: false, demoPack, tries: [] };
  const scenarios = await readDemo<Scenarios>('scenarios.json');
  const studies = await readDemo<{ publisher: string; datasets: readonly DemoDataset[] }>(
    'nisr-studies.json',
  );
  const datasets = [
    ...scenarios.datasets,
    ...studies.datasets.map((each) => ({ publisher: studies.publisher, ...each })),
  ];
  const spaces = await readDemo<readonly DemoSpace[]>('spaces.json');
  const total =
    spaces.length +
    datasets.length +
    PARTY_ORDER.reduce((sum, kind) => sum + scenarios[`${kind}s`].length, 0);
  let done = 0;
  let filling = false;
  const step = (made: boolean): void => {
    done++;
    filling ||= made;
    if (filling) progress(done, total);
  };
  for (const kind of PARTY_ORDER) {
    if (kind === 'authorisation') await fillDatasets(writer, datasets, step);
    for (const input of scenarios[`${kind}s`]) {
      const missing = !(await readParty(writer.db, kind, input.id));
      if (missing) {
        const row = { ...PARTY_DEFAULTS[kind], ...input } as PartyInput<typeof kind>;
        await unlessThere(registerParty(writer, SETUP, kind, row));
      }
      step(missing);
    }
  }
  for (const space of spaces) step(await fillSpace(writer, space));
  return { filled: true, demoPack, tries };
}

const PARTY_ORDER: readonly PartyKind[] = [
  'organisation',
  'agreement',
  'project',
  'registration',
  'authorisation',
];

async function fillDatasets(
  writer: CatalogueWriter,
  datasets: readonly DemoDataset[],
  step: (made: boolean) => void,
): Promise<void> {
  const there = await existingDatasets(
    writer.db,
    datasets.map(({ id }) => id),
  );
  for (const { id, status = 'active', publisher = '', ...rest } of datasets) {
    const missing = !there.has(id);
    if (missing) {
      const row = { id, status, publisher, document: documentOf({ ...rest }) };
      await unlessThere(registerDataset(writer, SETUP, row));
    }
    step(missing);
  }
}

type DemoSpace = NewSpaceInput & { readonly entities: readonly Required<Entity>[] };

/** Was anything of it missing? */
async function fillSpace(
  writer: SpaceWriter,
  { id, organisation, entities, ...input }: DemoSpace,
): Promise<boolean> {
  const there = await readSpace(writer.db, id);
  if (!there) {
    const document = spaceDocumentOf(input);
    await unlessThere(
      registerSpace(writer, SETUP, { id, organisation: organisation ?? null, document }),
    );
  }
  if (there && there.entity_revision > 0) return false;
  await changeSpaceEntities(writer, SETUP, id, entities);
  return true;
}

/** Another replica may fill the same database at the same time: whoever comes second goes on. */
async function unlessThere(registered: Promise<unknown>): Promise<void> {
  try {
    await registered;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.code !== 'already_exists') throw error;
  }
}

async function readDemo<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(join(FOLDER, file), 'utf8')) as T;
}

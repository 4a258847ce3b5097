import { sql } from 'kysely';
import { authzenHandlers } from '../access/authzen-routes.ts';
import { type CutOffRuns, cutOffHandlers } from '../access/cut-off-routes.ts';
import { impactHandlers, type ImpactRuns } from '../access/impact-routes.ts';
import { countMorePermitted } from '../access/impact.ts';
import { recordHandlers } from '../access/record-routes.ts';
import { accessHandlers } from '../access/routes.ts';
import { submitter } from '../access/submit-access-request.ts';
import { usableQuestion } from '../access/usable.ts';
import type { Log } from '../audit/record.ts';
import { auditHandlers } from '../audit/routes.ts';
import { catalogueHandlers } from '../catalogue/routes.ts';
import { readDataset } from '../catalogue/store.ts';
import { consentHandlers } from '../consent/routes.ts';
import type { Db } from '../db/connection.ts';
import { erasureHandlers } from '../erasure/routes.ts';
import { ServiceError } from '../errors.ts';
import type { Handlers, OperationId } from '../operation.ts';
import type { Program } from '../pdp/program.ts';
import { partyHandlers } from '../parties/routes.ts';
import type { PackFiles, Template } from '../policies/files.ts';
import { Programs } from '../policies/programs.ts';
import { policyHandlers } from '../policies/routes.ts';
import { KnownSpaces } from '../spaces/known-spaces.ts';
import { type BuiltIn, spaceHandlers } from '../spaces/routes.ts';
import type { Contract } from './contract.ts';
import { docsPage } from './pages.ts';
import { recordPage } from './record-page.ts';
import { PAGE_HEADERS } from './security.ts';

/** What the whole service is made from. */
export interface Deps {
  readonly db: Db;
  readonly clock: () => Date;
  readonly log: Log;
  readonly contract: Contract;
  readonly files: PolicyFiles;
  readonly runs: { readonly impact: ImpactRuns; readonly cutOff: CutOffRuns };
}

/** What the policies have on disk. */
export interface PolicyFiles {
  readonly readPack: () => Promise<PackFiles>;
  readonly templates: readonly Template[];
  /** Other countries' packs, compiled. */
  readonly packs: readonly Program[];
}

/** A handler for each operation of the contract; tsc fails when one is missing. */
export function createHandlers({
  db,
  clock,
  log,
  contract,
  files: { readPack, templates, packs },
  runs,
}: Deps): Handlers<OperationId> {
  const programs = new Programs();
  const spaces = new KnownSpaces({ db, clock });
  const inForce = (from: Db, held?: 'held') => programs.inForce(from, clock(), held);
  const { checkSchema } = contract;
  const writer = { db, clock, log, inForce, programs, checkSchema, readPack };
  const submit = submitter(writer);
  return {
    ...serviceHandlers(contract, db, inForce),
    ...catalogueHandlers({ ...writer, usableQuestion: (query) => usableQuestion(writer, query) }),
    ...partyHandlers(writer),
    ...consentHandlers({ ...writer, datasetOf: consentSubject }),
    ...policyHandlers({ ...writer, templates, countMorePermitted }),
    ...accessHandlers({ ...writer, submit }),
    ...recordHandlers({ ...writer, recordPage }),
    ...spaceHandlers({ ...writer, spaces, builtIn: builtInSpaces(packs) }),
    ...authzenHandlers({ ...writer, spaces, submit, packs }),
    ...impactHandlers({ ...writer, runs: runs.impact }),
    ...cutOffHandlers({ ...writer, runs: runs.cutOff }),
    ...auditHandlers(writer),
    ...erasureHandlers(writer),
  };
}

function builtInSpaces(packs: readonly Program[]): readonly BuiltIn[] {
  return [
    { id: 'national', kind: 'national', version: 1, title: { en: "The nation's own policies" } },
    ...packs.map(({ pack: { pack: id, version, title } }) => ({
      id,
      kind: 'pack' as const,
      version,
      title: { ...title },
    })),
  ];
}

type ServiceOperation = 'getLiveness' | 'getReadiness' | 'getContract' | 'getDocs';

function serviceHandlers(
  contract: Contract,
  db: Db,
  inForce: (db: Db) => Promise<unknown>,
): Handlers<ServiceOperation> {
  const docs = docsPage();
  return {
    getLiveness: () => ({ status: 200, body: { status: 'ok' } }),
    getReadiness: async () => {
      try {
        await sql`select 1`.execute(db);
        await inForce(db);
      } catch {
        throw new ServiceError('unavailable', 'The database or the pack is not there.');
      }
      return { status: 200, body: { status: 'ok' } };
    },
    getContract: () => ({ status: 200, body: contract.document }),
    getDocs: () => ({
      status: 200,
      body: docs,
      headers: { ...PAGE_HEADERS, 'content-type': 'text/html; charset=utf-8' },
    }),
  };
}

async function consentSubject(db: Db, id: string) {
  const dataset = await readDataset(db, id);
  return (
    dataset && { id, publisher: dataset.publisher, subjectCount: dataset.document['subject_count'] }
  );
}

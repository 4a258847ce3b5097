import type { Handlers } from '../operation.ts';
import { DEFAULT_LIMIT, readCursor, toPage } from '../paging.ts';
import { notFound } from '../errors.ts';
import { approveErasure } from './approve.ts';
import { liftHold, placeHold } from './hold.ts';
import { pruneShards } from './prune.ts';
import { refuseErasure, requestErasure, withdrawErasure } from './requests.ts';
import type { ErasureWriter } from './retention.ts';
import { readErasure, readErasures, readHolds } from './store.ts';

type ErasureOperation =
  | 'listErasures'
  | 'requestErasure'
  | 'getErasure'
  | 'approveErasure'
  | 'refuseErasure'
  | 'withdrawErasure'
  | 'listHolds'
  | 'placeHold'
  | 'liftHold';

export function erasureHandlers(deps: ErasureWriter): Handlers<ErasureOperation> {
  const whole = <T>(row: T): T => row;
  return {
    listErasures: async ({ query: { cursor, limit = DEFAULT_LIMIT } }) => {
      const [before] = readCursor(cursor, ['uuid']) ?? [];
      const rows = await readErasures(deps.db, before, limit + 1);
      return { status: 200, body: toPage(rows, limit, whole, ({ id }) => [id]) };
    },
    requestErasure: async ({ principal, body }) => {
      const { erasure, recorded } = await requestErasure(deps, principal, {
        reference: null,
        ...body,
      });
      return {
        status: 201,
        body: { erasure, ...recorded },
        headers: { Location: `/v1/audit/erasures/${erasure.id}` },
      };
    },
    getErasure: async ({ path }) => {
      const erasure = await readErasure(deps.db, path.id);
      if (!erasure) throw notFound();
      return { status: 200, body: erasure };
    },
    approveErasure: async ({ principal, path }) => {
      const { erasure, recorded } = await approveErasure(deps, principal, path.id);
      // Next hour again, by whoever is there then, where it is broken off.
      if (erasure.status === 'approved') void pruneShards(deps).catch(() => {});
      return { status: 200, body: { erasure, ...recorded } };
    },
    refuseErasure: async ({ principal, path, body: { reason: refusal, reference = null } }) => {
      const { erasure, recorded } = await refuseErasure(deps, principal, path.id, {
        refusal,
        reference,
      });
      return { status: 200, body: { erasure, ...recorded } };
    },
    withdrawErasure: async ({ principal, path }) => {
      const { erasure, recorded } = await withdrawErasure(deps, principal, path.id);
      return { status: 200, body: { erasure, ...recorded } };
    },
    listHolds: async ({ query: { cursor, limit = DEFAULT_LIMIT } }) => {
      const [before] = readCursor(cursor, ['uuid']) ?? [];
      const rows = await readHolds(deps.db, before, limit + 1);
      return { status: 200, body: toPage(rows, limit, whole, ({ id }) => [id]) };
    },
    placeHold: async ({ principal, body }) => {
      const { hold, recorded } = await placeHold(deps, principal, { reference: null, ...body });
      return { status: 201, body: { hold, ...recorded } };
    },
    liftHold: async ({ principal, path }) => {
      const { hold, recorded } = await liftHold(deps, principal, path.id);
      return { status: 200, body: { hold, ...recorded } };
    },
  };
}

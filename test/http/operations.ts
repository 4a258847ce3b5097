/** The operations of the contract, read from the file itself and not through the service's own loader. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Role } from '../../src/principal.ts';

const METHODS = ['get', 'post', 'patch', 'put', 'delete', 'head', 'options', 'trace'];
const FILE: string = join(import.meta.dirname, '../../openapi/openapi.yaml');

interface OperationObject {
  readonly operationId: string;
  readonly security?: readonly object[];
  readonly 'x-roles'?: readonly Role[];
  readonly requestBody?: object;
  readonly 'x-protocol'?: string;
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  /** With `{parameters}`. */
  readonly path: string;
  readonly roles: readonly Role[];
  /** Says `security: []`, so that nobody has to say who they are. */
  readonly open: boolean;
  readonly takesBody: boolean;
  /** AuthZEN has its own words for some mistakes. */
  readonly isAuthzen: boolean;
}

export const contractDocument: Readonly<Record<string, unknown>> = parse(
  readFileSync(FILE, 'utf8'),
  { merge: true },
) as Record<string, unknown>;

export const operations: readonly Operation[] = Object.entries(
  contractDocument['paths'] as Record<string, Record<string, OperationObject>>,
).flatMap(([path, item]) =>
  METHODS.flatMap((method) => {
    const operation = item[method];
    if (!operation) return [];
    return {
      id: operation.operationId,
      method: method.toUpperCase(),
      path,
      roles: operation['x-roles'] ?? [],
      open: operation.security?.length === 0,
      takesBody: operation.requestBody !== undefined,
      isAuthzen: operation['x-protocol'] === 'authzen',
    };
  }),
);

/** Identifiers that the demo has, and one of a kind that nobody has. */
const EXISTING: Readonly<Record<string, string>> = {
  dataset: 'nhic-idsr-cases',
  version: '1',
  policy: 'rw-agreement',
  space: 'clinic-gateway',
  list: 'purposes',
  organisations: 'moh',
  agreements: 'agr-illus-16',
  projects: 'idsr-forecasting',
  registrations: 'registration-jp-engineering',
  authorisations: 'idsr-forecasting-dpia',
  year: String(new Date().getUTCFullYear()),
};
const NOBODYS_UUID = '00000000-0000-7000-8000-000000000000';

/** A path of the operation, with identifiers that exist where there are any. */
export function samplePath({ path }: Operation): string {
  return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => {
    const register = path.split('/')[2] ?? '';
    return EXISTING[name] ?? EXISTING[register] ?? NOBODYS_UUID;
  });
}

/** A request for access that the demo's partner may make, sent by a client that knows what it was answered. */

export const ACCESS_REQUEST = {
  dataset: 'nhic-idsr-cases',
  project: 'idsr-forecasting',
  agreement: 'agr-illus-16',
  purpose: 'outbreak_forecasting',
} as const;

/** What the same partner asks of a dataset, to be worked on in Rwanda. */
export const AT_HOME = {
  project: 'idsr-forecasting',
  agreement: 'agr-illus-16',
  role: 'processor',
  purpose: 'outbreak_forecasting',
  locations: { storage: ['RW'], processing: ['RW'], access_from: ['RW'] },
  hosting: { operator_jurisdiction: 'RW' },
  recipients: [],
  onward_transfer: false,
  fields_scope: 'minimum',
  output: { type: 'statistics', release_to: ['RW'] },
  automated_decision: 'none',
} as const;

/** What the service has promised. */
export interface Acknowledged {
  readonly id: string;
  readonly event_id: string;
  readonly leaf_hash: string;
  readonly receipt: string;
}

/**
 * Asks under an idempotency key.
 * @throws Error when no answer came, or another one than 201.
 */
export async function requestAccess(
  url: string,
  token: string,
  key: string,
): Promise<Acknowledged> {
  const response = await fetch(`${url}/v1/access-requests`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(ACCESS_REQUEST),
  });
  if (response.status !== 201) throw new Error(`${response.status}`);
  const { id, decision } = (await response.json()) as { id: string; decision: Acknowledged };
  const { event_id, leaf_hash, receipt } = decision;
  return { id, event_id, leaf_hash, receipt };
}

/** What the service says of one evaluation among several, where it is asked why. */
export interface Evaluated {
  readonly evaluation_id: string;
  readonly event_id: string;
}

/**
 * Asks in one call whether each of these datasets may be worked on in Rwanda.
 * @throws Error when no answer came, or another one than 200.
 */
export async function evaluateTogether(
  url: string,
  token: string,
  datasets: readonly string[],
): Promise<Evaluated[]> {
  const { project, ...properties } = AT_HOME;
  const response = await fetch(`${url}/access/v1/evaluations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      subject: { type: 'project', id: project },
      action: { name: 'use', properties },
      evaluations: datasets.map((id) => ({ resource: { type: 'dataset', id } })),
      options: { explain: true },
    }),
  });
  if (response.status !== 200) throw new Error(`${response.status}`);
  const { evaluations } = (await response.json()) as { evaluations: { context: Evaluated }[] };
  return evaluations.map(({ context: { evaluation_id, event_id } }) => ({
    evaluation_id,
    event_id,
  }));
}

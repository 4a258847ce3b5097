/** A space that does not log, beside a bare Hono route that parses the same body, in turns. */
import { demoToken } from '../src/demo.ts';
import { type Load, loadHttp, median, type Rate } from './client.ts';

const ENTITIES = 100_000;
const AT_ONCE = 10_000;
const ROUNDS = 5;
const ROUND_MS = 1_500;
const CONNECTIONS = 8;
const SPACE = 'bench';

/** Whoever owns a record reads it; nobody owns what belongs to the last owner. */
const POLICY = `
policy: owners
rules:
  - id: OWNER
    applies:
      and:
        - { fact: action.name, eq: read }
        - { fact: resource.properties.owner_id, eq: { fact: subject.id } }
        - { fact: resource.properties.level, lteq: { fact: subject.properties.level } }
    outcome: permit
  - id: ARCHIVED
    applies:
      and:
        - { fact: action.name, isAnyOf: [write, delete] }
        - { fact: resource.properties.status, eq: archived }
    outcome: deny
`;

export interface AuthzenRates {
  /** What one evaluation costs, in bare routes that parse the same body; at most 2. */
  readonly evaluation: number;
  /** What a batch of a hundred costs, in single evaluations; at most 5. */
  readonly batchOf100: number;
  /** Milliseconds for a page of a search over 100,000 entities, medians; at most 100. */
  readonly searchAllMs: number;
  readonly searchFewMs: number;
  readonly searchNoneMs: number;
}

/** Makes a space of 100,000 entities and asks it. */
export async function measureAuthzen(
  service: string,
  bare: string,
  dataDir: string,
): Promise<AuthzenRates> {
  const token = await demoToken(dataDir, 'authority');
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const post = async (path: string, body: object): Promise<void> => {
    const answer = await fetch(`${service}${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    await answer.arrayBuffer();
  };
  await fill(post);
  const load = (path: string, body: object): Load => ({
    url: `${service}/spaces/${SPACE}/access/v1/${path}`,
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  const subject = { type: 'user', id: 'user-7' };
  const resource = { type: 'record', id: 'record-7' };
  const action = { name: 'read' };
  const evaluation = load('evaluation', { subject, action, resource });
  const bareLoad: Load = { ...evaluation, url: `${bare}/` };
  const evaluations = Array.from({ length: 100 }, (_, i) => ({
    resource: { type: 'record', id: `record-${i}` },
  }));
  const batch = load('evaluations', { subject, action, evaluations });
  await loadHttp(evaluation, CONNECTIONS, 2_000);
  const rounds: { bare: Rate; one: Rate; hundred: Rate }[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    rounds.push({
      bare: await loadHttp(bareLoad, CONNECTIONS, ROUND_MS),
      one: await loadHttp(evaluation, CONNECTIONS, ROUND_MS),
      hundred: await loadHttp(batch, CONNECTIONS, ROUND_MS),
    });
  }
  const search = async (id: string): Promise<number> => {
    const page = { limit: 100 };
    const asked = load('search/resource', {
      subject: { type: 'user', id },
      action,
      resource: { type: 'record' },
      page,
    });
    return round((await loadHttp(asked, 1, ROUND_MS)).p50Ms);
  };
  return {
    evaluation: round(median(rounds.map(({ bare: b, one }) => b.perSecond / one.perSecond))),
    batchOf100: round(median(rounds.map(({ one, hundred }) => one.perSecond / hundred.perSecond))),
    searchAllMs: await search('user-0'),
    searchFewMs: await search('user-7'),
    searchNoneMs: await search('user-none'),
  };
}

async function fill(post: (path: string, body: object) => Promise<void>): Promise<void> {
  await post('/v1/spaces', {
    id: SPACE,
    title: { en: 'Bench' },
    attributes: {
      'subject.properties.level': { type: 'integer', source: 'stored' },
      'resource.properties.level': { type: 'integer', source: 'stored' },
      'resource.properties.owner_id': { type: 'text', source: 'stored' },
      'resource.properties.status': { type: 'text', source: 'request_over_stored' },
    },
    actions: [{ name: 'read' }, { name: 'write' }, { name: 'delete' }],
    policies: { owners: POLICY },
  });
  const ids = [...Array.from({ length: 1_000 }, (_, i) => String(i)), 'none'];
  const users = ids.map((i) => ({ type: 'user', id: `user-${i}`, properties: { level: 3 } }));
  await post(`/v1/spaces/${SPACE}/entities`, { put: users });
  for (let from = 0; from < ENTITIES; from += AT_ONCE) {
    const put = Array.from({ length: AT_ONCE }, (_, i) => ({
      type: 'record',
      id: `record-${from + i}`,
      properties: {
        // Half of them belong to the first user.
        owner_id: i % 2 === 0 ? 'user-0' : `user-${(from + i) % 1_000}`,
        level: i % 4,
        status: 'active',
      },
    }));
    await post(`/v1/spaces/${SPACE}/entities`, { put });
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The fixture of the AuthZEN certification scenario, made as any space is: through the API. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestService } from '../support/service.ts';

interface Fixture {
  readonly subjects: readonly object[];
  readonly resources: readonly object[];
}

export const certification: {
  readonly fixture: Fixture;
  readonly cases: readonly unknown[];
} = JSON.parse(
  readFileSync(join(import.meta.dirname, '../vectors/authzen/certification-cases.json'), 'utf8'),
) as { fixture: Fixture; cases: unknown[] };

/** The scenario's eight rules. */
const RULES = `
policy: certification
rules:
  - id: RULE-1
    applies:
      and:
        - { fact: subject.id, eq: alice }
        - { fact: action.name, eq: read }
        - { fact: resource.id, eq: record-1 }
    outcome: permit
  - id: RULE-2
    applies:
      and:
        - { fact: subject.id, eq: alice }
        - { fact: action.name, eq: write }
        - { fact: resource.id, eq: record-1 }
    outcome: permit
  - id: RULE-3
    applies:
      and:
        - { fact: subject.id, eq: bob }
        - { fact: action.name, eq: read }
        - { fact: resource.id, eq: record-1 }
    outcome: permit
  - id: RULE-4
    applies:
      and:
        - { fact: subject.id, eq: bob }
        - { fact: action.name, eq: write }
        - { fact: resource.id, eq: record-1 }
    outcome: deny
  - id: RULE-5
    applies:
      and:
        - { fact: subject.id, eq: alice }
        - { fact: action.name, eq: write }
        - { fact: resource.properties.status, eq: archived }
    outcome: deny
  - id: RULE-6
    applies:
      and:
        - { fact: subject.properties.role, eq: admin }
        - { fact: action.name, eq: write }
        - { fact: resource.properties.status, eq: archived }
    outcome: permit
  - id: RULE-7
    applies:
      and:
        - { fact: subject.id, eq: alice }
        - { fact: action.name, eq: delete }
        - { fact: action.properties.soft, eq: true }
        - { fact: resource.id, eq: record-1 }
    outcome: permit
  - id: RULE-8
    applies:
      and:
        - { fact: subject.id, eq: alice }
        - { fact: action.name, eq: delete }
        - { fact: action.properties.soft, eq: false }
        - { fact: resource.id, eq: record-1 }
    outcome: deny
`;

/** Makes the space under this name; the authority keeps it. */
export async function makeCertificationSpace(service: TestService, id: string): Promise<void> {
  const space = {
    id,
    title: { en: 'AuthZEN certification scenario' },
    attributes: {
      'subject.properties.role': { type: 'text', source: 'request_over_stored', absent: 'none' },
      'resource.properties.status': { type: 'text', source: 'request_over_stored', absent: 'none' },
      'action.properties.soft': { type: 'boolean', source: 'request' },
    },
    actions: [{ name: 'read' }, { name: 'write' }, { name: 'delete' }],
    policies: { certification: RULES },
  };
  const made = await service.ask('POST', '/v1/spaces', { role: 'authority', body: space });
  if (made.status !== 201) throw new Error(made.text);
  const { subjects, resources } = certification.fixture;
  const filled = await service.ask('POST', `/v1/spaces/${id}/entities`, {
    role: 'authority',
    body: { put: [...subjects, ...resources] },
  });
  if (filled.status !== 200) throw new Error(filled.text);
}

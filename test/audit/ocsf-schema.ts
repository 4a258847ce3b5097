/** OCSF's own schema as a judge of events. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

const CLASSES: Readonly<Record<number, string>> = {
  0: 'base_event',
  3004: 'entity_management',
  6003: 'api_activity',
};

const judges = new Map<number, ValidateFunction>();

function judgeOf(uid: number): ValidateFunction | undefined {
  const name = CLASSES[uid];
  const known = judges.get(uid);
  if (known || name === undefined) return known;
  // Its keywords "deprecated" and "format" are notes for people.
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  const file = join(import.meta.dirname, `../vectors/ocsf/${name}.json`);
  const judge = ajv.compile(JSON.parse(readFileSync(file, 'utf8')) as object);
  judges.set(uid, judge);
  return judge;
}

/** What is wrong with an event by the schema of its class; and that its type is class and activity. */
export function ocsfProblems(event: {
  readonly class_uid: number;
  readonly activity_id: number;
  readonly type_uid: number;
}): string[] {
  const { class_uid, activity_id, type_uid } = event;
  const judge = judgeOf(class_uid);
  if (!judge) return [`class ${class_uid} is not known here`];
  const problems = judge(event) ? [] : (judge.errors ?? []).map((each) => JSON.stringify(each));
  return type_uid === class_uid * 100 + activity_id ? problems : [...problems, 'type_uid'];
}

import { boundBody } from '../audit/event.ts';
import { type EventRow, readEvent } from '../audit/store.ts';
import type { Db } from '../db/connection.ts';
import { notFound, ServiceError } from '../errors.ts';
import type { Parties, PartyKind } from '../parties/party.ts';
import { readPartiesAt } from '../parties/store.ts';
import { dayInZone, parseDate } from '../pdp/calendar.ts';
import { dayOf, type Programs } from '../policies/programs.ts';
import { readGenerationAt, readGenerationBefore, readPolicyVersion } from '../policies/store.ts';
import type { Cut } from './cut-off.ts';
import type { Scope } from './run-store.ts';

type Body = Readonly<Record<string, unknown>>;

/**
 * What a recorded event changed that decisions rest on.
 * @throws ServiceError `not_found`; `wrong_status` for an event that changes no decision, or whose
 * body is gone or not the one that its leaf binds.
 */
export async function cutOfEvent(db: Db, programs: Programs, id: string): Promise<Cut> {
  const event = await readEvent(db, id);
  if (!event) throw notFound();
  const body = boundBody(event);
  if (!body)
    throw new ServiceError('wrong_status', 'The body of the event is not the one its leaf binds.');
  const { generation } = body;
  if (typeof generation === 'string' && ofPolicies.includes(event.type))
    return cutOfPolicies(db, programs, { event, body, generation });
  const scope = await scopeOf(db, event, body);
  if (!scope)
    throw new ServiceError(
      'wrong_status',
      `The event is a ${event.type}: it changed neither policies in force nor a register.`,
    );
  const inForce = await readGenerationAt(db, event.time);
  if (inForce === undefined)
    throw new ServiceError('wrong_status', 'No policies were in force at the time of the event.');
  const program = await programs.ofGeneration(db, inForce, event.time.slice(0, 10));
  return {
    event: id,
    at: event.time,
    day: dayOf(program, new Date(event.time)),
    generations: { before: inForce, after: inForce },
    scope: { ...scope, permittedBy: event.time, beforeEvent: id },
  };
}

const ofPolicies: readonly string[] = [
  'approvePolicyVersion',
  'withdrawPolicyVersion',
  'reloadPack',
];

interface PolicyEvent {
  readonly event: EventRow;
  readonly body: Body;
  /** The set that it put in force. */
  readonly generation: string;
}

/** A version that is approved before its first day begins to count on that day. */
async function cutOfPolicies(
  db: Db,
  programs: Programs,
  { event, body, generation }: PolicyEvent,
): Promise<Cut> {
  const before = await readGenerationBefore(db, generation);
  if (before === undefined)
    throw new ServiceError('wrong_status', 'No policies were in force before the event.');
  const program = await programs.ofGeneration(db, generation, event.time.slice(0, 10));
  const today = dayOf(program, new Date(event.time));
  const version =
    event.type === 'reloadPack'
      ? undefined
      : await readPolicyVersion(db, String(body['policy']), Number(body['version']));
  const begins =
    version && event.type === 'approvePolicyVersion'
      ? (await programs.head(version)).in_force.from
      : today;
  const at = begins > today ? beginningOf(begins, program.pack.timezone) : event.time;
  return {
    event: event.event_id,
    at,
    day: begins > today ? begins : today,
    generations: { before, after: generation },
    scope: {
      publisher: version?.owner ?? null,
      permittedBy: at,
      ...(at === event.time && { beforeEvent: event.event_id }),
    },
  };
}

const QUARTER_MS = 900_000;

/** The first instant of a day in a time zone, to the quarter of an hour, the finest step of any zone. */
function beginningOf(day: string, zone: string): string {
  const days = parseDate(day) ?? Number.NaN;
  const dayAt = dayInZone(zone);
  // No zone is more than 15 hours from UTC.
  let at = days * 96 * QUARTER_MS - 60 * QUARTER_MS;
  while (dayAt(at) < days) at += QUARTER_MS;
  return new Date(at).toISOString();
}

/** The requests and evaluations that a change of a register may touch; undefined for what is no such change. */
async function scopeOf(db: Db, event: EventRow, body: Body): Promise<Scope | undefined> {
  const row = <Kind extends PartyKind>(kind: Kind) => body[kind] as Parties[Kind];
  switch (event.type) {
    case 'recordConsent':
    case 'recordConsents':
      return { dataset: String(body['dataset']) };
    case 'changeDataset':
    case 'retireDataset':
      return { dataset: (body['dataset'] as { id: string }).id };
    case 'changeAgreement':
      return { agreement: row('agreement').id };
    case 'changeProject':
      return { projects: [row('project').id] };
    case 'changeOrganisation':
      return { organisations: [row('organisation').id] };
    case 'registerRegistration':
    case 'changeRegistration': {
      const { id, organisation } = row('registration');
      const [former] = await formerly(db, event, 'registration', id);
      return { organisations: [organisation, former?.organisation ?? organisation] };
    }
    case 'registerAuthorisation':
    case 'changeAuthorisation': {
      const { id, project } = row('authorisation');
      const [former] = await formerly(db, event, 'authorisation', id);
      return { projects: [project, former?.project ?? project] };
    }
    default:
      return undefined;
  }
}

async function formerly<Kind extends PartyKind>(
  db: Db,
  { event_id, time }: EventRow,
  kind: Kind,
  id: string,
): Promise<readonly Parties[Kind][]> {
  return (await readPartiesAt(db, kind, [id], { side: 'before', time, event_id })).rows;
}

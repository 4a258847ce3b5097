import type { Db } from '../db/connection.ts';
import { boundTo } from '../pdp/compose.ts';
import { evaluate, type Verdict } from '../pdp/evaluate.ts';
import type { Facts } from '../pdp/facts.ts';
import { loadFacts, type Program } from '../pdp/program.ts';
import type { PolicyChange } from '../policies/change.ts';
import type { StoredDecision } from './decision.ts';
import { readRecorded } from './store.ts';

const PAGE = 1_000;
const RANK: Readonly<Record<Verdict['effect'], number>> = { deny: 0, review: 1, permit: 2 };

/**
 * How many recorded requests the change permits more than they are now, of those after the
 * request `since`; and the newest of all that were looked at.
 */
export async function countMorePermitted(
  db: Db,
  { before, after, owner }: PolicyChange,
  since: string | null,
): Promise<{ more: number; upTo: string | null }> {
  let more = 0;
  let upTo = since;
  for (;;) {
    const rows = await readRecorded(db, { publisher: owner, after: upTo }, PAGE);
    for (const { document } of rows) {
      const { facts } = JSON.parse(document) as StoredDecision;
      if (RANK[decideBy(after, facts).effect] > RANK[decideBy(before, facts).effect]) more++;
    }
    const last = rows.at(-1);
    if (last) upTo = last.id;
    if (rows.length < PAGE) return { more, upTo };
  }
}

function decideBy(inForce: Program, facts: Facts): Verdict {
  const program = boundTo(inForce, facts);
  return evaluate(program, loadFacts(program, facts));
}

/** What is known of the members by a log whose entries are not applied. */
import type { Entry } from '#control/raft/raft.ts';
import { ByteReader } from '../codec/bytes.ts';
import { COMMAND } from '../codec/command.ts';
import { readCommandHead } from '../codec/read-command.ts';
import { readRosterRow } from '../codec/roster.ts';
import type { RosterRow } from './roster.ts';
import type { StateMachine } from './state-machine.ts';

/** The rows of the state, and what entries behind it say; of members that went since, too. */
export function rosterOfLog(state: StateMachine, entries: readonly Entry[]): readonly RosterRow[] {
  const rows = new Map(state.roster.all().map((row) => [row.id, row]));
  for (const { data } of entries) {
    if (data.length === 0) continue;
    const input = new ByteReader(data);
    if (readCommandHead(input, state.software).kind !== COMMAND.describeMember) continue;
    const row = readRosterRow(input);
    rows.set(row.id, row);
  }
  return [...rows.values()];
}

/** The states in which faults are to meet a member, and how often each fault met each. */
import type { SimMember } from './member.ts';

export const STATES = ['leader', 'joint', 'snapshotting', 'compacting', 'replaying'] as const;
export type MemberState = (typeof STATES)[number];

/**
 *   leader        it leads, or believes so
 *   joint         in the configuration that it applied last two halves decide together
 *   snapshotting  it sends or fetches a snapshot
 *   compacting    it frees in slices what a compaction dropped
 *   replaying     it started, and has not applied all that it had applied before
 */
export function statesOf(member: SimMember): readonly MemberState[] {
  const { engine } = member;
  if (engine === undefined) return [];
  const states: MemberState[] = [];
  if (engine.isLeader) states.push('leader');
  if (engine.state.members.votersOutgoing.length > 0) states.push('joint');
  if (member.isSnapshotting) states.push('snapshotting');
  if (engine.state.mvcc.isCompacting) states.push('compacting');
  if (member.isReplaying) states.push('replaying');
  return states;
}

/** Counts by fault and state; plain data, so that processes can hand it on. */
export type FaultTable = Record<string, Record<string, number>>;

export function countFault(table: FaultTable, fault: string, states: readonly string[]): void {
  const row = (table[fault] ??= {});
  for (const state of ['any', ...states]) row[state] = (row[state] ?? 0) + 1;
}

export function addTable(table: FaultTable, other: FaultTable): void {
  for (const [fault, row] of Object.entries(other)) {
    const into = (table[fault] ??= {});
    for (const [state, count] of Object.entries(row)) into[state] = (into[state] ?? 0) + count;
  }
}

/** One line per fault of `faults`. */
export function formatTable(table: FaultTable, faults: readonly string[]): string {
  const columns = ['any', ...STATES];
  const line = (name: string, cells: readonly string[]) =>
    name.padEnd(14) + cells.map((cell) => cell.padStart(13)).join('');
  const rows = faults.map((fault) =>
    line(
      fault,
      columns.map((state) => String(table[fault]?.[state] ?? 0)),
    ),
  );
  return [line('', columns), ...rows].join('\n');
}

/** Pairs that never met. */
export function missingPairs(table: FaultTable, faults: readonly string[]): string[] {
  return faults.flatMap((fault) =>
    STATES.filter((state) => (table[fault]?.[state] ?? 0) === 0).map(
      (state) => `${fault} never met ${state}`,
    ),
  );
}

/**
 * Puts an engine together from a disk: checkpoint, log, Raft, in that order. Returns when this
 * member, being its group's only voter, leads and has applied everything that its log holds.
 */
import { assert } from '#base/assert.ts';
import type { EngineLog } from './engine-log.ts';
import { Raft, membersOf } from '#control/raft/raft.ts';
import { Checkpoints, loadNewestState } from '../checkpoint/checkpoints.ts';
import type { Disk } from '../disk/disk.ts';
import { CHECKPOINT_LOG_BYTES_MIN, QUOTA_BYTES_DEFAULT } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { Crc32 } from '../wal/format.ts';
import type { LogContent } from '../wal/record.ts';
import { Wal } from '../wal/wal.ts';
import { Engine } from './engine.ts';
import { RaftConsensus } from './raft-consensus.ts';
import type { StateMachine } from './state-machine.ts';

/** What an engine needs of the world; the simulator brings its own. */
export interface EngineIo {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly log: EngineLog;
  readonly monotonicMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

export const TICK_MS = 100;
const ELECTION_TICKS = 10;

export interface EngineSettings {
  readonly quotaBytes?: number | undefined;
  /** For tests that want checkpoints often. */
  readonly checkpointLogBytes?: number | undefined;
}

export function openEngine(io: EngineIo, settings: EngineSettings): Engine {
  const checkpointLogBytes = settings.checkpointLogBytes ?? CHECKPOINT_LOG_BYTES_MIN;
  const checkpointIo = { ...io, checkpointLogBytes };
  const state = loadNewestState(checkpointIo);
  const draw = (bound: number) => Math.floor(io.random() * bound);
  const { wal, recovered } = Wal.open({
    disk: io.disk,
    crc32: io.crc32,
    // A directory without a log founds a group; its identity is kept in every segment.
    newId: () => 1 + draw(2 ** 53 - 1),
    seed: () => draw(2 ** 32),
  });
  if (recovered.torn !== undefined) {
    io.log.warn('log ended in an unfinished write, which was never acknowledged', recovered.torn);
  }
  const raft = openRaft(io, state, { memberId: wal.memberId, content: recovered.content });
  const checkpoints = new Checkpoints(checkpointIo, state, (index) => wal.release(index));
  const consensus = new RaftConsensus({ raft, wal, checkpoints });
  const engine = new Engine({
    state,
    consensus,
    electionMs: ELECTION_TICKS * TICK_MS,
    monotonicMs: io.monotonicMs,
  });
  raft.campaign();
  engine.pump();
  assert(raft.isLeader, 'a sole voter elects itself');
  engine.configure(settings.quotaBytes ?? QUOTA_BYTES_DEFAULT);
  engine.pump();
  return engine;
}

function openRaft(
  io: EngineIo,
  state: StateMachine,
  log: { memberId: number; content: LogContent },
): Raft {
  const { appliedIndex, appliedTerm } = state;
  const members = membersOf([log.memberId]);
  const first = log.content.entries[0]?.index;
  if (first !== undefined && first > appliedIndex + 1) {
    const text = `log starts at entry ${first}, but the newest checkpoint ends at ${appliedIndex}`;
    throw new StoreError('CORRUPT', text);
  }
  const entries = log.content.entries.filter((entry) => entry.index > appliedIndex);
  return new Raft(
    {
      id: log.memberId,
      members,
      heartbeatTicks: 1,
      electionTicks: ELECTION_TICKS,
      random: io.random,
    },
    {
      hardState: log.content.hardState ?? { term: appliedTerm, vote: 0, commitIndex: 0 },
      snapshot:
        appliedIndex === 0 ? undefined : { index: appliedIndex, term: appliedTerm, members },
      entries,
      appliedIndex,
    },
  );
}

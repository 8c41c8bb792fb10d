/**
 * How time passes for a member: ticks drive the core's heartbeats and elections, and every so many of them
 * are a round of the rest, which counts in rounds of about ROUND_MS (limits.ts: "ticks").
 *
 * A follower elects between one and two times `electionMs` after it heard its leader last, and an election
 * takes a few round trips and syncs: so that is how long a leader's death is felt. Members of a group may
 * differ for the time of a change.
 */
import { StoreError } from '../port.ts';

export interface TimerSettings {
  /** Of a leader, to each member. */
  readonly heartbeatMs: number;
  /** Without a word of a leader, after which another is elected; with chance, up to twice that. */
  readonly electionMs: number;
}

/**
 * Of a local network. A killed leader was followed within 0.7 s (median of 25), against 1.3 s with etcd's
 * 100 and 1000; beside two CPU hogs and a disk hog, on a machine with a load of 10 for 2 cores, no
 * election was called in vain.
 */
export const TIMERS_DEFAULT: TimerSettings = { heartbeatMs: 50, electionMs: 500 };

export interface TickPlan {
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicks: number;
  readonly ticksPerRound: number;
}

/** What is due at each tick, but for the core. */
export const ROUND_MS = 100;

const HEARTBEAT_MS_MIN = 10;
const ELECTION_MS_MAX = 60_000;
/** A few heartbeats may be late or lost, and none must be missed. */
const HEARTBEATS_PER_ELECTION_MIN = 5;

/** Throws StoreError INVALID_REQUEST for timers with which no leader would stay, or none would come. */
export function planTicks({ heartbeatMs, electionMs }: TimerSettings): TickPlan {
  const refuse = (why: string) => {
    const timers = `heartbeats of ${heartbeatMs} ms and elections of ${electionMs} ms`;
    throw new StoreError('INVALID_REQUEST', `${timers} do not go: ${why}`);
  };
  if (!(heartbeatMs >= HEARTBEAT_MS_MIN))
    refuse(`heartbeats are at least ${HEARTBEAT_MS_MIN} ms apart`);
  if (!(electionMs <= ELECTION_MS_MAX)) refuse(`an election begins within ${ELECTION_MS_MAX} ms`);
  if (electionMs < heartbeatMs * HEARTBEATS_PER_ELECTION_MIN) {
    refuse(`an election waits for ${HEARTBEATS_PER_ELECTION_MIN} heartbeats`);
  }
  const heartbeatTicks = Math.ceil(heartbeatMs / ROUND_MS);
  const tickMs = heartbeatMs / heartbeatTicks;
  const ticksPerRound = Math.max(1, Math.round(ROUND_MS / tickMs));
  return { tickMs, heartbeatTicks, electionTicks: Math.round(electionMs / tickMs), ticksPerRound };
}

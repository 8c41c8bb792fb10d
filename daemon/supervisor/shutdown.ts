/**
 * The orderly end of what the machine runs, bounded in time:
 *
 *   pods    by the agent, with hooks and grace   node.shutdownGraceSeconds + PODS_MS
 *   units   in reverse order                     their stop time-outs + UNITS_MS
 *
 * What remains is end-machine.ts's. A note in /run says that the machine ends: a supervisor that is killed
 * meanwhile goes on where it stood, since both steps may be begun again.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { Pods } from '#base/protocol/bareboat.gen.ts';
import { connectUnix } from '#base/protocol/protocol.ts';
import type { EventLog } from './events.ts';
import type { UnitRunner } from './unit-runner.ts';

/** Beyond the grace: the agent's own bounds. */
const PODS_MS = 20_000;
/** An agent that does not answer is being started again; one that does not for so long is broken. */
const SILENCE_MS = 8_000;
const RETRY_MS = 200;
/** Beyond their time-outs: SIGKILL, and exits on their way. */
const UNITS_MS = 5_000;

/** Who is told to go down goes down; every wait below has its own end. */
const UNSTOPPABLE = new AbortController().signal;

export interface ShutdownIo {
  readonly units: UnitRunner;
  readonly events: Pick<EventLog, 'add'>;
  readonly clock: Clock;
  /** The agent's socket. */
  readonly agentSocket: string;
}

/** Resolves when nothing runs that the machine has started, or when the time is over. */
export async function endUnits(io: ShutdownIo, options: { graceSeconds: number }): Promise<void> {
  const { units, events } = io;
  await endPods(io, options.graceSeconds);
  const running = units.names().filter((name) => units.state(name).phase !== 'stopped');
  const boundMs = running.reduce((sum, name) => sum + units.stopTimeoutMs(name), UNITS_MS);
  const done = await within(io.clock, units.stopAll(), boundMs);
  if (done) return;
  const left = units.names().filter((name) => units.state(name).phase !== 'stopped');
  events.add('machine', `did not end in time: ${left.join(', ')}`, 'warning');
}

async function endPods(io: ShutdownIo, graceSeconds: number): Promise<void> {
  const { units, events, clock } = io;
  if (units.state('agent').phase === 'stopped') return;
  const startedAtMs = clock.monotonicMs();
  const endMs = startedAtMs + graceSeconds * 1000 + PODS_MS;
  let answeredAtMs = startedAtMs;
  for (;;) {
    using deadline = clock.deadline(Math.max(0, endMs - clock.monotonicMs()), UNSTOPPABLE);
    const { signal } = deadline;
    try {
      await using agent = await connectUnix(io.agentSocket, signal);
      answeredAtMs = clock.monotonicMs();
      const { running } = await agent.call(Pods.End, { graceSeconds }, signal);
      for (const name of running) events.add('machine', `${name} did not end`, 'warning');
      const seconds = ((clock.monotonicMs() - startedAtMs) / 1000).toFixed(1);
      events.add('machine', `pods ended after ${seconds} s`);
      return;
    } catch (error) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= endMs || nowMs - answeredAtMs > SILENCE_MS) {
        events.add('machine', `pods were not ended: ${errorText(error)}`, 'error');
        return;
      }
    }
    await clock.sleep(RETRY_MS, UNSTOPPABLE);
  }
}

/** Whether `work` is done within `ms`. */
async function within(clock: Clock, work: Promise<unknown>, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(
    () => false,
    () => false,
  );
  const done = await Promise.race([work.then(() => true), late]);
  over.abort(new Error('done'));
  return done;
}

/**
 * Ends the pods of this node when the machine goes down. The kubelet does it, with hooks and in order. What
 * still runs afterwards, or what no kubelet knows (the API is not there, and with it the pods' specs), is
 * stopped by the runtime alone. Asked again, it goes on with what is under way; so does the next agent when
 * this one is killed meanwhile, by a note in /run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { NodeShutdown } from '../kubelet/node/node-shutdown.ts';
import type { ContainerRuntime } from '../runtime/port.ts';

/** How long a kubelet that is just starting may take to know its pods. */
const ATTACH_MS = 3_000;
/** Of the kubelet, beyond the grace: killing and telling the API. */
const KUBELET_MS = 8_000;
/** Of the runtime, for a container that gets no grace any more. */
const KILL_MS = 5_000;

export interface EndPodsIo {
  readonly shutdown: NodeShutdown;
  readonly runtime: Pick<ContainerRuntime, 'listContainers' | 'stopContainer'>;
  /** In /run, gone with the machine. */
  readonly noteFile: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Goes on with what an earlier agent of this boot began. */
export function resumeShutdown(shutdown: NodeShutdown, noteFile: string): void {
  try {
    shutdown.begin(Number(readFileSync(noteFile, 'utf8')));
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error; // The node stays.
  }
}

/** Resolves when no container runs, or `graceMs` and some seconds are over; tells what still runs. */
export async function endPods(
  io: EndPodsIo,
  graceMs: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { shutdown, runtime, clock, log } = io;
  writeFileSync(io.noteFile, String(graceMs));
  shutdown.begin(graceMs);
  const within = async (work: Promise<unknown>, ms: number): Promise<boolean> => {
    using deadline = clock.deadline(ms, signal);
    const over = new Promise<false>((resolve) => {
      deadline.signal.addEventListener('abort', () => resolve(false), { once: true });
    });
    const done = await Promise.race([work.then(() => true), over]);
    signal.throwIfAborted();
    return done;
  };
  const hasKubelet = await within(shutdown.attached, ATTACH_MS);
  if (!hasKubelet) log.warn('no kubelet knows the pods: containers are stopped without hooks');
  else if (!(await within(shutdown.ended, graceMs + KUBELET_MS))) {
    log.warn('the kubelet has not ended its pods', { graceMs });
  }
  const graceSeconds = hasKubelet ? 0 : graceMs / 1000;
  const live = () => runtime.listContainers().filter(({ state }) => state !== 'exited');
  const stops = live().map(({ id }) => runtime.stopContainer(id, graceSeconds, signal));
  await within(Promise.allSettled(stops), graceSeconds * 1000 + KILL_MS);
  return live().map(({ name, podUid }) => `${name} of pod ${podUid}`);
}

/**
 * A Store over a simulated group of three, for suites that know nothing of virtual time: it passes ten
 * times as fast as real time, so that what waits for seconds ends, and leases last longer than a step of
 * the suite.
 */
import { must } from '#base/assert.ts';
import type { StoreClient } from '#control/store/client/client.ts';
import type { EngineSettings } from '#control/store/engine/open-engine.ts';
import { StoreError } from '#control/store/port.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { Group } from './group.ts';

const PACE = 10;

export interface SimulatedStore {
  /** Speaks to a follower. */
  readonly store: StoreClient;
  readonly group: Group;
  readonly dispose: () => Promise<void>;
}

export async function openSimulatedStore(
  seed: number,
  settings: EngineSettings = {},
): Promise<SimulatedStore> {
  const small = { preallocateBytes: 65_536, ballastPieceBytes: 512 };
  const group = new Group(new SeededRandom(seed), { ...small, ...settings });
  await group.grow(3);
  const follower = must(
    group.members.find((member) => member !== group.leader),
    'a follower',
  );
  const { store } = group.connect(follower);
  let isEnded = false;
  const driving = drive(group, () => isEnded);
  const dispose = async () => {
    isEnded = true;
    await driving;
    group.close();
  };
  return { store, group, dispose };
}

async function drive(group: Group, isEnded: () => boolean): Promise<void> {
  const { time } = group;
  const start = time.nowMs - performance.now() * PACE;
  while (!isEnded()) {
    const isDue = time.nextAtMs <= start + performance.now() * PACE;
    if (isDue) time.step();
    await new Promise((resolve) => (isDue ? setImmediate(resolve) : setTimeout(resolve, 1)));
    const [failure] = group.failures;
    if (failure === undefined) continue;
    const error = new StoreError('CLOSED', 'a simulated member failed', { cause: failure });
    for (const { store } of group.clients) store.end(error);
    return;
  }
}

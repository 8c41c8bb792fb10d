/**
 * Random schedules (simulation/) over groups that change. After every event the invariants hold; at
 * the end the group heals and converges.
 *
 * `RAFT_SEED=n node control/raft/safety.test.ts` replays one seed; RAFT_SEEDS sets how many are run,
 * RAFT_FROM the first.
 */
import t from 'tap';
import { Group } from './simulation/group.ts';

/** A few seconds' worth. */
const SEEDS_DEFAULT = 300;

type Counts = Record<string, number>;

function runSeed(seed: number): Counts {
  const group = new Group(seed);
  try {
    group.run();
  } catch (error) {
    throw new Error(`RAFT_SEED=${seed} node control/raft/safety.test.ts`, { cause: error });
  }
  return { ...group.counts, ...group.oracle.counts };
}

t.test('random schedules keep the invariants and converge', (t) => {
  const only = process.env['RAFT_SEED'];
  const from = Number(process.env['RAFT_FROM'] ?? 0);
  const count = only === undefined ? Number(process.env['RAFT_SEEDS'] ?? SEEDS_DEFAULT) : 1;
  const sum: Counts = {};
  for (let seed = Number(only ?? from), end = seed + count; seed < end; seed++) {
    for (const [what, times] of Object.entries(runSeed(seed))) sum[what] = (sum[what] ?? 0) + times;
  }
  t.comment(JSON.stringify(sum));
  t.ok(Object.keys(sum).length > 0, 'something was counted');
  if (only !== undefined) return t.end();
  // A soak in which something never happened proves nothing about it.
  for (const [what, times] of Object.entries(sum)) t.ok(times > count / 20, `${what}: ${times}`);
  return t.end();
});

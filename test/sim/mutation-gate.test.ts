/** A few bugs that the simulator finds within seconds: the gate itself must not rot. */
import t from 'tap';
import { checkPatches, search } from './mutation-gate.ts';
import { MUTATIONS } from './mutations/mutations.ts';

t.test('every bug is a patch of the sources as they are', (t) => {
  checkPatches();
  for (const area of ['raft', 'log', 'mvcc', 'lease']) {
    t.ok(MUTATIONS.filter((mutation) => mutation.area === area).length >= 6, area);
  }
  t.equal(new Set(MUTATIONS.map(({ name }) => name)).size, MUTATIONS.length);
  t.end();
});

const QUICK = [
  'acknowledged-before-sync',
  'read-of-the-past-sees-the-present',
  'quorum-of-unsorted-list',
];

t.test('bugs are found, and the code as it ships passes', { timeout: 240_000 }, async (t) => {
  const bounds = { first: 1, seeds: 20, cpuSeconds: 60 };
  for (const name of QUICK) {
    const mutation = MUTATIONS.find((other) => other.name === name);
    t.ok(mutation, name);
    const { failure, seeds } = await search(mutation, bounds);
    t.ok(failure, `${name}: ${failure} after ${seeds} seeds`);
  }
  const { failure, seeds } = await search(undefined, { ...bounds, seeds: 3 });
  t.equal(failure, undefined);
  t.equal(seeds, 3);
});

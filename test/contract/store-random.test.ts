/** A share of the random comparison with etcd; store-random.ts runs the whole. */
import t from 'tap';
import { EtcdServer } from './etcd-server.ts';
import { RandomComparison } from './store-random.ts';

const OPERATIONS = 20_000;
const RESTARTED_SEQUENCES = 5;

const server = await EtcdServer.start();
const comparison = await RandomComparison.on(server);
t.teardown(async () => {
  await comparison.close();
  await server[Symbol.asyncDispose]();
});
const first = Math.floor(Math.random() * 2 ** 31);

t.test(`ours, etcd and the twin answer alike, from seed ${first}`, async (t) => {
  for (let seed = first; comparison.stepCount < OPERATIONS; seed++) await comparison.sequence(seed);
  t.pass(`${comparison.stepCount} operations`);
});

t.test(`the store over etcd answers alike through its restarts, from seed ${first}`, async (t) => {
  for (let i = 0; i < RESTARTED_SEQUENCES; i++) await comparison.sequence(first + i, true);
  t.pass(`${RESTARTED_SEQUENCES} sequences`);
});

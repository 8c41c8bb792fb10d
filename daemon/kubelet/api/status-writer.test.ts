import t from 'tap';
import { RealClock } from '#base/clock.ts';
import { type KubeClient, KubeError } from '#base/kube/client.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { silentLog } from '#base/log.ts';
import { TaskScope } from '#base/task-scope.ts';
import { PodStatusWriter } from './status-writer.ts';

const POD = {
  metadata: { name: 'p', namespace: 'ns', uid: 'one' },
  spec: { containers: [] },
  status: { phase: 'Pending' },
} as unknown as Pod; // Enough of one.

const conflict = () => new KubeError({ code: 409, reason: 'Conflict', message: 'try again' });

await t.test('a conflict ends the writing only when the pod is another one', async (t) => {
  for (const [uid, wanted] of [
    ['one', 'written'],
    ['two', 'given up'],
  ] as const) {
    await using tasks = new TaskScope(new AbortController().signal);
    const patches: unknown[] = [];
    const client = {
      get: async () => ({ ...POD, metadata: { ...POD.metadata, uid } }),
      async patch(_resource: unknown, _at: unknown, patch: { body: { status: object } }) {
        patches.push(patch);
        if (patches.length === 1) throw conflict();
        return { ...POD, status: patch.body.status };
      },
    } as unknown as KubeClient; // All that the writer calls.
    const io = { client, clock: new RealClock(), log: silentLog, tasks };
    const writer = new PodStatusWriter(io, POD);
    writer.send({ phase: 'Running' });
    await writer.flush();
    t.equal(patches.length === 2 ? 'written' : 'given up', wanted);
    writer.send({ phase: 'Failed' });
    await writer.flush();
    t.equal(patches.length, wanted === 'written' ? 3 : 1);
  }
});

await t.test("a pod that is another node's is given up", async (t) => {
  await using tasks = new TaskScope(new AbortController().signal);
  let patches = 0;
  const client = {
    async get() {
      throw new KubeError({ code: 403, reason: 'Forbidden', message: 'no relationship found' });
    },
    async patch() {
      patches++;
      throw conflict();
    },
  } as unknown as KubeClient; // All that the writer calls.
  const io = { client, clock: new RealClock(), log: silentLog, tasks };
  const writer = new PodStatusWriter(io, POD);
  writer.send({ phase: 'Running' });
  await writer.flush();
  t.equal(patches, 1);
});

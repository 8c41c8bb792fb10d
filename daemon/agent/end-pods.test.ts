/** endPods(): with a kubelet, without one, and by an agent that was killed meanwhile. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { NodeShutdown } from '../kubelet/node/node-shutdown.ts';
import type { Container } from '../runtime/port.ts';
import { endPods, resumeShutdown } from './end-pods.ts';

const signal = new AbortController().signal;

function scene(t: Test, containers: string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-end-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const stopped: string[] = [];
  const live = new Set(containers);
  const runtime = {
    listContainers: () =>
      [...live].map((id) => ({ id, name: id, podUid: 'u', state: 'running' }) as Container), // Enough.
    stopContainer: async (id: string, graceSeconds: number) => {
      stopped.push(`${id} ${graceSeconds}s`);
      if (id !== 'deaf') live.delete(id);
    },
  };
  const shutdown = new NodeShutdown();
  const noteFile = join(dir, 'ending');
  const io = { shutdown, runtime, noteFile, clock: new RealClock(), log: silentLog };
  return { io, live, stopped, shutdown, noteFile };
}

t.test('endPods() waits for the kubelet, then takes what is left', async (t) => {
  const { io, live, stopped, shutdown } = scene(t, ['a', 'left']);
  shutdown.begun(signal).then(
    (graceMs) => {
      t.equal(graceMs, 30_000);
      live.delete('a');
      shutdown.finish([]);
    },
    () => {},
  );
  t.same(await endPods(io, 30_000, signal), []);
  t.same(stopped, ['left 0s']);
});

t.test('endPods() asks the runtime when no kubelet knows the pods', async (t) => {
  const { io, stopped } = scene(t, ['a']);
  const startedAt = performance.now();
  t.same(await endPods(io, 2000, signal), []);
  t.same(stopped, ['a 2s'], 'with their grace');
  t.ok(performance.now() - startedAt < 6000);
});

t.test('endPods() tells what does not end', async (t) => {
  const { io, shutdown } = scene(t, ['deaf']);
  shutdown.begun(signal).then(
    () => shutdown.finish([]),
    () => {},
  );
  t.same(await endPods(io, 100, signal), ['deaf of pod u']);
});

t.test('resumeShutdown() goes on with what an earlier agent began', async (t) => {
  const { io, shutdown, noteFile } = scene(t, []);
  resumeShutdown(shutdown, noteFile);
  t.equal(shutdown.graceMs, undefined);
  shutdown.begun(signal).then(
    () => shutdown.finish([]),
    () => {},
  );
  await endPods(io, 5000, signal);
  const next = new NodeShutdown();
  resumeShutdown(next, noteFile);
  t.equal(next.graceMs, 5000);
});

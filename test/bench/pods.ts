/**
 * Time from a pod's POST to the moment at which a watcher sees it Ready, with the image on the node: one
 * pod at a time, then many at once. Prints one line of JSON for each; the same command measures upstream.
 *   pods.ts --kubeconfig FILE [--image NAME] [--count 15] [--burst 30]
 */
import { parseArgs } from 'node:util';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { namespaces, pods } from '#base/kube/api/resources.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { HttpsTransport } from '#base/kube/https-transport.ts';
import { createKubeClient } from '#base/kube/kube-client.ts';
import { loadKubeconfig } from '#base/kube/kubeconfig.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    image: { type: 'string', default: 'registry.k8s.io/e2e-test-images/agnhost:2.63.0' },
    count: { type: 'string', default: '15' },
    burst: { type: 'string', default: '30' },
  },
});

const NAMESPACE = `bench-${Date.now().toString(36)}`;
const stop = new AbortController();
const transport = new HttpsTransport(loadKubeconfig(values.kubeconfig ?? ''));
const client = createKubeClient(transport, { userAgent: 'bench' });
const seenReady = new Map<string, (atMs: number) => void>();
const seenGone = new Map<string, () => void>();

function draft(name: string): Draft<Pod> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: values.image, imagePullPolicy: 'Never' }],
    },
  };
}

/** Servers end watches when they like: goes on from the last event seen. */
async function follow(): Promise<void> {
  let resourceVersion = '0';
  while (!stop.signal.aborted) {
    const options = { namespace: NAMESPACE, resourceVersion };
    for await (const event of client.watch(pods, options, stop.signal)) {
      if (event.type === 'ERROR') throw new Error(`watch: ${event.object.message}`);
      resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
      if (event.type !== 'BOOKMARK') note(event.type, event.object);
    }
  }
}

function note(type: 'ADDED' | 'MODIFIED' | 'DELETED', { metadata, status }: Pod): void {
  const name = metadata.name ?? '';
  if (type === 'DELETED') seenGone.get(name)?.();
  else if (status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true)
    seenReady.get(name)?.(performance.now());
}

/** Creates a pod; resolves to the milliseconds until it was seen Ready. */
async function untilReady(name: string): Promise<number> {
  const ready = new Promise<number>((resolve) => seenReady.set(name, resolve));
  const startedMs = performance.now();
  await client.create(pods, draft(name), stop.signal);
  return (await ready) - startedMs;
}

async function remove(name: string): Promise<void> {
  const gone = new Promise<void>((resolve) => seenGone.set(name, resolve));
  const options = { gracePeriodSeconds: 0 };
  await client.delete(pods, { name, namespace: NAMESPACE }, options, stop.signal);
  await gone;
}

const print = (result: object) => process.stdout.write(`${JSON.stringify(result)}\n`);
const round = (ms: number) => Math.round(ms);

const namespace = { metadata: { name: NAMESPACE }, spec: {} };
await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', ...namespace }, stop.signal);
const account = { path: `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/default`, method: 'GET' };
for (let there = false; !there; ) {
  there = await client.raw(account, stop.signal).then(
    () => true,
    () => false, // Its controller has not come to it yet.
  );
}
const following = follow().catch((error: unknown) => {
  if (!stop.signal.aborted) throw error;
});

await untilReady('warm-up');
await remove('warm-up');
const times: number[] = [];
for (let index = 0; index < Number(values.count); index++) {
  const name = `one-${index}`;
  times.push(await untilReady(name));
  await remove(name);
}
print({
  operation: 'pod to Ready, one at a time',
  count: times.length,
  p50Ms: round(median(times)),
  maxMs: round(Math.max(...times)),
});
const names = Array.from({ length: Number(values.burst) }, (_, index) => `burst-${index}`);
const startedMs = performance.now();
await Promise.all(names.map(untilReady));
print({
  operation: `pods to Ready, ${names.length} at once`,
  count: names.length,
  allMs: round(performance.now() - startedMs),
});
await Promise.all(names.map(remove));
await client.delete(namespaces, { name: NAMESPACE }, {}, stop.signal);
stop.abort();
await following;
await transport.close();

/**
 * Requests per second and latencies of an API server under 64 clients, 1 KB config maps: create, get,
 * update, patch. `node test/bench/api.ts --kubeconfig FILE [--clients 64] [--seconds 5]` prints one
 * line of JSON for each; the same command measures upstream.
 */
import { parseArgs } from 'node:util';
import { HttpsTransport } from '#base/kube/https-transport.ts';
import { loadKubeconfig } from '#base/kube/kubeconfig.ts';

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    clients: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '8' },
    only: { type: 'string', default: 'create,get,update,patch' },
  },
});

const CLIENTS = Number(values.clients);
const SECONDS = Number(values.seconds);
const NAMESPACE = `bench-${Date.now().toString(36)}`;
const BASE = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
const PAYLOAD = 'x'.repeat(1024);
const never = new AbortController().signal;

const connection = loadKubeconfig(values.kubeconfig ?? '');
const transports = Array.from(
  { length: Number(values.connections) },
  () => new HttpsTransport(connection),
);

async function send(client: number, method: string, path: string, body?: object, type?: string) {
  const transport = transports[client % transports.length];
  if (transport === undefined) throw new Error('no connections');
  const headers = { accept: 'application/json', 'content-type': type ?? 'application/json' };
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const response = await transport.send({ method, path, headers, body: bytes }, never);
  const parts: Uint8Array[] = [];
  for await (const part of response.body) parts.push(part);
  const text = Buffer.concat(parts).toString();
  if (response.status >= 300) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

function configMap(name: string, extra = ''): object {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { payload: PAYLOAD, extra },
  };
}

type Operation = (client: number, round: number) => Promise<unknown>;
const operations: Record<string, Operation> = {
  create: (c, r) => send(c, 'POST', BASE, configMap(`c${c}-${r}`)),
  get: (c) => send(c, 'GET', `${BASE}/own-${c}`),
  update: (c, r) => send(c, 'PUT', `${BASE}/own-${c}`, configMap(`own-${c}`, String(r))),
  patch: (c, r) =>
    send(
      c,
      'PATCH',
      `${BASE}/own-${c}`,
      { data: { extra: `p${r}` } },
      'application/merge-patch+json',
    ),
};

async function measure(name: string, operation: Operation): Promise<void> {
  const latencies: number[] = [];
  const startMs = performance.now();
  const endMs = startMs + SECONDS * 1000;
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      for (let round = 0; performance.now() < endMs; round++) {
        const beganMs = performance.now();
        await operation(client, round);
        latencies.push(performance.now() - beganMs);
      }
    }),
  );
  const seconds = (performance.now() - startMs) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) =>
    Number((latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1));
  const perSecond = Math.round(latencies.length / seconds);
  const result = { operation: name, clients: CLIENTS, perSecond, p50Ms: at(0.5), p99Ms: at(0.99) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

await send(0, 'POST', '/api/v1/namespaces', {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: NAMESPACE },
});
await Promise.all(
  Array.from({ length: CLIENTS }, (_, c) => send(c, 'POST', BASE, configMap(`own-${c}`))),
);
for (const name of values.only.split(',')) {
  const operation = operations[name];
  if (operation !== undefined) await measure(name, operation);
}
await send(0, 'DELETE', `/api/v1/namespaces/${NAMESPACE}`);
await Promise.all(transports.map((transport) => transport.close()));

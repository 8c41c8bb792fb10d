/**
 * Microseconds of one codec call for a Pod of 3 KB, as it lies in the store, and for a list of 500.
 * `node test/bench/codec.ts [calls]`
 */
import {
  applyMarkerDefaults,
  decodeJson,
  decodeProtobuf,
  encodeJson,
  encodeProtobuf,
  joinListProtobuf,
  normalise,
  strategicMergePatch,
} from '#control/schema/schema.ts';

const POD = { group: '', version: 'v1', kind: 'Pod' };
const calls = Number(process.argv[2] ?? 20_000);

const time = '2026-11-20T10:00:00Z';
const resources = {
  limits: { cpu: '500m', memory: '128Mi' },
  requests: { cpu: '100m', memory: '64Mi' },
};
const probe = { httpGet: { path: '/', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1 };
const fieldRef = (fieldPath: string): object => ({ fieldRef: { apiVersion: 'v1', fieldPath } });
const condition = (type: string): object => ({ type, status: 'True', lastTransitionTime: time });
const toleration = (name: string): object => ({
  key: `node.kubernetes.io/${name}`,
  operator: 'Exists',
  effect: 'NoExecute',
  tolerationSeconds: 300,
});

const volume = {
  name: 'kube-api-access-abcde',
  projected: {
    defaultMode: 420,
    sources: [
      { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      { downwardAPI: { items: [{ path: 'namespace', ...fieldRef('metadata.namespace') }] } },
    ],
  },
};

const container = {
  name: 'web',
  image: 'registry.k8s.io/e2e-test-images/agnhost:2.63.0',
  args: ['netexec', '--http-port=8080'],
  ports: [{ containerPort: 8080, protocol: 'TCP' }],
  env: [
    { name: 'A', value: '1' },
    { name: 'POD_IP', valueFrom: fieldRef('status.podIP') },
  ],
  resources,
  volumeMounts: [
    {
      name: volume.name,
      readOnly: true,
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
    },
  ],
  readinessProbe: { ...probe, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 },
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent',
};

const metadata = {
  name: 'web-7d4b9c6f5d-x2x7q',
  generateName: 'web-7d4b9c6f5d-',
  namespace: 'default',
  uid: '0b1c7f4e-4f0e-4c39-9d43-0d6a4b1e7f00',
  resourceVersion: '123456',
  generation: 1,
  creationTimestamp: time,
  labels: { app: 'web', 'pod-template-hash': '7d4b9c6f5d' },
  ownerReferences: [
    {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: 'web-7d4b9c6f5d',
      uid: '11111111-4f0e-4c39-9d43-0d6a4b1e7f00',
      controller: true,
      blockOwnerDeletion: true,
    },
  ],
};

const spec = {
  volumes: [volume],
  containers: [container],
  restartPolicy: 'Always',
  terminationGracePeriodSeconds: 30,
  dnsPolicy: 'ClusterFirst',
  serviceAccountName: 'default',
  serviceAccount: 'default',
  nodeName: 'node-1',
  securityContext: {},
  schedulerName: 'default-scheduler',
  tolerations: [toleration('not-ready'), toleration('unreachable')],
  priority: 0,
  enableServiceLinks: true,
  preemptionPolicy: 'PreemptLowerPriority',
};

const status = {
  phase: 'Running',
  conditions: ['PodReadyToStartContainers', 'Initialized', 'Ready', 'PodScheduled'].map(condition),
  hostIP: '10.0.0.1',
  hostIPs: [{ ip: '10.0.0.1' }],
  podIP: '10.244.0.7',
  podIPs: [{ ip: '10.244.0.7' }],
  startTime: time,
  containerStatuses: [
    {
      name: 'web',
      state: { running: { startedAt: time } },
      lastState: {},
      ready: true,
      restartCount: 0,
      image: container.image,
      imageID: 'registry.k8s.io/e2e-test-images/agnhost@sha256:0123456789abcdef',
      containerID: 'bareboat://0123456789abcdef',
      started: true,
    },
  ],
  qosClass: 'Burstable',
};

const pod = normalise(POD, { metadata, spec, status }).object;
const text = encodeJson(POD, pod);
const bytes = Buffer.from(text);
const protobuf = encodeProtobuf(POD, pod);
const list = Array.from({ length: 500 }, () => protobuf);
const listGvk = { ...POD, kind: 'PodList' };
const listBytes = joinListProtobuf(listGvk, { resourceVersion: '1' }, list);
const listText = encodeJson(listGvk, decodeProtobuf(listBytes).object);
const patch = { metadata: { labels: { app: 'other' } }, spec: { containers: [{ name: 'web' }] } };

function measure(name: string, count: number, call: () => unknown): void {
  for (let i = 0; i < count; i++) call();
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) call();
  const micros = Number(process.hrtime.bigint() - start) / 1000 / count;
  console.log(`${name.padEnd(34)} ${micros.toFixed(1).padStart(9)} us`);
}

console.log(`pod: JSON ${bytes.length} bytes, protobuf ${protobuf.length} bytes`);
measure('JSON.parse', calls, () => JSON.parse(text));
measure('JSON.stringify', calls, () => JSON.stringify(pod));
measure('decodeJson', calls, () => decodeJson(text));
measure('decodeJson strict', calls, () => decodeJson(text, { strict: true }));
measure('decodeJson of bytes', calls, () => decodeJson(bytes.toString()));
measure('encodeJson', calls, () => encodeJson(POD, pod));
measure('decodeProtobuf', calls, () => decodeProtobuf(protobuf));
measure('encodeProtobuf', calls, () => encodeProtobuf(POD, pod));
measure('applyMarkerDefaults', calls, () => applyMarkerDefaults(POD, pod));
measure('strategicMergePatch', calls, () => strategicMergePatch(POD, pod, patch));
const lists = Math.max(1, Math.floor(calls / 500));
measure('decodeJson, list of 500', lists, () => decodeJson(listText));
measure('decodeProtobuf, list of 500', lists, () => decodeProtobuf(listBytes));
measure('joinListProtobuf, list of 500', lists, () =>
  joinListProtobuf(listGvk, { resourceVersion: '1' }, list),
);

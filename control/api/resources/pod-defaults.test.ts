import t from 'tap';
import type { Pod, PodSpec } from '#base/kube/api/core-v1.gen.ts';
import { meansLatest } from './image-name.ts';
import { defaultPod } from './pod-defaults.ts';

function podOf(spec: PodSpec): Pod {
  const metadata = {
    name: 'p',
    namespace: 'd',
    uid: '',
    resourceVersion: '',
    creationTimestamp: '',
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec, status: {} } as Pod;
}

const ALWAYS = {
  dnsPolicy: 'ClusterFirst',
  restartPolicy: 'Always',
  securityContext: {},
  terminationGracePeriodSeconds: 30,
  schedulerName: 'default-scheduler',
  enableServiceLinks: true,
};
const CONTAINER = {
  name: 'c',
  image: 'busybox:1',
  imagePullPolicy: 'IfNotPresent',
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  resources: {},
};

const rows: readonly { name: string; spec: PodSpec; expected: unknown }[] = [
  {
    name: 'fills what every pod has',
    spec: { containers: [{ name: 'c', image: 'busybox:1' }] },
    expected: { ...ALWAYS, containers: [CONTAINER] },
  },
  {
    name: 'keeps what is set',
    spec: { containers: [], restartPolicy: 'Never', terminationGracePeriodSeconds: 0 },
    expected: {
      ...ALWAYS,
      containers: [],
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
    },
  },
  {
    name: 'takes requests from limits and host ports from the host network',
    spec: {
      hostNetwork: true,
      containers: [
        {
          name: 'c',
          image: 'busybox:1',
          ports: [{ containerPort: 80 }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } },
        },
      ],
    },
    expected: {
      ...ALWAYS,
      hostNetwork: true,
      containers: [
        {
          ...CONTAINER,
          ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
          resources: {
            limits: { cpu: '1', memory: '1Gi' },
            requests: { cpu: '500m', memory: '1Gi' },
          },
        },
      ],
    },
  },
  {
    name: 'makes a volume without a source an emptyDir',
    spec: { containers: [], volumes: [{ name: 'v' }, { name: 's', secret: { secretName: 'x' } }] },
    expected: {
      ...ALWAYS,
      containers: [],
      volumes: [
        { name: 'v', emptyDir: {} },
        { name: 's', secret: { secretName: 'x', defaultMode: 420 } },
      ],
    },
  },
];

for (const row of rows) {
  t.test(`defaultPod() ${row.name}`, async (t) => {
    const pod = podOf(row.spec);
    defaultPod(pod);
    t.same(pod.spec, row.expected);
  });
}

t.test('meansLatest()', async (t) => {
  for (const image of ['a', 'a:latest', 'reg:5000/a/b', 'reg:5000/a:latest']) {
    t.ok(meansLatest(image), image);
  }
  for (const image of ['a:1', 'reg:5000/a:1', `a@sha256:${'0'.repeat(64)}`, 'UPPER', '']) {
    t.notOk(meansLatest(image), image);
  }
});

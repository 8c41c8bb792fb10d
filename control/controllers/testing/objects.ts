/** Builders of API objects for table tests: only what a row is about needs to be said. */
import type { Deployment, ReplicaSet } from '#base/kube/api/apps-v1.gen.ts';
import type { Node, NodeSpec, Pod, PodSpec, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import type { ObjectMeta } from '#base/kube/api/meta-v1.gen.ts';
import { formatTime } from '#base/kube/metadata.ts';

/** The moment at which tests decide. */
export const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);

export function ago(seconds: number): string {
  return formatTime(NOW_MS - seconds * 1000);
}

export function meta(name: string, extra: Partial<ObjectMeta> = {}): ObjectMeta {
  return {
    name,
    namespace: 'ns',
    uid: `uid-${name}`,
    resourceVersion: '1',
    creationTimestamp: ago(3600),
    ...extra,
  };
}

export function pod(
  name: string,
  options: {
    readonly meta?: Partial<ObjectMeta>;
    readonly spec?: Partial<PodSpec>;
    readonly status?: PodStatus;
    /** Running and Ready for an hour. */
    readonly ready?: boolean;
  } = {},
): Pod {
  const ready: PodStatus = {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: ago(3600) }],
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: meta(name, options.meta),
    spec: { containers: [{ name: 'c' }], ...options.spec },
    status: options.status ?? (options.ready === true ? ready : { phase: 'Pending' }),
  };
}

export function node(
  name: string,
  options: {
    readonly labels?: Record<string, string>;
    readonly spec?: NodeSpec;
    readonly allocatable?: Record<string, string>;
    readonly ready?: 'True' | 'False' | 'Unknown';
  } = {},
): Node {
  const { labels = {}, spec = {}, ready = 'True' } = options;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { ...meta(name), labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec,
    status: {
      allocatable: options.allocatable ?? { cpu: '4', memory: '8Gi', pods: '110' },
      conditions: [{ type: 'Ready', status: ready, lastTransitionTime: ago(60) }],
    },
  };
}

export function deployment(
  replicas: number,
  options: {
    readonly surge?: number | string;
    readonly unavailable?: number | string;
    readonly spec?: Partial<Deployment['spec']>;
    readonly status?: Deployment['status'];
  } = {},
): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta('d', { generation: 1 }),
    spec: {
      replicas,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: { app: 'd' } },
      strategy: {
        type: 'RollingUpdate',
        rollingUpdate: {
          maxSurge: options.surge ?? '25%',
          maxUnavailable: options.unavailable ?? '25%',
        },
      },
      template: { metadata: meta('', { labels: { app: 'd' } }) },
      ...options.spec,
    },
    status: options.status ?? {},
  };
}

export function replicaSet(
  name: string,
  replicas: number,
  options: {
    readonly available?: number;
    readonly annotations?: Record<string, string>;
    readonly ageSeconds?: number;
    readonly observed?: number;
  } = {},
): ReplicaSet {
  const { available = replicas, annotations = {}, ageSeconds = 60 } = options;
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: meta(name, { annotations, creationTimestamp: ago(ageSeconds), generation: 1 }),
    spec: { replicas, selector: { matchLabels: { app: 'd' } }, template: {} },
    status: {
      replicas: options.observed ?? replicas,
      availableReplicas: available,
      readyReplicas: available,
      observedGeneration: 1,
    },
  };
}

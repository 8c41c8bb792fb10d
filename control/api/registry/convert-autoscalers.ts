/**
 * autoscaling/v1 HorizontalPodAutoscalers, which know one CPU target, as the stored autoscaling/v2.
 * What v1 cannot say travels in annotations, as upstream's conversion does
 * (kubernetes pkg/apis/autoscaling/v1/conversion.go).
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { Conversion } from './served-resource.ts';

const METRICS = 'autoscaling.alpha.kubernetes.io/metrics';
const CURRENT_METRICS = 'autoscaling.alpha.kubernetes.io/current-metrics';
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions';
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior';

interface Metric {
  type?: string;
  resource?: {
    name?: string;
    target?: { type?: string; averageUtilization?: number };
    current?: { averageUtilization?: number };
  };
}

interface Parts extends KubeObject {
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

function isCpu(metric: Metric): boolean {
  return metric.type === 'Resource' && metric.resource?.name === 'cpu';
}

function parseList(text: string | undefined): Metric[] {
  return text === undefined ? [] : JSON.parse(text);
}

function fromStorage(object: Parts): KubeObject {
  const { metrics, behavior, ...spec } = object.spec ?? {};
  const { currentMetrics, conditions, ...status } = object.status ?? {};
  const wanted = (metrics ?? []) as Metric[]; // Of autoscaling/v2.
  const current = (currentMetrics ?? []) as Metric[];
  const cpu = wanted.find((m) => isCpu(m) && m.resource?.target?.type === 'Utilization');
  const used = current.find(isCpu);
  const annotations: Record<string, string> = { ...object.metadata.annotations };
  const keep = (key: string, value: unknown) => {
    if (value !== undefined) annotations[key] = JSON.stringify(value);
  };
  const others = wanted.filter((m) => m !== cpu);
  const othersUsed = current.filter((m) => m !== used);
  keep(METRICS, others.length > 0 ? others : undefined);
  keep(CURRENT_METRICS, othersUsed.length > 0 ? othersUsed : undefined);
  keep(CONDITIONS, conditions);
  keep(BEHAVIOR, behavior);
  const target = cpu?.resource?.target?.averageUtilization;
  const usage = used?.resource?.current?.averageUtilization;
  return {
    ...object,
    apiVersion: 'autoscaling/v1',
    metadata: withAnnotations(object, annotations),
    spec: { ...spec, ...(target === undefined ? {} : { targetCPUUtilizationPercentage: target }) },
    status: {
      ...status,
      ...(usage === undefined ? {} : { currentCPUUtilizationPercentage: usage }),
    },
  } as KubeObject; // The fields of spec and status are those of autoscaling/v1.
}

function toStorage(object: Parts): KubeObject {
  const { targetCPUUtilizationPercentage: target, ...spec } = object.spec ?? {};
  const { currentCPUUtilizationPercentage: usage, ...status } = object.status ?? {};
  const {
    [METRICS]: metrics,
    [CURRENT_METRICS]: currentMetrics,
    [CONDITIONS]: conditions,
    [BEHAVIOR]: behavior,
    ...annotations
  } = object.metadata.annotations ?? {};
  const wanted: unknown[] = parseList(metrics);
  if (target !== undefined) {
    const cpu = { name: 'cpu', target: { type: 'Utilization', averageUtilization: target } };
    wanted.unshift({ type: 'Resource', resource: cpu });
  }
  const used: unknown[] = parseList(currentMetrics);
  if (usage !== undefined) {
    const cpu = { name: 'cpu', current: { averageUtilization: usage } };
    used.unshift({ type: 'Resource', resource: cpu });
  }
  return {
    ...object,
    apiVersion: 'autoscaling/v2',
    metadata: withAnnotations(object, annotations),
    spec: {
      ...spec,
      ...(wanted.length > 0 ? { metrics: wanted } : {}),
      ...(behavior === undefined ? {} : { behavior: JSON.parse(behavior) }),
    },
    status: {
      ...status,
      ...(used.length > 0 ? { currentMetrics: used } : {}),
      ...(conditions === undefined ? {} : { conditions: JSON.parse(conditions) }),
    },
  } as KubeObject; // The fields of spec and status are those of autoscaling/v2.
}

function withAnnotations(
  object: KubeObject,
  annotations: Record<string, string>,
): KubeObject['metadata'] {
  const { annotations: _, ...metadata } = object.metadata;
  return Object.keys(annotations).length > 0 ? { ...metadata, annotations } : metadata;
}

export const autoscalerConversion: Conversion = { toStorage, fromStorage };

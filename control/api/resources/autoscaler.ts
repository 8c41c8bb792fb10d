/**
 * Rules of HorizontalPodAutoscalers in the form v2, in which those of v1 are stored as well.
 * Source: kubernetes v1.36.3 pkg/apis/autoscaling.
 */
import type {
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  MetricValueStatus,
} from '#base/kube/api/autoscaling-v2.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { checkPathSegment } from './formats.ts';
import { given } from './given.ts';
import { quantityText } from './persistent-volume-claim.ts';
import { plainRules } from './plain-kinds.ts';
import { age, NONE, tableOf, UNKNOWN, UNSET } from './tables.ts';

const GROUP = { group: 'autoscaling', resource: 'horizontalpodautoscalers' } as const;
const DEFAULT_UTILIZATION = 80;
const METRICS_SHOWN_MAX = 2;
const PERIOD_SECONDS = 15;
const COLUMNS = 'Name,Reference,Targets,MinPods,MaxPods,Replicas,Age';

/** What is missing is reported by validation. */
const noSpec = () => ({ maxReplicas: 0, scaleTargetRef: { kind: '', name: '' } });

function scaleUp(): HPAScalingRules {
  return {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Pods', value: 4, periodSeconds: PERIOD_SECONDS },
      { type: 'Percent', value: 100, periodSeconds: PERIOD_SECONDS },
    ],
  };
}

function scaleDown(): HPAScalingRules {
  return {
    selectPolicy: 'Max',
    policies: [{ type: 'Percent', value: 100, periodSeconds: PERIOD_SECONDS }],
  };
}

function defaultAutoscaler(autoscaler: HorizontalPodAutoscaler): void {
  autoscaler.spec ??= noSpec();
  const { spec } = autoscaler;
  spec.minReplicas ??= 1;
  if ((spec.metrics ?? []).length === 0) {
    const target = { type: 'Utilization', averageUtilization: DEFAULT_UTILIZATION };
    spec.metrics = [{ type: 'Resource', resource: { name: 'cpu', target } }];
  }
  if (spec.behavior === undefined) return;
  spec.behavior.scaleUp = { ...scaleUp(), ...spec.behavior.scaleUp };
  spec.behavior.scaleDown = { ...scaleDown(), ...spec.behavior.scaleDown };
}

interface Bounds {
  readonly minReplicas?: number | undefined;
  readonly maxReplicas?: number | undefined;
  readonly scaleTargetRef?: { kind?: string; name?: string } | undefined;
}

function validateBounds(e: FieldErrors, spec: Bounds): void {
  const { minReplicas, maxReplicas = 0, scaleTargetRef = {} } = spec;
  if (minReplicas !== undefined && minReplicas < 1) {
    e.invalid('spec.minReplicas', minReplicas, 'must be greater than or equal to 1');
  }
  if (maxReplicas === 0) e.required('spec.maxReplicas', 'must be set and greater than 0');
  else if (maxReplicas < 0) {
    e.invalid('spec.maxReplicas', maxReplicas, 'must be greater than or equal to 1');
  }
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    const detail = 'must be greater than or equal to `minReplicas`';
    e.invalid('spec.maxReplicas', maxReplicas, detail);
  }
  for (const field of ['kind', 'name'] as const) {
    const value = scaleTargetRef[field] ?? '';
    const path = `spec.scaleTargetRef.${field}`;
    if (value === '') e.required(path);
    else e.invalidEach(path, value, checkPathSegment(value));
  }
}

/** `50%/80%`, or amounts where the target is one. */
function utilization(target: MetricTarget, current: MetricValueStatus | undefined): string {
  if (target.averageValue !== undefined) {
    const now = current === undefined ? UNKNOWN : quantityText(current.averageValue);
    return `${now}/${quantityText(target.averageValue)}`;
  }
  const now = current?.averageUtilization;
  const shown =
    target.averageUtilization === undefined ? '<auto>' : `${target.averageUtilization}%`;
  return `${now === undefined ? UNKNOWN : `${now}%`}/${shown}`;
}

function amount(target: MetricTarget, current: MetricValueStatus | undefined): string {
  if (target.averageValue !== undefined) {
    const now = current?.averageValue === undefined ? UNKNOWN : quantityText(current.averageValue);
    return `${now}/${quantityText(target.averageValue)} (avg)`;
  }
  const now = current === undefined ? UNKNOWN : quantityText(current.value);
  return `${now}/${quantityText(target.value)}`;
}

function metricText(metric: MetricSpec, status: MetricStatus | undefined): string {
  const { resource, containerResource, pods, object, external } = metric;
  if (metric.type === 'Resource' && resource !== undefined) {
    return `${resource.name}: ${utilization(resource.target, status?.resource?.current)}`;
  }
  if (metric.type === 'ContainerResource' && containerResource !== undefined) {
    const current = status?.containerResource?.current;
    return `${containerResource.name}: ${utilization(containerResource.target, current)}`;
  }
  if (metric.type === 'Pods' && pods !== undefined) {
    const current = status?.pods?.current;
    const now = current === undefined ? UNKNOWN : quantityText(current.averageValue);
    return `${now}/${quantityText(pods.target.averageValue)}`;
  }
  if (metric.type === 'Object' && object !== undefined) {
    return amount(object.target, status?.object?.current);
  }
  if (metric.type === 'External' && external !== undefined) {
    return amount(external.target, status?.external?.current);
  }
  return '<unknown type>';
}

function metricsCell({ spec, status }: HorizontalPodAutoscaler): string {
  const metrics = spec?.metrics ?? [];
  if (metrics.length === 0) return NONE;
  const texts = metrics.map((metric, i) => metricText(metric, status?.currentMetrics?.[i]));
  const shown = texts.slice(0, METRICS_SHOWN_MAX).join(', ');
  const more = metrics.length - METRICS_SHOWN_MAX;
  return more > 0 ? `${shown} + ${more} more...` : shown;
}

const METRIC_SOURCES = {
  Resource: 'resource',
  ContainerResource: 'containerResource',
  Pods: 'pods',
  Object: 'object',
  External: 'external',
} as const;
const isKnown = (type: string): type is keyof typeof METRIC_SOURCES => type in METRIC_SOURCES;

function validateMetrics(
  e: FieldErrors,
  metrics: readonly MetricSpec[],
  minReplicas: number | undefined,
): void {
  for (const [i, metric] of metrics.entries()) {
    const at = `spec.metrics[${i}]`;
    const type = given(metric).type ?? '';
    if (type === '') {
      e.required(`${at}.type`, 'must specify a metric source type');
      continue;
    }
    const source = isKnown(type) ? METRIC_SOURCES[type] : undefined;
    if (source === undefined || metric[source] !== undefined) continue;
    e.required(`${at}.${source}`, 'must populate information for the given metric source');
  }
  const scalesToZero = metrics.some(({ type }) => type === 'Object' || type === 'External');
  if (minReplicas === 0 && !scalesToZero) {
    const detail =
      'must specify at least one Object or External metric to support scaling to zero replicas';
    e.forbidden('spec.metrics', detail);
  }
}

export const autoscalerRules = plainRules<HorizontalPodAutoscaler>({
  ...GROUP,
  version: 'v2',
  default: defaultAutoscaler,
  firstStatus: { desiredReplicas: 0, currentMetrics: null },
  check(e, { spec }) {
    validateBounds(e, spec ?? {});
    validateMetrics(e, spec?.metrics ?? [], spec?.minReplicas);
  },
  table: tableOf(COLUMNS, (autoscaler, nowMs) => {
    const { metadata, spec, status } = autoscaler;
    return [
      metadata.name,
      `${spec?.scaleTargetRef.kind ?? ''}/${spec?.scaleTargetRef.name ?? ''}`,
      metricsCell(autoscaler),
      spec?.minReplicas === undefined ? UNSET : `${spec.minReplicas}`,
      spec?.maxReplicas ?? 0,
      status?.currentReplicas ?? 0,
      age(metadata.creationTimestamp, nowMs),
    ];
  }),
});

/**
 * Rules of small kinds that govern workloads: PodDisruptionBudget, PriorityClass, RuntimeClass,
 * ControllerRevision. Source: kubernetes v1.36.3 pkg/apis/{policy,scheduling,node,apps}.
 */
import type { ControllerRevision } from '#base/kube/api/apps-v1.gen.ts';
import type { RuntimeClass } from '#base/kube/api/node-v1.gen.ts';
import type { PodDisruptionBudget } from '#base/kube/api/policy-v1.gen.ts';
import type { PriorityClass } from '#base/kube/api/scheduling-v1.gen.ts';
import { type FieldErrors, goJson, RenderedValue } from './field-errors.ts';
import { checkDnsLabel } from './formats.ts';
import { given } from './given.ts';
import {
  IMMUTABLE,
  pathName,
  selectorValue,
  validateLabelSelector,
  validateNotNegative,
} from './meta.ts';
import { plainRules } from './plain-kinds.ts';
import { roundUpResources } from './resource-lists.ts';
import { sameValue } from './same-value.ts';
import { validateTolerations } from './scheduling-rules.ts';
import { age, NONE, tableOf } from './tables.ts';
import { validateAtMostAll, validateCountOrPercent, validateCounts } from './workloads.ts';

const NOT_AVAILABLE = 'N/A';
const EVICTIONS = ['AlwaysAllow', 'IfHealthyBudget'];
const USER_PRIORITY_MAX = 1_000_000_000;
const SYSTEM_PREFIX = 'system-';
const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

function validateBudget(e: FieldErrors, budget: PodDisruptionBudget): void {
  const { spec = {} } = given(budget);
  const { minAvailable, maxUnavailable, selector, unhealthyPodEvictionPolicy: eviction } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined) {
    const shown = new RenderedValue(
      goJson({
        MinAvailable: minAvailable,
        Selector: selector === undefined ? null : selectorJson(selector),
        MaxUnavailable: maxUnavailable,
        UnhealthyPodEvictionPolicy: eviction ?? null,
      }),
    );
    e.invalid('spec', shown, 'minAvailable and maxUnavailable cannot be both set');
  }
  for (const field of ['minAvailable', 'maxUnavailable'] as const) {
    const value = spec[field];
    if (value === undefined) continue;
    validateCountOrPercent(e, `spec.${field}`, value);
    validateAtMostAll(e, `spec.${field}`, value);
  }
  if (selector !== undefined) validateLabelSelector(e, 'spec.selector', selector);
  if (eviction !== undefined && !EVICTIONS.includes(eviction)) {
    e.notSupported('spec.unhealthyPodEvictionPolicy', eviction, EVICTIONS);
  }
}

const selectorJson = (selector: Parameters<typeof selectorValue>[0]): unknown =>
  selectorValue(selector);

export const podDisruptionBudgetRules = plainRules<PodDisruptionBudget>({
  group: 'policy',
  version: 'v1',
  resource: 'poddisruptionbudgets',
  name: pathName,
  hasGeneration: true,
  allowUnconditionalUpdate: false,
  firstStatus: { disruptionsAllowed: 0, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0 },
  check: validateBudget,
  checkStatus(e, { status }) {
    validateCounts(e, 'status', {
      disruptionsAllowed: status?.disruptionsAllowed,
      currentHealthy: status?.currentHealthy,
      desiredHealthy: status?.desiredHealthy,
      expectedPods: status?.expectedPods,
    });
  },
  bumpsGeneration: (budget, old) => !sameValue(budget.spec, old.spec),
  table: tableOf(
    'Name,Min Available,Max Unavailable,Allowed Disruptions:integer,Age',
    ({ metadata, spec, status }, nowMs) => [
      metadata.name,
      `${spec?.minAvailable ?? NOT_AVAILABLE}`,
      `${spec?.maxUnavailable ?? NOT_AVAILABLE}`,
      status?.disruptionsAllowed ?? 0,
      age(metadata.creationTimestamp, nowMs),
    ],
  ),
});

function systemProblem({ metadata, value, globalDefault }: PriorityClass): string | undefined {
  const { name } = metadata;
  const known = SYSTEM_PRIORITIES[name];
  if (known === undefined) return `${name} is not a known system priority class`;
  if (known !== value) return `value of ${name} PriorityClass must be ${known}`;
  if (globalDefault === true) return `globalDefault of ${name} PriorityClass must be false`;
  return undefined;
}

function validatePriority(
  e: FieldErrors,
  own: PriorityClass,
  old: PriorityClass | undefined,
): void {
  const policy = own.preemptionPolicy;
  if (old !== undefined) {
    if (own.value !== old.value) e.forbidden('value', 'may not be changed in an update.');
    if (policy !== old.preemptionPolicy) e.invalid('preemptionPolicy', policy, IMMUTABLE);
    return;
  }
  if (own.metadata.name.startsWith(SYSTEM_PREFIX)) {
    const problem = systemProblem(own);
    if (problem !== undefined) {
      const detail = `priority class names with '${SYSTEM_PREFIX}' prefix are reserved for system use only. error: ${problem}`;
      e.forbidden('metadata.name', detail);
    }
  } else if ((own.value ?? 0) > USER_PRIORITY_MAX) {
    const detail = `maximum allowed value of a user defined priority is ${USER_PRIORITY_MAX}`;
    e.forbidden('value', detail);
  }
  if (policy === '') e.required('preemptionPolicy');
  else if (policy !== undefined && policy !== 'PreemptLowerPriority' && policy !== 'Never') {
    e.notSupported('preemptionPolicy', policy, ['PreemptLowerPriority', 'Never']);
  }
}

export const priorityClassRules = plainRules<PriorityClass>({
  group: 'scheduling.k8s.io',
  version: 'v1',
  resource: 'priorityclasses',
  hasGeneration: true,
  bumpsGeneration: () => false,
  default(own) {
    own.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  check: validatePriority,
  table: tableOf(
    'Name,Value:integer,Global-Default:boolean,Age,PreemptionPolicy',
    ({ metadata, value, globalDefault, preemptionPolicy }, nowMs) => [
      metadata.name,
      value ?? 0,
      globalDefault ?? false,
      age(metadata.creationTimestamp, nowMs),
      preemptionPolicy ?? '',
    ],
  ),
});

export const runtimeClassRules = plainRules<RuntimeClass>({
  group: 'node.k8s.io',
  version: 'v1',
  resource: 'runtimeclasses',
  allowCreateOnUpdate: true,
  allowUnconditionalUpdate: false,
  default(own) {
    roundUpResources(own.overhead?.podFixed);
  },
  check(e, own, old) {
    const handler = given(own).handler ?? '';
    if (old !== undefined && handler !== old.handler) e.invalid('handler', handler, IMMUTABLE);
    if (old !== undefined) return;
    if (handler === '') e.required('handler');
    else e.invalidEach('handler', handler, checkDnsLabel(handler));
    validateTolerations(e, 'scheduling.tolerations', own.scheduling?.tolerations ?? []);
  },
  table: tableOf('Name,Handler,Age', ({ metadata, handler }, nowMs) => [
    metadata.name,
    handler,
    age(metadata.creationTimestamp, nowMs),
  ]),
});

function controllerCell({ metadata }: ControllerRevision): string {
  const owner = (metadata.ownerReferences ?? []).find(({ controller }) => controller === true);
  if (owner === undefined) return NONE;
  const [group = ''] = owner.apiVersion.includes('/') ? owner.apiVersion.split('/') : [];
  const kind = group === '' ? owner.kind : `${owner.kind}.${group}`;
  return `${kind.toLowerCase()}/${owner.name}`;
}

export const controllerRevisionRules = plainRules<ControllerRevision>({
  group: 'apps',
  version: 'v1',
  resource: 'controllerrevisions',
  check(e, revision, old) {
    validateNotNegative(e, 'revision', revision.revision);
    const data: unknown = revision.data;
    if (old !== undefined) {
      if (!sameValue(data, old.data)) e.invalidOmitted('data', IMMUTABLE);
    } else if (data === undefined || data === null) e.required('data', 'data is mandatory');
    else if (typeof data !== 'object' || Array.isArray(data)) {
      e.required('data', 'data must be a valid JSON object');
    }
  },
  table: tableOf('Name,Controller,Revision,Age', (own, nowMs) => [
    own.metadata.name,
    controllerCell(own),
    own.revision,
    age(own.metadata.creationTimestamp, nowMs),
  ]),
});

/**
 * Small facts of kinds that the registry needs even where ../resources declares no rules: whose
 * generation counts, what a delete answers and means, which fields selectors may name. Declared
 * rules come on top. Source: the strategies and conversions of kubernetes pkg/registry and
 * pkg/apis.
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { LimitRange } from '#base/kube/api/core-v1.gen.ts';
import { defaultLimitRange } from '../admission/limit-ranger.ts';
import type { ResourceRules } from '../resource.ts';

type Defaults = Partial<ResourceRules>;

/** Kinds whose generation upstream keeps. */
const WITH_GENERATION: ReadonlySet<string> = new Set([
  'apps/daemonsets',
  'apps/statefulsets',
  'core/replicationcontrollers',
  'core/podtemplates',
  'batch/cronjobs',
  'networking.k8s.io/ingresses',
  'networking.k8s.io/ingressclasses',
  'networking.k8s.io/networkpolicies',
  'policy/poddisruptionbudgets',
  'flowcontrol.apiserver.k8s.io/flowschemas',
  'flowcontrol.apiserver.k8s.io/prioritylevelconfigurations',
  'admissionregistration.k8s.io/mutatingwebhookconfigurations',
  'admissionregistration.k8s.io/validatingwebhookconfigurations',
  'admissionregistration.k8s.io/validatingadmissionpolicies',
  'admissionregistration.k8s.io/validatingadmissionpolicybindings',
  'admissionregistration.k8s.io/mutatingadmissionpolicies',
  'admissionregistration.k8s.io/mutatingadmissionpolicybindings',
  'apiextensions.k8s.io/customresourcedefinitions',
  'resource.k8s.io/resourceslices',
  'resource.k8s.io/deviceclasses',
  'scheduling.k8s.io/priorityclasses',
]);

/** Main resources by kind that upstream answers with the object when it is deleted. */
const RETURNS_DELETED: ReadonlySet<string> = new Set([
  'core/pods',
  'core/persistentvolumes',
  'core/persistentvolumeclaims',
  'core/serviceaccounts',
  'core/services',
  'core/podtemplates',
  'core/resourcequotas',
]);

/** The value at a path such as `involvedObject.kind`, as a selector sees it. */
function textAt(object: unknown, path: string): string {
  let value = object;
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null) return '';
    value = Reflect.get(value, key);
  }
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** Fields that selectors may use, by their paths in the object. */
function selectable(...paths: string[]): Defaults {
  return {
    fieldLabels: paths,
    selectableFields: (object) => Object.fromEntries(paths.map((p) => [p, textAt(object, p)])),
  };
}

const eventFields: Defaults = {
  fieldLabels: [
    ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
      (field) => `involvedObject.${field}`,
    ),
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  selectableFields(event: KubeObject) {
    const fields: Record<string, string> = {};
    for (const label of eventFields.fieldLabels ?? []) fields[label] = textAt(event, label);
    const source = textAt(event, 'source.component');
    fields['source'] = source === '' ? (fields['reportingComponent'] ?? '') : source;
    return fields;
  },
};

const BY_PREFIX: Readonly<Record<string, Defaults>> = {
  'core/namespaces': {
    otherFinalizers: (object: KubeObject & { spec?: { finalizers?: string[] } }) =>
      object.spec?.finalizers ?? [],
    onDeletionMark(object: KubeObject & { status?: { phase?: string } }) {
      object.status = { ...object.status, phase: 'Terminating' };
    },
  },
  'core/events': { ...eventFields, allowCreateOnUpdate: true },
  'core/endpoints': { allowCreateOnUpdate: true },
  'core/limitranges': {
    allowCreateOnUpdate: true,
    default: (object: KubeObject) => defaultLimitRange(object as LimitRange), // By the prefix.
  },
  'core/podtemplates': { allowCreateOnUpdate: true },
  'coordination.k8s.io/leases': { allowCreateOnUpdate: true, allowUnconditionalUpdate: false },
  'core/replicationcontrollers': {
    ...selectable('status.replicas'),
    defaultPropagation: 'Orphan',
  },
  'core/nodes': selectable('spec.unschedulable'),
  'core/secrets': selectable('type'),
  'batch/jobs': { ...selectable('status.successful'), defaultPropagation: 'Orphan' },
  'certificates.k8s.io/certificatesigningrequests': selectable('spec.signerName'),
  'resource.k8s.io/resourceslices': selectable('spec.nodeName', 'spec.driver'),
  'networking.k8s.io/ipaddresses': { allowCreateOnUpdate: true },
};

/** What holds for the kind stored under `prefix` (`core/pods`) unless its rules say otherwise. */
export function kindDefaults(prefix: string): Defaults {
  return {
    ...(WITH_GENERATION.has(prefix) ? { hasGeneration: true } : {}),
    ...(RETURNS_DELETED.has(prefix) ? { returnsDeletedObject: true } : {}),
    ...BY_PREFIX[prefix],
  };
}

/**
 * PodSecurity: holds pods to the level that the labels of their namespace demand
 * (`pod-security.kubernetes.io/enforce`), warns of workloads whose pods it would refuse, and of pods
 * that are there already when the level of their namespace rises. Without labels nothing is forbidden.
 * Source: k8s.io/pod-security-admission v0.36.3 admission/admission.go.
 */
import type { CronJob } from '#base/kube/api/batch-v1.gen.ts';
import type { Namespace, Pod, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { controllerOf } from '#base/kube/metadata.ts';
import type { CacheHub } from '../cache/cache-hub.ts';
import { forbidden, invalid } from '../errors.ts';
import type { PodLike } from '../pod-security/checks.ts';
import {
  compareLevels,
  formatLevel,
  isSameLevel,
  type LevelVersion,
  type Policy,
  policyOf,
  PREFIX,
} from '../pod-security/levels.ts';
import { judge } from '../pod-security/pod-security.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { fieldErrorCauses, FieldErrors } from '../resources/field-errors.ts';

/** Subresources of pods that change nothing that a level speaks of. */
const IGNORED: ReadonlySet<string> = new Set(['binding', 'eviction', 'status']);
/** Pods of a namespace that are judged when its level rises. */
const PODS_CHECKED_MAX = 3000;

const templateOf = (object: KubeObject): PodTemplateSpec | undefined =>
  (object as KubeObject & { spec?: { template?: PodTemplateSpec } }).spec?.template; // Of these kinds.

/** The template of the pods that a kind makes. */
const TEMPLATES: Readonly<Record<string, (object: KubeObject) => PodTemplateSpec | undefined>> = {
  '/replicationcontrollers': templateOf,
  '/podtemplates': (object) => (object as KubeObject & { template?: PodTemplateSpec }).template, // One.
  'apps/replicasets': templateOf,
  'apps/deployments': templateOf,
  'apps/statefulsets': templateOf,
  'apps/daemonsets': templateOf,
  'batch/jobs': templateOf,
  'batch/cronjobs': (object) => (object as CronJob).spec.jobTemplate.spec?.template, // One.
};

export class PodSecurity implements AdmissionPlugin {
  readonly name = 'PodSecurity';
  readonly #namespaces: ServedResource;
  readonly #pods: ServedResource;
  readonly #hub: CacheHub;

  constructor(parts: { namespaces: ServedResource; pods: ServedResource; hub: CacheHub }) {
    this.#namespaces = parts.namespaces;
    this.#pods = parts.pods;
    this.#hub = parts.hub;
  }

  validate(request: AdmissionRequest): void | Promise<void> {
    const { operation, resource, subresource } = request;
    if (operation !== 'CREATE' && operation !== 'UPDATE') return undefined;
    if (resource === this.#namespaces) {
      return subresource === '' ? this.#validateNamespace(request) : undefined;
    }
    if (resource === this.#pods) {
      return IGNORED.has(subresource) ? undefined : this.#validatePod(request);
    }
    const { group, resource: plural } = resource.facts;
    const template = TEMPLATES[`${group}/${plural}`];
    if (template === undefined || subresource !== '') return undefined;
    return this.#validateWorkload(request, template);
  }

  #validateNamespace(request: AdmissionRequest): void {
    const { name, object, old, context } = request;
    const errors = new FieldErrors();
    const { enforce } = policyOf(object?.metadata.labels, errors);
    const oldErrors = new FieldErrors();
    const before = policyOf(old?.metadata.labels, oldErrors).enforce;
    const [causes, oldCauses] = [errors, oldErrors].map(({ list }) => fieldErrorCauses(list));
    // What is stored already need not be mended by every update.
    const isKnown = old !== undefined && JSON.stringify(causes) === JSON.stringify(oldCauses);
    if (!errors.ok && !isKnown) throw invalid({ group: '', kind: 'Namespace' }, name, causes ?? []);
    if (old === undefined || enforce.level === 'privileged' || isSameLevel(enforce, before)) return;
    if (enforce.minor === before.minor && compareLevels(enforce.level, before.level) < 0) return;
    for (const warning of this.#existing(name, enforce)) context.warn(warning);
  }

  /** Warnings of pods that the level would refuse, one for those with the same reasons. */
  #existing(namespace: string, level: LevelVersion): string[] {
    const pods = oneOfEachOwnerFirst(
      [...this.#pods.cache.scan(`${namespace}/`)].map((object) => object.parse() as Pod), // Its cache.
    );
    const byReasons = new Map<string, string[]>();
    for (const pod of pods.slice(0, PODS_CHECKED_MAX)) {
      const { reasons } = judge(level, pod);
      if (reasons === '') continue;
      byReasons.set(reasons, [...(byReasons.get(reasons) ?? []), pod.metadata.name]);
    }
    const checked = Math.min(pods.length, PODS_CHECKED_MAX);
    const head = `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${formatLevel(level)}"`;
    return [
      ...(checked < pods.length
        ? [
            `new PodSecurity enforce level only checked against the first ${checked} of ${pods.length} existing pods`,
          ]
        : []),
      ...(byReasons.size > 0 ? [head] : []),
      ...[...byReasons].map(([reasons, names]) => `${namesOf(names)}: ${reasons}`).sort(),
    ];
  }

  async #validatePod(request: AdmissionRequest): Promise<void> {
    const { operation, name, context, object, old } = request;
    const policy = await this.#policy(request);
    const pod = object as Pod; // The registry of pods.
    if (operation === 'UPDATE' && !isSignificant(pod, old as Pod)) return; // Of pods.
    const { enforce } = policy;
    context.annotate(`${PREFIX}enforce-policy`, formatLevel(enforce));
    const { details } = judge(enforce, pod);
    this.#note(request, policy, pod, details === '');
    if (details === '') return;
    const because = `violates PodSecurity "${formatLevel(enforce)}": ${details}`;
    throw forbidden(this.#pods.groupResource, name, because);
  }

  async #validateWorkload(
    request: AdmissionRequest,
    templateOf: (object: KubeObject) => PodTemplateSpec | undefined,
  ): Promise<void> {
    const template = request.object === undefined ? undefined : templateOf(request.object);
    if (template?.spec === undefined) return;
    const { metadata, spec } = template;
    this.#note(request, await this.#policy(request), { metadata, spec }, true);
  }

  /** For the audit log, and as a warning unless the request is refused anyway. */
  #note({ context }: AdmissionRequest, policy: Policy, pod: PodLike, warns: boolean): void {
    const text = (level: LevelVersion): string | undefined => {
      const { details } = judge(level, pod);
      if (details === '') return undefined;
      return `would violate PodSecurity "${formatLevel(level)}": ${details}`;
    };
    const audited = text(policy.audit);
    if (audited !== undefined) context.annotate(`${PREFIX}audit-violations`, audited);
    const warning = warns ? text(policy.warn) : undefined;
    if (warning !== undefined) context.warn(warning);
  }

  async #policy({ namespace, context }: AdmissionRequest): Promise<Policy> {
    await this.#hub.waitForLatest(context.signal); // A label that was set just now counts.
    const found = this.#namespaces.cache.get(namespace)?.parse() as Namespace | undefined; // Its cache.
    return policyOf(found?.metadata.labels, new FieldErrors());
  }
}

const imagesOf = (containers: readonly { readonly image?: string | undefined }[] = []) =>
  containers.map(({ image }) => image).join('\n');

/** Of what a pod's level speaks of, updates change images and ephemeral containers alone. */
function isSignificant(pod: Pod, old: Pod): boolean {
  return (['containers', 'initContainers', 'ephemeralContainers'] as const).some(
    (kind) =>
      (pod.spec[kind] ?? []).length !== (old.spec[kind] ?? []).length ||
      imagesOf(pod.spec[kind]) !== imagesOf(old.spec[kind]),
  );
}

/** Replicas of one owner are mostly alike: the others come last. */
function oneOfEachOwnerFirst(pods: readonly Pod[]): Pod[] {
  const seen = new Set<string>();
  const rest: Pod[] = [];
  const first = pods.filter((pod) => {
    const uid = controllerOf(pod)?.uid;
    if (uid === undefined) return true;
    if (seen.has(uid)) {
      rest.push(pod);
      return false;
    }
    seen.add(uid);
    return true;
  });
  return [...first, ...rest];
}

function namesOf(names: readonly string[]): string {
  const [first = '', ...others] = names.toSorted();
  if (others.length === 0) return first;
  return `${first} (and ${others.length} other ${others.length === 1 ? 'pod' : 'pods'})`;
}

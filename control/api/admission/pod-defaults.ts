/**
 * Small plugins that complete new pods and nodes: Priority, DefaultTolerationSeconds, RuntimeClass
 * and TaintNodesByCondition. Source: kubernetes plugin/pkg/admission.
 */
import type { Node, Pod, Toleration } from '#base/kube/api/core-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';

interface PriorityClass extends KubeObject {
  value?: number;
  globalDefault?: boolean;
  preemptionPolicy?: string;
}

interface RuntimeClass extends KubeObject {
  overhead?: { podFixed?: Record<string, string> };
  scheduling?: { nodeSelector?: Record<string, string>; tolerations?: Toleration[] };
}

function newPod(request: AdmissionRequest, pods: ServedResource): Pod | undefined {
  const { operation, resource, subresource, object } = request;
  if (operation !== 'CREATE' || resource !== pods || subresource !== '') return undefined;
  return object as Pod; // The registry of pods holds pods.
}

/** spec.priority from the class that the pod names, or from the default class. */
export class PriorityAdmission implements AdmissionPlugin {
  readonly name = 'Priority';
  readonly #pods: ServedResource;
  readonly #classes: ServedResource;

  constructor(parts: { pods: ServedResource; classes: ServedResource }) {
    this.#pods = parts.pods;
    this.#classes = parts.classes;
  }

  mutate(request: AdmissionRequest): void {
    const pod = newPod(request, this.#pods);
    if (pod?.spec === undefined) return;
    const { spec } = pod;
    const name = spec.priorityClassName ?? '';
    const found = name === '' ? this.#default() : this.#class(name);
    if (name !== '' && found === undefined) {
      throw forbidden(
        this.#pods.groupResource,
        request.name,
        `no PriorityClass with name ${name} was found`,
      );
    }
    const value = found?.value ?? 0;
    if (spec.priority !== undefined && spec.priority !== value) {
      throw forbidden(
        this.#pods.groupResource,
        request.name,
        `the integer value of priority (${spec.priority}) must not be provided in pod spec; ` +
          `priority admission controller computed ${value} from the given PriorityClass name`,
      );
    }
    spec.priority = value;
    if (name === '' && found !== undefined) spec.priorityClassName = found.metadata.name;
    const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority';
    if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy) {
      throw forbidden(
        this.#pods.groupResource,
        request.name,
        `the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in ` +
          `pod spec; priority admission controller computed ${policy} from the given ` +
          'PriorityClass name',
      );
    }
    // Checked on the class.
    spec.preemptionPolicy = policy as NonNullable<typeof spec.preemptionPolicy>;
  }

  #class(name: string): PriorityClass | undefined {
    return this.#classes.cache.get(name)?.parse();
  }

  #default(): PriorityClass | undefined {
    let found: PriorityClass | undefined;
    for (const object of this.#classes.cache.scan('')) {
      const one: PriorityClass = object.parse();
      if (one.globalDefault === true && (found?.value ?? Infinity) > (one.value ?? 0)) found = one;
    }
    return found;
  }
}

const GRACE_SECONDS = 300;

/**
 * Pods tolerate a node that is not ready or unreachable for five minutes. An update too: a client
 * that sends tolerations of its own alone would otherwise be refused for taking these away.
 */
export class DefaultTolerationSeconds implements AdmissionPlugin {
  readonly name = 'DefaultTolerationSeconds';
  readonly #pods: ServedResource;

  constructor(parts: { pods: ServedResource }) {
    this.#pods = parts.pods;
  }

  mutate(request: AdmissionRequest): void {
    if (request.resource !== this.#pods || request.subresource !== '') return;
    if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return;
    const pod = request.object as Pod | undefined; // The registry of pods holds pods.
    if (pod?.spec === undefined) return;
    const own = pod.spec.tolerations ?? [];
    const added: Toleration[] = [];
    for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
      const has = own.some(
        (t) =>
          ((t.key ?? '') === '' || t.key === key) &&
          ((t.effect ?? '') === '' || t.effect === 'NoExecute'),
      );
      if (has) continue;
      const effect = 'NoExecute';
      added.push({ key, operator: 'Exists', effect, tolerationSeconds: GRACE_SECONDS });
    }
    if (added.length > 0) pod.spec.tolerations = [...own, ...added];
  }
}

/** Overhead and placement of the pod's RuntimeClass; one that does not exist refuses the pod. */
export class RuntimeClassAdmission implements AdmissionPlugin {
  readonly name = 'RuntimeClass';
  readonly #pods: ServedResource;
  readonly #classes: ServedResource;

  constructor(parts: { pods: ServedResource; classes: ServedResource }) {
    this.#pods = parts.pods;
    this.#classes = parts.classes;
  }

  mutate(request: AdmissionRequest): void {
    const pod = newPod(request, this.#pods);
    const name = pod?.spec?.runtimeClassName;
    if (pod?.spec === undefined || name === undefined) return;
    const found: RuntimeClass | undefined = this.#classes.cache.get(name)?.parse();
    if (found === undefined) {
      throw forbidden(
        this.#pods.groupResource,
        request.name,
        `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`,
      );
    }
    const { spec } = pod;
    if (found.overhead?.podFixed !== undefined) spec.overhead = { ...found.overhead.podFixed };
    const { nodeSelector, tolerations } = found.scheduling ?? {};
    for (const [key, value] of Object.entries(nodeSelector ?? {})) {
      const own = spec.nodeSelector?.[key];
      if (own !== undefined && own !== value) {
        throw forbidden(
          this.#pods.groupResource,
          request.name,
          `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; ` +
            `pod.spec.nodeSelector[${key}] = ${own}`,
        );
      }
    }
    if (nodeSelector !== undefined) spec.nodeSelector = { ...spec.nodeSelector, ...nodeSelector };
    if (tolerations !== undefined) spec.tolerations = [...(spec.tolerations ?? []), ...tolerations];
  }
}

/** A new node takes no pods until its controller has seen it ready. */
export class TaintNodesByCondition implements AdmissionPlugin {
  readonly name = 'TaintNodesByCondition';
  readonly #nodes: ServedResource;

  constructor(parts: { nodes: ServedResource }) {
    this.#nodes = parts.nodes;
  }

  mutate(request: AdmissionRequest): void {
    const { operation, resource, subresource } = request;
    if (operation !== 'CREATE' || resource !== this.#nodes || subresource !== '') return;
    const node = request.object as Node; // The registry of nodes holds nodes.
    const key = 'node.kubernetes.io/not-ready';
    const taints = node.spec?.taints ?? [];
    if (taints.some((t) => t.key === key && t.effect === 'NoSchedule')) return;
    node.spec = { ...node.spec, taints: [...taints, { key, effect: 'NoSchedule' }] };
  }
}

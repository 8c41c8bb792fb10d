/**
 * What every cluster holds from its first moment: system namespaces, default RBAC, priority
 * classes, the ServiceCIDR, the published CA configuration. Run at each start before the server is
 * ready; it writes only what is missing, so a restart costs no writes.
 *
 * Roles and bindings that carry autoupdate=true are completed when they lack rules or subjects,
 * never cut (apiserver's RBAC reconciliation).
 */
import type { KubeObject } from '#base/kube/client.ts';
import type { PolicyRule, Subject } from '#base/kube/api/rbac-v1.gen.ts';
import { isApiError } from '../errors.ts';
import { toStored } from '../handlers/body.ts';
import type { Services } from '../handlers/call.ts';
import { API_SERVER } from '../auth/users.ts';
import { uncoveredRules } from '../auth/rbac.ts';
import type { WriteContext } from '../registry/admission.ts';
import type { ServedResource } from '../registry/served-resource.ts';
import { machineAccess } from './machine-access.ts';
import rbacFacts from './facts/rbac.gen.json' with { type: 'json' };

const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';
export const SYSTEM_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const RBAC_RESOURCES: Readonly<Record<string, string>> = {
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  Role: 'roles',
  RoleBinding: 'rolebindings',
};

/** An object to be written, without the server's metadata. */
export type Wanted = Readonly<Record<string, unknown>> & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
};

interface RbacObject extends KubeObject {
  rules?: PolicyRule[] | null;
  subjects?: Subject[];
  roleRef?: unknown;
}

export class Bootstrap {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  context(): WriteContext {
    return {
      nowMs: this.#services.clock.nowMs(),
      user: API_SERVER,
      dryRun: false,
      signal: this.#services.signal,
      warn: () => {},
      annotate: () => {},
    };
  }

  async run(options: {
    nodeName: string;
    serviceCidr: string;
    configMap: Record<string, string>;
  }): Promise<void> {
    const { resources } = this.#services;
    const namespaces = resources.must('', 'v1', 'namespaces');
    for (const name of SYSTEM_NAMESPACES) {
      await this.ensure(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    }
    // Extracted by extract-rbac.ts.
    await Promise.all(rbacFacts.objects.map((object) => this.#reconcileRbac(object as Wanted)));
    for (const object of machineAccess(options.nodeName)) await this.#reconcileRbac(object);
    await this.#priorityClasses();
    await this.#serviceCidr(options.serviceCidr);
    await this.#publishAuthentication(options.configMap);
  }

  /** Creates the object unless there is one of its name. */
  async ensure(resource: ServedResource, wanted: Wanted): Promise<void> {
    // As written above.
    const { name = '', namespace = '' } = wanted.metadata as { name?: string; namespace?: string };
    if (resource.cache.get(resource.key(namespace, name)) !== undefined) return;
    try {
      const object = toStored(resource, structuredClone({ ...wanted }));
      await this.#services.registry.create({ resource, namespace }, object, this.context());
    } catch (error) {
      if (!isApiError(error, 'AlreadyExists')) throw error; // Another server was first.
    }
  }

  async #reconcileRbac(wanted: Wanted): Promise<void> {
    const plural = RBAC_RESOURCES[wanted.kind] ?? '';
    const { resources, registry } = this.#services;
    const resource = resources.must('rbac.authorization.k8s.io', 'v1', plural);
    // Extracted facts.
    const { name = '', namespace = '' } = wanted.metadata as { name?: string; namespace?: string };
    const found = resource.cache.get(resource.key(namespace, name));
    if (found === undefined) {
      await this.ensure(resource, wanted);
      return;
    }
    const existing: RbacObject = found.parse();
    if (existing.metadata.annotations?.[AUTOUPDATE] === 'false') return;
    const target = wanted as unknown as RbacObject;
    const rules = uncoveredRules(existing.rules ?? [], target.rules ?? []);
    const subjects = (target.subjects ?? []).filter(
      (s) => !(existing.subjects ?? []).some((e) => e.kind === s.kind && e.name === s.name),
    );
    if (rules.length === 0 && subjects.length === 0) return;
    await registry.update(
      { resource, namespace, name, subresource: '' },
      (current) => {
        const object: RbacObject = current ?? existing;
        if (rules.length > 0) object.rules = [...(object.rules ?? []), ...rules];
        if (subjects.length > 0) object.subjects = [...(object.subjects ?? []), ...subjects];
        return object;
      },
      this.context(),
    );
  }

  async #priorityClasses(): Promise<void> {
    const resource = this.#services.resources.must('scheduling.k8s.io', 'v1', 'priorityclasses');
    const classes = [
      {
        name: 'system-node-critical',
        value: 2000001000,
        description:
          'Used for system critical pods that must not be moved from their current node.',
      },
      {
        name: 'system-cluster-critical',
        value: 2000000000,
        description:
          'Used for system critical pods that must run in the cluster, but can be moved to ' +
          'another node if necessary.',
      },
    ];
    for (const { name, value, description } of classes) {
      await this.ensure(resource, {
        apiVersion: 'scheduling.k8s.io/v1',
        kind: 'PriorityClass',
        metadata: { name },
        value,
        description,
        preemptionPolicy: 'PreemptLowerPriority',
      });
    }
  }

  async #serviceCidr(cidr: string): Promise<void> {
    const resource = this.#services.resources.must('networking.k8s.io', 'v1', 'servicecidrs');
    await this.ensure(resource, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: [cidr] },
    });
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: '',
      message: 'Kubernetes default Service CIDR is ready',
    };
    await this.#services.registry.update(
      { resource, namespace: '', name: 'kubernetes', subresource: 'status' },
      (current) => {
        // The one ensured above.
        const object = (current ?? {}) as KubeObject & { status?: { conditions?: unknown[] } };
        const time = object.metadata.creationTimestamp;
        object.status = { conditions: [{ ...ready, lastTransitionTime: time }] };
        return object;
      },
      this.context(),
    );
  }

  /** kube-system/extension-apiserver-authentication, which extension servers trust clients by. */
  async #publishAuthentication(data: Record<string, string>): Promise<void> {
    const resource = this.#services.resources.must('', 'v1', 'configmaps');
    const metadata = { name: 'extension-apiserver-authentication', namespace: 'kube-system' };
    await this.ensure(resource, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    await this.#services.registry.update(
      { resource, namespace: metadata.namespace, name: metadata.name, subresource: '' },
      (current) => ({ ...(current as KubeObject), data }), // Ensured above.
      this.context(),
    );
  }
}

/**
 * RBAC's own guard: nobody grants by a role, or by a binding, what they do not hold, unless they
 * may `escalate` that role or `bind` to it. Source: kubernetes pkg/registry/rbac.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
} from '#base/kube/api/rbac-v1.gen.ts';
import type { KubeObject } from '#base/kube/client.ts';
import { isDeepStrictEqual } from 'node:util';
import type { Authorizer } from '../auth/authorizer.ts';
import { type RbacAuthorizer, uncoveredRules } from '../auth/rbac.ts';
import { GROUP_MASTERS } from '../auth/users.ts';
import { forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';

const GROUP = 'rbac.authorization.k8s.io';
const FULL_AUTHORITY: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

export class RbacEscalation implements AdmissionPlugin {
  readonly name = 'RbacEscalation';
  readonly #authorizer: Authorizer;
  readonly #rbac: RbacAuthorizer;

  constructor(parts: { authorizer: Authorizer; rbac: RbacAuthorizer }) {
    this.#authorizer = parts.authorizer;
    this.#rbac = parts.rbac;
  }

  validate(request: AdmissionRequest): void {
    const { resource, operation, context } = request;
    if (resource.facts.group !== GROUP || (operation !== 'CREATE' && operation !== 'UPDATE'))
      return;
    if (context.user.groups.includes(GROUP_MASTERS)) return;
    switch (resource.facts.resource) {
      case 'roles':
      case 'clusterroles':
        this.#checkRole(request);
        return;
      case 'rolebindings':
      case 'clusterrolebindings':
        this.#checkBinding(request);
        return;
      default:
    }
  }

  #checkRole(request: AdmissionRequest): void {
    const role = request.object as Role | ClusterRole; // By the resource.
    const old = request.old as Role | ClusterRole | undefined; // Likewise.
    if (old !== undefined && differInGcFieldsOnly(role, old)) return;
    if (this.#may(request, 'escalate', request.resource.facts.resource, request.name)) return;
    this.#requireHeld(request, role.rules ?? []);
    if (!aggregates(role) && !aggregates(old)) return;
    const { user } = request.context;
    if (uncoveredRules(this.#rbac.rules(user, ''), FULL_AUTHORITY).length === 0) return;
    const because = 'must have cluster-admin privileges to use the aggregationRule';
    throw forbidden(request.resource.groupResource, request.name, because);
  }

  #checkBinding(request: AdmissionRequest): void {
    const binding = request.object as RoleBinding | ClusterRoleBinding; // By the resource.
    const old = request.old as RoleBinding | ClusterRoleBinding | undefined; // Likewise.
    if (old !== undefined && differInGcFieldsOnly(binding, old)) return;
    const { roleRef } = binding;
    const plural = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
    if (this.#may(request, 'bind', plural, roleRef.name)) return;
    const rules = this.#rbac.rulesOfRole(roleRef, request.namespace);
    if (rules === undefined) {
      const at = plural === 'roles' ? `roles.${GROUP}` : `clusterroles.${GROUP}`;
      throw forbidden(
        request.resource.groupResource,
        request.name,
        `${at} ${JSON.stringify(roleRef.name)} not found`,
      );
    }
    this.#requireHeld(request, rules);
  }

  #may(request: AdmissionRequest, verb: string, resource: string, name: string): boolean {
    return this.#authorizer.decide(request.context.user, {
      kind: 'resource',
      verb,
      group: GROUP,
      version: 'v1',
      resource,
      subresource: '',
      namespace: request.namespace,
      name,
    }).allowed;
  }

  #requireHeld(request: AdmissionRequest, wanted: readonly PolicyRule[]): void {
    const { user } = request.context;
    const missing = uncoveredRules(this.#rbac.rules(user, request.namespace), wanted);
    if (missing.length === 0) return;
    const lines = missing.map(formatRule).join('\n');
    const groups = user.groups.length === 0 ? '' : ` (groups=${JSON.stringify(user.groups)})`;
    throw forbidden(
      request.resource.groupResource,
      request.name,
      `user ${JSON.stringify(user.name)}${groups} is attempting to grant RBAC permissions not ` +
        `currently held:\n${lines}`,
    );
  }
}

/** An aggregated role can come to hold the rules of any other. */
function aggregates(role: Role | ClusterRole | undefined): boolean {
  return role !== undefined && 'aggregationRule' in role && role.aggregationRule !== undefined;
}

/**
 * Whether an update only lets the garbage collector go on. Any other needs the rules: a label alone
 * can make them part of an aggregated role.
 */
function differInGcFieldsOnly(object: KubeObject, old: KubeObject): boolean {
  return isDeepStrictEqual(withoutGcFields(object), withoutGcFields(old));
}

function withoutGcFields(object: KubeObject): object {
  const {
    ownerReferences: _o,
    finalizers: _f,
    managedFields: _m,
    resourceVersion: _r,
    ...metadata
  } = object.metadata;
  return { ...object, metadata };
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}` */
function formatRule(rule: PolicyRule): string {
  const list = (name: string, values: readonly string[] | undefined) =>
    values === undefined || values.length === 0
      ? []
      : [`${name}:[${values.map((v) => JSON.stringify(v)).join(' ')}]`];
  const parts = [
    ...list('APIGroups', rule.apiGroups),
    ...list('Resources', rule.resources),
    ...list('ResourceNames', rule.resourceNames),
    ...list('NonResourceURLs', rule.nonResourceURLs),
    ...list('Verbs', rule.verbs),
  ];
  return `{${parts.join(', ')}}`;
}

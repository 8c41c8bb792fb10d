/**
 * RBAC: which rules a user holds, and whether they cover a request. Bindings are indexed by subject
 * and kept up to date by the events of the four resources' caches, so a decision looks only at the
 * bindings of the user and its groups.
 * Semantics: kubernetes plugin/pkg/auth/authorizer/rbac, pkg/apis/rbac/v1/evaluation_helpers.go.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  Subject,
} from '#base/kube/api/rbac-v1.gen.ts';
import type { CacheEvent, ResourceCache } from '../cache/resource-cache.ts';
import type { UserInfo } from '../resource.ts';
import type { Attributes, Decision } from './authorizer.ts';
import { parseServiceAccountUser } from './users.ts';

interface Binding {
  /** '' for a ClusterRoleBinding. */
  readonly namespace: string;
  readonly name: string;
  readonly roleKind: string;
  readonly roleName: string;
  readonly subjects: readonly string[];
}

export interface RbacCaches {
  readonly roles: ResourceCache;
  readonly roleBindings: ResourceCache;
  readonly clusterRoles: ResourceCache;
  readonly clusterRoleBindings: ResourceCache;
}

export class RbacAuthorizer {
  readonly #caches: RbacCaches;
  /** Rules by `namespace/name`, or `name` for cluster roles; filled when first asked for. */
  readonly #roles = new Map<string, readonly PolicyRule[]>();
  readonly #bindings = new Map<string, Binding>();
  readonly #bySubject = new Map<string, Set<Binding>>();
  #stale = true;

  constructor(caches: RbacCaches) {
    this.#caches = caches;
    const onReset = (): 'stay' => {
      this.#stale = true;
      return 'stay';
    };
    const forgetRole = (event: CacheEvent) => this.#roles.delete(event.key);
    const bind = (event: CacheEvent) => {
      if (this.#stale) return;
      const value = event.current?.parse();
      this.#setBinding(event.key, value === undefined ? undefined : toBinding(value));
    };
    caches.roles.subscribe('', { onEvent: forgetRole, onReset });
    caches.clusterRoles.subscribe('', { onEvent: forgetRole, onReset });
    caches.roleBindings.subscribe('', { onEvent: bind, onReset });
    caches.clusterRoleBindings.subscribe('', { onEvent: bind, onReset });
  }

  /** Builds the index anew from the caches: at first use, and after they were reset. */
  #refresh(): void {
    this.#stale = false;
    this.#roles.clear();
    this.#bindings.clear();
    this.#bySubject.clear();
    for (const cache of [this.#caches.roleBindings, this.#caches.clusterRoleBindings]) {
      for (const object of cache.scan('')) this.#setBinding(object.key, toBinding(object.parse()));
    }
  }

  #setBinding(key: string, binding: Binding | undefined): void {
    const old = this.#bindings.get(key);
    if (old !== undefined) {
      this.#bindings.delete(key);
      for (const subject of old.subjects) this.#bySubject.get(subject)?.delete(old);
    }
    if (binding === undefined) return;
    this.#bindings.set(key, binding);
    for (const subject of binding.subjects) {
      const set = this.#bySubject.get(subject) ?? new Set();
      this.#bySubject.set(subject, set);
      set.add(binding);
    }
  }

  decide(user: UserInfo, attributes: Attributes): Decision {
    const namespace = attributes.kind === 'resource' ? attributes.namespace : '';
    for (const { rules, binding } of this.#rulesFor(user, namespace)) {
      if (!rules.some((rule) => ruleAllows(rule, attributes))) continue;
      const kind = binding.namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding';
      const at = binding.namespace === '' ? binding.name : `${binding.name}/${binding.namespace}`;
      const role = `${binding.roleKind} "${binding.roleName}"`;
      return {
        allowed: true,
        reason: `RBAC: allowed by ${kind} "${at}" of ${role} to ${subjectText(user)}`,
      };
    }
    return { allowed: false, reason: '' };
  }

  /** Every rule that the user holds in the namespace, those of cluster bindings included. */
  rules(user: UserInfo, namespace: string): PolicyRule[] {
    return [...this.#rulesFor(user, namespace)].flatMap(({ rules }) => [...rules]);
  }

  /**
   * The rules of the role that a binding in `namespace` refers to; undefined when there is none.
   */
  rulesOfRole(ref: { kind: string; name: string }, namespace: string) {
    if (ref.kind !== 'ClusterRole')
      return this.#role(`${namespace}/${ref.name}`, this.#caches.roles);
    return this.#role(ref.name, this.#caches.clusterRoles);
  }

  *#rulesFor(
    user: UserInfo,
    namespace: string,
  ): IterableIterator<{ rules: readonly PolicyRule[]; binding: Binding }> {
    if (this.#stale) this.#refresh();
    for (const subject of subjectsOf(user)) {
      const bindings = this.#bySubject.get(subject);
      if (bindings === undefined) continue;
      for (const binding of bindings) {
        if (binding.namespace !== '' && binding.namespace !== namespace) continue;
        const ref = { kind: binding.roleKind, name: binding.roleName };
        const rules = this.rulesOfRole(ref, binding.namespace);
        if (rules !== undefined) yield { rules, binding };
      }
    }
  }

  #role(key: string, cache: ResourceCache): readonly PolicyRule[] | undefined {
    const known = this.#roles.get(key);
    if (known !== undefined) return known;
    const object = cache.get(key)?.parse();
    if (object === undefined) return undefined;
    // The caches of roles hold nothing but roles.
    const rules = (object as Role | ClusterRole).rules ?? [];
    this.#roles.set(key, rules);
    return rules;
  }
}

function toBinding(object: unknown): Binding {
  // From its cache.
  const { metadata, roleRef, subjects } = object as RoleBinding | ClusterRoleBinding;
  const namespace = metadata.namespace ?? '';
  return {
    namespace,
    name: metadata.name ?? '',
    roleKind: roleRef.kind,
    roleName: roleRef.name,
    subjects: (subjects ?? []).map((s) => subjectKey(s, namespace)),
  };
}

function subjectKey(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== 'ServiceAccount') return `${subject.kind}:${subject.name}`;
  return `ServiceAccount:${subject.namespace ?? bindingNamespace}/${subject.name}`;
}

function subjectsOf(user: UserInfo): string[] {
  const keys = [`User:${user.name}`, ...user.groups.map((g) => `Group:${g}`)];
  const account = parseServiceAccountUser(user.name);
  if (account !== undefined) keys.push(`ServiceAccount:${account.namespace}/${account.name}`);
  return keys;
}

function subjectText(user: UserInfo): string {
  const account = parseServiceAccountUser(user.name);
  if (account === undefined) return `User "${user.name}"`;
  return `ServiceAccount "${account.name}/${account.namespace}"`;
}

export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (attributes.kind === 'path') {
    return (rule.nonResourceURLs ?? []).some((url) => pathMatches(url, attributes.path));
  }
  const { group, resource, subresource, name } = attributes;
  if (!has(rule.apiGroups, group) || !resourceMatches(rule.resources, resource, subresource)) {
    return false;
  }
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(name);
}

function has(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes(value) || list.includes('*'));
}

function resourceMatches(
  list: readonly string[] | undefined,
  resource: string,
  subresource: string,
): boolean {
  if (list === undefined) return false;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  if (list.includes('*') || list.includes(combined)) return true;
  return subresource !== '' && list.includes(`*/${subresource}`);
}

function pathMatches(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.replace(/\*+$/, ''));
}

/**
 * The rules among `wanted` that `held` does not cover, broken down to single verbs and resources.
 */
export function uncoveredRules(held: readonly PolicyRule[], wanted: readonly PolicyRule[]) {
  return wanted.flatMap(breakDown).filter((one) => !held.some((rule) => covers(rule, one)));
}

/** One verb on one resource (and one name), or on one path. */
function breakDown(rule: PolicyRule): PolicyRule[] {
  const parts: PolicyRule[] = [];
  for (const verb of rule.verbs) {
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const base = { verbs: [verb], apiGroups: [group], resources: [resource] };
        const names = rule.resourceNames ?? [];
        if (names.length === 0) parts.push(base);
        for (const name of names) parts.push({ ...base, resourceNames: [name] });
      }
    }
    for (const url of rule.nonResourceURLs ?? []) {
      parts.push({ verbs: [verb], nonResourceURLs: [url] });
    }
  }
  return parts;
}

function covers(owner: PolicyRule, one: PolicyRule): boolean {
  if (!has(owner.verbs, one.verbs[0] ?? '')) return false;
  const url = one.nonResourceURLs?.[0];
  if (url !== undefined) return (owner.nonResourceURLs ?? []).some((p) => pathMatches(p, url));
  if (!has(owner.apiGroups, one.apiGroups?.[0] ?? '')) return false;
  const [resource = '', subresource = ''] = (one.resources?.[0] ?? '').split('/');
  if (!resourceMatches(owner.resources, resource, subresource)) return false;
  const names = owner.resourceNames ?? [];
  const name = one.resourceNames?.[0];
  return names.length === 0 || (name !== undefined && names.includes(name));
}

/**
 * Aggregated ClusterRoles: the rules of a role with an aggregationRule are those of all roles that
 * its selectors match. Done once at start, so that admin, edit and view hold from the first request
 * on; later changes are the controllers' (clusterrole-aggregation).
 */
import { isDeepStrictEqual } from 'node:util';
import type { ClusterRole, PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { Services } from '../handlers/call.ts';
import type { Bootstrap } from './bootstrap.ts';

/** Brings all aggregated roles up to date; how many were changed. */
export async function aggregateRoles(services: Services, bootstrap: Bootstrap): Promise<number> {
  const resource = services.resources.must('rbac.authorization.k8s.io', 'v1', 'clusterroles');
  // The cache of cluster roles holds cluster roles.
  const roles = [...resource.cache.scan('')].map((object) => object.parse() as ClusterRole);
  let changed = 0;
  for (const role of roles) {
    const selectors = role.aggregationRule?.clusterRoleSelectors;
    if (selectors === undefined) continue;
    const matchers = selectors.map(compileLabelSelector);
    const rules: PolicyRule[] = [];
    for (const source of roles) {
      if (source.metadata.name === role.metadata.name) continue;
      if (!matchers.some((m) => m.matches(source.metadata.labels))) continue;
      for (const rule of source.rules ?? []) {
        if (!rules.some((known) => isDeepStrictEqual(known, rule))) rules.push(rule);
      }
    }
    if (isDeepStrictEqual(rules, role.rules ?? [])) continue;
    changed++;
    await services.registry.mutate(
      { resource, namespace: '', name: role.metadata.name },
      (object) => {
        (object as ClusterRole).rules = rules; // The registry of cluster roles.
      },
      bootstrap.context(),
    );
  }
  return changed;
}

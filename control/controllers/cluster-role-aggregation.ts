/**
 * The clusterrole-aggregation controller: the rules of a ClusterRole with an aggregationRule are those
 * of all roles that its selectors match, in order of name, each once.
 */
import type { ClusterRole, PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import { clusterroles } from '#base/kube/api/resources.gen.ts';
import { jsonEquivalent } from '#base/kube/metadata.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import { type Controller, runQueueController } from './shared/controller.ts';

/** The aggregated rules, or undefined: the role does not aggregate, or has them already. */
export function planRules(
  role: ClusterRole,
  all: readonly ClusterRole[],
): PolicyRule[] | undefined {
  const selectors = role.aggregationRule?.clusterRoleSelectors;
  if (selectors === undefined) return undefined;
  const matchers = selectors.map(compileLabelSelector);
  const sources = all
    .filter((other) => other.metadata.name !== role.metadata.name)
    .filter((other) => matchers.some((matcher) => matcher.matches(other.metadata.labels)))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const rules: PolicyRule[] = [];
  for (const rule of sources.flatMap((source) => source.rules ?? [])) {
    if (!rules.some((known) => jsonEquivalent(known, rule))) rules.push(rule);
  }
  return jsonEquivalent(role.rules ?? [], rules) ? undefined : rules;
}

export const clusterRoleAggregationController: Controller = {
  name: 'clusterrole-aggregation-controller',
  run: async (context, signal) => {
    const informer = context.informers.informer(clusterroles);
    await runQueueController(
      context,
      {
        name: 'clusterrole-aggregation-controller',
        workers: 1,
        informers: [informer],
        subscribe: (queue) => {
          const addAll = () => {
            for (const role of informer.store.list()) {
              if (role.aggregationRule !== undefined) queue.add(role.metadata.name);
            }
          };
          return [informer.addHandler({ onAdd: addAll, onUpdate: addAll, onDelete: addAll })];
        },
        sync: async (name, stop) => {
          const role = informer.store.getByKey(name);
          if (role === undefined) return;
          const rules = planRules(role, informer.store.list());
          if (rules === undefined) return;
          await context.client.update(clusterroles, { ...role, rules }, stop);
        },
      },
      signal,
    );
  },
};

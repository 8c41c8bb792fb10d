/**
 * Aggregated ClusterRoles: the rules of a role with an aggregationRule are those of all roles that its
 * selectors match. Follows the events of cluster roles (admin, edit and view are such).
 */
import { isDeepStrictEqual } from 'node:util';
import type { ClusterRole, PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import type { Clock } from '#base/clock.ts';
import { compileLabelSelector } from '#base/kube/selectors.ts';
import type { Log } from '#base/log.ts';
import type { Services } from '../handlers/call.ts';
import type { Bootstrap } from './bootstrap.ts';

const SETTLE_MS = 50;
const RETRY_MS = 1_000;

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

/** Runs until `signal` aborts. */
export async function followAggregation(
  services: Services,
  bootstrap: Bootstrap,
  io: { clock: Clock; log: Log },
  signal: AbortSignal,
): Promise<void> {
  const resource = services.resources.must('rbac.authorization.k8s.io', 'v1', 'clusterroles');
  let wake: () => void = () => {};
  let due = true;
  const note = () => {
    due = true;
    wake();
  };
  const receiver = {
    onEvent: note,
    onReset: () => {
      resource.cache.subscribe('', receiver);
      note();
    },
  };
  using _subscription = resource.cache.subscribe('', receiver);
  signal.addEventListener('abort', note, { once: true });
  while (!signal.aborted) {
    if (!due) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    await io.clock.sleep(SETTLE_MS, signal);
    due = false;
    try {
      // Roles may aggregate aggregated roles: until nothing changes.
      while ((await aggregateRoles(services, bootstrap)) > 0) {
        await services.hub.waitForLatest(signal);
      }
    } catch (error) {
      signal.throwIfAborted();
      io.log.warn('cannot aggregate cluster roles', { error });
      await io.clock.sleep(RETRY_MS, signal);
      due = true;
    }
  }
}

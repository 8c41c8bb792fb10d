/**
 * Rules between a pod and a node alone: node selector and affinity, taints and tolerations. Pure; the
 * taint and selector rules are shared with the daemonset and taint eviction controllers.
 */
import type {
  Node,
  NodeSelectorTerm,
  Pod,
  PodSpec,
  Taint,
  Toleration,
} from '#base/kube/api/core-v1.gen.ts';
import { LabelMatcher, type LabelOperator } from '#base/kube/selectors.ts';

const OPERATORS: Readonly<Record<string, LabelOperator>> = {
  In: 'in',
  NotIn: 'notin',
  Exists: 'exists',
  DoesNotExist: '!',
  Gt: 'gt',
  Lt: 'lt',
};

function matchesTerm(term: NodeSelectorTerm, node: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  // A term without any requirement selects nothing.
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const requirements = (of: typeof matchExpressions) =>
    of.map(({ key, operator, values = [] }) => ({
      key,
      operator: OPERATORS[operator] ?? 'exists',
      values,
    }));
  return (
    new LabelMatcher(requirements(matchExpressions)).matches(node.metadata.labels) &&
    new LabelMatcher(requirements(matchFields)).matches({ 'metadata.name': node.metadata.name })
  );
}

/** spec.nodeSelector and the required node affinity. */
export function matchesNodeAffinity(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [key, value] of Object.entries(spec.nodeSelector ?? {})) {
    if (labels[key] !== value) return false;
  }
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined) return true;
  return required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/** Sum of the weights of preferred terms that the node meets. */
export function preferredNodeWeight(pod: Pod, node: Node): number {
  const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
  let weight = 0;
  for (const { preference, weight: w } of terms ?? []) {
    const isEmpty =
      (preference.matchExpressions ?? []).length + (preference.matchFields ?? []).length === 0;
    if (isEmpty || matchesTerm(preference, node)) weight += w; // An empty preference suits all.
  }
  return weight;
}

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  const { effect = '', key = '', operator = 'Equal', value = '' } = toleration;
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  if (operator === 'Exists') return true;
  return key !== '' && value === (taint.value ?? '');
}

/** The first taint of one of `effects` that no toleration covers. */
export function findUntolerated(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[],
): Taint | undefined {
  return taints?.find(
    (taint) =>
      effects.includes(taint.effect) && !(tolerations ?? []).some((t) => tolerates(t, taint)),
  );
}

const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** A cordoned node, unless the pod tolerates that. */
export function isCordonedFor(spec: PodSpec, node: Node): boolean {
  if (node.spec?.unschedulable !== true) return false;
  return findUntolerated([UNSCHEDULABLE], spec.tolerations, ['NoSchedule']) !== undefined;
}

/**
 * Conditions of a namespace that is being deleted. Pure; types, reasons and texts are upstream's,
 * because conformance tests and people read them.
 */
import type { NamespaceCondition, NamespaceStatus } from '#base/kube/api/core-v1.gen.ts';
import { findCondition, formatTime } from '#base/kube/metadata.ts';

export interface Remaining {
  readonly group: string;
  readonly resource: string;
  readonly count: number;
  /** Finalizer to number of objects that have it. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export interface DeletionFacts {
  readonly discoveryFailures: readonly string[];
  readonly contentFailures: readonly string[];
  readonly remaining: readonly Remaining[];
}

interface ConditionTexts {
  readonly type: string;
  readonly okReason: string;
  readonly okMessage: string;
  /** Reason and message when the condition holds. */
  readonly problem: (facts: DeletionFacts) => { reason: string; message: string } | undefined;
}

const CONDITIONS: readonly ConditionTexts[] = [
  {
    type: 'NamespaceDeletionDiscoveryFailure',
    okReason: 'ResourcesDiscovered',
    okMessage: 'All resources successfully discovered',
    problem: ({ discoveryFailures: failures }) =>
      failures.length === 0
        ? undefined
        : {
            reason: 'DiscoveryFailed',
            message: `Discovery failed for some groups, ${failures.length} failing: ${failures.join(', ')}`,
          },
  },
  {
    type: 'NamespaceDeletionGroupVersionParsingFailure',
    okReason: 'ParsedGroupVersions',
    okMessage: 'All legacy kube types successfully parsed',
    problem: () => undefined,
  },
  {
    type: 'NamespaceDeletionContentFailure',
    okReason: 'ContentDeleted',
    okMessage: 'All content successfully deleted, may be waiting on finalization',
    problem: ({ contentFailures: failures }) =>
      failures.length === 0
        ? undefined
        : {
            reason: 'ContentDeletionFailed',
            message: `Failed to delete all resource types, ${failures.length} remaining: ${[...failures].sort().join(', ')}`,
          },
  },
  {
    type: 'NamespaceContentRemaining',
    okReason: 'ContentRemoved',
    okMessage: 'All content successfully removed',
    problem: ({ remaining }) => {
      if (remaining.length === 0) return undefined;
      const parts = remaining.map(
        (r) => `${r.resource}.${r.group} has ${r.count} resource instances`,
      );
      return {
        reason: 'SomeResourcesRemain',
        message: `Some resources are remaining: ${parts.sort().join(', ')}`,
      };
    },
  },
  {
    type: 'NamespaceFinalizersRemaining',
    okReason: 'ContentHasNoFinalizers',
    okMessage: 'All content-preserving finalizers finished',
    problem: ({ remaining }) => {
      const totals = new Map<string, number>();
      for (const { finalizers } of remaining) {
        for (const [name, count] of finalizers) totals.set(name, (totals.get(name) ?? 0) + count);
      }
      if (totals.size === 0) return undefined;
      const parts = [...totals].map(([name, count]) => `${name} in ${count} resource instances`);
      return {
        reason: 'SomeFinalizersRemain',
        message: `Some content in the namespace has finalizers remaining: ${parts.sort().join(', ')}`,
      };
    },
  },
];

/** The new status, or undefined when nothing changes. */
export function planDeletionStatus(
  status: NamespaceStatus,
  facts: DeletionFacts,
  nowMs: number,
): NamespaceStatus | undefined {
  const conditions: NamespaceCondition[] = [...(status.conditions ?? [])];
  let isChanged = status.phase !== 'Terminating';
  for (const { type, okReason, okMessage, problem } of CONDITIONS) {
    const found = problem(facts);
    const next = {
      type,
      status: found === undefined ? 'False' : 'True',
      reason: found?.reason ?? okReason,
      message: found?.message ?? okMessage,
    };
    const old = findCondition(conditions, type);
    if (old?.status === next.status && old.reason === next.reason && old.message === next.message) {
      continue;
    }
    isChanged = true;
    const lastTransitionTime =
      old?.status === next.status ? old.lastTransitionTime : formatTime(nowMs);
    const condition = { ...next, lastTransitionTime };
    if (old === undefined) conditions.push(condition);
    else conditions[conditions.indexOf(old)] = condition;
  }
  return isChanged ? { ...status, phase: 'Terminating', conditions } : undefined;
}

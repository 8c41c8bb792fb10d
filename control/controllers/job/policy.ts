/**
 * Pod failure policy and success policy of Jobs. Pure; the first rule that matches decides; messages
 * are upstream's.
 */
import type {
  JobSpec,
  PodFailurePolicy,
  PodFailurePolicyOnExitCodesRequirement,
} from '#base/kube/api/batch-v1.gen.ts';
import type { ContainerStatus, Pod } from '#base/kube/api/core-v1.gen.ts';
import { countIndexes, type Indexes } from './indexes.ts';

export interface FailureVerdict {
  readonly action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count' | undefined;
  /** With FailJob: why. */
  readonly message: string;
}

const COUNTED: FailureVerdict = { action: undefined, message: '' };

export function judgeFailure(policy: PodFailurePolicy | undefined, pod: Pod): FailureVerdict {
  for (const [index, rule] of (policy?.rules ?? []).entries()) {
    const { name, namespace } = pod.metadata;
    let message: string | undefined;
    if (rule.onExitCodes !== undefined) {
      const status = findExit(pod, rule.onExitCodes);
      if (status !== undefined) {
        message = `Container ${status.name} for pod ${namespace}/${name} failed with exit code ${status.state?.terminated?.exitCode} matching ${rule.action} rule at index ${index}`;
      }
    } else {
      const condition = pod.status?.conditions?.find((candidate) =>
        (rule.onPodConditions ?? []).some(
          (pattern) =>
            pattern.type === candidate.type && (pattern.status ?? 'True') === candidate.status,
        ),
      );
      if (condition !== undefined) {
        message = `Pod ${namespace}/${name} has condition ${condition.type} matching ${rule.action} rule at index ${index}`;
      }
    }
    if (message === undefined) continue;
    const { action } = rule;
    if (
      action === 'FailJob' ||
      action === 'FailIndex' ||
      action === 'Ignore' ||
      action === 'Count'
    ) {
      return { action, message };
    }
  }
  return COUNTED;
}

function findExit(
  pod: Pod,
  requirement: PodFailurePolicyOnExitCodesRequirement,
): ContainerStatus | undefined {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return [...containerStatuses, ...initContainerStatuses].find((status) => {
    const code = status.state?.terminated?.exitCode ?? 0;
    if (code === 0) return false;
    const { containerName, operator, values } = requirement;
    if (containerName !== undefined && containerName !== status.name) return false;
    return operator === 'In' ? values.includes(code) : !values.includes(code);
  });
}

/** The message of the success rule that is met, or undefined. */
export function judgeSuccess(spec: JobSpec, succeeded: Indexes): string | undefined {
  if (succeeded.size === 0) return undefined;
  for (const [index, rule] of (spec.successPolicy?.rules ?? []).entries()) {
    const { succeededIndexes, succeededCount } = rule;
    let isMet: boolean;
    if (succeededIndexes !== undefined) {
      const { total, found } = countIndexes(succeededIndexes, spec.completions ?? 0, succeeded);
      if (total === 0) continue;
      isMet = found === total || (succeededCount !== undefined && found >= succeededCount);
    } else {
      isMet = succeededCount !== undefined && succeeded.size >= succeededCount;
    }
    if (isMet) return `Matched rules at index ${index}`;
  }
  return undefined;
}

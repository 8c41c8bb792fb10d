/**
 * The kubelet's conditions of a pod: PodReadyToStartContainers, Initialized, Ready, ContainersReady
 * (and PodScheduled where the scheduler was bypassed). Reasons and texts are upstream's, because
 * clients match on them. Conditions of other owners pass through untouched.
 */
import type { ContainerStatus, Pod, PodCondition } from '#base/kube/api/core-v1.gen.ts';
import { isSidecar } from './containers.ts';
import type { Phase } from './phase.ts';

export type Fact = Pick<PodCondition, 'status' | 'reason' | 'message'> & { readonly type: string };

/** `[a b c]`, as Go prints a list of strings. */
const list = (names: readonly string[]) => `[${names.join(' ')}]`;

/** The condition types that only the kubelet writes. */
export const OWN_CONDITIONS: ReadonlySet<string> = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodResizePending',
  'PodResizeInProgress',
]);

export interface ConditionInput {
  readonly pod: Pod;
  readonly phase: Phase;
  readonly containers: readonly ContainerStatus[];
  readonly initContainers: readonly ContainerStatus[];
  readonly sandboxReady: boolean;
  /** A condition about a resize, if one is wanted and not done. */
  readonly resize: Fact | undefined;
  /** That the node ended the pod, if it did; others write this type too. */
  readonly disruption?: Fact | undefined;
  readonly previous: readonly PodCondition[];
  readonly now: string;
}

export function podConditions(input: ConditionInput): PodCondition[] {
  const ready = containersReady(input);
  const facts: Fact[] = [
    { type: 'PodReadyToStartContainers', status: input.sandboxReady ? 'True' : 'False' },
    initialized(input),
    podReady(input, ready),
    { type: 'ContainersReady', ...ready },
  ];
  if (input.resize !== undefined) facts.push(input.resize);
  if (input.disruption !== undefined) facts.push(input.disruption);
  if (!input.previous.some((c) => c.type === 'PodScheduled')) {
    facts.push({ type: 'PodScheduled', status: 'True' });
  }
  const own = new Set(facts.map((f) => f.type));
  return [
    ...facts.map((fact) => merge(fact, input)),
    ...input.previous.filter((c) => !own.has(c.type) && !OWN_CONDITIONS.has(c.type)),
  ];
}

function withGeneration(condition: PodCondition, pod: Pod): PodCondition {
  const generation = pod.metadata.generation;
  return generation === undefined ? condition : { ...condition, observedGeneration: generation };
}

function merge(fact: Fact, input: ConditionInput): PodCondition {
  const old = input.previous.find((c) => c.type === fact.type);
  const lastTransitionTime =
    old?.status === fact.status && old.lastTransitionTime !== undefined
      ? old.lastTransitionTime
      : input.now;
  const condition: PodCondition = { type: fact.type, status: fact.status, lastTransitionTime };
  if (fact.reason !== undefined) condition.reason = fact.reason;
  if (fact.message !== undefined) condition.message = fact.message;
  return withGeneration(condition, input.pod);
}

type State = Omit<Fact, 'type'>;

function containersReady(input: ConditionInput): State {
  if (input.phase === 'Failed') return { status: 'False', reason: 'PodFailed' };
  if (input.phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  const unready: string[] = [];
  const unknown: string[] = [];
  const check = (name: string, status: ContainerStatus | undefined) => {
    if (status === undefined) unknown.push(name);
    else if (!status.ready) unready.push(name);
  };
  for (const c of input.pod.spec.initContainers ?? []) {
    if (isSidecar(c))
      check(
        c.name,
        input.initContainers.find((s) => s.name === c.name),
      );
  }
  for (const c of input.pod.spec.containers) {
    check(
      c.name,
      input.containers.find((s) => s.name === c.name),
    );
  }
  const parts: string[] = [];
  if (unknown.length > 0) parts.push(`containers with unknown status: ${list(unknown)}`);
  if (unready.length > 0) parts.push(`containers with unready status: ${list(unready)}`);
  if (parts.length === 0) return { status: 'True' };
  return { status: 'False', reason: 'ContainersNotReady', message: parts.join(', ') };
}

function podReady(input: ConditionInput, containers: State): Fact {
  if (containers.status !== 'True') return { type: 'Ready', ...containers };
  const missing: string[] = [];
  for (const { conditionType } of input.pod.spec.readinessGates ?? []) {
    const gate = input.previous.find((c) => c.type === conditionType);
    const name = JSON.stringify(conditionType);
    if (gate === undefined) {
      missing.push(`corresponding condition of pod readiness gate ${name} does not exist.`);
    } else if (gate.status !== 'True') {
      missing.push(`the status of pod readiness gate ${name} is not "True", but ${gate.status}`);
    }
  }
  if (missing.length === 0) return { type: 'Ready', status: 'True' };
  const message = missing.join(', ');
  return { type: 'Ready', status: 'False', reason: 'ReadinessGatesNotReady', message };
}

function initialized(input: ConditionInput): Fact {
  const type = 'Initialized';
  if (input.phase === 'Succeeded') return { type, status: 'True', reason: 'PodCompleted' };
  const unknown: string[] = [];
  const incomplete: string[] = [];
  for (const container of input.pod.spec.initContainers ?? []) {
    const status = input.initContainers.find((s) => s.name === container.name);
    if (status === undefined) unknown.push(container.name);
    else if (!(isSidecar(container) ? status.started === true : status.ready)) {
      incomplete.push(container.name);
    }
  }
  // A main container that ran proves the initialisation, even if a record of it is gone.
  const ran = input.containers.some(
    (s) => (s.state?.running ?? s.state?.terminated ?? s.lastState?.terminated) !== undefined,
  );
  if (ran && input.phase !== 'Failed') return { type, status: 'True' };
  const parts: string[] = [];
  if (unknown.length > 0) parts.push(`containers with unknown status: ${list(unknown)}`);
  if (incomplete.length > 0) parts.push(`containers with incomplete status: ${list(incomplete)}`);
  if (parts.length === 0) return { type, status: 'True' };
  return {
    type,
    status: 'False',
    reason: 'ContainersNotInitialized',
    message: parts.join(', '),
  };
}

/**
 * Sends pod statuses to the API: for each pod one request at a time, always the newest status, and
 * only what differs from what the server has. A failed request is tried again with back-off; a pod
 * that is gone is forgotten.
 *
 * The patch is a strategic merge patch of `status` that carries the pod's UID, so that it never
 * touches another pod of the same name.
 */
import type { Clock } from '#base/clock.ts';
import { errorText } from '#base/errors.ts';
import { pods } from '#base/kube/api/resources.gen.ts';
import type { Pod, PodCondition, PodStatus } from '#base/kube/api/core-v1.gen.ts';
import { isKubeError, type KubeClient } from '#base/kube/client.ts';
import { jsonEqual } from '#base/kube/metadata.ts';
import type { Log } from '#base/log.ts';
import type { TaskScope } from '#base/task-scope.ts';
import { OWN_CONDITIONS } from '../lifecycle/conditions.ts';

const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 10_000;
/** In a row; then one every WRITE_MS. */
const WRITES_AT_ONCE = 20;
const WRITE_MS = 200;

export interface StatusIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly tasks: TaskScope;
}

/** The statuses of one pod on their way to the server. */
export class PodStatusWriter {
  readonly #io: StatusIo;
  readonly #at: { readonly name: string; readonly namespace: string; readonly uid: string };
  /** What the server has, as far as is known. */
  #sent: PodStatus;
  #wanted: PodStatus | undefined;
  #running = false;
  #gone = false;
  #allowance = WRITES_AT_ONCE;
  #spentAtMs = 0;
  readonly #waiters: (() => void)[] = [];

  constructor(io: StatusIo, pod: Pod) {
    const { name, namespace = 'default', uid } = pod.metadata;
    this.#io = io;
    this.#spentAtMs = io.clock.monotonicMs();
    this.#at = { name, namespace, uid };
    this.#sent = withoutNulls(pod.status ?? {});
  }

  /** The server's status, seen by watch: counts unless a newer one of ours is on its way. */
  observe(pod: Pod): void {
    if (!this.#running && this.#wanted === undefined) this.#sent = withoutNulls(pod.status ?? {});
  }

  send(status: PodStatus): void {
    if (this.#gone) return;
    if (this.#wanted === undefined && !this.#running && jsonEqual(status, this.#sent)) return;
    this.#wanted = status;
    if (this.#running) return;
    this.#running = true;
    this.#io.tasks.spawn(`status of ${this.#at.namespace}/${this.#at.name}`, (signal) =>
      this.#run(signal),
    );
  }

  /** Resolves when the newest status has arrived, or the pod is gone. */
  flush(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      let delayMs = RETRY_MS_MIN;
      while (this.#wanted !== undefined && !this.#gone) {
        const status: PodStatus = this.#wanted;
        this.#wanted = undefined;
        await this.#spend(signal);
        if (await this.#patch(status, signal)) delayMs = RETRY_MS_MIN;
        else {
          this.#wanted ??= status;
          await this.#io.clock.sleep(delayMs, signal);
          delayMs = Math.min(delayMs * 2, RETRY_MS_MAX);
        }
      }
    } finally {
      this.#running = false;
      for (const resolve of this.#waiters.splice(0)) resolve();
    }
  }

  /** A server that never shows what was written must not be asked without end. */
  async #spend(signal: AbortSignal): Promise<void> {
    const nowMs = this.#io.clock.monotonicMs();
    const earned = (nowMs - this.#spentAtMs) / WRITE_MS;
    this.#allowance = Math.min(WRITES_AT_ONCE, this.#allowance + earned) - 1;
    this.#spentAtMs = nowMs;
    if (this.#allowance < 0) await this.#io.clock.sleep(-this.#allowance * WRITE_MS, signal);
  }

  /** False when it should be tried again. */
  async #patch(status: PodStatus, signal: AbortSignal): Promise<boolean> {
    const change = statusPatch(this.#sent, status);
    if (change === undefined) return true;
    const body = { metadata: { uid: this.#at.uid }, status: change };
    const at = { ...this.#at, subresource: 'status' };
    try {
      const pod = await this.#io.client.patch(pods, at, { type: 'strategic', body }, signal);
      this.#sent = withoutNulls(pod.status ?? {});
      return true;
    } catch (error) {
      signal.throwIfAborted();
      this.#gone = await this.#isGone(error, signal);
      if (!this.#gone) {
        const pod = `${this.#at.namespace}/${this.#at.name}`;
        this.#io.log.warn('pod status not written', { pod, error: errorText(error) });
      }
      return this.#gone;
    }
  }

  /** A conflict says that the name belongs to another pod now, or only that others wrote meanwhile. */
  async #isGone(failure: unknown, signal: AbortSignal): Promise<boolean> {
    if (!isKubeError(failure, 'Conflict')) return isKubeError(failure, 'NotFound');
    try {
      const { metadata } = await this.#io.client.get(pods, this.#at, signal);
      return metadata.uid !== this.#at.uid;
    } catch (error) {
      signal.throwIfAborted();
      // Forbidden: the pod of that name is another node's.
      return isKubeError(error, 'NotFound', 'Forbidden');
    }
  }
}

/** Servers print `lastProbeTime: null` for a time that is not set. */
function withoutNulls(status: PodStatus): PodStatus {
  return JSON.parse(JSON.stringify(status), (_key, value: unknown) => value ?? undefined);
}

/** The fields of a pod's status that are the kubelet's; all others belong to somebody else. */
const OWN_FIELDS: readonly (keyof PodStatus)[] = [
  'observedGeneration',
  'phase',
  'conditions',
  'message',
  'reason',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'startTime',
  'qosClass',
  'containerStatuses',
  'initContainerStatuses',
  'ephemeralContainerStatuses',
];

/** The strategic merge patch from one status to another, or undefined when they are equal. */
export function statusPatch(from: PodStatus, to: PodStatus): Record<string, unknown> | undefined {
  const patch: Record<string, unknown> = {};
  for (const key of OWN_FIELDS) {
    if (jsonEqual(from[key], to[key])) continue;
    if (key === 'conditions') {
      const conditions = conditionsPatch(from.conditions ?? [], to.conditions ?? []);
      if (conditions.length > 0) patch.conditions = conditions;
    } else if (key === 'podIPs' || key === 'hostIPs') {
      patch[key] = addressesPatch(from[key] ?? [], to[key] ?? []);
    } else patch[key] = to[key] ?? null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** Merged by type: conditions of other owners may be newer on the server than here. */
function conditionsPatch(before: readonly PodCondition[], after: readonly PodCondition[]) {
  const old = new Map(before.map((c) => [c.type, c]));
  const changed = after
    .filter((c) => OWN_CONDITIONS.has(c.type) || old.get(c.type) === undefined)
    .filter((c) => !jsonEqual(old.get(c.type), c))
    .map((c) => ({ ...nulls(old.get(c.type), c), ...c }));
  const kept = new Set(after.map((c) => c.type));
  const gone = before.filter((c) => OWN_CONDITIONS.has(c.type) && !kept.has(c.type));
  return [...changed, ...gone.map(({ type }) => ({ $patch: 'delete', type }))];
}

/** Fields that went away must be named, or the merge keeps them. */
function nulls(before: PodCondition | undefined, after: PodCondition): Record<string, null> {
  const kept: Record<string, unknown> = { ...after };
  const gone = Object.keys(before ?? {}).filter((name) => kept[name] === undefined);
  return Object.fromEntries(gone.map((name) => [name, null]));
}

/** Merged by ip: addresses that are gone are deleted by name. */
function addressesPatch(before: readonly { ip: string }[], after: readonly { ip: string }[]) {
  const kept = new Set(after.map(({ ip }) => ip));
  const gone = before.filter(({ ip }) => !kept.has(ip));
  return [...after, ...gone.map(({ ip }) => ({ $patch: 'delete', ip }))];
}

/**
 * Creates and deletes pods on behalf of an owner, with upstream's events, in batches that double while
 * they succeed: a quota or webhook that refuses is asked once, not five hundred times.
 */
import type { Pod, PodTemplateSpec } from '#base/kube/api/core-v1.gen.ts';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { pods } from '#base/kube/api/resources.gen.ts';
import { type Draft, isKubeError, type KubeClient, type KubeObject } from '#base/kube/client.ts';
import type { EventRecorder } from '#base/kube/event-recorder.ts';

export interface PodControlIo {
  readonly client: KubeClient;
  readonly events: EventRecorder;
}

/** A pod of `template`, owned by `ref`; the server makes the name from `generateName`. */
export function podFromTemplate(
  owner: KubeObject,
  ref: OwnerReference,
  template: PodTemplateSpec,
): Draft<Pod> {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const prefix = `${owner.metadata.name}-`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: prefix,
      namespace: owner.metadata.namespace ?? '',
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [ref],
    },
    spec: structuredClone(template.spec ?? { containers: [] }),
  };
}

/** True when the namespace is going away, where nothing can be created any more. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!isKubeError(error, 'Forbidden')) return false;
  const causes = error.status.details?.causes ?? [];
  return causes.some((cause) => cause.reason === 'NamespaceTerminating');
}

export async function createPod(
  io: PodControlIo,
  component: string,
  owner: KubeObject,
  pod: Draft<Pod>,
  signal: AbortSignal,
): Promise<Pod> {
  try {
    const created = await io.client.create(pods, pod, signal);
    io.events.record(owner, {
      type: 'Normal',
      reason: 'SuccessfulCreate',
      message: `Created pod: ${created.metadata.name}`,
      component,
    });
    return created;
  } catch (error) {
    signal.throwIfAborted();
    if (!isNamespaceTerminating(error)) {
      const text = error instanceof Error ? error.message : String(error);
      const message = `Error creating: ${text}`;
      io.events.record(owner, { type: 'Warning', reason: 'FailedCreate', message, component });
    }
    throw error;
  }
}

/** Deletes a pod; one that is gone already is no failure. */
export async function deletePod(
  io: PodControlIo,
  component: string,
  owner: KubeObject,
  pod: Pod,
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  try {
    await io.client.delete(pods, { name, namespace }, { preconditions: { uid } }, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isKubeError(error, 'NotFound')) return;
    const text = error instanceof Error ? error.message : String(error);
    const message = `Error deleting: ${text}`;
    io.events.record(owner, { type: 'Warning', reason: 'FailedDelete', message, component });
    throw error;
  }
  const message = `Deleted pod: ${name}`;
  io.events.record(owner, { type: 'Normal', reason: 'SuccessfulDelete', message, component });
}

export interface BatchResult {
  readonly succeeded: number;
  /** Those not even tried after a failure. */
  readonly skipped: number;
  readonly error: unknown;
}

/** Calls `act` `count` times: 1, then 2, 4, ... at once; stops after the first batch that fails. */
export async function slowStart(
  count: number,
  act: (index: number) => Promise<unknown>,
): Promise<BatchResult> {
  let done = 0;
  for (let batch = 1; done < count; batch *= 2) {
    const size = Math.min(batch, count - done);
    const results = await Promise.allSettled(Array.from({ length: size }, (_, i) => act(done + i)));
    const failed = results.find((result) => result.status === 'rejected');
    const succeeded = done + results.filter((result) => result.status === 'fulfilled').length;
    done += size;
    if (failed !== undefined) return { succeeded, skipped: count - done, error: failed.reason };
  }
  return { succeeded: done, skipped: 0, error: undefined };
}

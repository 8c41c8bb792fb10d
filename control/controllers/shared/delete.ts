/** Deletes of what may be gone already, by another's hand or by an earlier attempt. */
import {
  type DeleteOptions,
  isKubeError,
  type KubeClient,
  type KubeObject,
  type ObjectName,
  type Resource,
} from '#base/kube/client.ts';

/** Throws KubeError for every failure but NotFound. */
export async function deleteIfThere<T extends KubeObject>(
  client: KubeClient,
  what: {
    readonly resource: Resource<T>;
    readonly at: ObjectName;
    readonly options?: DeleteOptions;
  },
  signal: AbortSignal,
): Promise<void> {
  const { name, namespace } = what.at;
  try {
    await client.delete(what.resource, { name, namespace }, what.options ?? {}, signal);
  } catch (error) {
    if (!isKubeError(error, 'NotFound')) throw error;
  }
}

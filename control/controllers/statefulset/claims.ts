/**
 * Who owns the volume claims of a StatefulSet, by its retention policy: the set, where they go with it;
 * the pod, where they go when it is scaled down; else nobody. The garbage collector then deletes them
 * after their owner. Pure; rules as upstream's, which leaves claims of an earlier life alone.
 */
import type { StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type { PersistentVolumeClaim, Pod } from '#base/kube/api/core-v1.gen.ts';
import type { OwnerReference } from '#base/kube/api/meta-v1.gen.ts';
import { pods, statefulsets } from '#base/kube/api/resources.gen.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { ordinalOf, replicasOf, startOf } from './plan.ts';

function isSameName(a: OwnerReference, b: OwnerReference): boolean {
  return a.apiVersion === b.apiVersion && a.kind === b.kind && a.name === b.name;
}

/** The owners that the claim of `pod` should have, or undefined when it has them. */
export function planClaimOwners(
  set: StatefulSet,
  pod: Pod,
  claim: PersistentVolumeClaim,
): OwnerReference[] | undefined {
  const asSet = newControllerRef(statefulsets, set);
  const asPod = newControllerRef(pods, pod);
  const refs = claim.metadata.ownerReferences ?? [];
  const isOurs = (ref: OwnerReference) => isSameName(ref, asSet) || isSameName(ref, asPod);
  const ours = refs.filter(isOurs);
  const isStale = ours.some((ref) => ref.uid !== asSet.uid && ref.uid !== asPod.uid);
  if (isStale) return undefined;
  const others = refs.filter((ref) => !isOurs(ref));
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const goesWithSet = whenDeleted === 'Delete';
  const goesWithPod = whenScaled === 'Delete';
  if ((goesWithSet || goesWithPod) && others.some((ref) => ref.controller === true)) {
    return ours.length === 0 ? undefined : others; // Managed by another.
  }
  const offset = (ordinalOf(set, pod.metadata.name) ?? -1) - startOf(set);
  const isScaledDown = offset < 0 || offset >= replicasOf(set);
  const wanted = [
    ...(goesWithSet && !(goesWithPod && isScaledDown) ? [asSet] : []),
    ...(goesWithPod && isScaledDown ? [asPod] : []),
  ];
  const isSame =
    ours.length === wanted.length &&
    ours.every((ref) => ref.controller === true && wanted.some(({ uid }) => uid === ref.uid));
  return isSame ? undefined : [...others, ...wanted];
}

/** The claim waits for the end of an earlier pod of the same name; a new pod must not take it over. */
export function isStaleClaim(
  set: StatefulSet,
  podName: string,
  claim: PersistentVolumeClaim,
): boolean {
  if (set.spec.persistentVolumeClaimRetentionPolicy?.whenScaled !== 'Delete') return false;
  return (claim.metadata.ownerReferences ?? []).some(
    (ref) => ref.apiVersion === 'v1' && ref.kind === 'Pod' && ref.name === podName,
  );
}

/**
 * The pod of one ordinal of a StatefulSet and the volume claims it needs: stable name, host name,
 * labels and storage. Pure.
 */
import type { StatefulSet } from '#base/kube/api/apps-v1.gen.ts';
import type {
  PersistentVolumeClaim,
  Pod,
  PodTemplateSpec,
  Volume,
} from '#base/kube/api/core-v1.gen.ts';
import { statefulsets } from '#base/kube/api/resources.gen.ts';
import type { Draft } from '#base/kube/client.ts';
import { newControllerRef } from '#base/kube/metadata.ts';
import { podFromTemplate } from '../shared/pod-control.ts';
import { REVISION_LABEL } from '../shared/revisions.ts';

export function claimName(
  set: StatefulSet,
  template: PersistentVolumeClaim,
  ordinal: number,
): string {
  return `${template.metadata.name}-${set.metadata.name}-${ordinal}`;
}

export function setPod(
  set: StatefulSet,
  template: PodTemplateSpec,
  ordinal: number,
  revision: string,
): Draft<Pod> {
  const name = `${set.metadata.name}-${ordinal}`;
  const draft = podFromTemplate(set, newControllerRef(statefulsets, set), template);
  const { generateName: _, ...metadata } = draft.metadata;
  const claims: Volume[] = (set.spec.volumeClaimTemplates ?? []).map((claim) => ({
    name: claim.metadata.name,
    persistentVolumeClaim: { claimName: claimName(set, claim, ordinal) },
  }));
  const others = (draft.spec.volumes ?? []).filter(
    (volume) => !claims.some((claim) => claim.name === volume.name),
  );
  const volumes = [...claims, ...others];
  const subdomain = set.spec.serviceName ?? '';
  return {
    ...draft,
    metadata: {
      ...metadata,
      name,
      labels: {
        ...metadata.labels,
        'statefulset.kubernetes.io/pod-name': name,
        'apps.kubernetes.io/pod-index': String(ordinal),
        [REVISION_LABEL]: revision,
      },
    },
    spec: {
      ...draft.spec,
      hostname: name,
      ...(subdomain === '' ? {} : { subdomain }),
      ...(volumes.length === 0 ? {} : { volumes }),
    },
  };
}

/** The claims of an ordinal; with whenDeleted=Delete the set owns them. */
export function setClaims(set: StatefulSet, ordinal: number): Draft<PersistentVolumeClaim>[] {
  const { whenDeleted } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  const { metadata } = set;
  const owner = newControllerRef(statefulsets, set);
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: claimName(set, template, ordinal),
      namespace: metadata.namespace ?? '',
      labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
      ...(template.metadata.annotations === undefined
        ? {}
        : { annotations: template.metadata.annotations }),
      ...(whenDeleted === 'Delete' ? { ownerReferences: [owner] } : {}),
    },
    spec: structuredClone(template.spec),
  }));
}

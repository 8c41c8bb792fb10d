/**
 * Rules on a whole pod, new or changed.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { subdomainName, validateMeta } from './meta.ts';
import { validatePodAnnotations, validateProfilesMatch } from './pod-annotations.ts';
import { validateImagePadding } from './pod-containers.ts';
import { validatePodSpec } from './pod-spec.ts';

export function validatePodCreate(e: FieldErrors, pod: Pod): void {
  validatePodMetaAndSpec(e, pod);
  if ((pod.spec.ephemeralContainers ?? []).length > 0) {
    e.forbidden('spec.ephemeralContainers', 'cannot be set on create');
  }
  if ((pod.spec.nodeName ?? '') !== '' && (pod.spec.schedulingGates ?? []).length > 0) {
    e.forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared');
  }
  validateProfilesMatch(e, 'spec', pod.metadata.annotations, pod.spec);
}

export function validatePodMetaAndSpec(e: FieldErrors, pod: Pod): void {
  const { metadata, spec } = pod;
  validateMeta(e, metadata, { namespaced: true, name: subdomainName, coreFinalizers: true });
  validatePodAnnotations(e, 'metadata.annotations', metadata.annotations, spec);
  validatePodSpec(e, 'spec', spec, { podMeta: metadata });
  if ((spec.serviceAccountName ?? '') === '') {
    for (const [i, volume] of (spec.volumes ?? []).entries()) {
      for (const [j, source] of (volume.projected?.sources ?? []).entries()) {
        if (source.serviceAccountToken === undefined) continue;
        const at = `spec.volumes[${i}].projected.sources[${j}].serviceAccountToken`;
        e.forbidden(at, 'must not be specified when serviceAccountName is not set');
      }
    }
  }
  for (const list of ['containers', 'initContainers'] as const) {
    for (const [i, container] of (spec[list] ?? []).entries()) {
      validateImagePadding(e, `spec.${list}[${i}]`, container);
    }
  }
}

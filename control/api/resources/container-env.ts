/**
 * Rules on the environment of containers and where its values come from.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  EnvFromSource,
  EnvVar,
  FileKeySelector,
  PodSpec,
} from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { ENV_FIELD_PATHS, validateFieldRef, validateResourceFieldRef } from './field-refs.ts';
import { checkConfigKey, checkDnsLabel, checkDnsSubdomain, checkEnvName } from './formats.ts';
import { given } from './given.ts';
import { subdomainName } from './meta.ts';
import { validateNoBacksteps } from './paths.ts';
import { allContainers } from './pod-containers-list.ts';

export function validateEnv(e: FieldErrors, path: string, variables: readonly EnvVar[]): void {
  for (const [i, variable] of variables.entries()) {
    const name = variable.name ?? '';
    if (name === '') e.required(`${path}[${i}].name`);
    else e.invalidEach(`${path}[${i}].name`, name, checkEnvName(name));
    if (variable.valueFrom !== undefined) validateValueFrom(e, `${path}[${i}].valueFrom`, variable);
  }
}

function validateValueFrom(e: FieldErrors, at: string, variable: EnvVar): void {
  const source = variable.valueFrom ?? {};
  if (source.fieldRef !== undefined) {
    validateFieldRef(e, `${at}.fieldRef`, source.fieldRef, ENV_FIELD_PATHS);
  }
  if (source.resourceFieldRef !== undefined) {
    const ref = source.resourceFieldRef;
    validateResourceFieldRef(e, `${at}.resourceFieldRef`, ref, { needsContainer: false });
  }
  for (const kind of ['configMapKeyRef', 'secretKeyRef'] as const) {
    const ref = source[kind];
    if (ref === undefined) continue;
    e.invalidEach(`${at}.${kind}.name`, ref.name ?? '', checkDnsSubdomain(ref.name ?? ''));
    const key = ref.key ?? '';
    if (key === '') e.required(`${at}.${kind}.key`);
    else e.invalidEach(`${at}.${kind}.key`, key, checkConfigKey(key));
  }
  if (source.fileKeyRef !== undefined) validateFileKey(e, `${at}.fileKeyRef`, source.fileKeyRef);
  const count = Object.values(source).filter((ref) => ref !== undefined).length;
  if (count === 0) {
    e.invalid(
      at,
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
    );
  } else if ((variable.value ?? '') !== '') {
    e.invalid(at, '', 'may not be specified when `value` is not empty');
  } else if (count > 1) e.invalid(at, '', 'may not have more than one field specified at a time');
}

function validateFileKey(e: FieldErrors, at: string, ref: FileKeySelector): void {
  const { key = '', volumeName = '', path = '' } = given(ref);
  if (key === '') e.required(`${at}.key`);
  else e.invalidEach(`${at}.key`, key, checkEnvName(key));
  if (volumeName === '') e.required(`${at}.volumeName`);
  else e.invalidEach(`${at}.volumeName`, volumeName, checkDnsLabel(volumeName));
  if (path === '') e.required(`${at}.path`);
  else validateNoBacksteps(e, `${at}.path`, path);
}

export function validateEnvFrom(
  e: FieldErrors,
  path: string,
  sources: readonly EnvFromSource[],
): void {
  for (const [i, source] of sources.entries()) {
    const prefix = source.prefix ?? '';
    if (prefix !== '') e.invalidEach(`${path}[${i}].prefix`, prefix, checkEnvName(prefix));
    let count = 0;
    for (const kind of ['configMapRef', 'secretRef'] as const) {
      const ref = source[kind];
      if (ref === undefined) continue;
      count += 1;
      const name = ref.name ?? '';
      if (name === '') e.required(`${path}[${i}].${kind}.name`);
      else e.invalidEach(`${path}[${i}].${kind}.name`, name, subdomainName(name, true));
    }
    if (count === 0) e.invalid(path, '', 'must specify one of: `configMapRef` or `secretRef`');
    else if (count > 1) e.invalid(path, '', 'may not have more than one field specified at a time');
  }
}

/** Files that set variables must lie in an emptyDir of the pod. */
export function validateFileKeyVolumes(e: FieldErrors, at: string, spec: PodSpec): void {
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  for (const { container, path } of allContainers(spec, at)) {
    for (const [i, variable] of (container.env ?? []).entries()) {
      const ref = variable.valueFrom?.fileKeyRef;
      if (ref === undefined) continue;
      const field = `${path}.env[${i}].valueFrom.fileKeyRef.volumeName`;
      const volume = volumes.get(ref.volumeName);
      if (volume === undefined) e.notFound(field, ref.volumeName ?? '');
      else if (volume.emptyDir === undefined) {
        e.invalid(field, ref.volumeName, 'referenced volume must be of type emptyDir');
      }
    }
  }
}

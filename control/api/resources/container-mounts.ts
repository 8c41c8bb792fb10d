/**
 * Rules on mounts and block devices of containers, against the volumes of the pod.
 * Source: kubernetes v1.36.3 pkg/apis/core/validation.
 */
import type {
  Container,
  EphemeralContainer,
  Volume,
  VolumeDevice,
  VolumeMount,
} from '#base/kube/api/core-v1.gen.ts';
import type { FieldErrors } from './field-errors.ts';
import { given } from './given.ts';
import { validateDescendingPath } from './paths.ts';

type Volumes = ReadonlyMap<string, Volume>;

const PROPAGATIONS = ['Bidirectional', 'HostToContainer', 'None'];

export function validateMounts(
  e: FieldErrors,
  at: string,
  container: Container | EphemeralContainer,
  volumes: Volumes,
): void {
  const devices = container.volumeDevices ?? [];
  const path = `${at}.volumeMounts`;
  const taken = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const own = `${path}[${i}]`;
    const { name = '', mountPath = '', subPath = '', subPathExpr = '' } = given(mount);
    if (name === '') e.required(`${own}.name`);
    if (!volumes.has(name)) e.notFound(`${own}.name`, name);
    if (mountPath === '') e.required(`${own}.mountPath`);
    if (taken.has(mountPath)) e.invalid(`${own}.mountPath`, mountPath, 'must be unique');
    taken.add(mountPath);
    if (devices.some((device) => device.name === name)) {
      e.invalid(`${own}.name`, name, 'must not already exist in volumeDevices');
    }
    if (devices.some((device) => device.devicePath === mountPath)) {
      const detail = 'must not already exist as a path in volumeDevices';
      e.invalid(`${own}.mountPath`, mountPath, detail);
    }
    if (subPath !== '') validateDescendingPath(e, `${path}.subPath`, subPath);
    if (subPathExpr !== '') {
      if (subPath !== '') {
        const detail = 'subPathExpr and subPath are mutually exclusive';
        e.invalid(`${own}.subPathExpr`, subPathExpr, detail);
      }
      validateDescendingPath(e, `${path}.subPathExpr`, subPathExpr);
    }
    validatePropagation(e, `${path}.mountPropagation`, mount, container);
    validateRecursiveReadOnly(e, `${path}.recursiveReadOnly`, mount);
  }
}

function validatePropagation(
  e: FieldErrors,
  field: string,
  mount: VolumeMount,
  container: Container | EphemeralContainer,
): void {
  const propagation = mount.mountPropagation;
  if (propagation === undefined) return;
  if (!PROPAGATIONS.includes(propagation)) e.notSupported(field, propagation, PROPAGATIONS);
  if (propagation === 'Bidirectional' && container.securityContext?.privileged !== true) {
    const detail = 'Bidirectional mount propagation is available only to privileged containers';
    e.forbidden(field, detail);
  }
}

function validateRecursiveReadOnly(e: FieldErrors, field: string, mount: VolumeMount): void {
  const mode = mount.recursiveReadOnly;
  if (mode === undefined || mode === 'Disabled') return;
  if (mode !== 'Enabled' && mode !== 'IfPossible') {
    return e.notSupported(field, mode, ['Disabled', 'Enabled', 'IfPossible']);
  }
  if (mount.readOnly !== true) e.forbidden(field, 'may only be specified when readOnly is true');
  if ((mount.mountPropagation ?? 'None') !== 'None') {
    const detail = 'may only be specified when mountPropagation is None or not specified';
    e.forbidden(field, detail);
  }
}

export function validateDevices(
  e: FieldErrors,
  at: string,
  container: {
    volumeDevices?: VolumeDevice[] | undefined;
    volumeMounts?: VolumeMount[] | undefined;
  },
  volumes: Volumes,
): void {
  const mounts = container.volumeMounts ?? [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [i, device] of (container.volumeDevices ?? []).entries()) {
    const own = `${at}.volumeDevices[${i}]`;
    const { name = '', devicePath = '' } = given(device);
    const volume = volumes.get(name);
    if (name === '') e.required(`${own}.name`);
    if (names.has(name)) e.invalid(`${own}.name`, name, 'must be unique');
    if (volume === undefined) e.notFound(`${own}.name`, name);
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined) {
      const detail =
        'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode';
      e.invalid(`${own}.name`, name, detail);
    }
    if (devicePath === '') e.required(`${own}.devicePath`);
    if (paths.has(devicePath)) e.invalid(`${own}.devicePath`, devicePath, 'must be unique');
    if (devicePath.split('/').includes('..')) {
      e.invalid(`${own}.devicePath`, devicePath, "can not contain backsteps ('..')");
    } else paths.add(devicePath);
    if (mounts.some((mount) => mount.name === name)) {
      e.invalid(`${own}.name`, name, 'must not already exist in volumeMounts');
    }
    if (mounts.some((mount) => mount.mountPath === devicePath)) {
      const detail = 'must not already exist as a path in volumeMounts';
      e.invalid(`${own}.devicePath`, devicePath, detail);
    }
    if (name !== '') names.add(name);
  }
}

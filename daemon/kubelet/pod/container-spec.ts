/**
 * Puts a container together for the runtime: environment, command, mounts, security, resources. What
 * the pod asks for and cannot be had is a ConfigError, shown as CreateContainerConfigError.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Pod, VolumeMount } from '#base/kube/api/core-v1.gen.ts';
import type { ContainerSpec, Image, Mount, Sandbox } from '../../runtime/port.ts';
import { ConfigError } from '../container/config-error.ts';
import { containerEnv, type ReferencedObjects } from '../container/env.ts';
import { expand, expandStrict } from '../container/expand.ts';
import type { FieldFacts } from '../container/fields.ts';
import { containerResources } from '../container/resources.ts';
import { containerSecurity } from '../container/security.ts';
import type { AnyContainer } from '../lifecycle/model.ts';
import { ENV_FILE_BYTES_MAX } from '../limits.ts';
import { containerLogPath, type PodPaths } from '../volume/paths.ts';
import { hasPayload } from '../volume/payload.ts';
import type { PodVolumes } from '../volume/pod-volumes.ts';
import { bindSubPath, checkSubPath, readInVolume } from '../volume/sub-path.ts';
import type { PodIo } from './io.ts';

export interface SpecInput {
  readonly io: PodIo;
  readonly pod: Pod;
  readonly container: AnyContainer;
  readonly attempt: number;
  readonly sandbox: Sandbox;
  readonly image: Image;
  readonly volumes: PodVolumes;
  readonly paths: PodPaths;
  readonly objects: ReferencedObjects;
  readonly facts: FieldFacts;
  /** Container whose process namespace an ephemeral container joins. */
  readonly pidTargetContainerId: string | undefined;
}

export const TERMINATION_PATH_DEFAULT = '/dev/termination-log';

export async function containerSpec(input: SpecInput, signal: AbortSignal): Promise<ContainerSpec> {
  const { io, pod, container, attempt, image } = input;
  const security = containerSecurity(pod, container, image.config);
  const env = await containerEnv(
    {
      ...input,
      services: io.services(),
      volumeFile: (volumeName, path) => volumeFile(input, volumeName, path),
    },
    signal,
  );
  const mounts = await containerMounts(input, env);
  const expandAll = (words: readonly string[] | undefined) =>
    (words ?? []).map((word) => expand(word, (name) => env.get(name)));
  const { name, namespace = 'default', uid } = pod.metadata;
  const { pidTargetContainerId } = input;
  return {
    sandboxId: input.sandbox.id,
    name: container.name,
    attempt,
    imageId: image.id,
    image: container.image ?? '',
    command: expandAll(container.command),
    args: expandAll(container.args),
    workingDir: container.workingDir ?? '',
    env: [...env].map(([key, value]) => ({ name: key, value })),
    mounts,
    security: pidTargetContainerId === undefined ? security : { ...security, pidTargetContainerId },
    resources: containerResources(pod, container, io.node.memoryBytes),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    logPath: containerLogPath(container.name, attempt),
    stopSignal: container.lifecycle?.stopSignal,
    labels: {
      'io.kubernetes.pod.name': name,
      'io.kubernetes.pod.namespace': namespace,
      'io.kubernetes.pod.uid': uid,
      'io.kubernetes.container.name': container.name,
    },
    annotations: {},
  };
}

/** Throws ConfigError when there is no such volume, or the file is too large. */
function volumeFile(
  { pod, volumes }: SpecInput,
  volumeName: string,
  path: string,
): string | undefined {
  const volume = (pod.spec.volumes ?? []).find((v) => v.name === volumeName);
  if (volume === undefined) {
    throw new ConfigError(`cannot find the volume ${JSON.stringify(volumeName)} of a fileKeyRef`);
  }
  try {
    return readInVolume(volumes.pathOf(volume), path, ENV_FILE_BYTES_MAX);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function containerMounts(
  input: SpecInput,
  env: ReadonlyMap<string, string>,
): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const [index, mount] of (input.container.volumeMounts ?? []).entries()) {
    mounts.push(await volumeMount(input, mount, { index, env }));
  }
  const taken = new Set(mounts.map((m) => m.containerPath.replace(/\/+$/, '')));
  const add = (hostPath: string, containerPath: string) => {
    if (taken.has(containerPath)) return;
    mounts.push({ hostPath, containerPath, readOnly: false, propagation: 'private' });
  };
  const { paths, container, attempt } = input;
  add(paths.file('hosts'), '/etc/hosts');
  add(paths.file('hostname'), '/etc/hostname');
  add(paths.file('resolv.conf'), '/etc/resolv.conf');
  const messagePath = paths.terminationMessage(container.name, attempt);
  await mkdir(dirname(messagePath), { recursive: true, mode: 0o750 });
  await writeFile(messagePath, '');
  // Whatever the umask: any user of the container may write its last words.
  await chmod(messagePath, 0o666);
  const target = container.terminationMessagePath;
  add(messagePath, target === undefined || target === '' ? TERMINATION_PATH_DEFAULT : target);
  return mounts;
}

const PROPAGATION = {
  None: 'private',
  HostToContainer: 'hostToContainer',
  Bidirectional: 'bidirectional',
} as const;

async function volumeMount(
  input: SpecInput,
  mount: VolumeMount,
  { index, env }: { index: number; env: ReadonlyMap<string, string> },
): Promise<Mount> {
  const { pod, container, volumes, paths, io } = input;
  const volume = (pod.spec.volumes ?? []).find((v) => v.name === mount.name);
  if (volume === undefined) {
    const quoted = `${JSON.stringify(mount.name)} to mount into container`;
    throw new ConfigError(`cannot find volume ${quoted} ${JSON.stringify(container.name)}`);
  }
  let hostPath = volumes.pathOf(volume);
  const subPath = subPathOf(mount, env);
  if (subPath !== '') {
    const target = paths.subPath(volume.name, container.name, index);
    hostPath = await bindSubPath(io.mounter, { volumePath: hostPath, subPath, target });
  }
  const propagation = PROPAGATION[(mount.mountPropagation ?? 'None') as keyof typeof PROPAGATION]; // Validated by the API.
  const recursive =
    mount.recursiveReadOnly === 'Enabled' || mount.recursiveReadOnly === 'IfPossible';
  return {
    hostPath,
    containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
    // Content of the API is not the container's to change; others may read the same files.
    readOnly: mount.readOnly === true || hasPayload(volume),
    ...(recursive ? { recursiveReadOnly: true } : {}),
    propagation,
  };
}

function subPathOf(mount: VolumeMount, env: ReadonlyMap<string, string>): string {
  if (mount.subPathExpr === undefined || mount.subPathExpr === '') return mount.subPath ?? '';
  let path: string;
  try {
    path = expandStrict(mount.subPathExpr, env);
  } catch (error) {
    throw new ConfigError(`cannot expand subPathExpr ${mount.subPathExpr}`, { cause: error });
  }
  checkSubPath(path);
  return path;
}

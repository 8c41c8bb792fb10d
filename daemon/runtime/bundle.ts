/**
 * Makes what runc needs of a container: the mounted root filesystem and config.json.
 *
 *   <data>/containers/<id>/{upper,work}   what the container writes
 *   <run>/c/<id>/                         bundle: config.json, rootfs, conmon's files
 *
 * Called by containers.ts; `removeBundle` undoes it at any stage, also of a dead process.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountsBelow, unmountMaybe } from '#base/linux/mounts.ts';
import { hostDevices, readDevice } from './host.ts';
import { USER_FILE_BYTES_MAX } from './limits.ts';
import {
  type Device,
  type HostFacts,
  type NamespacePaths,
  planArgs,
  planSpec,
  type SpecInput,
} from './oci/spec.ts';
import { type ResolvedUser, resolveUser } from './oci/user.ts';
import { type ContainerSpec, type Image, RuntimeError } from './port.ts';
import { directoryInRoot, mountRootfs, readInRoot } from './rootfs.ts';

export interface BundleRequest {
  readonly spec: ContainerSpec;
  readonly image: Image;
  readonly host: HostFacts;
  readonly layersRoot: string;
  readonly lowerDirs: readonly string[];
  readonly dataDir: string;
  readonly bundle: string;
  readonly cgroupsPath: string;
  readonly hostname: string;
  readonly shmPath: string;
  readonly hostnamePath: string;
  readonly namespaces: NamespacePaths;
}

/** Resolves to the identity of the container's first process. Throws RuntimeError. */
export function makeBundle(request: BundleRequest): ResolvedUser {
  const { spec, image, bundle } = request;
  if (planArgs(spec, image.config).length === 0) {
    throw new RuntimeError('CREATE_FAILED', `no command specified for container ${spec.name}`);
  }
  const rootfs = join(bundle, 'rootfs');
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  mountRootfs({
    layersRoot: request.layersRoot,
    lowerDirs: request.lowerDirs,
    dataDir: request.dataDir,
    mountPoint: rootfs,
  });
  const user = findUser(spec, image, rootfs);
  for (const mount of spec.mounts) {
    // As the CRI asks: a source that does not exist becomes a directory.
    if (!existsSync(mount.hostPath)) mkdirSync(mount.hostPath, { recursive: true });
  }
  const oci = planSpec({
    container: spec,
    image: image.config,
    user,
    host: request.host,
    namespaces: request.namespaces,
    rootfs,
    cgroupsPath: request.cgroupsPath,
    shmPath: request.shmPath,
    hostnamePath: request.hostnamePath,
    hostname: request.hostname,
    imageVolumes: spec.security.readOnlyRootfs ? findVolumes(image, rootfs) : [],
    devices: findDevices(spec),
  });
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(oci), { mode: 0o600 });
  return user;
}

export function removeBundle(bundle: string): void {
  for (const path of mountsBelow(bundle)) unmountMaybe(path);
  rmSync(bundle, { recursive: true, force: true });
}

function findUser(spec: ContainerSpec, image: Image, rootfs: string): ResolvedUser {
  const { security } = spec;
  return resolveUser(
    {
      runAsUser: security.runAsUser,
      runAsGroup: security.runAsGroup,
      runAsUserName: security.runAsUserName,
      supplementalGroups: security.supplementalGroups,
      supplementalGroupsPolicy: security.supplementalGroupsPolicy,
      imageUser: image.config.user,
    },
    {
      passwd: readInRoot(rootfs, '/etc/passwd', USER_FILE_BYTES_MAX),
      group: readInRoot(rootfs, '/etc/group', USER_FILE_BYTES_MAX),
    },
  );
}

/** An image can make a volume's path a link to anywhere, so it is looked up as inside the container. */
function findVolumes(image: Image, rootfs: string): SpecInput['imageVolumes'] {
  return image.config.volumes.flatMap((containerPath) => {
    if (containerPath.split('/').includes('..')) return [];
    const hostPath = directoryInRoot(rootfs, containerPath);
    return hostPath === undefined || hostPath === rootfs ? [] : [{ containerPath, hostPath }];
  });
}

function findDevices(spec: ContainerSpec): readonly Device[] {
  const asked = (spec.devices ?? []).map(({ hostPath, containerPath, permissions }) => {
    const device = readDevice(hostPath, containerPath, permissions);
    if (device === undefined) {
      throw new RuntimeError('CREATE_FAILED', `${hostPath} is not a device`);
    }
    return device;
  });
  return spec.security.privileged ? [...hostDevices(), ...asked] : asked;
}

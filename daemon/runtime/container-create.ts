/**
 * From what the kubelet asks to a container that can be started: finds sandbox and image, makes the
 * bundle, fills the first record. Called by containers.ts, which stores the record.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { makeBundle, removeBundle } from './bundle.ts';
import { bootId } from './host.ts';
import type { ImageStore } from './image/image-store.ts';
import type { HostFacts, NamespacePaths } from './oci/spec.ts';
import { type ContainerSpec, type Image, RuntimeError } from './port.ts';
import type { ContainerRecord, SandboxRecord } from './records.ts';
import type { Sandboxes } from './sandboxes.ts';

export interface CreateRequest {
  readonly spec: ContainerSpec;
  readonly dataDir: string;
  /** Directory of the bundles. */
  readonly bundles: string;
  readonly images: ImageStore;
  readonly sandboxes: Sandboxes;
  readonly host: HostFacts;
  readonly clock: Clock;
  /** Another container by its id. */
  readonly find: (id: string) => ContainerRecord;
}

/** Synchronous: nothing can remove the image or the sandbox meanwhile. Throws RuntimeError. */
export function makeContainer(request: CreateRequest): ContainerRecord {
  const { spec, dataDir, bundles } = request;
  const parts = findParts(request);
  const id = randomBytes(32).toString('hex');
  const data = join(dataDir, 'containers', id);
  const bundle = join(bundles, id);
  try {
    mkdirSync(data, { mode: 0o700 });
    return fill(request, parts, { id, data, bundle });
  } catch (error) {
    removeBundle(bundle);
    rmSync(data, { recursive: true, force: true });
    if (error instanceof RuntimeError) throw error;
    const code = isErrno(error, 'ENOSPC', 'EDQUOT') ? 'NO_SPACE' : 'CREATE_FAILED';
    throw new RuntimeError(code, `cannot make container ${spec.name}`, { cause: error });
  }
}

interface Parts {
  readonly sandbox: SandboxRecord;
  readonly image: Image;
  readonly layers: readonly string[];
}

function findParts({ spec, sandboxes, images }: CreateRequest): Parts {
  const sandbox = sandboxes.get(spec.sandboxId);
  if (sandbox?.state !== 'ready') {
    throw new RuntimeError('NOT_FOUND', `sandbox ${spec.sandboxId} is not ready`);
  }
  const image = images.find(spec.imageId);
  const layers = images.chains(image?.id ?? '');
  if (image === undefined || layers === undefined) {
    throw new RuntimeError('IMAGE_NOT_FOUND', `image ${spec.imageId} is not present`);
  }
  return { sandbox, image, layers };
}

function fill(
  request: CreateRequest,
  { sandbox, image, layers }: Parts,
  { id, data, bundle }: { id: string; data: string; bundle: string },
): ContainerRecord {
  const { spec, sandboxes, images, host, clock } = request;
  const podCgroup = sandboxes.cgroupPath(sandbox.spec.cgroupParent);
  const paths = sandboxes.paths(sandbox);
  const user = makeBundle({
    spec,
    image,
    host,
    layersRoot: images.layers.root,
    lowerDirs: images.layers.lowerDirs(layers),
    dataDir: data,
    bundle,
    cgroupsPath: join(podCgroup, id),
    hostname: sandboxes.hostnameOf(sandbox),
    shmPath: paths.shm,
    hostnamePath: paths.hostname,
    namespaces: namespacesOf(request, paths.namespaces),
  });
  return {
    id,
    spec,
    podUid: sandbox.spec.podUid,
    state: 'created',
    createdAtMs: clock.nowMs(),
    startedAtMs: undefined,
    finishedAtMs: undefined,
    exitCode: undefined,
    oomKilled: false,
    startError: undefined,
    process: undefined,
    bootId: bootId(),
    logPath: join(sandbox.spec.logDirectory, spec.logPath),
    user,
    stopSignal: spec.stopSignal ?? image.config.stopSignal,
    layers,
    podCgroup,
  };
}

/** The pod's, but for a container that looks into another one's processes. */
function namespacesOf({ spec, find }: CreateRequest, pod: NamespacePaths): NamespacePaths {
  const target = spec.security.pidTargetContainerId;
  if (target === undefined) return pod;
  const record = find(target);
  if (record.state !== 'running') {
    throw new RuntimeError('CREATE_FAILED', `target container ${target} is not running`);
  }
  return { ...pod, pid: `/proc/${must(record.process, 'a running container').pid}/ns/pid` };
}

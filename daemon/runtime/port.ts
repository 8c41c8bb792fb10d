/**
 * The container runtime as the kubelet sees it: sandboxes, containers, images, streams. Shapes and
 * names follow the CRI (k8s.io/cri-api runtime/v1), without its gRPC. Everything that a call creates
 * is recorded on disk before the call returns, so that a restarted agent finds it by `list*`.
 */

export interface ContainerRuntime {
  /** Makes namespaces, network and cgroup of a pod. The id is new at every attempt. */
  runSandbox(spec: SandboxSpec, signal: AbortSignal): Promise<Sandbox>;
  /** Kills what still runs in it and releases its network; the record stays. Idempotent. */
  stopSandbox(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Forgets the sandbox and its containers. Idempotent. */
  removeSandbox(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Changes the limits of the pod's cgroup; what is absent becomes unlimited. */
  updateSandbox(sandboxId: string, cgroup: CgroupResources, signal: AbortSignal): Promise<void>;
  listSandboxes(): readonly Sandbox[];

  /** Root filesystem, OCI spec, conmon; the container is `created`. */
  createContainer(spec: ContainerSpec, signal: AbortSignal): Promise<Container>;
  startContainer(containerId: string, signal: AbortSignal): Promise<void>;
  /** Stop signal, then SIGKILL after `graceSeconds`; resolves when it has exited. Idempotent. */
  stopContainer(containerId: string, graceSeconds: number, signal: AbortSignal): Promise<void>;
  removeContainer(containerId: string, signal: AbortSignal): Promise<void>;
  updateResources(
    containerId: string,
    resources: ContainerResources,
    signal: AbortSignal,
  ): Promise<void>;
  listContainers(): readonly Container[];
  /** Calls back after every change of a container's or sandbox's state, until disposed. */
  onChange(listener: (change: { sandboxId: string; containerId?: string }) => void): Disposable;

  /** Runs to the end; output is cut at 1 MiB a stream. */
  execSync(containerId: string, argv: readonly string[], signal: AbortSignal): Promise<ExecResult>;
  exec(
    containerId: string,
    request: StreamRequest & { argv: readonly string[] },
    signal: AbortSignal,
  ): Promise<StreamSession>;
  attach(containerId: string, request: StreamRequest, signal: AbortSignal): Promise<StreamSession>;
  /** After the log file was renamed: makes the container go on in a new file of the old name. */
  reopenLog(containerId: string): void;
  /** CPU and memory in use, for /stats and metrics. */
  stats(containerId: string): ContainerStats | undefined;
  /** What it wrote over its image; measured at each call. */
  writableLayer(containerId: string): Promise<DiskUsage>;
}

export interface ImageService {
  /** By name, name@digest or image id. */
  find(reference: string): Image | undefined;
  list(): readonly Image[];
  /** Fetches what is missing; digests are checked. Throws RuntimeError IMAGE_*. */
  pull(reference: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<Image>;
  /** An OCI layout or docker-save archive; resolves to the names it brought. */
  importArchive(
    archive: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<readonly string[]>;
  /** Resolves to the bytes that this freed: layers that others need stay. */
  remove(reference: string, signal: AbortSignal): Promise<number>;
  /** Lets go of what no image, container or pull that is under way needs. */
  collect(): Promise<void>;
  /** Of all layers, each once. */
  usage(): DiskUsage;
}

export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
}

export interface Image {
  /** `sha256:...` of the image config. */
  readonly id: string;
  /** Normalised names: `docker.io/library/busybox:latest`. */
  readonly tags: readonly string[];
  /** `name@sha256:...` for images that came from a registry. */
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  /** When it was last pulled or imported. */
  readonly addedAtMs: number;
  /** No registry has it, as far as is known: only its owner may remove it. */
  readonly pinned: boolean;
  readonly config: ImageConfig;
}

export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** `pod` = shared within the pod; `node` = the host's; `container` = its own (PID only). */
export type NamespaceMode = 'pod' | 'node' | 'container';

export interface SandboxSpec {
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  /** Counts sandboxes of one pod, from 0. */
  readonly attempt: number;
  /** UTS host name; ignored on the host network. */
  readonly hostname: string;
  readonly namespaces: {
    readonly network: 'pod' | 'node';
    readonly pid: NamespaceMode;
    readonly ipc: 'pod' | 'node';
  };
  readonly sysctls: Readonly<Record<string, string>>;
  /** Path below the cgroup root, e.g. `kubepods.slice/burstable/pod<uid>`. */
  readonly cgroupParent: string;
  readonly cgroup: CgroupResources;
  /** Directory for the container logs of this pod. */
  readonly logDirectory: string;
  readonly portMappings: readonly PortMapping[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIP: string;
}

export interface Sandbox {
  readonly id: string;
  readonly podUid: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly attempt: number;
  readonly state: 'ready' | 'notReady';
  readonly createdAtMs: number;
  /** Empty on the host network. */
  readonly ips: readonly string[];
  readonly netnsPath: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface CgroupResources {
  /** cgroup v1 shares (2 to 262144); translated to v2 weight. */
  readonly cpuShares?: number | undefined;
  readonly cpuQuotaMicros?: number | undefined;
  readonly cpuPeriodMicros?: number | undefined;
  readonly memoryLimitBytes?: number | undefined;
  readonly pidsLimit?: number | undefined;
}

export interface ContainerResources extends CgroupResources {
  readonly oomScoreAdj?: number | undefined;
}

export interface Mount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readOnly: boolean;
  readonly recursiveReadOnly?: boolean | undefined;
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional';
}

export interface ContainerSpec {
  readonly sandboxId: string;
  readonly name: string;
  /** Counts restarts of this container in its pod, from 0. */
  readonly attempt: number;
  readonly imageId: string;
  /** The reference as the pod wrote it. */
  readonly image: string;
  /** Entrypoint override, or empty for the image's. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** Empty for the image's. */
  readonly workingDir: string;
  /** Added to, and overriding, the image's. */
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices?: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly permissions: string;
  }[];
  readonly security: ContainerSecurity;
  readonly resources: ContainerResources;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  /** Relative to the sandbox's log directory, e.g. `web/0.log`. */
  readonly logPath: string;
  readonly stopSignal?: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerSecurity {
  /** Numbers, or a name to look up in the image's /etc/passwd; absent = the image's user. */
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly runAsUserName?: string | undefined;
  readonly supplementalGroups: readonly number[];
  /** `Merge` adds the groups that the image's /etc/group gives the user. */
  readonly supplementalGroupsPolicy: 'Merge' | 'Strict';
  readonly privileged: boolean;
  readonly readOnlyRootfs: boolean;
  readonly noNewPrivileges: boolean;
  /** Names without `CAP_`; `ALL` allowed. */
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly seccomp: 'RuntimeDefault' | 'Unconfined';
  /** Paths hidden and made read-only unless procMount is Unmasked. */
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** PID namespace of this container when it is not the pod's mode: `node` or a target container. */
  readonly pidTargetContainerId?: string | undefined;
}

/** Successors: created → running → exited; created → exited (start failed). */
export type ContainerStatus = 'created' | 'running' | 'exited';

export interface Container {
  readonly id: string;
  readonly sandboxId: string;
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly imageId: string;
  readonly state: ContainerStatus;
  readonly createdAtMs: number;
  readonly startedAtMs: number | undefined;
  readonly finishedAtMs: number | undefined;
  readonly exitCode: number | undefined;
  /** Number of the signal that ended it, if one did. */
  readonly signal: number | undefined;
  readonly oomKilled: boolean;
  /** Why it never ran: text of runc or conmon. */
  readonly startError: string | undefined;
  readonly pid: number | undefined;
  /** Absolute. */
  readonly logPath: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Resolved identity of its first process. */
  readonly user:
    | { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
    | undefined;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface StreamRequest {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Output iterators end when the stream does; with a tty everything is on stdout. */
export interface StreamSession extends AsyncDisposable {
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes were taken (backpressure). */
  writeStdin(data: Uint8Array): Promise<void>;
  closeStdin(): void;
  resize(columns: number, rows: number): void;
  /** Exit code of the process (attach: of the container). */
  readonly exited: Promise<number>;
}

export interface ContainerStats {
  readonly atMs: number;
  readonly cpuUsageNanos: number;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly pids: number;
}

export type RuntimeErrorCode =
  | 'IMAGE_NOT_FOUND'
  | 'IMAGE_DIGEST_MISMATCH'
  | 'IMAGE_INVALID'
  | 'IMAGE_AUTH'
  | 'IMAGE_UNAVAILABLE'
  | 'INVALID_IMAGE_NAME'
  | 'NO_SPACE'
  | 'NOT_FOUND'
  | 'CREATE_FAILED'
  | 'START_FAILED'
  | 'INVALID_USER'
  | 'TIMEOUT';

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
  }
}

/**
 * The pod network as the runtime sees it: gives a network namespace an address and takes it back.
 * Implemented by net/pod (bridge and veth); a CNI implementation comes later.
 */

export interface PodNetwork {
  /**
   * Connects the namespace at `netnsPath` (a bind mount of it): lo up, eth0 with an address, default
   * route, host ports. The allocation is on disk before this returns. Idempotent by `sandboxId`.
   */
  attach(request: AttachRequest, signal: AbortSignal): Promise<PodAddresses>;
  /** Releases address, veth and host ports. Idempotent; the namespace may be gone already. */
  detach(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Forgets allocations of sandboxes not in `sandboxIds`: called once at start. */
  retain(sandboxIds: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
}

export interface AttachRequest {
  readonly sandboxId: string;
  readonly netnsPath: string;
  readonly hostPorts: readonly {
    readonly protocol: 'TCP' | 'UDP' | 'SCTP';
    readonly containerPort: number;
    readonly hostPort: number;
    /** Empty or 0.0.0.0: every address of the node. */
    readonly hostIP: string;
  }[];
}

export interface PodAddresses {
  readonly ips: readonly string[];
}

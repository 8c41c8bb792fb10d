/**
 * Public face of net/pod: a PodNetwork of one bridge with veth pairs, addresses from the node's
 * prefix, masquerading and host ports by nftables. All of it lives in the network namespace of the
 * thread that constructs it; root is enough.
 *
 * Invariants: an allocation is on disk before anything is wired with it, and goes after the wire
 * is cut; rules follow from the allocations alone. Every method may be repeated; an attach is
 * synchronous inside (2 ms), a detach waits for the kernel off this thread (20 ms). Owner:
 * daemon/agent; used by daemon/runtime through port.ts.
 */
import { fnv1a32 } from '#base/fnv1a.ts';
import type { Cidr } from '#base/ip.ts';
import type { Log } from '#base/log.ts';
import { NetlinkError, RtNetlink, deleteConntrack } from '#net/netlink/netlink.ts';
import { Nftables } from '#net/nftables/nftables.ts';
import { loadAllocations, saveAllocations } from './allocation-file.ts';
import { PodNetworkError } from './error.ts';
import { type Allocation, type IpamState, allocate, release } from './ipam.ts';
import type { AttachRequest, PodAddresses, PodNetwork } from './port.ts';
import { PROTOCOL_NUMBERS, planPodTable } from './rules.ts';
import { ensureBridge, wirePod } from './wiring.ts';

export { PodNetworkError, type PodNetworkErrorCode } from './error.ts';
export { gatewayOf } from './ipam.ts';
export { setSysctl } from './sysctl.ts';

export interface BridgePodNetworkOptions {
  readonly log: Log;
  /** Up to 15 characters, e.g. `bareboat0`; also names the table of rules. */
  readonly bridgeName: string;
  /** Pods of this node; the first address is the bridge's. */
  readonly podCidr: Cidr;
  /** Pods of the whole cluster. */
  readonly clusterCidr: Cidr;
  readonly allocationFile: string;
}

export class BridgePodNetwork implements PodNetwork, Disposable {
  readonly #options: BridgePodNetworkOptions;
  readonly #rt: RtNetlink;
  readonly #nft: Nftables;
  #state: IpamState;

  /** Makes bridge, sysctls and rules; throws PodNetworkError. */
  constructor(options: BridgePodNetworkOptions) {
    const { bridgeName, podCidr } = options;
    if (!/^[a-z0-9_-]{1,15}$/.test(bridgeName)) {
      throw new PodNetworkError('INVALID_CONFIG', `bridge name '${bridgeName}' is not usable`);
    }
    if (podCidr.prefixLength > podCidr.address.length * 8 - 2) {
      throw new PodNetworkError(
        'INVALID_CONFIG',
        `pod prefix /${podCidr.prefixLength} is too small`,
      );
    }
    this.#options = options;
    this.#state = loadAllocations(options.allocationFile, (cause) => {
      options.log.error('allocations unreadable, started anew', { cause });
    });
    this.#rt = new RtNetlink();
    this.#nft = new Nftables();
    try {
      this.#kernel('set up the pod network', () => {
        ensureBridge(this.#rt, options);
        this.#syncRules();
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async attach(request: AttachRequest, signal: AbortSignal): Promise<PodAddresses> {
    signal.throwIfAborted();
    const allocation = this.#state.allocations.get(request.sandboxId) ?? this.#allocate(request);
    this.#kernel(`attach sandbox ${request.sandboxId}`, () => {
      wirePod(this.#rt, { ...this.#options, ...allocation, netnsPath: request.netnsPath });
      if (allocation.hostPorts.length > 0) this.#changeHostPorts(allocation);
    });
    return { ips: [allocation.ip] };
  }

  async detach(sandboxId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const allocation = this.#state.allocations.get(sandboxId);
    if (allocation === undefined) return;
    const operation = `detach sandbox ${sandboxId}`;
    try {
      await this.#rt.deleteLinkAsync(allocation.linkName);
    } catch (error) {
      throw refused(operation, error);
    }
    this.#kernel(operation, () => {
      this.#state = release(this.#state, sandboxId);
      if (allocation.hostPorts.length > 0) this.#changeHostPorts(allocation);
    });
    saveAllocations(this.#options.allocationFile, this.#state);
  }

  async retain(sandboxIds: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    for (const sandboxId of this.#state.allocations.keys()) {
      if (sandboxIds.has(sandboxId)) continue;
      this.#options.log.info('address of a lost sandbox released', { sandbox: sandboxId });
      await this.detach(sandboxId, signal);
    }
  }

  /** Addresses in use, by sandbox. */
  addresses(): ReadonlyMap<string, string> {
    return new Map([...this.#state.allocations].map(([id, { ip }]) => [id, ip]));
  }

  #allocate(request: AttachRequest): Allocation {
    const { podCidr, allocationFile } = this.#options;
    const { sandboxId, hostPorts } = request;
    const step = allocate(this.#state, podCidr, {
      sandboxId,
      hostPorts,
      linkName: this.#freeLinkName(sandboxId),
    });
    if (step === undefined) {
      throw new PodNetworkError('ADDRESSES_EXHAUSTED', 'no free address in the pod prefix');
    }
    saveAllocations(allocationFile, step.state);
    this.#state = step.state;
    return step.allocation;
  }

  /** `veth` and a hash of the sandbox id; hashed on while another sandbox has that name. */
  #freeLinkName(sandboxId: string): string {
    const taken = new Set([...this.#state.allocations.values()].map(({ linkName }) => linkName));
    for (let hash = fnv1a32(sandboxId); ; hash = fnv1a32(sandboxId, hash)) {
      const name = `veth${hash.toString(16).padStart(8, '0')}`;
      if (!taken.has(name)) return name;
    }
  }

  #changeHostPorts(allocation: Allocation): void {
    this.#syncRules();
    // Flows that were translated, or not, by the rules before would go on as they are.
    const ports = new Set(
      allocation.hostPorts.filter((p) => p.protocol === 'UDP').map((p) => p.hostPort),
    );
    if (ports.size === 0) return;
    try {
      const family = this.#options.podCidr.family === 4 ? 'ip' : 'ip6';
      deleteConntrack(
        family,
        ({ protocol, original }) =>
          protocol === PROTOCOL_NUMBERS.UDP && ports.has(original.destinationPort),
      );
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.#options.log.warn('UDP flows of host ports stay as they were', { error });
    }
  }

  #syncRules(): void {
    const { bridgeName, podCidr, clusterCidr } = this.#options;
    const { family } = podCidr;
    const tableName = `${bridgeName}-pods`;
    const config = { family, tableName, bridgeName, podCidr, clusterCidr };
    this.#nft.sync(planPodTable(config, this.#state.allocations.values()));
  }

  #kernel(operation: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      throw refused(operation, error);
    }
  }

  /** Closes the sockets; links and rules stay, pods keep their network. */
  [Symbol.dispose](): void {
    this.#rt[Symbol.dispose]();
    this.#nft[Symbol.dispose]();
  }
}

function refused(operation: string, error: unknown): PodNetworkError {
  if (error instanceof PodNetworkError) return error;
  return new PodNetworkError('KERNEL_REFUSED', `cannot ${operation}`, { cause: error });
}

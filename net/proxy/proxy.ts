/**
 * Public face of net/proxy: kube-proxy for one address family of one network namespace. It watches
 * Services and EndpointSlices, and keeps the table in the kernel equal to what state.ts wants.
 *
 * Level-triggered: a change marks its service dirty; a commit takes all that is dirty at once. A
 * refused commit, and every ten minutes, the whole table is compared with the kernel's. When the
 * agent stops the rules stay, so connections go on. Owner: daemon/agent.
 */
import type { Clock } from '#base/clock.ts';
import { type Cidr, type IpFamily, parseIp } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import type { Log } from '#base/log.ts';
import { NetlinkError, deleteConntrack } from '#net/netlink/netlink.ts';
import { type Flow } from '#net/netlink/port.ts';
import { Nftables } from '#net/nftables/nftables.ts';
import { binaryOf, binaryU16be, binaryU8 } from '#net/nftables/port.ts';
import type { InformerView } from '#net/port.ts';
import { HealthServers } from './health.ts';
import { RESYNC_INTERVAL_MS, RETRY_MS_MAX, RETRY_MS_MIN, SYNC_INTERVAL_MS_MIN } from './limits.ts';
import { ProxyState, type UdpFrontend } from './state.ts';

export { ProxyState, type ProxyConfig } from './state.ts';

export interface ServiceProxyOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly services: InformerView<Service>;
  readonly endpointSlices: InformerView<EndpointSlice>;
  readonly family: IpFamily;
  readonly nodeName: string;
  readonly zone?: string | undefined;
  /** Pods of the cluster. */
  readonly podCidr: Cidr;
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses that this node answers itself, such as the cluster DNS address. */
  readonly ownAddresses?: readonly string[];
  readonly tableName?: string;
}

const UDP = 17;

export class ServiceProxy {
  readonly #options: ServiceProxyOptions;
  readonly #state: ProxyState;
  readonly #health: HealthServers;
  #wake = Promise.withResolvers<void>();
  readonly #firstSync = Promise.withResolvers<void>();

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
    const { family, podCidr, serviceCidrs, nodeName, zone, ownAddresses = [] } = options;
    this.#state = new ProxyState({
      family,
      podCidr,
      serviceCidrs,
      placement: { nodeName, zone },
      tableName: options.tableName ?? 'kube-proxy',
      ownAddresses: new Set(
        ownAddresses.map((text) => binaryOf(parseIp(text) ?? new Uint8Array())),
      ),
    });
    this.#health = new HealthServers(options.log);
  }

  /** Resolves when the kernel had the rules of everything that was there at the start. */
  get synced(): Promise<void> {
    return this.#firstSync.promise;
  }

  /** Runs until aborted. Must be called in the namespace that is to be ruled. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    using nft = new Nftables();
    await using _health = this.#health;
    using _handlers = this.#watch();
    while (!this.#informersSynced()) await clock.sleep(SYNC_INTERVAL_MS_MIN, signal);
    let retryMs = 0;
    let resyncAtMs = 0;
    for (;;) {
      signal.throwIfAborted();
      try {
        const whole = clock.monotonicMs() >= resyncAtMs;
        const udpChanged = whole ? this.#syncAll(nft) : this.#syncDirty(nft);
        if (whole) resyncAtMs = clock.monotonicMs() + RESYNC_INTERVAL_MS;
        this.#forgetFlows(udpChanged);
        this.#health.apply(this.#state.healthChecks());
        this.#firstSync.resolve();
        retryMs = 0;
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        retryMs = Math.min(Math.max(retryMs * 2, RETRY_MS_MIN), RETRY_MS_MAX);
        resyncAtMs = 0; // What the kernel has is not known any more.
        log.warn('rules of services refused', { error, retryMs });
        await clock.sleep(retryMs, signal);
        continue;
      }
      await clock.sleep(SYNC_INTERVAL_MS_MIN, signal);
      if (this.#state.dirtyCount === 0) {
        await this.#idle(resyncAtMs - clock.monotonicMs(), signal);
      }
    }
  }

  #syncAll(nft: Nftables): readonly UdpFrontend[] {
    const { clock, log } = this.#options;
    const startMs = clock.monotonicMs();
    const { table, udpChanged } = this.#state.planWhole();
    const changeCount = nft.sync(table);
    const ms = Math.round(clock.monotonicMs() - startMs);
    log.info('rules of services compared', { changes: changeCount, ms });
    return udpChanged;
  }

  #syncDirty(nft: Nftables): readonly UdpFrontend[] {
    const { family, tableName: name = 'kube-proxy' } = this.#options;
    const { changes, udpChanged } = this.#state.plan();
    if (changes.length > 0) nft.apply({ family: family === 4 ? 'ip' : 'ip6', name }, changes);
    return udpChanged;
  }

  /**
   * UDP flows keep their endpoint while packets come: those to endpoints that are gone have to go.
   * A kernel that cannot list flows is no reason to withhold rules: they end by themselves.
   */
  #forgetFlows(frontends: readonly UdpFrontend[]): void {
    if (frontends.length === 0) return;
    try {
      deleteConntrack(this.#options.family === 4 ? 'ip' : 'ip6', staleFlows(frontends));
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.#options.log.warn('UDP flows to former endpoints stay', { error });
    }
  }

  #watch(): Disposable {
    const { services, endpointSlices } = this.#options;
    const state = this.#state;
    const setService = (service: Service) => {
      state.setService(service);
      this.#changed();
    };
    const setSlice = (slice: EndpointSlice, old?: EndpointSlice) => {
      if (old !== undefined) state.deleteSlice(old); // Its service label may have changed.
      state.setSlice(slice);
      this.#changed();
    };
    const handlers = new DisposableStack();
    handlers.use(
      services.addHandler({
        onAdd: setService,
        onUpdate: setService,
        onDelete: (service) => {
          state.deleteService(service);
          this.#changed();
        },
      }),
    );
    handlers.use(
      endpointSlices.addHandler({
        onAdd: setSlice,
        onUpdate: setSlice,
        onDelete: (slice) => {
          state.deleteSlice(slice);
          this.#changed();
        },
      }),
    );
    return handlers;
  }

  #informersSynced(): boolean {
    return this.#options.services.hasSynced && this.#options.endpointSlices.hasSynced;
  }

  #changed(): void {
    this.#wake.resolve();
  }

  /** Until something changed or `ms` have passed. */
  async #idle(ms: number, signal: AbortSignal): Promise<void> {
    this.#wake = Promise.withResolvers();
    using deadline = this.#options.clock.deadline(Math.max(ms, 0), signal);
    const ended = Promise.withResolvers<void>();
    const onAbort = () => ended.resolve();
    deadline.signal.addEventListener('abort', onAbort, { once: true });
    if (deadline.signal.aborted) onAbort();
    await Promise.race([this.#wake.promise, ended.promise]);
    deadline.signal.removeEventListener('abort', onAbort);
    signal.throwIfAborted();
  }
}

/** Matches flows of the frontends that were translated otherwise than now. */
function staleFlows(frontends: readonly UdpFrontend[]): (flow: Flow) => boolean {
  const byKey = new Map(frontends.map((frontend) => [frontend.kind + frontend.key, frontend]));
  return ({ protocol, original, reply }) => {
    if (protocol !== UDP) return false;
    const port = binaryU8(UDP) + binaryU16be(original.destinationPort);
    const frontend =
      byKey.get(`vip${binaryOf(original.destination)}${port}`) ?? byKey.get(`port${port}`);
    const target = binaryOf(reply.source) + binaryU16be(reply.sourcePort);
    return frontend !== undefined && !frontend.targets.has(target);
  };
}

/**
 * Public face of net/dns: the cluster DNS of one node. It answers for the cluster domain and the
 * reverse names of Services from informers, and passes everything else on to the name servers
 * of the node, with a cache.
 *
 * The node holds the cluster DNS address itself, on its loopback link, so pods reach it over their
 * gateway and no rule translates anything; the proxy leaves that address alone. Owner: daemon/agent.
 */
import { type DecodedPacket, type Question, RECURSION_DESIRED, decode, encode } from 'dns-packet';
import { must } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { type Cidr, cidrContains, parseIp } from '#base/ip.ts';
import type { Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import type { Log } from '#base/log.ts';
import { RtNetlink } from '#net/netlink/netlink.ts';
import { RT_SCOPE } from '#net/netlink/port.ts';
import type { InformerView } from '#net/port.ts';
import {
  LISTEN_RETRY_MS,
  TCP_MESSAGE_BYTES_MAX,
  UDP_PAYLOAD_BYTES,
  UDP_PAYLOAD_BYTES_PLAIN,
} from './limits.ts';
import { addressOfReverseName } from './names.ts';
import {
  type Decision,
  RCODE,
  type ResponseParts,
  answerOf,
  decide,
  optOf,
  respond,
  respondWithin,
  soaOf,
} from './query.ts';
import { ResolvConf } from './resolv-conf.ts';
import { DnsSockets } from './server.ts';
import { DnsUpstreamError, Upstream } from './upstream.ts';
import { FLAG_RESPONSE, parseWire, truncated } from './wire.ts';
import { ClusterZone, type ZoneRecord } from './zone.ts';

export { parseNameservers } from './resolv-conf.ts';
export { ClusterZone } from './zone.ts';

export interface ClusterDnsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly services: InformerView<Service>;
  readonly endpointSlices: InformerView<EndpointSlice>;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** Where to answer, e.g. 10.96.0.10. */
  readonly address: string;
  readonly port?: number;
  /** Pods and Services: reverse names of their addresses are never asked for outside. */
  readonly ownCidrs: readonly Cidr[];
  /** Name servers of the node. */
  readonly resolvConfPath?: string;
  readonly upstreamPort?: number;
}

const QUERY_OPCODE_MASK = 0x7800;
const BADVERS = 16;

export class ClusterDns {
  readonly #options: ClusterDnsOptions;
  readonly #zone: ClusterZone;
  readonly #upstream: Upstream;
  readonly #listening = Promise.withResolvers<number>();
  #rotation = 0;
  #serial = 1;

  constructor(options: ClusterDnsOptions) {
    this.#options = options;
    const { clock, clusterDomain, address } = options;
    this.#zone = new ClusterZone({ domain: clusterDomain.toLowerCase(), serverIps: [address] });
    const path = options.resolvConfPath ?? '/etc/resolv.conf';
    const resolvConf = new ResolvConf(path, clock, [address]);
    this.#upstream = new Upstream({
      clock,
      nameservers: () => resolvConf.nameservers(),
      ...(options.upstreamPort === undefined ? {} : { port: options.upstreamPort }),
    });
  }

  /** Resolves to the port once the server answers. */
  get listening(): Promise<number> {
    return this.#listening.promise;
  }

  /**
   * Runs until aborted; an address or port that is taken is tried again. Must be called in the
   * namespace where pods are to find it.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, address } = this.#options;
    using _handlers = this.#watch();
    for (;;) {
      try {
        await this.#serve(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isErrno(error)) throw error;
        log.warn('cluster DNS cannot listen', { address, error });
        await clock.sleep(LISTEN_RETRY_MS, signal);
      }
    }
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { log, address, port = 53 } = this.#options;
    ensureAddress(address);
    const listen = { address, port };
    await using sockets = new DnsSockets(
      (query, transport) => this.answer(query, transport, signal),
      log,
      listen,
    );
    await sockets.listen(listen);
    log.info('cluster DNS answers', { address, port: sockets.port });
    this.#listening.resolve(sockets.port);
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    await aborted.promise;
  }

  /** The answer to a message; undefined when it is no query. */
  async answer(
    bytes: Uint8Array,
    transport: 'udp' | 'tcp',
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const wire = parseWire(bytes);
    if (wire === undefined || (wire.flags & FLAG_RESPONSE) !== 0) return undefined;
    const query = decodeMaybe(bytes);
    if (query === undefined) {
      return encode({ type: 'response', id: wire.id, flags: RCODE.FORMERR }); // Names cut off.
    }
    return this.#answerQuery({ query, bytes, bytesMax: bytesMaxOf(query, transport) }, signal);
  }

  async #answerQuery(received: Received, signal: AbortSignal): Promise<Uint8Array> {
    const { query, bytesMax } = received;
    const [question, ...others] = query.questions ?? [];
    const refuse = (rcode: number) => respondWithin(query, { rcode }, bytesMax);
    if (((query.flags ?? 0) & QUERY_OPCODE_MASK) !== 0) return refuse(RCODE.NOTIMP);
    if (question === undefined || others.length > 0) return refuse(RCODE.FORMERR);
    const opt = optOf(query);
    if (opt !== undefined && opt.ednsVersion !== 0) return refuse(BADVERS);
    const decision = decide(this.#zone, question, this.#rotation++);
    // Until everything was seen once, what is not there may only be unknown.
    if (decision.kind !== 'forward' && !this.#informersSynced()) return refuse(RCODE.SERVFAIL);
    switch (decision.kind) {
      case 'answer':
        return respondWithin(query, this.#partsOf(question, decision), bytesMax);
      case 'follow':
        return respondWithin(query, await this.#follow(question, decision, signal), bytesMax);
      case 'forward':
        return this.#forward(received, question, signal);
    }
  }

  #partsOf(question: Question, decision: Extract<Decision, { kind: 'answer' }>): ResponseParts {
    const soa = soaOf(this.#options.clusterDomain, this.#serial);
    const isApexSoa =
      question.type === 'SOA' && question.name.toLowerCase() === this.#options.clusterDomain;
    const answers = isApexSoa ? [soa] : spelled(decision.records, question);
    return {
      rcode: decision.rcode,
      answers,
      authorities: decision.negative && !isApexSoa ? [soa] : [],
      additionals: this.#targetsOf(decision.records),
      authoritative: decision.rcode !== RCODE.REFUSED,
    };
  }

  /** Addresses of the targets of SRV records, so that clients need not ask again. */
  #targetsOf(records: readonly ZoneRecord[]) {
    const targets = new Set(records.flatMap((r) => (r.type === 'SRV' ? [r.data.target] : [])));
    return [...targets].flatMap((target) => {
      const lookup = this.#zone.lookup(target);
      return lookup.kind === 'exists' ? lookup.records.map((record) => answerOf(record)) : [];
    });
  }

  /** An ExternalName: its alias, and what the outside says of the name that it stands for. */
  async #follow(
    question: Question,
    decision: Extract<Decision, { kind: 'follow' }>,
    signal: AbortSignal,
  ): Promise<ResponseParts> {
    const asked: Question = { type: question.type, name: decision.target, class: 'IN' };
    const query = encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [asked] });
    const aliases = spelled(decision.records, question);
    try {
      const key = cacheKey(asked, undefined);
      const bytes = await this.#upstream.resolve(key, new Uint8Array(query), signal);
      const outside = decodeMaybe(bytes); // Its names are checked here, not in the forwarder.
      if (outside === undefined) return { rcode: RCODE.SERVFAIL, answers: aliases };
      const { answers = [], flags = 0 } = outside;
      return { rcode: flags & 0xf, answers: [...aliases, ...answers] };
    } catch (error) {
      if (!(error instanceof DnsUpstreamError)) throw error;
      return { rcode: RCODE.SERVFAIL, answers: aliases };
    }
  }

  async #forward(
    { query, bytes, bytesMax }: Received,
    question: Question,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const address = parseIp(addressOfReverseName(question.name.toLowerCase()) ?? '');
    if (
      address !== undefined &&
      this.#options.ownCidrs.some((cidr) => cidrContains(cidr, address))
    ) {
      return respond(query, { rcode: RCODE.NXDOMAIN });
    }
    try {
      const answer = await this.#upstream.resolve(cacheKey(question, query), bytes, signal);
      if (answer.length <= bytesMax) return answer;
      return truncated(answer, must(parseWire(answer), 'an answer that was parsed before'));
    } catch (error) {
      if (!(error instanceof DnsUpstreamError)) throw error;
      this.#options.log.debug('name not resolved', { name: question.name, error });
      return respond(query, { rcode: RCODE.SERVFAIL });
    }
  }

  #informersSynced(): boolean {
    return this.#options.services.hasSynced && this.#options.endpointSlices.hasSynced;
  }

  #watch(): Disposable {
    const { services, endpointSlices } = this.#options;
    const zone = this.#zone;
    const changed = () => {
      this.#serial = (this.#serial + 1) >>> 0;
    };
    const setService = (service: Service) => {
      zone.setService(service);
      changed();
    };
    const handlers = new DisposableStack();
    handlers.use(
      services.addHandler({
        onAdd: setService,
        onUpdate: setService,
        onDelete: (service) => {
          zone.deleteService(service);
          changed();
        },
      }),
    );
    handlers.use(
      endpointSlices.addHandler({
        onAdd: (slice) => zone.setSlice(slice),
        onUpdate: (slice, old) => {
          zone.deleteSlice(old);
          zone.setSlice(slice);
        },
        onDelete: (slice) => zone.deleteSlice(slice),
      }),
    );
    return handlers;
  }
}

/** Undefined for what is malformed, which dns-packet tells by errors of many kinds. */
function decodeMaybe(bytes: Uint8Array): DecodedPacket | undefined {
  try {
    return decode(Buffer.from(bytes));
  } catch {
    return undefined;
  }
}

interface Received {
  readonly query: DecodedPacket;
  readonly bytes: Uint8Array;
  /** Of the answer, by the transport and what the client allows. */
  readonly bytesMax: number;
}

function bytesMaxOf(query: DecodedPacket, transport: 'udp' | 'tcp'): number {
  if (transport === 'tcp') return TCP_MESSAGE_BYTES_MAX;
  const payload = optOf(query)?.udpPayloadSize ?? UDP_PAYLOAD_BYTES_PLAIN;
  return Math.min(Math.max(payload, UDP_PAYLOAD_BYTES_PLAIN), UDP_PAYLOAD_BYTES);
}

function spelled(records: readonly ZoneRecord[], question: Question) {
  return records.map((record) => answerOf(record, question.name));
}

/** Queries with equal keys get equal answers: names by spelling, so that the echo is exact. */
function cacheKey(question: Question, query: DecodedPacket | undefined): string {
  const opt = query === undefined ? undefined : optOf(query);
  const edns = opt === undefined ? '-' : `${opt.flag_do ? 'do' : 'edns'}`;
  return `${question.name} ${question.class ?? 'IN'} ${question.type} ${edns} ${(query?.flags ?? 0) & 0x0110}`;
}

/** The address on the loopback link; host scope, so that nothing is ever sent from it by default. */
function ensureAddress(text: string): void {
  const address = must(parseIp(text), `cluster DNS address ${text}`);
  if (address[0] === 127) return;
  using rt = new RtNetlink();
  const { index } = must(rt.link('lo'), 'link lo');
  rt.setLink({ index, up: true });
  const family = address.length === 4 ? 4 : 6;
  const prefixLength = address.length * 8;
  rt.putAddress({ index, address: { family, address, prefixLength }, scope: RT_SCOPE.HOST });
}

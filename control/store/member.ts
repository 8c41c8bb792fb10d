/**
 * One member of a store on this thread: the engine on a directory and, when the group is to have other
 * members or clients elsewhere, the port that they connect to. `control` has it on its worker
 * (worker.ts), `bareboat-store` as a process (main.ts).
 */
import { totalmem } from 'node:os';
import type { Log } from '#base/log.ts';
import { checkOutsider, checkRequests } from './codec/check-request.ts';
import { RealDisk } from './disk/real-disk.ts';
import { WorkerBatchWriter } from './disk/worker-batch-writer.ts';
import { EngineHost } from './engine-host.ts';
import type { EngineHostEvents } from './engine-host.ts';
import { openEngine } from './engine/open-engine.ts';
import { Outcast, readNote } from './engine/outcast.ts';
import type { Engine } from './engine/engine.ts';
import { LEADERLESS_CHECK_MS, LOOK_AROUND_PAUSE_MS, RESIGN_MS } from './limits.ts';
import type { MemberNetwork, MemberSettings } from './member-config.ts';
import { crc32, sha256 } from './native-digests.ts';
import { amend, joinAnew } from './amend.ts';
import type { Amended } from './amend.ts';
import { StoreError } from './port.ts';
import { findGroup, whyReplaced } from './rejoin.ts';
import type { Asker } from './rejoin.ts';
import { repairDirectory } from './repair-directory.ts';
import { readCredentials, socketAsker } from './socket-asker.ts';
import { Listener } from './transport/listener.ts';
import { PeerLinks } from './transport/peer-links.ts';
import { ClientSockets } from './transport/serve-client.ts';
import { keyOfCertificate } from './transport/tls.ts';
import type { Credentials } from './transport/tls.ts';

/** Close code of WebSocket: try again later. */
const TRY_ELSEWHERE = 1013;

export interface MemberOptions extends EngineHostEvents {
  readonly dataDir: string;
  readonly log: Log;
  readonly settings: MemberSettings;
  readonly network?: MemberNetwork | undefined;
}

export class Member {
  readonly host: EngineHost;
  readonly #network: Network | undefined;
  readonly #failed: (error: unknown) => void;
  #nextLookAtMs = 0;
  readonly #ends = new AbortController();

  /**
   * Opens the store of `dataDir`. A damaged one is repaired from the other members first; one that its
   * member has lost, or cannot go on with, is given another id by them, for which it waits. Rejects with
   * StoreError CORRUPT when it cannot be trusted, UNAVAILABLE when it is in use, INVALID_REQUEST when it
   * is another member's; an errno error for missing key files. While others are asked the signal ends it,
   * with its reason; everything is closed then.
   */
  static async open(options: MemberOptions, signal: AbortSignal): Promise<Member> {
    const { network, log } = options;
    if (network === undefined) return new Member(options);
    const asker = socketAsker(network, log);
    const amended: Amended = {
      openDisk: () => new RealDisk(options.dataDir),
      crc32,
      asker,
      repair: (damage, repairing) => repairDirectory(damage, options, repairing),
    };
    const join = await joinAnew(amended, signal);
    const joined = { ...options, network: { ...network, join } };
    for (;;) {
      try {
        const member = new Member(joined);
        await member.#lookAround(asker, signal);
        return member;
      } catch (error) {
        signal.throwIfAborted();
        await amend(error, amended, signal);
      }
    }
  }

  private constructor(options: MemberOptions) {
    const { dataDir, log, settings, network } = options;
    this.#failed = options.failed;
    const credentials = network === undefined ? undefined : readCredentials(network);
    const disk = new RealDisk(dataDir);
    const writer = settings.wal === 'worker' ? new WorkerBatchWriter(options.failed) : undefined;
    const links =
      network &&
      credentials &&
      new PeerLinks({
        credentials,
        trustedKeys: [
          ...network.memberKeys,
          ...(readNote(disk)?.others ?? []).map(({ key }) => key),
        ],
        log,
      });
    let engine: Engine;
    try {
      engine = openEngine(
        {
          disk,
          crc32,
          sha256,
          log,
          random: () => Math.random(),
          monotonicMs: () => performance.now(),
          batchWriter: writer,
          ...(links && { peers: links }),
        },
        {
          ...settings,
          memoryBytes: totalmem(),
          isPatient: network !== undefined && network.peers.length > 0,
          join: network?.join,
          founder: network &&
            credentials && {
              key: keyOfCertificate(credentials.certificate),
              address: network.address,
            },
        },
      );
    } catch (error) {
      links?.[Symbol.dispose]();
      writer?.[Symbol.dispose]();
      disk[Symbol.dispose]();
      throw error;
    }
    this.host = new EngineHost(engine, {
      ...options,
      ended: () => {
        this.#ends.abort(new StoreError('CLOSED', 'store is closed'));
        this.#network?.stop();
        writer?.[Symbol.dispose]();
        disk[Symbol.dispose]();
        options.ended();
      },
    });
    if (writer !== undefined) writer.ended = () => this.host.pump();
    if (network === undefined || credentials === undefined || links === undefined) return;
    const asker = socketAsker(network, log);
    const stranger = (isTrusted: boolean) => {
      engine.metStranger();
      if (isTrusted) this.#metStranger(asker);
    };
    const lost = () => this.#lookForOwnKey(asker);
    const port = { host: this.host, log, network, credentials, links, stranger, lost };
    this.#network = new Network(port);
  }

  /**
   * A member that is alone by its log may have a disk that was set back to when it was: whoever of the
   * others is reached knows. Throws Outcast when that is so.
   */
  async #lookAround(asker: Asker, signal: AbortSignal): Promise<void> {
    const { engine } = this;
    if (!engine.isSoleVoter || asker.network.peers.length === 0) return;
    const group = await findGroup(asker, engine.groupId, signal).catch((error: unknown) => {
      this.host.end('abort'); // The signal's reason, or what is no operating error.
      throw error;
    });
    if (group === undefined || group.members.length < 2) {
      if (this.host.isClosed) return;
      engine.leadAlone();
      this.host.pump();
      return;
    }
    try {
      engine.expel(`it is alone by its log, but its group has ${group.members.length} members`);
    } finally {
      this.host.end('abort');
    }
  }

  /** No leader is heard: maybe the group has this member under another id by now. */
  #lookForOwnKey(asker: Asker): void {
    const { engine } = this;
    if (performance.now() < this.#nextLookAtMs || engine.isSoleVoter) return;
    this.#nextLookAtMs = performance.now() + LOOK_AROUND_PAUSE_MS;
    const look = async () => {
      const reason = await whyReplaced(asker, engine, this.#ends.signal);
      if (reason === undefined || this.host.isClosed) return;
      try {
        engine.expel(reason);
      } finally {
        this.host.end('abort');
      }
    };
    this.#end(look());
  }

  /** Somebody who may be a member says it is one, and the log of this one names nobody else. */
  #metStranger(asker: Asker): void {
    if (performance.now() < this.#nextLookAtMs || !this.engine.isSoleVoter) return;
    this.#nextLookAtMs = performance.now() + LOOK_AROUND_PAUSE_MS;
    this.#end(this.#lookAround(asker, this.#ends.signal));
  }

  /** What looking around finds out ends the member. */
  #end(looking: Promise<void>): void {
    looking.catch((error: unknown) => {
      if (!this.#ends.signal.aborted || error instanceof Outcast) this.#failed(error);
    });
  }

  get engine(): Engine {
    return this.host.engine;
  }

  /** Resolves to the port, or to undefined without a network. Rejects with errno's name. */
  async listen(): Promise<number | undefined> {
    return this.#network?.listen();
  }

  /** Ends in good order: a leader hands over first, which takes a moment. */
  async close(): Promise<void> {
    this.engine.resign();
    this.host.pump();
    // What the successor is sent needs a moment to leave.
    if (this.#network !== undefined) await new Promise((done) => setTimeout(done, RESIGN_MS));
    this.host.end('close');
  }
}

/** By key: its id may be one that it does not know yet. */
function isMember(engine: Engine, key: string): boolean {
  return engine.state.roster.all().some((row) => row.key === key);
}

/** The sockets of members and clients. */
class Network {
  readonly #links: PeerLinks;
  readonly #listener: Listener;
  readonly #address: MemberNetwork;
  readonly #clients: ClientSockets;
  readonly #leaderlessCheck: NodeJS.Timeout;

  constructor(parts: {
    readonly host: EngineHost;
    readonly log: Log;
    readonly network: MemberNetwork;
    readonly credentials: Credentials;
    readonly links: PeerLinks;
    readonly stranger: (isTrusted: boolean) => void;
    /** Called now and then while no leader is heard. */
    readonly lost: () => void;
  }) {
    const { host, log, network, credentials, links, stranger, lost } = parts;
    const { engine } = host;
    this.#links = links;
    this.#address = network;
    links.start({
      groupId: engine.groupId,
      memberId: engine.memberId,
      tail: () => engine.tail,
      versions: () => engine.versions,
      receive: (from, message) => {
        engine.receive(from, message);
        host.wake();
      },
      greeted: (from, tail) => engine.greeted(from, tail),
      unreachable: (member) => {
        engine.unreachable(member);
        host.wake();
      },
      stranger,
    });
    this.#clients = new ClientSockets({
      host,
      log,
      checkOf: (kind, key) => {
        if (kind === 'client') return network.clientKeys.includes(key) ? checkRequests : undefined;
        return (message) => checkOutsider(message, key, isMember(engine, key));
      },
    });
    this.#leaderlessCheck = setInterval(() => {
      if (!engine.isLeaderless) return;
      lost();
      this.#clients.close(TRY_ELSEWHERE, 'no member leads the store');
    }, LEADERLESS_CHECK_MS);
    this.#listener = new Listener(credentials, {
      isKnown: (key) => network.clientKeys.includes(key) || links.knows(key),
      accept: (socket, proved, path) => {
        if (path === '/peer') links.accept(socket, proved);
        else this.#clients.accept(socket, proved, path);
      },
    });
  }

  listen(): Promise<number> {
    return this.#listener.listen(this.#address.host, this.#address.port);
  }

  stop(): void {
    clearInterval(this.#leaderlessCheck);
    this.#links[Symbol.dispose]();
    // Its sockets are cut at once; only the event loop learns of the end.
    this.#listener[Symbol.asyncDispose]().catch(() => {});
  }
}

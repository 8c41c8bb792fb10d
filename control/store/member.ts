/**
 * One member of a store on this thread: the engine on a directory and, when the group is to have other
 * members or clients elsewhere, the port that they connect to. `control` has it on its worker
 * (worker.ts), `bareboat-store` as a process (main.ts).
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import type { WebSocket } from 'ws';
import type { Log } from '#base/log.ts';
import { checkRequests } from './codec/check-request.ts';
import { RealDisk } from './disk/real-disk.ts';
import { EngineHost } from './engine-host.ts';
import type { EngineHostEvents } from './engine-host.ts';
import { openEngine } from './engine/open-engine.ts';
import type { Engine } from './engine/engine.ts';
import { DamagedDirectory } from './engine/read-directory.ts';
import { LEADERLESS_CHECK_MS, RESIGN_MS } from './limits.ts';
import type { MemberNetwork, MemberSettings } from './member-config.ts';
import { crc32, sha256 } from './native-digests.ts';
import { repairDirectory } from './repair-directory.ts';
import { Listener } from './transport/listener.ts';
import { PeerLinks } from './transport/peer-links.ts';
import { serveClient } from './transport/serve-client.ts';
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

  /**
   * Opens the store of `dataDir`; a damaged one is repaired from the other members first. Rejects with
   * StoreError CORRUPT when it cannot be trusted, UNAVAILABLE when it is in use, INVALID_REQUEST when it
   * is another member's; an errno error for missing key files.
   */
  static async open(options: MemberOptions): Promise<Member> {
    try {
      return new Member(options);
    } catch (error) {
      const { network } = options;
      const isHelp = error instanceof DamagedDirectory && error.isRepairable;
      if (!isHelp || network === undefined) throw error;
      await repairDirectory(options, readCredentials(network), error);
    }
    return new Member(options);
  }

  private constructor(options: MemberOptions) {
    const { dataDir, log, settings, network } = options;
    const credentials = network === undefined ? undefined : readCredentials(network);
    const disk = new RealDisk(dataDir);
    const links =
      network &&
      credentials &&
      new PeerLinks({ credentials, trustedKeys: network.memberKeys, log });
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
          ...(links && { peers: links }),
        },
        {
          ...settings,
          memoryBytes: totalmem(),
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
      disk[Symbol.dispose]();
      throw error;
    }
    this.host = new EngineHost(engine, {
      ...options,
      ended: () => {
        this.#network?.stop();
        disk[Symbol.dispose]();
        options.ended();
      },
    });
    if (network === undefined || credentials === undefined || links === undefined) return;
    this.#network = new Network({ host: this.host, log, network, credentials, links });
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

function readCredentials(network: MemberNetwork): Credentials {
  return {
    privateKey: readFileSync(network.privateKey, 'utf8'),
    certificate: readFileSync(network.certificate, 'utf8'),
  };
}

/** The sockets of members and clients. */
class Network {
  readonly #links: PeerLinks;
  readonly #listener: Listener;
  readonly #address: MemberNetwork;
  readonly #clients = new Set<WebSocket>();
  readonly #leaderlessCheck: NodeJS.Timeout;

  constructor(parts: {
    readonly host: EngineHost;
    readonly log: Log;
    readonly network: MemberNetwork;
    readonly credentials: Credentials;
    readonly links: PeerLinks;
  }) {
    const { host, log, network, credentials, links } = parts;
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
      greeted: (from, lastIndex) => engine.greeted(from, lastIndex),
      unreachable: (member) => {
        engine.unreachable(member);
        host.wake();
      },
    });
    this.#leaderlessCheck = setInterval(() => {
      if (!engine.isLeaderless) return;
      for (const client of this.#clients) {
        client.close(TRY_ELSEWHERE, 'no member leads the store');
      }
    }, LEADERLESS_CHECK_MS);
    this.#listener = new Listener(credentials, (socket, proved, path) => {
      if (path === '/peer') links.accept(socket, proved);
      else if (path === '/client' && network.clientKeys.includes(proved.key)) {
        serveClient(socket, { host, log, check: checkRequests });
        this.#clients.add(socket);
        socket.on('close', () => this.#clients.delete(socket));
      } else socket.close(4004, 'no key of a client');
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

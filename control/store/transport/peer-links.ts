/**
 * The Peers port over WebSockets: to every member three sockets, so that heartbeats do not wait behind
 * appends, nor those behind chunks of a snapshot. Either side may dial; what is to be sent goes over the
 * newest socket of its class, whoever made it. A message without a socket, or behind too many unsent
 * bytes, is lost: the Raft core sends again, and is told that the member cannot be reached.
 *
 * A socket counts once both sides said hello within HANDSHAKE_MS_MAX, of the same group, to the member
 * they meant, with the key that the roster (or, before there is one, the configuration) has for it.
 */
import { WebSocket } from 'ws';
import type { Log } from '#base/log.ts';
import { ByteReader } from '../codec/bytes.ts';
import { SOCKET_CLASSES, decodeHello, encodeHello } from '../codec/hello.ts';
import type { Hello, SocketClass } from '../codec/hello.ts';
import { PeerEncoder, decodePeerMessage, sinceVersion } from '../codec/peer.ts';
import type { LogTail, PeerMessage, Peers } from '../engine/peers.ts';
import type { RosterRow } from '../engine/roster.ts';
import {
  DIAL_RETRY_MS_MAX,
  DIAL_RETRY_MS_MIN,
  HANDSHAKE_MS_MAX,
  PING_MS,
  SOCKET_BUFFERED_BYTES_MAX,
  SOCKET_MESSAGE_BYTES_MAX,
} from '../limits.ts';
import { StoreError } from '../port.ts';
import { VERSION, versionProblem } from '../versions.ts';
import type { SpokenVersions } from '../versions.ts';
import { noMask, provedBy, tlsOptions } from './tls.ts';
import type { Credentials, Proved } from './tls.ts';

/** Why a socket is closed, as the other side reads it. */
export const CLOSE = {
  malformed: 4000,
  version: 4001,
  otherGroup: 4002,
  otherMember: 4003,
  foreignKey: 4004,
  silent: 4005,
} as const;

/** The member that these sockets are of. */
export interface Home {
  readonly groupId: number;
  readonly memberId: number;
  readonly tail: () => LogTail;
  readonly versions: () => SpokenVersions;
  readonly receive: (from: number, message: PeerMessage) => void;
  /** A member said where its log ends. */
  readonly greeted: (from: number, tail: LogTail) => void;
  readonly unreachable: (member: number) => void;
  /**
   * Somebody says to be of this group who is none of its members by the log, or has another key than that
   * says. Trusted: the key may be a member's that the log does not name yet.
   */
  readonly stranger: (isTrusted: boolean) => void;
}

interface Link {
  row: RosterRow | undefined;
  readonly sockets: Partial<Record<SocketClass, WebSocket>>;
  /** What it runs as, by its last hello. */
  version: number;
  readonly dialing: Set<SocketClass>;
  failures: number;
  nextDialAtMs: number;
}

export class PeerLinks implements Peers, Disposable {
  readonly #credentials: Credentials;
  /** Of members that this one may meet before its log names any. */
  readonly #trustedKeys: readonly string[];
  readonly #log: Log;
  readonly #links = new Map<number, Link>();
  readonly #all = new Set<WebSocket>();
  readonly #encoder = new PeerEncoder();
  readonly #pings: NodeJS.Timeout;
  #home: Home | undefined;
  #hasRoster = false;

  constructor(options: {
    readonly credentials: Credentials;
    readonly trustedKeys: readonly string[];
    readonly log: Log;
  }) {
    this.#credentials = options.credentials;
    this.#trustedKeys = options.trustedKeys;
    this.#log = options.log;
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  /** From now on messages are taken, and sockets accepted. */
  start(home: Home): void {
    this.#home = home;
  }

  setMembers(rows: readonly RosterRow[]): void {
    this.#hasRoster = rows.length > 0;
    for (const row of rows) {
      const link = this.#link(row.id);
      if (link.row !== undefined && link.row.key !== row.key) this.#close(link);
      link.row = row;
    }
    for (const [id, link] of this.#links) {
      if (rows.some((row) => row.id === id)) continue;
      // Removed: its key opens nothing any more.
      if (link.row !== undefined) this.#close(link);
      link.row = undefined;
    }
  }

  /** Whether this may be a member's key. */
  knows(key: string): boolean {
    return (
      this.#trustedKeys.includes(key) || this.#links.values().some(({ row }) => row?.key === key)
    );
  }

  send(to: number, message: PeerMessage): boolean {
    const socketClass = classOf(message);
    const link = this.#link(to);
    if (sinceVersion(message) > link.version) return false; // It would not understand.
    const socket = link.sockets[socketClass];
    if (socket === undefined) {
      this.#dial(to, link, socketClass);
      return false;
    }
    if (socket.bufferedAmount > SOCKET_BUFFERED_BYTES_MAX[socketClass]) {
      // Lost; where that is an append, the core must not count on it.
      if (socketClass === 'append') this.#home?.unreachable(to);
      return false;
    }
    socket.send(this.#encoder.encode(message));
    return true;
  }

  /** A socket that another member made, on the path of its class. */
  accept(socket: WebSocket, proved: Proved): void {
    this.#greet(socket, proved, (hello) => {
      const home = this.#home;
      if (home === undefined) throw new Refused(CLOSE.otherMember, 'not started');
      this.#checkHello(hello, home);
      if (this.#links.get(hello.from)?.row?.key !== proved.key) {
        home.stranger(this.#trustedKeys.includes(proved.key));
      }
      this.#checkKey(hello.from, proved);
      socket.send(this.#hello(hello.socketClass, hello.from, home));
      this.#established(socket, hello);
    });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#pings);
    this.#home = undefined;
    for (const socket of this.#all) socket.terminate();
  }

  #dial(to: number, link: Link, socketClass: SocketClass): void {
    const home = this.#home;
    const { row } = link;
    if (home === undefined || row === undefined || row.address === '') return;
    if (link.dialing.has(socketClass) || performance.now() < link.nextDialAtMs) return;
    link.dialing.add(socketClass);
    const socket = new WebSocket(`wss://${row.address}/peer`, {
      ...tlsOptions(this.#credentials),
      perMessageDeflate: false,
      generateMask: noMask,
      handshakeTimeout: HANDSHAKE_MS_MAX,
      maxPayload: SOCKET_MESSAGE_BYTES_MAX,
    });
    let proved: Proved | undefined;
    socket.on('upgrade', (response) => {
      response.socket.setNoDelay(true);
      proved = provedBy(response.socket, Date.now());
    });
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      link.dialing.delete(socketClass);
      if (link.sockets[socketClass] !== undefined) return;
      const wait = Math.min(DIAL_RETRY_MS_MAX, DIAL_RETRY_MS_MIN * 2 ** link.failures++);
      link.nextDialAtMs = performance.now() + wait;
    });
    socket.on('open', () => {
      if (proved === undefined || proved.key !== row.key) {
        home.stranger(false);
        this.#refuse(socket, new Refused(CLOSE.foreignKey, `${row.address} has another key`));
        return;
      }
      socket.send(this.#hello(socketClass, to, home));
      this.#greet(socket, proved, (hello) => {
        this.#checkHello(hello, home);
        if (hello.from !== to || hello.socketClass !== socketClass) {
          throw new Refused(CLOSE.otherMember, `${row.address} is member ${hello.from}`);
        }
        this.#established(socket, hello);
      });
    });
  }

  /** Waits for the other side's hello, the first message. */
  #greet(socket: WebSocket, proved: Proved, take: (hello: Hello) => void): void {
    this.#all.add(socket);
    const deadline = setTimeout(
      () => this.#refuse(socket, new Refused(CLOSE.silent, 'no hello came')),
      HANDSHAKE_MS_MAX,
    );
    socket.on('close', () => {
      clearTimeout(deadline);
      this.#all.delete(socket);
    });
    socket.once('message', (data) => {
      clearTimeout(deadline);
      this.#guard(socket, () => take(decodeHello(new ByteReader(bytesOf(data)))));
    });
    if (proved.isStale) {
      this.#log.warn('certificate of a member is not valid now', { key: proved.key });
    }
  }

  #established(
    socket: WebSocket,
    { from, socketClass, lastIndex, lastTerm, version }: Hello,
  ): void {
    const link = this.#link(from);
    link.version = version;
    // Where both sides dialled, each sends over the newer one and hears both.
    link.sockets[socketClass] = socket;
    link.failures = 0;
    let isAlive = true;
    socket.on('pong', () => {
      isAlive = true;
    });
    PINGS.set(socket, () => {
      if (!isAlive) socket.terminate();
      isAlive = false;
      socket.ping();
    });
    socket.on('message', (data) =>
      this.#guard(socket, () => {
        // What a socket of a removed member still brings is not heard.
        if (this.#link(from).sockets[socketClass] === undefined) return;
        this.#home?.receive(from, decodePeerMessage(new ByteReader(bytesOf(data))));
      }),
    );
    socket.on('close', () => {
      if (link.sockets[socketClass] !== socket) return;
      delete link.sockets[socketClass];
      if (socketClass !== 'bulk') this.#home?.unreachable(from);
    });
    if (socketClass === 'control') this.#home?.greeted(from, { lastIndex, lastTerm });
  }

  #hello(socketClass: SocketClass, to: number, home: Home): Uint8Array {
    const { groupId, memberId } = home;
    const says = { ...home.tail(), ...home.versions() };
    return encodeHello({ socketClass, groupId, from: memberId, to, ...says });
  }

  #checkHello(hello: Hello, home: Home): void {
    if (hello.groupId !== home.groupId) {
      throw new Refused(CLOSE.otherGroup, `member of group ${hello.groupId}`);
    }
    const problem = versionProblem(home.versions(), hello);
    if (problem !== undefined) throw new Refused(CLOSE.version, problem);
    if (hello.to === home.memberId) return;
    throw new Refused(CLOSE.otherMember, `member ${hello.to} is meant`);
  }

  #checkKey(from: number, { key }: Proved): void {
    const row = this.#links.get(from)?.row;
    if (row === undefined ? !this.#hasRoster && this.#trustedKeys.includes(key) : row.key === key) {
      return;
    }
    throw new Refused(CLOSE.foreignKey, `key ${key} is not that of member ${from}`);
  }

  #guard(socket: WebSocket, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof Refused) this.#refuse(socket, error);
      else if (error instanceof RangeError) {
        this.#refuse(socket, new Refused(CLOSE.malformed, error.message));
      } else if (error instanceof StoreError && error.code === 'UNSUPPORTED') {
        this.#refuse(socket, new Refused(CLOSE.version, error.message));
      } else throw error;
    }
  }

  #refuse(socket: WebSocket, { code, message }: Refused): void {
    this.#log.warn('socket of a member refused', { code, reason: message });
    socket.close(code, message.slice(0, 100));
    setTimeout(() => socket.terminate(), HANDSHAKE_MS_MAX).unref();
  }

  #close(link: Link): void {
    for (const socketClass of SOCKET_CLASSES) {
      link.sockets[socketClass]?.terminate();
      delete link.sockets[socketClass];
    }
  }

  #link(id: number): Link {
    const known = this.#links.get(id);
    if (known !== undefined) return known;
    const link = { row: undefined, sockets: {}, dialing: new Set<SocketClass>() };
    const made: Link = { ...link, version: VERSION, failures: 0, nextDialAtMs: 0 };
    this.#links.set(id, made);
    return made;
  }

  /** A connection that ended without a word is noticed by the next ping. */
  #ping(): void {
    for (const socket of this.#all) PINGS.get(socket)?.();
  }
}

const PINGS = new WeakMap<WebSocket, () => void>();

class Refused extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

function classOf({ kind }: PeerMessage): SocketClass {
  if (kind === 'append' || kind === 'ask') return 'append';
  if (kind === 'snapshotOffer' || kind === 'chunkRequest' || kind === 'chunk') return 'bulk';
  return 'control';
}

/** A message of ws as bytes of its own: what is decoded from it lives on in the log. */
export function bytesOf(data: unknown): Uint8Array<ArrayBuffer> {
  if (!Buffer.isBuffer(data)) throw new RangeError('message is not binary');
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.length); // Of a socket.
}

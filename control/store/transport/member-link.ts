/**
 * A client's way to one member: a socket for requests and answers and, from the first watch on, one for
 * events (serve-client.ts). Both end together. A member that answers no ping for some seconds is left,
 * though its connection stands: it may be stopped, or cut off without a word.
 *
 *   dialled -> open -> closed; a socket for events: none -> dialled (requests are held) -> open
 */
import { randomBytes } from 'node:crypto';
import { WebSocket } from 'ws';
import type { Link } from '../client/calls.ts';
import { CLIENT_PROTOCOL } from '../codec/frame.ts';
import {
  CLIENT_PINGS_UNANSWERED_MAX,
  CLIENT_PING_MS,
  HANDSHAKE_MS_MAX,
  SOCKET_PIECE_BYTES,
} from '../limits.ts';
import { bytesOf } from './peer-links.ts';
import { FrameJoiner } from './pieces.ts';
import { noMask, provedBy, tlsOptions } from './tls.ts';
import type { Credentials } from './tls.ts';

export interface MemberLinkEvents {
  readonly opened: () => void;
  /** Whole frames. */
  readonly received: (frames: Uint8Array) => void;
  /** Once, opened before or not: WebSocket's code, and the member's words where it gave any. */
  readonly closed: (code: number, reason: string) => void;
}

export interface MemberLinkTrust {
  readonly credentials: Credentials;
  readonly memberKeys: readonly string[];
  readonly path?: '/client' | '/member';
}

export class MemberLink implements Link {
  readonly #address: string;
  readonly #trust: MemberLinkTrust;
  readonly #on: MemberLinkEvents;
  readonly #token = randomBytes(16).toString('hex');
  readonly #requests: WebSocket;
  #events: WebSocket | undefined;
  /** Of requests, while the socket for events is being made: a watch must not begin without it. */
  #held: Uint8Array[] | undefined;
  readonly #pings: NodeJS.Timeout;

  /** Dials. */
  constructor(address: string, trust: MemberLinkTrust, on: MemberLinkEvents) {
    this.#address = address;
    this.#trust = trust;
    this.#on = on;
    this.#requests = this.#dial(trust.path ?? '/client', on.opened);
    this.#requests.on('close', (code, reason) => {
      clearInterval(this.#pings);
      this.#events?.terminate();
      on.closed(code, reason.toString());
    });
    this.#pings = setInterval(() => this.#ping(), CLIENT_PING_MS);
  }

  send(message: Uint8Array): void {
    if (this.#held === undefined) this.#requests.send(message);
    else this.#held.push(message);
  }

  watching(): void {
    if (this.#events !== undefined) return;
    this.#held = [];
    this.#events = this.#dial('/events', () => {
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const message of held) this.#requests.send(message);
    });
    this.#events.on('close', () => this.#requests.terminate());
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  terminate(): void {
    this.#requests.terminate();
  }

  #dial(path: '/client' | '/member' | '/events', opened: () => void): WebSocket {
    const { credentials, memberKeys } = this.#trust;
    const url = `wss://${this.#address}${path}/${this.#token}`;
    const socket = new WebSocket(url, [CLIENT_PROTOCOL], {
      ...tlsOptions(credentials),
      perMessageDeflate: false,
      generateMask: noMask,
      handshakeTimeout: HANDSHAKE_MS_MAX,
      maxPayload: SOCKET_PIECE_BYTES,
    });
    const joiner = new FrameJoiner();
    let isTrusted = false;
    socket.on('upgrade', (response) => {
      response.socket.setNoDelay(true);
      const key = provedBy(response.socket, Date.now())?.key;
      isTrusted = key !== undefined && memberKeys.includes(key);
    });
    socket.on('open', () => {
      if (isTrusted) opened();
      else socket.terminate();
    });
    socket.on('message', (data) => {
      UNANSWERED.set(socket, 0);
      if (isTrusted) this.#receive(socket, joiner, data);
    });
    socket.on('pong', () => UNANSWERED.set(socket, 0));
    socket.on('error', () => socket.terminate());
    return socket;
  }

  /** What is no answer says nothing of the requests: they are asked elsewhere. */
  #receive(socket: WebSocket, joiner: FrameJoiner, data: unknown): void {
    try {
      const frames = joiner.add(bytesOf(data));
      if (frames.length > 0) this.#on.received(frames);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      socket.terminate();
    }
  }

  #ping(): void {
    for (const socket of [this.#requests, this.#events]) {
      if (socket?.readyState !== WebSocket.OPEN) continue; // A handshake has a deadline of its own.
      const unanswered = UNANSWERED.get(socket) ?? 0;
      if (unanswered >= CLIENT_PINGS_UNANSWERED_MAX) socket.terminate();
      else {
        UNANSWERED.set(socket, unanswered + 1);
        socket.ping();
      }
    }
  }
}

/** Pings without a pong, or any other sign of life. */
const UNANSWERED = new WeakMap<WebSocket, number>();

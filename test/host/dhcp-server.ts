/**
 * A DHCP server for one client, for host tests: always the same address (RFC 2131; options of RFC 2132).
 * It answers by broadcast, on the link that has the default route of this process's network namespace.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { must } from '#base/assert.ts';
import { parseIp } from '#base/ip.ts';

const COOKIE = 0x63825363;
const DISCOVER = 1;
const OFFER = 2;
const REQUEST = 3;
const ACK = 5;

export interface LeaseOffer {
  readonly server: string;
  readonly address: string;
  readonly mask: string;
  readonly hostName: string;
  readonly seconds: number;
}

export class DhcpServer implements Disposable {
  readonly #socket: Socket;
  readonly #offer: LeaseOffer;
  /** Requests that were acknowledged. */
  ackCount = 0;

  private constructor(socket: Socket, offer: LeaseOffer) {
    this.#socket = socket;
    this.#offer = offer;
    socket.on('message', (message) => this.#onMessage(message));
  }

  static async start(offer: LeaseOffer): Promise<DhcpServer> {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    socket.bind(67);
    await once(socket, 'listening');
    socket.setBroadcast(true);
    return new DhcpServer(socket, offer);
  }

  #onMessage(message: Buffer): void {
    if (message.length < 240 || message[0] !== 1 || message.readUInt32BE(236) !== COOKIE) return;
    const type = optionOf(message, 53)?.[0];
    if (type !== DISCOVER && type !== REQUEST) return;
    if (type === REQUEST) this.ackCount++;
    this.#socket.send(this.#reply(message, type === DISCOVER ? OFFER : ACK), 68, '255.255.255.255');
  }

  #reply(request: Buffer, type: number): Buffer {
    const { server, address, mask, hostName, seconds } = this.#offer;
    const ip = (text: string) => Buffer.from(must(parseIp(text), text));
    const life = Buffer.alloc(4);
    life.writeUInt32BE(seconds);
    const head = Buffer.alloc(240);
    request.copy(head, 0, 0, 240); // Transaction, flags and hardware address are the client's.
    head[0] = 2;
    ip(address).copy(head, 16);
    ip(server).copy(head, 20);
    const options: readonly (readonly [number, Buffer])[] = [
      [53, Buffer.of(type)],
      [54, ip(server)],
      [51, life],
      [1, ip(mask)],
      [3, ip(server)],
      [6, ip(server)],
      [12, Buffer.from(hostName)],
    ];
    const body = options.flatMap(([code, value]) => [Buffer.of(code, value.length), value]);
    return Buffer.concat([head, ...body, Buffer.of(255)]);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

function optionOf(message: Buffer, code: number): Buffer | undefined {
  for (let at = 240; at + 1 < message.length && message[at] !== 255; ) {
    if (message[at] === 0) at++;
    else {
      const length = message[at + 1] ?? 0;
      if (message[at] === code) return message.subarray(at + 2, at + 2 + length);
      at += 2 + length;
    }
  }
  return undefined;
}

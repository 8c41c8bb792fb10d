/**
 * One synchronous netlink socket (the npm package can abort the process: reference/runtime.md
 * section 2). The kernel handles a request inside send(2), so its answer is there when send returns
 * and one recv loop without waiting reads it. Invariant: between calls the receive queue is empty.
 *
 * The socket belongs to the network namespace of the thread that opens it, for good.
 * Callers: net/* and the supervisor. Not for events: see events.ts.
 */
import { closeSync } from 'node:fs';
import { endianness } from 'node:os';
import { assert } from '#base/assert.ts';
import { isErrno } from '#base/errors.ts';
import {
  AF,
  MSG,
  SOCK,
  bind,
  recv,
  send,
  sendAsync,
  setsockopt,
  socket,
} from '#base/linux/syscall.ts';
import { NetlinkError } from './error.ts';
import { RECEIVE_BYTES_MAX, SOCKET_BUFFER_BYTES } from './limits.ts';
import {
  NLM_F,
  NLMSG,
  type NetlinkMessage,
  parseAcknowledgement,
  parseDone,
  parseMessages,
} from './reader.ts';
import { NetlinkWriter } from './writer.ts';

export const NETLINK = { ROUTE: 0, NETFILTER: 12, KOBJECT_UEVENT: 15 } as const;

const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const DUMP_ATTEMPTS_MAX = 5;

/** One rejected message of a batch. */
export interface Rejection {
  readonly seq: number;
  readonly error: NetlinkError;
}

interface RequestHead {
  readonly type: number;
  readonly flags?: number;
  /** What is asked for, as errors name it. */
  readonly operation: string;
}

function sendError(error: unknown, operation: string, bytes: number): unknown {
  if (!isErrno(error)) return error;
  return new NetlinkError(operation, error.errno ?? 0, `send of ${bytes} bytes`);
}

export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES_MAX);
  #seq = 1;
  #closed = false;

  /** Throws LinuxError when the kernel lacks `protocol`. */
  constructor(protocol: number) {
    this.#fd = openNetlink(protocol, { groups: [] });
    setsockopt(this.#fd, { level: SOL_NETLINK, name: NETLINK_CAP_ACK }, 1);
    setsockopt(this.#fd, { level: SOL_NETLINK, name: NETLINK_EXT_ACK }, 1);
    if (protocol === NETLINK.ROUTE) {
      setsockopt(this.#fd, { level: SOL_NETLINK, name: NETLINK_GET_STRICT_CHK }, 1);
    }
  }

  /**
   * Sends one message, with NLM_F_REQUEST and NLM_F_ACK added to `flags`, and returns what the kernel
   * answered before the acknowledgement. Throws NetlinkError.
   */
  request(head: RequestHead, payload: (writer: NetlinkWriter) => void): NetlinkMessage[] {
    const { writer, seq } = this.#formatRequest(head, payload);
    this.#send(writer.bytes, head.operation);
    return this.#receiveAnswers(head.operation, seq);
  }

  /**
   * The same with the kernel's work on another thread: removing a link takes it 20 ms. Nothing else
   * may use the socket until the promise settles.
   */
  async requestAsync(
    head: RequestHead,
    payload: (writer: NetlinkWriter) => void,
  ): Promise<NetlinkMessage[]> {
    assert(!this.#closed, 'netlink socket is closed');
    const { writer, seq } = this.#formatRequest(head, payload);
    try {
      await sendAsync(this.#fd, writer.bytes);
    } catch (error) {
      throw sendError(error, head.operation, writer.length);
    }
    return this.#receiveAnswers(head.operation, seq);
  }

  #formatRequest(
    head: RequestHead,
    payload: (writer: NetlinkWriter) => void,
  ): { writer: NetlinkWriter; seq: number } {
    const writer = new NetlinkWriter(this.#seq);
    const flags = (head.flags ?? 0) | NLM_F.REQUEST | NLM_F.ACK;
    const seq = writer.message({ type: head.type, flags }, () => payload(writer));
    this.#seq = writer.nextSeq;
    return { writer, seq };
  }

  #receiveAnswers(operation: string, seq: number): NetlinkMessage[] {
    const answers: NetlinkMessage[] = [];
    for (;;) {
      for (const message of this.#receive(operation)) {
        if (message.seq !== seq) continue; // Left over from a request that threw midway.
        if (message.type !== NLMSG.ERROR) {
          answers.push(message);
          continue;
        }
        const { errno, extack } = parseAcknowledgement(message);
        if (errno !== 0) throw new NetlinkError(operation, errno, extack);
        return answers;
      }
    }
  }

  /** A whole dump; taken again when the kernel says that it changed meanwhile. */
  dump(
    head: { readonly type: number; readonly operation: string },
    payload: (writer: NetlinkWriter) => void,
  ): NetlinkMessage[] {
    for (let attempt = 1; ; attempt++) {
      const { messages, interrupted } = this.#dumpOnce(head, payload);
      if (!interrupted) return messages;
      if (attempt === DUMP_ATTEMPTS_MAX) throw new NetlinkError(head.operation, 4, 'interrupted');
    }
  }

  #dumpOnce(
    head: { readonly type: number; readonly operation: string },
    payload: (writer: NetlinkWriter) => void,
  ): { messages: NetlinkMessage[]; interrupted: boolean } {
    const writer = new NetlinkWriter(this.#seq);
    const flags = NLM_F.REQUEST | NLM_F.DUMP;
    const seq = writer.message({ type: head.type, flags }, () => payload(writer));
    this.#send(writer.bytes, head.operation);
    this.#seq = writer.nextSeq;
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive(head.operation)) {
        if (message.seq !== seq) continue;
        if ((message.flags & NLM_F.DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG.ERROR || message.type === NLMSG.DONE) {
          const { errno, extack } =
            message.type === NLMSG.ERROR
              ? parseAcknowledgement(message)
              : { errno: parseDone(message), extack: '' };
          if (errno !== 0 && !interrupted) throw new NetlinkError(head.operation, errno, extack);
          return { messages, interrupted };
        }
        messages.push(message);
      }
    }
  }

  /** A writer whose messages continue this socket's sequence numbers: for `sendBatch`. */
  batchWriter(capacity?: number): NetlinkWriter {
    return new NetlinkWriter(this.#seq, capacity);
  }

  /**
   * Sends everything in one system call and returns the messages that were rejected; those without
   * NLM_F_ACK that succeed are silent. nf_tables applies a batch wholly or not at all.
   */
  sendBatch(writer: NetlinkWriter, operation: string): Rejection[] {
    this.#seq = writer.nextSeq;
    this.#send(writer.bytes, operation);
    const rejections: Rejection[] = [];
    for (;;) {
      const messages = this.#receiveNow(operation);
      if (messages === undefined) return rejections;
      for (const message of messages) {
        if (message.type !== NLMSG.ERROR) continue;
        const { errno, extack } = parseAcknowledgement(message);
        if (errno === 0) continue;
        rejections.push({ seq: message.seq, error: new NetlinkError(operation, errno, extack) });
      }
    }
  }

  #send(bytes: Uint8Array, operation: string): void {
    assert(!this.#closed, 'netlink socket is closed');
    try {
      send(this.#fd, bytes);
    } catch (error) {
      throw sendError(error, operation, bytes.length);
    }
  }

  /** The next datagram, which must be there. */
  #receive(operation: string): NetlinkMessage[] {
    const messages = this.#receiveNow(operation);
    if (messages === undefined) throw new NetlinkError(operation, 11, 'no answer from the kernel');
    return messages;
  }

  #receiveNow(operation: string): NetlinkMessage[] | undefined {
    try {
      const length = recv(this.#fd, this.#buffer, MSG.DONTWAIT | MSG.TRUNC);
      assert(length <= this.#buffer.length, `netlink datagram of ${length} bytes`);
      return parseMessages(this.#buffer.slice(0, length));
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return undefined;
      if (isErrno(error)) throw new NetlinkError(operation, error.errno ?? 0, 'receive');
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }
}

/** A bound socket, member of `groups`, with room for large batches and bursts. */
export function openNetlink(
  protocol: number,
  options: { readonly groups: readonly number[]; readonly bufferBytes?: number },
): number {
  assert(endianness() === 'LE', 'netlink codecs are little-endian');
  const fd = socket(AF.NETLINK, SOCK.RAW, protocol);
  try {
    const { groups, bufferBytes = SOCKET_BUFFER_BYTES } = options;
    setsockopt(fd, { level: SOL_SOCKET, name: SO_SNDBUFFORCE }, bufferBytes);
    setsockopt(fd, { level: SOL_SOCKET, name: SO_RCVBUFFORCE }, bufferBytes);
    const address = new Uint8Array(12); // sockaddr_nl: u16 family, u16 0, u32 port id, u32 groups
    address[0] = AF.NETLINK;
    bind(fd, address);
    for (const group of groups) {
      setsockopt(fd, { level: SOL_NETLINK, name: NETLINK_ADD_MEMBERSHIP }, group);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

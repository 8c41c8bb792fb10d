/**
 * Serves disks over the NBD protocol on a unix socket (doc/proto.md of the nbd project, fixed newstyle
 * handshake, simple replies), for QEMU. Requests of a connection are carried out and answered in the order
 * in which they come, so that a disk knows in which order a machine was told that things are done.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { assert } from '#base/assert.ts';

/** What an export is served from. Offsets and lengths are bytes. */
export interface BlockDevice {
  readonly size: number;
  read(at: number, length: number): Uint8Array;
  write(at: number, bytes: Uint8Array, isForced: boolean): void;
  flush(): void;
}

const NBD_FLAG_FIXED_NEWSTYLE = 1;
const OPT = { EXPORT_NAME: 1, ABORT: 2, INFO: 6, GO: 7 } as const;
const REP = { ACK: 1, INFO: 3, ERR_UNSUP: 0x80000001, ERR_UNKNOWN: 0x80000006 } as const;
const CMD = { READ: 0, WRITE: 1, DISC: 2, FLUSH: 3, TRIM: 4, WRITE_ZEROES: 6 } as const;
const CMD_FLAG_FUA = 1;
const EINVAL = 22;
/** HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES */
const TRANSMISSION_FLAGS = 1 | 4 | 8 | 32 | 64;
const OPTION_MAGIC = 0x49484156454f5054n;
const REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_BYTES = 28;
const REQUEST_MAGIC = 0x25609513;
const PAYLOAD_BYTES_MAX = 64 * 1024 * 1024;

export class NbdServer implements AsyncDisposable {
  readonly #exports: ReadonlyMap<string, BlockDevice>;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What went wrong on a connection. */
  readonly errors: unknown[] = [];

  constructor(exports: ReadonlyMap<string, BlockDevice>) {
    this.#exports = exports;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      serve(socket, this.#exports).catch((error: unknown) => {
        if (!(error instanceof Closed)) this.errors.push(error);
        socket.destroy();
      });
    });
  }

  async listen(path: string): Promise<void> {
    this.#server.listen(path);
    await once(this.#server, 'listening');
  }

  /** From now on nothing is read, answered, or changed. */
  cutOff(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutOff();
    if (this.#server.listening) await once(this.#server, 'close');
  }
}

async function serve(socket: Socket, exports: ReadonlyMap<string, BlockDevice>): Promise<void> {
  const input = new Input(socket);
  const device = await negotiate(socket, input, exports);
  if (device !== undefined) await transmit(socket, input, device);
  socket.end();
}

/** The export that the client chose; undefined when it went away. */
async function negotiate(
  socket: Socket,
  input: Input,
  exports: ReadonlyMap<string, BlockDevice>,
): Promise<BlockDevice | undefined> {
  const greeting = Buffer.alloc(18);
  greeting.write('NBDMAGIC', 0);
  greeting.writeBigUInt64BE(OPTION_MAGIC, 8);
  greeting.writeUInt16BE(NBD_FLAG_FIXED_NEWSTYLE, 16);
  socket.write(greeting);
  await input.take(4); // The client's flags.
  for (;;) {
    const head = await input.take(16);
    assert(head.readBigUInt64BE(0) === OPTION_MAGIC, 'an option begins with its magic');
    const option = head.readUInt32BE(8);
    const data = await input.take(head.readUInt32BE(12));
    if (option === OPT.ABORT) {
      socket.write(optionReply(option, REP.ACK));
      return undefined;
    }
    if (option === OPT.EXPORT_NAME) {
      const device = exports.get(data.toString());
      assert(device !== undefined, `there is an export ${data.toString()}`);
      socket.write(Buffer.concat([describe(device), Buffer.alloc(124)]));
      return device;
    }
    if (option !== OPT.GO && option !== OPT.INFO) {
      socket.write(optionReply(option, REP.ERR_UNSUP));
      continue;
    }
    const device = exports.get(data.toString('utf8', 4, 4 + data.readUInt32BE(0)));
    if (device === undefined) {
      socket.write(optionReply(option, REP.ERR_UNKNOWN));
      continue;
    }
    const info = Buffer.concat([Buffer.alloc(2), describe(device)]); // NBD_INFO_EXPORT = 0
    socket.write(optionReply(option, REP.INFO, info));
    socket.write(optionReply(option, REP.ACK));
    if (option === OPT.GO) return device;
  }
}

function describe({ size }: BlockDevice): Buffer {
  const text = Buffer.alloc(10);
  text.writeBigUInt64BE(BigInt(size), 0);
  text.writeUInt16BE(TRANSMISSION_FLAGS, 8);
  return text;
}

function optionReply(option: number, type: number, data = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(REPLY_MAGIC, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

async function transmit(socket: Socket, input: Input, device: BlockDevice): Promise<void> {
  for (;;) {
    const head = await input.take(REQUEST_BYTES);
    assert(head.readUInt32BE(0) === REQUEST_MAGIC, 'a request begins with its magic');
    const isForced = (head.readUInt16BE(4) & CMD_FLAG_FUA) !== 0;
    const type = head.readUInt16BE(6);
    const cookie = head.subarray(8, 16);
    const at = Number(head.readBigUInt64BE(16));
    const length = head.readUInt32BE(24);
    if (type === CMD.DISC) return;
    const isInside = at + length <= device.size && length <= PAYLOAD_BYTES_MAX;
    const payload = type === CMD.WRITE ? await input.take(length) : undefined;
    if (!isInside) socket.write(simpleReply(cookie, EINVAL));
    else if (type === CMD.READ) {
      socket.write(Buffer.concat([simpleReply(cookie, 0), device.read(at, length)]));
    } else {
      if (payload !== undefined) device.write(at, payload, isForced);
      // What is discarded may read as anything: zeros, unflushed like any write.
      else if (type === CMD.TRIM || type === CMD.WRITE_ZEROES) {
        device.write(at, new Uint8Array(length), isForced);
      } else if (type === CMD.FLUSH) device.flush();
      socket.write(simpleReply(cookie, type === CMD.FLUSH || isChange(type) ? 0 : EINVAL));
    }
  }
}

function isChange(type: number): boolean {
  return type === CMD.WRITE || type === CMD.TRIM || type === CMD.WRITE_ZEROES;
}

function simpleReply(cookie: Uint8Array, error: number): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeUInt32BE(0x67446698, 0);
  reply.writeUInt32BE(error, 4);
  reply.set(cookie, 8);
  return reply;
}

class Closed extends Error {}

/** A stream taken in pieces of known length. */
class Input {
  #held: Buffer[] = [];
  #bytes = 0;
  #wanted: { length: number; done: PromiseWithResolvers<void> } | undefined;
  #isOver = false;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#held.push(chunk);
      this.#bytes += chunk.length;
      if (this.#wanted !== undefined && this.#bytes >= this.#wanted.length)
        this.#wanted.done.resolve();
    });
    socket.on('close', () => {
      this.#isOver = true;
      this.#wanted?.done.reject(new Closed('connection closed'));
    });
  }

  async take(length: number): Promise<Buffer> {
    if (this.#bytes < length) {
      if (this.#isOver) throw new Closed('connection closed');
      const done = Promise.withResolvers<void>();
      this.#wanted = { length, done };
      await done.promise;
      this.#wanted = undefined;
    }
    const all =
      this.#held.length === 1 ? (this.#held[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#held);
    this.#held = all.length > length ? [all.subarray(length)] : [];
    this.#bytes -= length;
    return all.subarray(0, length);
  }
}

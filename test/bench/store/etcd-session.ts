/**
 * A connection of the load generator to etcd: gRPC straight on HTTP/2, without the layers of a gRPC
 * library, so that the client's cost weighs as little as possible on etcd's figures. Messages are
 * encoded as control/store/etcd does.
 */
import { connect } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { once } from 'node:events';
import { KV, Maintenance, Watch } from '#control/store/etcd/etcd.gen.ts';
import type { PutRequest, ResponseHeader } from '#control/store/etcd/etcd.gen.ts';
import { codecOf } from '#control/store/etcd/rpc.ts';
import type { Input, Method } from '#control/store/etcd/rpc.ts';
import type { Access, Session } from './target.ts';

const PUT: Method<PutRequest, { header: ResponseHeader | null }> = {
  path: '/etcdserverpb.KV/Put',
  request: 'PutRequest',
  response: 'PutResponse',
};
const PREFIX_BYTES = 5;

export class EtcdSession implements Session {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** To the first of the addresses. */
  static async connect(access: Extract<Access, { kind: 'etcd' }>): Promise<EtcdSession> {
    const { privateKey, certificate } = access.credentials;
    const session = connect(`https://${access.addresses[0]}`, {
      ca: access.ca,
      cert: certificate,
      key: privateKey,
      settings: { initialWindowSize: 2 ** 24 },
    });
    session.on('error', () => {}); // Its requests fail.
    await once(session, 'connect');
    session.setLocalWindowSize(2 ** 26);
    return new EtcdSession(session);
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#call(PUT, { key: Buffer.from(key, 'latin1'), value });
  }

  async putAll(keys: readonly string[], value: Uint8Array): Promise<void> {
    const success = keys.map((key) => ({
      requestPut: { key: Buffer.from(key, 'latin1'), value },
    }));
    await this.#call(KV.Txn, { success });
  }

  async get(key: string): Promise<void> {
    await this.#call(KV.Range, { key: Buffer.from(key, 'latin1') });
  }

  async compact(): Promise<void> {
    const { header } = await this.#call(KV.Range, { key: Buffer.from('x'), countOnly: true });
    await this.#call(KV.Compact, { revision: header?.revision.toNumber() });
  }

  async status(): Promise<{ term: number; isLeader: boolean }> {
    const { raftTerm, leader, header } = await this.#call(Maintenance.Status, {});
    const isLeader = leader.toString() === header?.memberId.toString();
    return { term: raftTerm.toNumber(), isLeader };
  }

  /** Resolves when etcd confirmed it. */
  async watch(prefix: string, seen: (value: Uint8Array) => void): Promise<void> {
    const { serialize, deserialize } = codecOf(Watch.Watch);
    let isCreated = false;
    const stream = this.#open(Watch.Watch.path);
    const created = Promise.withResolvers<void>();
    const take = messages((bytes) => {
      if (isCreated) {
        eachValue(bytes, seen);
        return;
      }
      isCreated = deserialize(bytes).created;
      if (isCreated) created.resolve();
    });
    stream.on('data', take);
    stream.on('error', created.reject);
    const [key, rangeEnd] = [Buffer.from(prefix, 'latin1'), Buffer.from(`${prefix}\xff`, 'latin1')];
    stream.write(framed(serialize({ createRequest: { key, rangeEnd } })));
    await created.promise;
  }

  close(): void {
    this.#session.destroy();
  }

  #open(path: string): ClientHttp2Stream {
    return this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
  }

  #call<Req, Res>(method: Method<Req, Res>, message: Input<Req>): Promise<Res> {
    const { serialize, deserialize } = codecOf(method);
    const { promise, resolve, reject } = Promise.withResolvers<Res>();
    const stream = this.#open(method.path);
    stream.end(framed(serialize(message)));
    let answer: Buffer | undefined;
    const take = messages((bytes) => {
      answer = bytes;
    });
    let status = 'no status';
    const heard = (headers: Record<string, unknown>) => {
      const code = headers['grpc-status'];
      if (typeof code === 'string') status = `status ${code}`;
    };
    stream.on('data', take);
    stream.on('response', heard);
    stream.on('trailers', heard);
    stream.on('error', reject);
    stream.on('close', () => {
      if (answer !== undefined && status === 'status 0') resolve(deserialize(answer));
      else reject(new Error(`${method.path}: ${status}`));
    });
    return promise;
  }
}

function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** Cuts what arrives into gRPC messages. */
function messages(take: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) break;
      take(rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
    }
  };
}

/** Fields of WatchResponse.events, Event.kv and KeyValue.value: number, and length-delimited. */
const PATH_TO_VALUE = [(11 << 3) | 2, (2 << 3) | 2, (5 << 3) | 2];

/** The values in a WatchResponse, without decoding the rest: a hundred watches make many of them. */
function eachValue(bytes: Buffer, seen: (value: Uint8Array) => void, depth = 0): void {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      if (shift < 28) value |= (byte & 127) << shift; // Of longer ones, none is a tag or a length.
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) !== 2) {
      varint(); // Integers and flags.
      continue;
    }
    const length = varint();
    const part = bytes.subarray(at, at + length);
    at += length;
    if (tag !== PATH_TO_VALUE[depth]) continue;
    if (depth === PATH_TO_VALUE.length - 1) seen(part);
    else eachValue(part, seen, depth + 1);
  }
}

/**
 * Asks the node's name servers. One socket a query with a random port and identifier, so that answers
 * are hard to forge (RFC 5452); a truncated answer is asked for again by TCP. Equal questions that
 * are under way are asked once. A server that has been silent is asked once and briefly, so that a node
 * without a network does not hold every lookup of its pods for seconds. Bounds in limits.ts.
 */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { AnswerCache } from './cache.ts';
import {
  FORWARDS_MAX,
  FORWARD_ATTEMPTS,
  FORWARD_TIMEOUT_MS,
  FORWARD_TIMEOUT_MS_SILENT,
  SILENT_QUERIES,
} from './limits.ts';
import { FLAG_RESPONSE, FLAG_TRUNCATED, type WireMessage, parseWire, withId } from './wire.ts';

export class DnsUpstreamError extends Error {
  override readonly name = 'DnsUpstreamError';
}

export interface UpstreamOptions {
  readonly clock: Clock;
  /** Addresses in the order of preference, read at every query. */
  readonly nameservers: () => readonly string[];
  readonly port?: number;
}

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #cache = new AnswerCache();
  readonly #underway = new Map<string, Promise<Uint8Array>>();
  /** Queries that a server left unanswered since its last answer. Bound: the node's few servers. */
  readonly #silence = new Map<string, number>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
  }

  /**
   * The answer to `query` (a whole message), with the query's identifier. `key` says which queries
   * are equal. Throws DnsUpstreamError when no server answered.
   */
  async resolve(key: string, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const id = ((query[0] ?? 0) << 8) | (query[1] ?? 0);
    const cached = this.#cache.get(key, this.#options.clock.monotonicMs());
    if (cached !== undefined) return withId(cached, id);
    let asked = this.#underway.get(key);
    if (asked === undefined) {
      if (this.#underway.size >= FORWARDS_MAX) throw new DnsUpstreamError('too many queries wait');
      asked = this.#ask(key, query, signal).finally(() => this.#underway.delete(key));
      this.#underway.set(key, asked);
    }
    return withId(await asked, id);
  }

  async #ask(key: string, query: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { clock, nameservers } = this.#options;
    const servers = nameservers();
    let failure: unknown = new DnsUpstreamError('the node has no name server');
    for (let attempt = 0; attempt < FORWARD_ATTEMPTS; attempt++) {
      for (const server of servers) {
        const silent = (this.#silence.get(server) ?? 0) >= SILENT_QUERIES;
        if (silent && attempt > 0) continue;
        const timeoutMs = silent ? FORWARD_TIMEOUT_MS_SILENT : FORWARD_TIMEOUT_MS;
        try {
          const answer = await this.#askServer({ server, timeoutMs }, query, signal);
          this.#silence.delete(server);
          this.#cache.put(key, answer, clock.monotonicMs());
          return answer.bytes;
        } catch (error) {
          signal.throwIfAborted();
          failure = error; // The next server may be well.
          this.#silence.set(server, (this.#silence.get(server) ?? 0) + 1);
        }
      }
    }
    throw new DnsUpstreamError('no name server answered', { cause: failure });
  }

  async #askServer(
    { server, timeoutMs }: { readonly server: string; readonly timeoutMs: number },
    query: Uint8Array,
    signal: AbortSignal,
  ): Promise<WireAnswer> {
    using deadline = this.#options.clock.deadline(timeoutMs, signal);
    const target = { host: server, port: this.#options.port ?? 53 };
    const id = randomInt(0x10000);
    const message = withId(query, id);
    const answer = await askUdp(target, message, deadline.signal);
    if ((answer.message.flags & FLAG_TRUNCATED) === 0) return answer;
    return askTcp(target, message, deadline.signal);
  }
}

interface WireAnswer {
  readonly bytes: Uint8Array;
  readonly message: WireMessage;
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** The answer in `bytes` if it is one to `query`: same identifier, same question. */
function answerTo(query: Uint8Array, bytes: Uint8Array): WireAnswer | undefined {
  const message = parseWire(bytes);
  const asked = parseWire(query);
  if (message === undefined || asked === undefined) return undefined;
  if (message.id !== asked.id || (message.flags & FLAG_RESPONSE) === 0) return undefined;
  const questionOf = (of: Uint8Array, end: number) =>
    Buffer.from(of.subarray(12, end)).toString('latin1').toLowerCase();
  const same = questionOf(bytes, message.questionEnd) === questionOf(query, asked.questionEnd);
  return same ? { bytes, message } : undefined;
}

function askUdp(target: Target, query: Uint8Array, signal: AbortSignal): Promise<WireAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>();
  const socket = createSocket(target.host.includes(':') ? 'udp6' : 'udp4');
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  socket.on('error', reject);
  socket.on('message', (bytes) => {
    const answer = answerTo(query, new Uint8Array(bytes));
    if (answer !== undefined) resolve(answer); // Anything else is not for us.
  });
  socket.connect(target.port, target.host, () => socket.send(query));
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort);
    socket.close();
  });
}

function askTcp(target: Target, query: Uint8Array, signal: AbortSignal): Promise<WireAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<WireAnswer>();
  const socket = connect({ ...target, noDelay: true });
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  let received = Buffer.alloc(0);
  socket.on('connect', () => socket.write(framed(query)));
  socket.on('error', reject);
  socket.on('end', () => reject(new DnsUpstreamError('connection closed before the answer')));
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < received.readUInt16BE(0) + 2) return;
    const bytes = new Uint8Array(received.subarray(2, received.readUInt16BE(0) + 2));
    const answer = answerTo(query, bytes);
    if (answer === undefined) reject(new DnsUpstreamError('answer to another question'));
    else resolve(answer);
  });
  return promise.finally(() => {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  });
}

/** A message as TCP carries it: u16 length before it (RFC 1035 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  const frame = new Uint8Array(message.length + 2);
  new DataView(frame.buffer).setUint16(0, message.length);
  frame.set(message, 2);
  return frame;
}

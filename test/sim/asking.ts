/**
 * How a simulated member that is not of its group now reaches the others (control/store/rejoin.ts asks
 * them): by streams of bytes in virtual time, which cut links hold up, and which end with either process,
 * when one end falls silent, and when the member that is asked has had enough of the stranger.
 */
import { StoreClient } from '#control/store/client/client.ts';
import type { Link } from '#control/store/client/calls.ts';
import { checkOutsider } from '#control/store/codec/check-request.ts';
import type { Connection } from '#control/store/engine/connection.ts';
import type { Engine } from '#control/store/engine/engine.ts';
import type { EngineLog } from '#control/store/engine/engine-log.ts';
import {
  CLIENT_PINGS_UNANSWERED_MAX,
  CLIENT_PING_MS,
  DIAL_RETRY_MS_MAX,
  DIAL_RETRY_MS_MIN,
  OUTSIDER_MS_MAX,
} from '#control/store/limits.ts';
import { StoreError } from '#control/store/port.ts';
import type { OwnStore } from '#control/store/port.ts';
import type { Asked, Asker } from '#control/store/rejoin.ts';
import type { Group } from './group.ts';
import type { SimMember } from './member.ts';

/** Asks for the process of this member, which ends with the signal. */
export function simAsker(
  group: Group,
  member: SimMember,
  { log, process }: { log: EngineLog; process: AbortSignal },
): Asker {
  const { time } = group;
  const others = group.members.filter((other) => other !== member);
  return {
    network: {
      address: member.address,
      join: member.join,
      peers: others.map(({ address }) => address),
      memberKeys: others.map(({ key }) => key),
      token: undefined,
    },
    key: member.key,
    log,
    connect: (asked, signal) => new Dialler({ group, member, process }, asked, signal).first,
    pause: (ms, signal) =>
      new Promise((resolve, reject) => {
        const onAbort = () => {
          group.stir();
          reject(signal.reason);
        };
        if (signal.aborted) onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
        time.after(ms, () => {
          group.stir();
          resolve();
        });
      }),
    within: (ms, signal) => {
      const controller = new AbortController();
      const end = (reason: unknown) => {
        group.stir();
        controller.abort(reason);
      };
      if (signal.aborted) end(signal.reason);
      signal.addEventListener('abort', () => end(signal.reason), { once: true });
      time.after(ms, () => end(new StoreError('UNAVAILABLE', `no answer within ${ms} ms`)));
      return controller.signal;
    },
  };
}

/** What a cut link held up is sent anew. */
const RESEND_MS = 200;

interface From {
  readonly group: Group;
  readonly member: SimMember;
  readonly process: AbortSignal;
}

/** Reaches one address as long as it is wanted (as transport/remote-store.ts does over sockets). */
class Dialler {
  readonly #from: From;
  readonly #asked: Asked;
  readonly #first = Promise.withResolvers<OwnStore>();
  #client: AskingClient | undefined;
  #stream: Stream | undefined;
  #failures = 0;
  #isStopped = false;

  constructor(from: From, asked: Asked, signal: AbortSignal) {
    this.#from = from;
    this.#asked = asked;
    const onAbort = () => {
      if (this.#client === undefined) this.#stop(signal.reason);
    };
    const onEnd = () => {
      this.#stop(from.process.reason);
      this.#client?.end(new StoreError('CLOSED', 'process ended'));
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    from.process.addEventListener('abort', onEnd, { once: true });
    this.#dialAfter(0);
  }

  get first(): Promise<OwnStore> {
    return this.#first.promise;
  }

  #stop(reason: unknown): void {
    this.#isStopped = true;
    this.#stream?.end();
    this.#from.group.stir();
    this.#first.reject(reason);
  }

  #dialAfter(ms: number): void {
    const { group } = this.#from;
    group.time.after(ms + 1, () => {
      if (!this.#isStopped) this.#dial();
    });
  }

  #dial(): void {
    const { group, member } = this.#from;
    const { address, memberKeys } = this.#asked;
    const other = group.members.find((one) => one.address === address);
    const engine = other?.engine;
    const isReached =
      other !== undefined &&
      engine !== undefined &&
      memberKeys.includes(other.key) &&
      isConnected(group, member, other);
    if (!isReached) {
      this.#retry();
      return;
    }
    const stream = new Stream(
      this.#from,
      { other, engine },
      {
        received: (bytes) => {
          this.#failures = 0;
          this.#client?.receive(bytes);
        },
        ended: () => {
          this.#client?.disconnected();
          if (!this.#isStopped) this.#retry();
        },
      },
    );
    this.#stream = stream;
    group.stir();
    if (this.#client !== undefined) this.#client.connected(stream);
    else {
      this.#client = new AskingClient(group, stream, () => this.#stop(undefined));
      this.#first.resolve(this.#client);
    }
  }

  #retry(): void {
    this.#dialAfter(Math.min(DIAL_RETRY_MS_MAX, DIAL_RETRY_MS_MIN * 2 ** this.#failures++));
  }
}

class AskingClient extends StoreClient {
  readonly #stop: () => void;

  constructor(group: Group, stream: Stream, stop: () => void) {
    const stirring = (run: () => void) => () => {
      group.stir();
      run();
    };
    super(stream, {
      soon: (run) => group.time.after(0, stirring(run)),
      later: (ms, run) => group.time.after(ms, stirring(run)),
    });
    this.#stop = stop;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#stop();
  }
}

/** What a socket between the two carries. */
class Stream implements Link {
  readonly #from: From;
  readonly #to: { readonly other: SimMember; readonly engine: Engine };
  readonly #on: { received: (bytes: Uint8Array) => void; ended: () => void };
  readonly #connection: Connection;
  #isEnded = false;
  #unanswered = 0;
  /** What is on its way, there and here, in order. */
  readonly #carried = [[], []] as [(() => void)[], (() => void)[]];

  constructor(
    from: From,
    to: { readonly other: SimMember; readonly engine: Engine },
    on: { received: (bytes: Uint8Array) => void; ended: () => void },
  ) {
    this.#from = from;
    this.#to = to;
    this.#on = on;
    const { group } = from;
    this.#connection = to.engine.connect((bytes) =>
      to.other.whenAwake(() => this.#carry(1, () => this.#take(bytes))),
    );
    group.time.after(OUTSIDER_MS_MAX, () => this.#break());
    this.#ping();
  }

  send(bytes: Uint8Array): void {
    const { member } = this.#from;
    const { other, engine } = this.#to;
    this.#carry(0, () => {
      if (other.engine !== engine) return;
      try {
        const isMember = engine.state.roster.all().some((row) => row.key === member.key);
        checkOutsider(bytes, member.key, isMember);
      } catch {
        this.#break(); // As serve-client.ts does.
        return;
      }
      this.#connection.inbox.push(bytes);
      other.pump();
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** This side leaves. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const { other, engine } = this.#to;
    if (other.engine === engine) engine.disconnect(this.#connection);
  }

  #break(): void {
    if (this.#isEnded) return;
    this.end();
    this.#from.group.stir();
    this.#on.ended();
  }

  #take(bytes: Uint8Array): void {
    const { group, member } = this.#from;
    group.trace.note(
      'told',
      { atMs: group.time.nowMs, from: this.#to.other.id, to: member.id },
      bytes,
    );
    group.stir();
    this.#on.received(bytes);
  }

  /** Held up by a cut link until the stream ends: the bytes are sent anew. */
  #carry(direction: 0 | 1, run: () => void): void {
    const { random, network } = this.#from.group;
    this.#carried[direction].push(run);
    this.#arriveAfter(0.2 + random.next() * network.faults.delayMsMax, direction);
  }

  #arriveAfter(ms: number, direction: 0 | 1): void {
    const { group, member } = this.#from;
    group.time.after(ms, () => {
      if (this.#isEnded) return;
      if (isConnected(group, member, this.#to.other)) this.#carried[direction].shift()?.();
      else this.#arriveAfter(RESEND_MS, direction);
    });
  }

  #ping(): void {
    const { group, member } = this.#from;
    const { other, engine } = this.#to;
    group.time.after(CLIENT_PING_MS, () => {
      if (this.#isEnded) return;
      const isHeard = isConnected(group, member, other) && !other.isPaused;
      this.#unanswered = isHeard ? 0 : this.#unanswered + 1;
      if (other.engine !== engine || this.#unanswered >= CLIENT_PINGS_UNANSWERED_MAX) this.#break();
      else this.#ping();
    });
  }
}

function isConnected({ network }: Group, one: SimMember, other: SimMember): boolean {
  return network.isOpen(one.id, other.id) && network.isOpen(other.id, one.id);
}

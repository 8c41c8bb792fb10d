/**
 * A Store over the network: the client that ships, linked to one member at a time. When the link breaks,
 * or the member falls silent, another one is tried; what had no answer is sent again there, and writes are
 * executed once all the same (client/write-session.ts).
 *
 * A client whose version all members refuse ends with StoreError UNSUPPORTED.
 */
import { StoreClient } from '../client/client.ts';
import { DIAL_RETRY_MS_MAX, DIAL_RETRY_MS_MIN } from '../limits.ts';
import { StoreError } from '../port.ts';
import type { OwnStore } from '../port.ts';
import { MemberLink } from './member-link.ts';
import { CLOSE } from './peer-links.ts';
import type { Credentials } from './tls.ts';

export interface RemoteStoreOptions {
  /** host:port of members; tried in turn. */
  readonly addresses: readonly string[];
  readonly credentials: Credentials;
  /** Whom to believe to be a member. */
  readonly memberKeys: readonly string[];
  /** What it is: a client, or a member that is not of the group now; a client by default. */
  readonly path?: '/client' | '/member';
}

/** Resolves when a member is reached; requests wait whenever none is. */
export async function connectStore(
  options: RemoteStoreOptions,
  signal: AbortSignal,
): Promise<OwnStore> {
  signal.throwIfAborted();
  const dialler = new Dialler(options);
  const onAbort = () => dialler.stop(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await dialler.first;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

class RemoteStore extends StoreClient {
  readonly #stop: () => void;

  constructor(link: MemberLink, stop: () => void) {
    super(link);
    this.#stop = stop;
  }

  override async close(): Promise<void> {
    await super.close();
    this.#stop();
  }
}

class Dialler {
  readonly #options: RemoteStoreOptions;
  readonly #first = Promise.withResolvers<StoreClient>();
  #client: StoreClient | undefined;
  #next = 0;
  /** Attempts since a member answered anything. */
  #failures = 0;
  /** Addresses whose member, when last heard, would not speak this client's version. */
  readonly #refusing = new Set<string>();
  #isStopped = false;
  #link: MemberLink | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RemoteStoreOptions) {
    this.#options = options;
    this.#dial();
  }

  get first(): Promise<StoreClient> {
    return this.#first.promise;
  }

  stop(reason: unknown): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#link?.terminate();
    this.#first.reject(reason);
  }

  #dial(): void {
    const { addresses } = this.#options;
    const address = addresses[this.#next++ % addresses.length] ?? '';
    let isOpen = false;
    const link = new MemberLink(address, this.#options, {
      opened: () => {
        isOpen = true;
        this.#linked(link);
      },
      received: (frames) => {
        this.#failures = 0;
        this.#refusing.delete(address);
        this.#client?.receive(frames);
      },
      closed: (code, reason) => {
        if (isOpen) this.#client?.disconnected();
        if (code === CLOSE.version) this.#refused(address, reason);
        this.#retry();
      },
    });
    this.#link = link;
  }

  #linked(link: MemberLink): void {
    if (this.#client === undefined) {
      this.#client = new RemoteStore(link, () => this.stop(undefined));
      this.#first.resolve(this.#client);
    } else this.#client.connected(link);
  }

  /** A member of another version may be followed by one that is not there yet, in a rolling upgrade. */
  #refused(address: string, reason: string): void {
    this.#refusing.add(address);
    if (this.#refusing.size < new Set(this.#options.addresses).size) return;
    const error = new StoreError(
      'UNSUPPORTED',
      `no member speaks this client's version: ${reason}`,
    );
    this.#client?.end(error);
    this.stop(error);
  }

  #retry(): void {
    if (this.#isStopped) return;
    const waitMs = Math.min(DIAL_RETRY_MS_MAX, DIAL_RETRY_MS_MIN * 2 ** this.#failures++);
    this.#timer = setTimeout(() => this.#dial(), waitMs);
  }
}

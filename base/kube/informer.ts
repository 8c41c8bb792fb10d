/**
 * Informer: keeps an ObjectStore equal to one resource on the server and tells handlers of every
 * change (client-go's reflector and shared informer in one). It asks for a watch with initial events;
 * a server that refuses those gets LIST, then WATCH. A watch that ends goes on from the last
 * resourceVersion; 410 starts over, and what vanished meanwhile is told as deleted.
 *
 * Invariant: handlers see exactly the transitions of the store, in order, after the store changed.
 * Handlers are synchronous and must not throw: a throw is a programmer's error and ends run().
 */
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import {
  type KubeClient,
  KubeError,
  type KubeObject,
  type Resource,
  type WatchEvent,
} from './client.ts';
import { REFLECTOR_BACKOFF_MS_MAX, REFLECTOR_BACKOFF_MS_MIN } from './limits.ts';
import { keyOf } from './metadata.ts';
import { ObjectStore } from './object-store.ts';

export interface InformerIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

export interface InformerOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Keeps apiVersion, kind and metadata of every object and drops the rest. */
  readonly metadataOnly?: boolean | undefined;
}

export interface Handler<T> {
  readonly onAdd?: (object: T) => void;
  readonly onUpdate?: (object: T, old: T) => void;
  /** `object` is the last state known. */
  readonly onDelete?: (object: T) => void;
}

/** How a watch ended, when it was not by an error thrown. */
type WatchEnd = 'closed' | 'expired';

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';
const LIST_PAGE = 500;

export class Informer<T extends KubeObject> {
  readonly resource: Resource<T>;
  readonly store = new ObjectStore<T>();
  readonly #io: InformerIo;
  readonly #options: InformerOptions;
  readonly #handlers = new Set<Handler<T>>();
  readonly #syncWaiters = new Set<() => void>();
  #hasSynced = false;
  #useWatchList = true;
  /** Where the next watch starts; empty = everything must be read anew. */
  #resourceVersion = '';
  /** Set to be told that this watch delivered something, which resets the back-off. */
  #progressed = false;

  constructor(io: InformerIo, resource: Resource<T>, options: InformerOptions = {}) {
    this.#io = io;
    this.resource = resource;
    this.#options = options;
  }

  /** True once the store held a whole state of the server. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** A handler added late is told of what is there already. */
  addHandler(handler: Handler<T>): Disposable {
    this.#handlers.add(handler);
    for (const object of this.store.list()) handler.onAdd?.(object);
    return {
      [Symbol.dispose]: () => {
        this.#handlers.delete(handler);
      },
    };
  }

  waitForSync(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#hasSynced) {
        resolve();
        return;
      }
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        this.#syncWaiters.delete(onSync);
        reject(signal.reason);
      };
      const onSync = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#syncWaiters.add(onSync);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Runs until aborted. Rejects with the abort reason. */
  async run(signal: AbortSignal): Promise<never> {
    let backoffMs = REFLECTOR_BACKOFF_MS_MIN;
    for (;;) {
      this.#progressed = false;
      let failure: unknown;
      try {
        await this.#listAndWatch(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isTransient(error)) throw error;
        failure = error;
      }
      if (this.#progressed) backoffMs = REFLECTOR_BACKOFF_MS_MIN;
      if (failure !== undefined) {
        this.#io.log.debug('watch failed', {
          resource: this.resource.resource,
          error: errorText(failure),
          retryMs: backoffMs,
        });
      }
      // A watch that ended in order after delivering something is followed by the next at once.
      if (failure !== undefined || !this.#progressed) {
        await this.#io.clock.sleep(backoffMs * (0.5 + Math.random() / 2), signal);
        backoffMs = Math.min(backoffMs * 2, REFLECTOR_BACKOFF_MS_MAX);
      }
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<void> {
    if (this.#resourceVersion === '') {
      if (this.#useWatchList) {
        try {
          await this.#watchFromStart(signal);
          return;
        } catch (error) {
          if (!isRefusal(error)) throw error;
          this.#useWatchList = false; // A server without initial events: list from now on.
        }
      }
      await this.#list(signal);
    }
    this.#finishWatch(await this.#consume(this.#resourceVersion, undefined, signal));
  }

  async #watchFromStart(signal: AbortSignal): Promise<void> {
    this.#finishWatch(await this.#consume('', new Map(), signal));
  }

  #finishWatch(end: WatchEnd): void {
    if (end === 'expired') this.#resourceVersion = '';
  }

  async #list(signal: AbortSignal): Promise<void> {
    const all = new Map<string, T>();
    let token: string | undefined;
    do {
      const { namespace, labelSelector, fieldSelector } = this.#options;
      const page = await this.#io.client.list(
        this.resource,
        { namespace, labelSelector, fieldSelector, limit: LIST_PAGE, continue: token },
        signal,
      );
      for (const item of page.items) {
        const object = this.#transform(item);
        all.set(keyOf(object), object);
      }
      token = page.metadata.continue === '' ? undefined : page.metadata.continue;
      if (token === undefined) this.#replace(all, page.metadata.resourceVersion ?? '');
    } while (token !== undefined);
  }

  /**
   * One watch request. With `initial` it is a watch-list: objects gather there until the bookmark
   * that ends the initial events, then replace the store's contents.
   */
  async #consume(
    resourceVersion: string,
    initial: Map<string, T> | undefined,
    signal: AbortSignal,
  ): Promise<WatchEnd> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const events = this.#io.client.watch(
      this.resource,
      {
        namespace,
        labelSelector,
        fieldSelector,
        resourceVersion: initial === undefined ? resourceVersion : undefined,
        allowWatchBookmarks: true,
        timeoutSeconds: 300 + Math.floor(Math.random() * 300),
        ...(initial === undefined
          ? {}
          : { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' as const }),
      },
      signal,
    );
    let gathering = initial;
    for await (const event of events) {
      if (event.type === 'ERROR') {
        const error = new KubeError(event.object);
        if (error.code === 410) return 'expired';
        throw error;
      }
      this.#progressed = true;
      if (gathering === undefined) {
        this.#apply(event);
      } else if (event.type === 'BOOKMARK') {
        const { annotations, resourceVersion: at } = event.object.metadata;
        if (annotations?.[INITIAL_EVENTS_END] !== 'true') continue;
        this.#replace(gathering, at);
        gathering = undefined;
      } else {
        const object = this.#transform(event.object);
        if (event.type === 'DELETED') gathering.delete(keyOf(object));
        else gathering.set(keyOf(object), object);
      }
    }
    return 'closed';
  }

  #transform(object: T): T {
    object.apiVersion ??=
      this.resource.group === ''
        ? this.resource.version
        : `${this.resource.group}/${this.resource.version}`;
    object.kind ??= this.resource.kind;
    if (this.#options.metadataOnly !== true) return object;
    const { apiVersion, kind, metadata } = object;
    const { managedFields: _, ...kept } = metadata;
    return { apiVersion, kind, metadata: kept } as T; // Whoever asked for it reads no more.
  }

  #apply(event: Exclude<WatchEvent<T>, { type: 'ERROR' }>): void {
    this.#resourceVersion = event.object.metadata.resourceVersion;
    if (event.type === 'BOOKMARK') return;
    const object = this.#transform(event.object);
    if (event.type === 'DELETED') this.#remove(keyOf(object), object);
    else this.#put(object);
  }

  #put(object: T): void {
    const old = this.store.put(object);
    for (const handler of this.#handlers) {
      if (old === undefined) handler.onAdd?.(object);
      else if (old.metadata.uid !== object.metadata.uid) {
        // Deleted and created again while nobody watched.
        handler.onDelete?.(old);
        handler.onAdd?.(object);
      } else handler.onUpdate?.(object, old);
    }
  }

  /** `last` is the state at deletion as the server tells it, where it does. */
  #remove(key: string, last?: T): void {
    const old = this.store.remove(key);
    if (old === undefined) return;
    for (const handler of this.#handlers) handler.onDelete?.(last ?? old);
  }

  #replace(all: ReadonlyMap<string, T>, resourceVersion: string): void {
    for (const key of this.store.keys()) if (!all.has(key)) this.#remove(key);
    for (const [key, object] of all) {
      const old = this.store.getByKey(key);
      if (old?.metadata.resourceVersion === object.metadata.resourceVersion) continue;
      this.#put(object);
    }
    this.#resourceVersion = resourceVersion;
    this.#progressed = true;
    if (this.#hasSynced) return;
    this.#hasSynced = true;
    for (const wake of this.#syncWaiters) wake();
    this.#syncWaiters.clear();
  }
}

/** The server understood and declines initial events (or the old form of a parameter). */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && (error.code === 400 || error.code === 422);
}

/** What a later attempt may cure: everything but programmers' errors thrown by handlers. */
function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return !(error instanceof TypeError || error.name === 'AssertionFailed');
}

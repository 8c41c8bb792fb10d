/**
 * One watch of one client: turns cache events into wire frames under its selection, and pushes them
 * into the response. An event that brings an object into the selection is ADDED, one that takes it
 * out is DELETED.
 *
 * Initial events are written while the client keeps up, live ones wait behind them; a client that
 * leaves WATCH_BUFFER_BYTES_MAX unread is cut off and lists again. Every method runs to its end
 * synchronously, so no event can slip in between.
 */
import type { BodySink } from '../exchange.ts';
import type { EventEncoder } from '../encode/encoder.ts';
import { expired } from '../errors.ts';
import { WATCH_BUFFER_BYTES_MAX, WATCH_INITIAL_BYTES_MAX } from '../limits.ts';
import type { CachedObject } from './cached-object.ts';
import { type CacheEvent, deletedState, type EventReceiver } from './resource-cache.ts';
import type { Selection } from './selection.ts';

export interface WatcherOptions {
  readonly selection: Selection;
  readonly encoder: EventEncoder;
  /** States to show as ADDED before anything else. */
  readonly initial: readonly CachedObject[];
  /** Events between the client's position and the subscription. */
  readonly missed: readonly CacheEvent[];
  /** Written after `initial` with the marker of a watch-list, when set. */
  readonly initialEndsAt: number | undefined;
}

export class Watcher implements EventReceiver {
  readonly #sink: BodySink;
  readonly #selection: Selection;
  readonly #encoder: EventEncoder;
  #initial: readonly CachedObject[];
  #initialAt = 0;
  #initialEndsAt: number | undefined;
  /** Events that wait for the initial ones to be through; undefined once they are. */
  #waiting: CacheEvent[] | undefined;
  /** Of the objects in `#waiting`, which it keeps in memory. */
  #waitingBytes = 0;
  #frames: Uint8Array[] = [];
  #flushDue = false;
  #ended = false;

  constructor(sink: BodySink, options: WatcherOptions) {
    this.#sink = sink;
    this.#selection = options.selection;
    this.#encoder = options.encoder;
    this.#initial = options.initial;
    this.#initialEndsAt = options.initialEndsAt;
    this.#waiting = [...options.missed];
    sink.onDrain(() => this.#pumpInitial());
    this.#pumpInitial();
  }

  get hasSentInitial(): boolean {
    return this.#waiting === undefined;
  }

  onEvent(event: CacheEvent): void {
    if (this.#ended) return;
    if (this.#waiting === undefined) {
      this.#send(event);
      return;
    }
    this.#waiting.push(event);
    this.#waitingBytes += (event.current ?? event.previous)?.json.length ?? 0;
    if (this.#waitingBytes <= WATCH_BUFFER_BYTES_MAX) return;
    this.abandon();
    this.#sink.destroy();
  }

  onReset(): 'end' {
    this.end();
    return 'end';
  }

  bookmark(revision: number): void {
    if (this.#ended || this.#waiting !== undefined) return;
    this.#push(this.#encoder.bookmark(revision));
  }

  /** Ends the response in good order. */
  end(): void {
    if (this.#ended) return;
    this.#flush();
    this.#ended = true;
    this.#initial = [];
    this.#sink.end();
  }

  /** The client went away. */
  abandon(): void {
    this.#ended = true;
    this.#initial = [];
    this.#frames = [];
    this.#waiting = undefined;
  }

  #pumpInitial(): void {
    if (this.#waiting === undefined || this.#ended) return;
    while (this.#initialAt < this.#initial.length) {
      if (this.#sink.bufferedBytes > WATCH_INITIAL_BYTES_MAX) return; // Goes on when drained.
      const object = this.#initial[this.#initialAt++];
      if (object === undefined || !this.#selection.matches(object)) continue;
      this.#sink.write(this.#encoder.object('ADDED', object));
    }
    this.#initial = [];
    if (this.#initialEndsAt !== undefined) {
      const marker = { 'k8s.io/initial-events-end': 'true' };
      this.#sink.write(this.#encoder.bookmark(this.#initialEndsAt, marker));
      this.#initialEndsAt = undefined;
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const event of waiting) this.#send(event);
  }

  #send(event: CacheEvent): void {
    const { previous, current } = event;
    const was = previous !== undefined && this.#selection.matches(previous);
    const is = current !== undefined && this.#selection.matches(current);
    if (!was && !is) return;
    const type = !was ? 'ADDED' : is ? 'MODIFIED' : 'DELETED';
    const shared = this.#encoder.frameKey;
    if (shared === undefined) {
      this.#push(this.#frame(type, event));
      return;
    }
    const key = `${type} ${shared}`;
    let made = event.frames.get(key);
    if (made === undefined) {
      made = this.#frame(type, event);
      event.frames.set(key, made);
    }
    this.#push(made);
  }

  #frame(type: string, event: CacheEvent): Uint8Array {
    const shown = type === 'DELETED' ? deletedState(event) : event.current;
    return shown === undefined ? new Uint8Array() : this.#encoder.object(type, shown);
  }

  /** Frames of one turn of the event loop leave in one write. */
  #push(frame: Uint8Array): void {
    this.#frames.push(frame);
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#ended || this.#frames.length === 0) return;
    const [first] = this.#frames;
    const bytes = this.#frames.length === 1 && first ? first : Buffer.concat(this.#frames);
    this.#frames = [];
    if (this.#sink.bufferedBytes + bytes.length > WATCH_BUFFER_BYTES_MAX) {
      this.#ended = true;
      this.#sink.destroy();
      return;
    }
    this.#sink.write(bytes);
  }
}

/** The 410 of a watch that starts before the window; sent as an ERROR event. */
export function tooOld(revision: number, windowStart: number) {
  return expired(`too old resource version: ${revision} (${windowStart})`);
}

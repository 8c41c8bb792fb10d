/**
 * Writes core/v1 Events about objects, in the background and best effort: repetition is counted on
 * one object, floods are dropped, a failure to write is logged and forgotten. `run` is the writer.
 */
import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Event, ObjectReference } from './api/core-v1.gen.ts';
import { isKubeError, type KubeClient, type KubeObject, type Resource } from './client.ts';
import { EventCorrelator, type EventFacts, type EventIdentity } from './event-correlator.ts';
import { EVENT_QUEUE_MAX } from './limits.ts';
import { formatTime, objectReference } from './metadata.ts';

const EVENTS: Resource<Event> = {
  group: '',
  version: 'v1',
  resource: 'events',
  kind: 'Event',
  namespaced: true,
};

export interface EventRecorderIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
}

export interface EventSourceName {
  /** `kubelet`, `deployment-controller`, `default-scheduler`, ... */
  readonly component: string;
  readonly host?: string | undefined;
}

export interface ReportedEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly component?: string | undefined;
}

interface Queued {
  readonly facts: EventFacts;
  readonly atMs: number;
}

export class EventRecorder {
  readonly #io: EventRecorderIo;
  readonly #source: EventSourceName;
  readonly #correlator = new EventCorrelator();
  readonly #queue: Queued[] = [];
  #wake: (() => void) | undefined;

  constructor(io: EventRecorderIo, source: EventSourceName) {
    this.#io = io;
    this.#source = source;
  }

  /** Reports about an object, or a reference to one (a container: with fieldPath). */
  record(about: KubeObject | ObjectReference, event: ReportedEvent): void {
    if (this.#queue.length >= EVENT_QUEUE_MAX) return;
    const regarding = 'metadata' in about ? objectReference(about) : { ...about }; // A copy: it is kept.
    const { type, reason, message } = event;
    const component = event.component ?? this.#source.component;
    const text = message.length > 1024 ? `${message.slice(0, 1021)}...` : message;
    this.#queue.push({
      facts: { regarding, type, reason, message: text, component },
      atMs: this.#io.clock.nowMs(),
    });
    this.#wake?.();
  }

  /** Writes what is recorded until aborted. */
  async run(signal: AbortSignal): Promise<never> {
    const onAbort = () => this.#wake?.();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        const next = this.#queue.shift();
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
          continue;
        }
        await this.#write(next, signal);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #write({ facts, atMs }: Queued, signal: AbortSignal): Promise<void> {
    const decision = this.#correlator.decide(facts, atMs);
    if (decision.kind === 'drop') return;
    const { identity, message } = decision;
    try {
      if (identity.name !== undefined && (await this.#increase(facts, identity, message, signal))) {
        return;
      }
      await this.#create(facts, identity, message, signal);
    } catch (error) {
      signal.throwIfAborted();
      // A namespace that is being deleted takes no events; neither does a server that is away.
      this.#io.log.debug('event not written', { reason: facts.reason, error: errorText(error) });
    }
  }

  /** False when the earlier event is gone (its time to live is over). */
  async #increase(
    facts: EventFacts,
    identity: EventIdentity,
    message: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const at = { name: identity.name ?? '', namespace: eventNamespace(facts.regarding) };
    const body = { count: identity.count, lastTimestamp: this.#now(), message };
    try {
      await this.#io.client.patch(EVENTS, at, { type: 'strategic', body }, signal);
      return true;
    } catch (error) {
      if (isKubeError(error, 'NotFound')) return false;
      throw error;
    }
  }

  async #create(
    facts: EventFacts,
    identity: EventIdentity,
    message: string,
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#io.clock.nowMs();
    const { regarding, type, reason, component } = facts;
    // Upstream's form: the object's name and the time in hexadecimal; nanoseconds keep it unique.
    const unique = BigInt(nowMs) * 1_000_000n + BigInt(Math.floor(Math.random() * 1_000_000));
    const name = `${regarding.name}.${unique.toString(16)}`;
    const { host } = this.#source;
    await this.#io.client.create(
      EVENTS,
      {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace: eventNamespace(regarding) },
        involvedObject: regarding,
        type,
        reason,
        message,
        source: { component, ...(host === undefined ? {} : { host }) },
        firstTimestamp: formatTime(identity.firstMs),
        lastTimestamp: formatTime(nowMs),
        count: identity.count,
        reportingComponent: component,
        reportingInstance: host ?? '',
      },
      signal,
    );
    identity.name = name;
  }

  #now(): string {
    return formatTime(this.#io.clock.nowMs());
  }
}

function eventNamespace(regarding: ObjectReference): string {
  return regarding.namespace === undefined || regarding.namespace === ''
    ? 'default'
    : regarding.namespace;
}

/** What a load generator is told to do, and what it answers. */
import type { Percentiles } from './latencies.ts';
import type { Access } from './target.ts';

export interface Job {
  readonly access: Access;
  readonly operation: 'put' | 'get';
  readonly connections: number;
  /** Spread over the connections. */
  readonly clients: number;
  readonly seconds: number;
  /** Before it, not counted. */
  readonly warmUpSeconds: number;
  /**
   * Operations a second of an open loop, which begin on time whether earlier ones are answered or not;
   * 0 = closed loop: each client has one under way.
   */
  readonly rate: number;
  readonly keyCount: number;
  readonly valueBytes: number;
  /** Watches of all keys, on connections of their own, ten on each. */
  readonly watches: number;
}

export interface Result {
  readonly perSecond: number;
  /** Milliseconds; in an open loop from the moment at which the operation was due. */
  readonly latency: Percentiles;
  readonly failed: number;
  /** Events that reached the watches, per second, and how long after the put was sent. */
  readonly eventsPerSecond: number;
  readonly eventLatency: Percentiles;
}

export type Message =
  | { readonly kind: 'begun' }
  | { readonly kind: 'ended'; readonly result: Result };

/** The two stores under test, as a load generator and as the parts of the benchmark see them. */
import type { Credentials } from '#control/store/transport/tls.ts';

/** What a client needs to know to connect; goes to the load generator as JSON. */
export type Access =
  | {
      readonly kind: 'bareboat';
      readonly addresses: readonly string[];
      readonly credentials: Credentials;
      readonly memberKeys: readonly string[];
    }
  | {
      readonly kind: 'etcd';
      readonly addresses: readonly string[];
      /** PEM. */
      readonly ca: string;
      readonly credentials: Credentials;
    };

/** Three members as processes. */
export interface Group extends AsyncDisposable {
  readonly name: 'bareboat' | 'etcd';
  /** In the order of members. */
  readonly pids: readonly number[];
  /** For clients; the member that leads first. */
  access(): Promise<Access>;
  /** Number of the leader and its term; waits until one leads. */
  leader(): Promise<{ readonly number: number; readonly term: number }>;
  kill(number: number): Promise<void>;
  /** Ends a member in order. */
  stop(number: number): Promise<void>;
  /** Resolves when the member serves what it holds. */
  start(number: number): Promise<void>;
  /** Forgets all revisions but the last: every run begins with as much history. */
  compact(): Promise<void>;
}

/** One connection. */
export interface Session {
  put(key: string, value: Uint8Array): Promise<void>;
  /** All in one transaction. */
  putAll(keys: readonly string[], value: Uint8Array): Promise<void>;
  /** A linearizable read of one key. */
  get(key: string): Promise<void>;
  /** Calls `seen` with the value of every put below `prefix`, until the session ends. */
  watch(prefix: string, seen: (value: Uint8Array) => void): Promise<void>;
  close(): void;
}

const KEY_DIGITS = 11;

/** 40 bytes, like the names of objects. */
export function keyOf(number: number): string {
  return `/registry/configmaps/default/${String(number).padStart(KEY_DIGITS, '0')}`;
}

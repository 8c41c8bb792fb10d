/**
 * What main thread and store worker say to each other beside frames: binary messages are frames for
 * the client or the engine (codec/frame.ts), objects are the ones below.
 */
import type { LogLevel } from '#base/log.ts';
import type { MemberNetwork, MemberSettings } from './member-config.ts';
import { StoreError } from './port.ts';
import type { StoreErrorCode } from './port.ts';

/** Given to the worker at its start. */
export interface WorkerSettings {
  readonly dataDir: string;
  readonly settings: MemberSettings;
  readonly network: MemberNetwork | undefined;
  readonly logLevel: LogLevel;
}

export type ToWorker = Uint8Array | { readonly kind: 'close' };

export type FromWorker =
  | Uint8Array
  /** The store is open; frames may be sent. */
  | { readonly kind: 'opened' }
  /** The store could not open, or cannot go on. The worker ends. */
  | { readonly kind: 'failed'; readonly code: StoreErrorCode; readonly message: string };

/** An error's way through a message: what is not a StoreError failed for no reason of the caller. */
export function describeFailure(error: unknown): FromWorker {
  const code = error instanceof StoreError ? error.code : 'CLOSED';
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: 'failed', code, message: error instanceof StoreError ? error.message : text };
}

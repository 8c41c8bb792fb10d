/** Messages between attach.ts (main thread) and attach-worker.ts. `session` numbers are attach.ts's. */
import type { MessagePort } from 'node:worker_threads';

export interface AttachWorkerData {
  /** Becomes readable when the worker has messages: it sleeps in poll(2), not in the event loop. */
  readonly wakeFd: number;
  readonly port: MessagePort;
}

export type AttachCommand =
  | { readonly kind: 'open'; readonly session: number; readonly bundle: string }
  | { readonly kind: 'write'; readonly session: number; readonly data: Uint8Array }
  | { readonly kind: 'endInput'; readonly session: number }
  | { readonly kind: 'pause' | 'resume' | 'close'; readonly session: number }
  | { readonly kind: 'stop' };

export type AttachEvent =
  | { readonly kind: 'opened' | 'closed' | 'written'; readonly session: number }
  | { readonly kind: 'failed'; readonly session: number; readonly message: string }
  | {
      readonly kind: 'data';
      readonly session: number;
      readonly stream: 'stdout' | 'stderr';
      readonly data: Uint8Array;
    };

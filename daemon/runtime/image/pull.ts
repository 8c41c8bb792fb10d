/** What the image store asks of whoever fetches images from registries (registry-puller.ts). */
import type { RegistryAuth } from '../port.ts';
import type { Reference } from './reference.ts';

export interface PullRequest {
  readonly reference: Reference;
  readonly auth: RegistryAuth | undefined;
  /** For downloads under way; complete ones are `<hex>.blob`, partial ones `<hex>.part`. */
  readonly ingestDir: string;
  /** A config or manifest that the store has already. */
  readonly readKnown: (digest: string) => Buffer | undefined;
  /** For each layer of the stack: is it unpacked already. */
  readonly hasLayers: (diffIds: readonly string[]) => readonly boolean[];
}

export interface PulledImage {
  /** Of the image manifest, and of the index that led to it. */
  readonly digests: readonly string[];
  readonly manifestDigest: string;
  readonly manifestBytes: Buffer;
  readonly configDigest: string;
  readonly configBytes: Buffer;
  /** `blobPath` is empty for layers that need no fetching. */
  readonly layers: readonly { readonly diffId: string; readonly blobPath: string }[];
  readonly sizeBytes: number;
}

export interface Puller {
  pull(request: PullRequest, signal: AbortSignal): Promise<PulledImage>;
}

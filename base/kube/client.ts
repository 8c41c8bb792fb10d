/**
 * The client of the Kubernetes API that controllers, scheduler, kubelet and proxy share: typed by
 * resource tokens, over any KubeTransport. Errors are KubeError with the server's Status.
 */
import type { LabelSelector, ListMeta, ObjectMeta, Status } from './api/meta-v1.gen.ts';

/** What every stored object has. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** Names one resource of one API version; `T` is the type of its objects. */
export interface Resource<T extends KubeObject> {
  readonly group: string;
  readonly version: string;
  /** Plural, lower case, as in the URL. */
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set; carries `T`. */
  readonly $type?: T;
}

/** An object as a client writes it: the server fills in the rest of the metadata, and the status. */
export type Draft<T extends KubeObject> = Omit<T, 'metadata' | 'status'> & {
  metadata: Partial<ObjectMeta>;
  status?: unknown;
};

export interface ObjectName {
  readonly name: string;
  /** Absent or empty for cluster-scoped resources. */
  readonly namespace?: string | undefined;
}

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan' | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

export interface WatchOptions extends ListOptions {
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
}

export interface ListResult<T extends KubeObject> {
  readonly metadata: ListMeta;
  /** With apiVersion and kind filled in, although JSON lists leave them out. */
  readonly items: T[];
}

export type WatchEvent<T extends KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject }
  | { readonly type: 'ERROR'; readonly object: Status };

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
  readonly preconditions?: { uid?: string; resourceVersion?: string } | undefined;
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

export interface KubeClient {
  get<T extends KubeObject>(r: Resource<T>, at: ObjectName, signal: AbortSignal): Promise<T>;
  list<T extends KubeObject>(
    r: Resource<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): Promise<ListResult<T>>;
  create<T extends KubeObject>(r: Resource<T>, object: Draft<T>, signal: AbortSignal): Promise<T>;
  update<T extends KubeObject>(r: Resource<T>, object: T, signal: AbortSignal): Promise<T>;
  updateStatus<T extends KubeObject>(r: Resource<T>, object: T, signal: AbortSignal): Promise<T>;
  patch<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName & { readonly subresource?: string | undefined },
    patch: {
      readonly type: PatchType;
      readonly body: unknown;
      readonly fieldManager?: string;
      readonly force?: boolean;
    },
    signal: AbortSignal,
  ): Promise<T>;
  delete<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<void>;
  /** POST to a subresource (binding, eviction, token); resolves to the server's answer. */
  createSubresource<T extends KubeObject>(
    r: Resource<T>,
    at: ObjectName & { readonly subresource: string },
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown>;
  /** One watch request; ends when the server closes it. Reflectors reconnect, this does not. */
  watch<T extends KubeObject>(
    r: Resource<T>,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** Any other request, JSON in and out. */
  raw(request: RawRequest, signal: AbortSignal): Promise<unknown>;
}

export interface RawRequest {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly body?: unknown;
}

/**
 * How requests reach an API server: HTTPS from other processes, a MessagePort from workers of the
 * control process. Bodies are bytes; `body` of the response ends when the request is done.
 */
export interface KubeTransport {
  send(request: TransportRequest, signal: AbortSignal): Promise<TransportResponse>;
  close(): Promise<void>;
}

export interface TransportRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

export interface TransportResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}

/** The server answered with a failure Status (API conventions, "Response Status Kind"). */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: number;
  /** `NotFound`, `AlreadyExists`, `Conflict`, ... as in the Status. */
  readonly reason: string;
  readonly status: Status;

  constructor(status: Status) {
    super(status.message ?? status.reason ?? `status ${status.code}`);
    this.code = status.code ?? 500;
    this.reason = status.reason ?? '';
    this.status = status;
  }
}

/** True when `error` is a KubeError of one of `reasons`. */
export function isKubeError(error: unknown, ...reasons: string[]): error is KubeError {
  return error instanceof KubeError && (reasons.length === 0 || reasons.includes(error.reason));
}

export type { LabelSelector, ListMeta, ObjectMeta, Status };

/**
 * Single-object transactions on the store, guarded by the revision that the caller saw. A write may
 * carry further guarded operations (`Extra`), such as the claim of a cluster IP, that happen with
 * it or not at all.
 */
import type {
  Compare,
  KeyValue,
  LeaseId,
  Operation,
  Store,
  TxnResponse,
} from '#control/store/store.ts';
import { StoreError } from '#control/store/store.ts';
import {
  ApiError,
  internalError,
  plainError,
  requestEntityTooLarge,
  serviceUnavailable,
} from '../errors.ts';

export interface Extra {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
  readonly leaseId?: LeaseId | undefined;
}

export type WriteResult =
  | { readonly kind: 'written'; readonly revision: number }
  /** The key's revision was another; `current` is what is there, or nothing. */
  | { readonly kind: 'changed'; readonly current: KeyValue | undefined }
  /** The object was as expected, a comparison of `Extra` was not. */
  | { readonly kind: 'extraFailed' };

const NONE: Extra = { compare: [], operations: [] };

export class ObjectStorage {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Expects no such key. */
  create(key: string, value: Uint8Array, signal: AbortSignal, extra = NONE): Promise<WriteResult> {
    return this.#write({ key, revision: 0, value, extra }, signal);
  }

  /** `isDeleting`: of an object whose deletion is under way, or begins with this. */
  update(
    at: { key: string; revision: number; isDeleting?: boolean },
    value: Uint8Array,
    signal: AbortSignal,
    extra = NONE,
  ): Promise<WriteResult> {
    return this.#write({ ...at, value, extra }, signal);
  }

  delete(
    at: { key: string; revision: number },
    signal: AbortSignal,
    extra = NONE,
  ): Promise<WriteResult> {
    return this.#write({ ...at, value: undefined, extra }, signal);
  }

  async #write(
    write: {
      key: string;
      revision: number;
      value: Uint8Array | undefined;
      extra: Extra;
      isDeleting?: boolean;
    },
    signal: AbortSignal,
  ): Promise<WriteResult> {
    const { key, revision, value, extra } = write;
    const operation: Operation =
      value === undefined
        ? { kind: 'deleteRange', request: { key } }
        : { kind: 'put', request: { key, value, leaseId: extra.leaseId } };
    let response: TxnResponse;
    try {
      response = await this.#store.txn(
        {
          compare: [{ key, target: 'mod', result: '=', value: revision }, ...extra.compare],
          success: [operation, ...extra.operations],
          failure: [{ kind: 'range', request: { key } }],
          isRelief: write.isDeleting,
        },
        signal,
      );
    } catch (error) {
      throw storeFailure(error);
    }
    if (response.succeeded) return { kind: 'written', revision: response.revision };
    const found = response.results[0];
    const current = found?.kind === 'range' ? found.response.kvs[0] : undefined;
    if ((current?.modRevision ?? 0) === revision) return { kind: 'extraFailed' };
    return { kind: 'changed', current };
  }
}

/** What the store's failure means to a client. */
export function storeFailure(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  switch (error.code) {
    case 'TOO_LARGE':
      return new ApiError(requestEntityTooLarge('etcdserver: request is too large').status, {
        cause: error,
      });
    case 'NO_SPACE':
      // What etcd says, and upstream hands on; clients look for this text.
      return new ApiError(plainError('etcdserver: mvcc: database space exceeded').status, {
        cause: error,
      });
    case 'UNAVAILABLE':
    case 'CLOSED':
      return new ApiError(serviceUnavailable(error.message).status, { cause: error });
    default:
      return internalError(error.message, { cause: error });
  }
}

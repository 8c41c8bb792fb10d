/** The operating error of net/pod. */

export type PodNetworkErrorCode =
  /** Every address of the node's prefix is in use. */
  | 'ADDRESSES_EXHAUSTED'
  /** The namespace to attach does not exist. */
  | 'NETNS_MISSING'
  | 'INVALID_CONFIG'
  /** The kernel refused a link, address, route, sysctl or rule; see `cause`. */
  | 'KERNEL_REFUSED';

export class PodNetworkError extends Error {
  override readonly name = 'PodNetworkError';
  readonly code: PodNetworkErrorCode;

  constructor(code: PodNetworkErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
  }
}

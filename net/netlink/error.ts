/** The operating error of net/netlink: what the kernel refused, with errno's name and its own words. */
import { constants } from 'node:os';

export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  /** Name of the errno (`EEXIST`), as in node:fs, so that `isErrno` narrows it. */
  readonly code: string;
  readonly errno: number;
  /** The kernel's extended acknowledgement (NLMSGERR_ATTR_MSG), or empty. */
  readonly extack: string;

  constructor(operation: string, errno: number, extack = '') {
    const code = errnoName(errno);
    super(`${operation}: ${code}${extack === '' ? '' : ` (${extack})`}`);
    this.code = code;
    this.errno = errno;
    this.extack = extack;
  }
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `E${errno}`;
}

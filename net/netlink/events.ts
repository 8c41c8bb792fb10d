/**
 * Notifications of the kernel: link, address and route changes, or any netlink group. A read of the
 * socket waits in one thread of libuv's pool; closing wakes it by asking the kernel something on
 * the same socket. When the kernel drops notifications (ENOBUFS) or sends what cannot be read,
 * the listener is told `lost` and lists again: events are hints, the lists are the truth.
 */
import { close, read } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { send } from '#base/linux/syscall.ts';
import { EVENT_BYTES_MAX } from './limits.ts';
import { RTM, formatLinkQuery } from './link-codec.ts';
import { NLM_F, type NetlinkMessage, parseMessages } from './reader.ts';
import { NETLINK, openNetlink } from './socket.ts';
import { NetlinkWriter } from './writer.ts';

/** RTNLGRP_* of include/uapi/linux/rtnetlink.h. */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
} as const;

export type NetlinkNotice =
  | { readonly kind: 'messages'; readonly messages: readonly NetlinkMessage[] }
  /** Some notifications are missing: list everything again. */
  | { readonly kind: 'lost' };

/**
 * Calls `listener` for every datagram of the groups until disposed. The namespace is the calling
 * thread's at the call. An error that ends the reading is given to `onEnd` (never after disposal).
 */
export function subscribeRoute(
  what: { readonly groups: readonly number[]; readonly bufferBytes?: number },
  listener: (notice: NetlinkNotice) => void,
  onEnd: (error: Error) => void,
): Disposable {
  const fd = openNetlink(NETLINK.ROUTE, what);
  const buffer = new Uint8Array(EVENT_BYTES_MAX);
  let disposed = false;
  const wait = () => {
    read(fd, buffer, 0, buffer.length, null, (error, length) => {
      if (disposed) {
        close(fd);
        return;
      }
      if (error !== null && !isErrno(error, 'ENOBUFS', 'EINTR', 'EAGAIN')) {
        disposed = true;
        close(fd);
        onEnd(error);
        return;
      }
      if (error === null) listener(noticeOf(buffer.slice(0, length)));
      else if (isErrno(error, 'ENOBUFS')) listener({ kind: 'lost' });
      wait();
    });
  };
  wait();
  return {
    [Symbol.dispose]() {
      if (disposed) return;
      disposed = true;
      // The answer ends the pending read, whose callback closes the socket.
      const writer = new NetlinkWriter();
      writer.message({ type: RTM.GETLINK, flags: NLM_F.REQUEST }, () =>
        formatLinkQuery(writer, 'lo'),
      );
      send(fd, writer.bytes);
    },
  };
}

function noticeOf(bytes: Uint8Array): NetlinkNotice {
  try {
    return { kind: 'messages', messages: parseMessages(bytes) };
  } catch {
    return { kind: 'lost' }; // Longer than the buffer: as good as not received.
  }
}

/**
 * Notifications of the kernel: link, address and route changes, and kobject uevents. A read of the
 * socket waits in one thread of libuv's pool (processes that subscribe raise UV_THREADPOOL_SIZE);
 * closing wakes it by asking the kernel something on the same socket. When the kernel drops notifications (ENOBUFS) or sends what cannot be read,
 * the listener is told `lost` and lists again: events are hints, the lists are the truth.
 */
import { close, read } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { connect, getsockname, send } from '#base/linux/syscall.ts';
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
  return readEvents(fd, {
    onBytes: (bytes) => listener(noticeOf(bytes)),
    onLost: () => listener({ kind: 'lost' }),
    onEnd,
    // The answer ends the pending read.
    wake: () => {
      const writer = new NetlinkWriter();
      writer.message({ type: RTM.GETLINK, flags: NLM_F.REQUEST }, () =>
        formatLinkQuery(writer, 'lo'),
      );
      send(fd, writer.bytes);
    },
  });
}

/** A kobject uevent as the kernel sent it, or word that some are missing: look at everything again. */
export type UeventNotice =
  | { readonly kind: 'uevent'; readonly bytes: Uint8Array }
  | { readonly kind: 'lost' };

/** The same for the kernel's kobject uevents (lib/kobject_uevent.c): devices that come, go and change. */
export function subscribeUevents(
  listener: (notice: UeventNotice) => void,
  onEnd: (error: Error) => void,
): Disposable {
  const fd = openNetlink(NETLINK.KOBJECT_UEVENT, { groups: [UEVENT_GROUP_KERNEL] });
  return readEvents(fd, {
    onBytes: (bytes) => listener({ kind: 'uevent', bytes }),
    onLost: () => listener({ kind: 'lost' }),
    onEnd,
    // The kernel answers nothing here: a word to itself ends the pending read.
    wake: () => {
      connect(fd, getsockname(fd));
      send(fd, Uint8Array.of(0));
    },
  });
}

/** 2 would be udev's own messages. */
const UEVENT_GROUP_KERNEL = 1;

interface EventReader {
  readonly onBytes: (bytes: Uint8Array) => void;
  readonly onLost: () => void;
  readonly onEnd: (error: Error) => void;
  readonly wake: () => void;
}

/** Reads until disposed, or until an error ends it; closes `fd`. */
function readEvents(fd: number, reader: EventReader): Disposable {
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
        reader.onEnd(error);
        return;
      }
      if (error === null) reader.onBytes(buffer.slice(0, length));
      else if (isErrno(error, 'ENOBUFS')) reader.onLost();
      wait();
    });
  };
  wait();
  return {
    [Symbol.dispose]() {
      if (disposed) return;
      disposed = true;
      reader.wake();
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

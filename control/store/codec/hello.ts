/**
 * The first message of either side on a socket between members. Nothing else is read before it.
 *
 *   hello = u32 "BBPH", u8 layout, u8 class of socket, group id, sender, receiver, last index, last term,
 *           version, oldest version spoken, version of the group (versions.ts)
 *
 * The group and both members are named, so that a wrong address is noticed; the end of the log shows a
 * disk that was set back (reference/store.md section 8, rule 2).
 */
import { unknownVersion } from '../versions.ts';
import type { SpokenVersions } from '../versions.ts';
import { ByteWriter } from './bytes.ts';
import type { ByteReader } from './bytes.ts';

/** Of the hello alone: it says which messages follow. */
const HELLO_LAYOUT = 2;
const HELLO_MAGIC = 0x48504242;

/** Sockets of a pair of members: none of them waits behind the bytes of another. */
export const SOCKET_CLASSES = ['control', 'append', 'bulk'] as const;
export type SocketClass = (typeof SOCKET_CLASSES)[number];

export interface Hello extends SpokenVersions {
  readonly socketClass: SocketClass;
  readonly groupId: number;
  readonly from: number;
  readonly to: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

export function encodeHello(hello: Hello): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(64);
  out.u32(HELLO_MAGIC);
  out.u8(HELLO_LAYOUT);
  out.u8(SOCKET_CLASSES.indexOf(hello.socketClass));
  out.varint(hello.groupId);
  out.varint(hello.from);
  out.varint(hello.to);
  out.varint(hello.lastIndex);
  out.varint(hello.lastTerm);
  out.varint(hello.version);
  out.varint(hello.versionMin);
  out.varint(hello.groupVersion);
  return out.take();
}

/** Throws RangeError for what is no hello, StoreError UNSUPPORTED for one of another layout. */
export function decodeHello(input: ByteReader): Hello {
  if (input.u32() !== HELLO_MAGIC) throw new RangeError('hello has no magic number');
  const layout = input.u8();
  if (layout !== HELLO_LAYOUT) throw unknownVersion('hello', layout, HELLO_LAYOUT);
  const socketClass = SOCKET_CLASSES[input.u8()];
  if (socketClass === undefined) throw new RangeError('hello is for no class of socket');
  const groupId = input.varint();
  const from = input.varint();
  const to = input.varint();
  const lastIndex = input.varint();
  const lastTerm = input.varint();
  const version = input.varint();
  const versionMin = input.varint();
  const versions = { version, versionMin, groupVersion: input.varint() };
  const hello = { socketClass, groupId, from, to, lastIndex, lastTerm, ...versions };
  if (input.remaining > 0) throw new RangeError('hello is too long');
  return hello;
}

/**
 * What the guest of the power cuts tells its host: pages written to a second disk, served by the same
 * process as the disk under test, so that the host knows which of both machines' requests came first. The
 * same disk begins with the guest's program.
 *
 *   u32 kind | u32 count | u32 × count; or for `failed` bytes of text
 */
import { assert } from '#base/assert.ts';

export const PROGRAM_BYTES_MAX = 4 * 1024 * 1024;
export const MESSAGE_BYTES = 4096;
export const CONTROL_BYTES = PROGRAM_BYTES_MAX + MESSAGE_BYTES;
export const NUMBERS_MAX = (MESSAGE_BYTES - 8) / 4;

const KINDS = ['acknowledged', 'kept', 'formatted', 'ready', 'failed'] as const;

export type GuestMessage =
  /** Numbers of writes that the store acknowledged. */
  | { readonly kind: 'acknowledged'; readonly numbers: readonly number[] }
  /** Ranges (first, last, first, last...) of numbers found in the store at its start. */
  | { readonly kind: 'kept'; readonly numbers: readonly number[] }
  /** The filesystem is there. */
  | { readonly kind: 'formatted'; readonly numbers: readonly [] }
  /** All of `kept` was sent; writing begins. */
  | { readonly kind: 'ready'; readonly numbers: readonly number[] }
  | { readonly kind: 'failed'; readonly text: string };

export function encodeMessage(message: GuestMessage): Buffer {
  const page = Buffer.alloc(MESSAGE_BYTES);
  page.writeUInt32LE(KINDS.indexOf(message.kind) + 1, 0);
  if (message.kind === 'failed') {
    page.writeUInt32LE(page.write(message.text, 8), 4);
  } else {
    assert(message.numbers.length <= NUMBERS_MAX, 'the numbers fit a page');
    page.writeUInt32LE(message.numbers.length, 4);
    for (const [i, number] of message.numbers.entries()) page.writeUInt32LE(number, 8 + 4 * i);
  }
  return page;
}

export function decodeMessage(page: Buffer): GuestMessage {
  const kind = KINDS[page.readUInt32LE(0) - 1];
  const count = page.readUInt32LE(4);
  assert(kind !== undefined, 'a page holds a message');
  if (kind === 'failed') return { kind, text: page.toString('utf8', 8, 8 + count) };
  if (kind === 'formatted') return { kind, numbers: [] };
  return { kind, numbers: Array.from({ length: count }, (_, i) => page.readUInt32LE(8 + 4 * i)) };
}

/** Key and value of a write: what is kept can be told from its number alone. */
export function keyOf(number: number): string {
  return `k${String(number).padStart(9, '0')}`;
}

/** Mostly small, some of several blocks. */
export function valueOf(number: number): Buffer {
  const mixed = Math.imul(number + 1, 0x9e3779b1) >>> 0;
  const length = mixed % 37 === 0 ? 20_000 : 40 + (mixed % 700);
  return Buffer.alloc(length, `${number} `);
}

/** Often new segments, checkpoints and files that go. */
export const STORE_SETTINGS = {
  checkpointLogBytes: 400_000,
  segmentBytes: 256 * 1024,
  preallocateBytes: 64 * 1024,
  ballastPieceBytes: 256 * 1024,
  logTailEntries: 50,
} as const;

/**
 * Decoder of the parts of commands and range requests (layout: command.ts). Byte strings are views on
 * the input. Input that ends early is a RangeError, an unknown kind StoreError UNSUPPORTED.
 */
import type { ByteRange } from '../mvcc/byte-range.ts';
import { StoreError } from '../port.ts';
import { SOFTWARE } from '../software.ts';
import type { Software } from '../software.ts';
import { VERSION_MIN, unknownVersion } from '../versions.ts';
import type { ByteReader } from './bytes.ts';
import { OP, RESULTS, TARGETS } from './command.ts';
import type { Origin } from './command.ts';

export interface RangeBody {
  readonly range: ByteRange;
  /** 0 = latest. */
  readonly revision: number;
  readonly limit: number;
  readonly flags: number;
}

export type DecodedCompare = {
  readonly result: (typeof RESULTS)[number];
  readonly key: Uint8Array;
} & (
  | { readonly target: 'value'; readonly value: Uint8Array }
  | { readonly target: 'mod' | 'create' | 'version' | 'lease'; readonly value: number }
);

export type DecodedOperation =
  | { readonly kind: typeof OP.range; readonly body: RangeBody }
  | {
      readonly kind: typeof OP.put;
      readonly key: Uint8Array;
      readonly value: Uint8Array;
      readonly lease: number;
      readonly wantsPrevious: boolean;
    }
  | {
      readonly kind: typeof OP.deleteRange;
      readonly range: ByteRange;
      readonly wantsPrevious: boolean;
    };

export interface CommandHead extends Origin {
  readonly kind: number;
}

/** Throws StoreError UNSUPPORTED for a command that this software, run as this version, does not know. */
export function readCommandHead(
  input: ByteReader,
  software: Software = SOFTWARE,
  runsAs = software.version,
): CommandHead {
  const version = input.u8();
  const kind = input.u8();
  if (version > runsAs || version < VERSION_MIN) throw unknownVersion('command', version, runsAs);
  if (software.commands[kind]?.includes(version) !== true) {
    throw new StoreError('UNSUPPORTED', `command has unknown kind ${kind} of version ${version}`);
  }
  const session = input.varint();
  return { kind, session, sequence: input.varint() };
}

/** The end `\0` (no upper bound) becomes the empty end. */
export function readKeyRange(input: ByteReader): ByteRange {
  const start = input.bytesView();
  if (input.u8() === 0) return { start, end: undefined };
  const end = input.bytesView();
  return { start, end: end.length === 1 && end[0] === 0 ? end.subarray(1) : end };
}

export function readRangeBody(input: ByteReader): RangeBody {
  const range = readKeyRange(input);
  const revision = input.varint();
  const limit = input.varint();
  return { range, revision, limit, flags: input.u8() };
}

export function readCompare(input: ByteReader): DecodedCompare {
  const target = TARGETS[input.u8()];
  const result = RESULTS[input.u8()];
  if (target === undefined || result === undefined) {
    throw new StoreError('UNSUPPORTED', 'comparison is of an unknown kind');
  }
  const key = input.bytesView();
  if (target === 'value') return { target, result, key, value: input.bytesView() };
  return { target, result, key, value: input.varint() };
}

export function readOperation(input: ByteReader): DecodedOperation {
  const kind = input.u8();
  if (kind === OP.range) return { kind, body: readRangeBody(input) };
  if (kind === OP.put) {
    const key = input.bytesView();
    const value = input.bytesView();
    const lease = input.varint();
    return { kind, key, value, lease, wantsPrevious: input.u8() === 1 };
  }
  if (kind === OP.deleteRange) {
    const range = readKeyRange(input);
    return { kind, range, wantsPrevious: input.u8() === 1 };
  }
  throw new StoreError('UNSUPPORTED', `operation has unknown kind ${kind}`);
}

/**
 * What is fuzzed: for each decoder a maker of valid messages, the decoder, and which errors it may throw.
 * `encode` writes what was decoded again: what a decoder takes must survive that.
 */
import { ByteReader } from '#control/store/codec/bytes.ts';
import { checkRequests } from '#control/store/codec/check-request.ts';
import { decodeHello, encodeHello } from '#control/store/codec/hello.ts';
import { decodePeerMessage, encodePeerMessage } from '#control/store/codec/peer.ts';
import { readMemberRequest, writeMemberRequest } from '#control/store/codec/roster.ts';
import { StoreError } from '#control/store/port.ts';
import type { StoreErrorCode } from '#control/store/port.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { checkpointTargets } from './checkpoint-targets.ts';
import { NotingWriter, sampleOf } from './fields.ts';
import type { Sample } from './fields.ts';
import { hello, memberRequest, peerMessage, requests } from './messages.ts';
import { REPLIES } from './replies.ts';
import { walTargets } from './wal-targets.ts';

export interface Target {
  readonly name: string;
  /** Of a hundred inputs. */
  readonly share: number;
  /** Beside RangeError, if that is one; codes of StoreError. */
  readonly codes: readonly StoreErrorCode[];
  readonly isRangeErrorMeant: boolean;
  readonly make: (random: SeededRandom) => Sample;
  /** Throws what it refuses. */
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly encode?: (decoded: unknown) => Uint8Array;
  /** Mutates what `make` made, where damage alone would be found by a checksum. */
  readonly seal?: (bytes: Uint8Array) => Uint8Array;
  /** Bytes that decoding may allocate for a byte of input, and for a message, errors included. */
  readonly allocation?: { readonly perByte: number; readonly perInput: number };
}

const network = { codes: ['UNSUPPORTED'], isRangeErrorMeant: true } as const;

const replies: Target[] = REPLIES.map(({ read, write }) => ({
  name: read.name,
  share: 2,
  ...network,
  make: (random) => {
    const out = new NotingWriter();
    write(out, random);
    return out.sample();
  },
  decode: (bytes) => read(new ByteReader(bytes)),
}));

export const TARGETS: readonly Target[] = [
  {
    name: 'decodePeerMessage',
    share: 36,
    ...network,
    make: (random) => sampleOf(encodePeerMessage(peerMessage(random)), decodePeerMessage),
    decode: (bytes) => decodePeerMessage(new ByteReader(bytes)),
    encode: (decoded) => encodePeerMessage(decoded as ReturnType<typeof decodePeerMessage>), // Its own.
  },
  {
    name: 'decodeHello',
    share: 8,
    ...network,
    make: (random) => sampleOf(encodeHello(hello(random)), decodeHello),
    decode: (bytes) => decodeHello(new ByteReader(bytes)),
    encode: (decoded) => encodeHello(decoded as ReturnType<typeof decodeHello>), // Its own.
  },
  {
    name: 'checkRequests',
    share: 26,
    ...network,
    make: requests,
    decode: checkRequests,
  },
  {
    name: 'readMemberRequest',
    share: 4,
    ...network,
    make: (random) => {
      const out = new NotingWriter();
      writeMemberRequest(out, memberRequest(random));
      return out.sample();
    },
    decode: (bytes) => readMemberRequest(new ByteReader(bytes)),
    encode: (decoded) => {
      const out = new NotingWriter();
      writeMemberRequest(out, decoded as ReturnType<typeof readMemberRequest>); // Its own.
      return out.take();
    },
  },
  ...replies,
  ...walTargets,
  ...checkpointTargets,
];

/** Whether a decoder of this target may throw that. */
export function isMeant(target: Target, error: unknown): boolean {
  if (error instanceof StoreError) return target.codes.includes(error.code);
  return target.isRangeErrorMeant && error instanceof RangeError && !isEngineError(error);
}

/** V8 has RangeErrors of its own: an array or a stack that grew too large is no refusal. */
function isEngineError(error: RangeError): boolean {
  return /^(Invalid (array|typed array|string|count)|Maximum call stack|Array buffer allocation|Offset|Start offset|.* out of (range|bounds))/i.test(
    error.message,
  );
}

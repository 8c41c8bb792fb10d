/**
 * Damages a valid message where it hurts: numbers and counts at their borders, lengths that lie, fields that
 * go, come twice, come a thousand times or from another message, bits that flip, ends that are missing.
 */
import { ByteWriter } from '#control/store/codec/bytes.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { Field, Sample } from './fields.ts';

/** Unsafe ones are written byte by byte. */
const NUMBERS = [0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 1024, 65_536, 2 ** 28 - 1];
const LARGE = [2 ** 28, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53 - 1];
/** 2^53, 2^56 - 1, one that never ends, a padded zero. */
const ODD = [
  '80808080808080 10',
  'ffffffffffffff 7f',
  'ffffffffffffffff ff',
  '80808080808080 00',
].map((text) => Buffer.from(text.replace(' ', ''), 'hex'));
const REPEATED_BYTES_MAX = 64 * 1024;

export function mutate(sample: Sample, other: Sample, random: SeededRandom): Uint8Array {
  let { bytes } = sample;
  const { fields } = sample;
  if (fields.length === 0) return random.chance(0.5) ? bytes : randomBytes(random);
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const count = 1 + random.below(3);
      const chosen = new Set(Array.from({ length: count }, () => random.pick(fields)));
      // Later fields first, so that the places of earlier ones stay.
      for (const field of [...chosen].toSorted((a, b) => b.start - a.start)) {
        bytes = splice(bytes, field.start, field.end, fieldValue(bytes, field, random));
      }
      return bytes;
    }
    case 4:
      return flip(bytes, random);
    case 5:
      return bytes.subarray(0, random.below(bytes.length + 1));
    case 6:
      return Buffer.concat([bytes, randomBytes(random)]);
    case 7:
      return without(bytes, random.pick(fields));
    case 8:
      return repeated(bytes, fields, random);
    case 9:
    case 10:
      return spliced(sample, other, random);
    default:
      return random.chance(0.1) ? randomBytes(random) : flip(flip(bytes, random), random);
  }
}

function fieldValue(bytes: Uint8Array, field: Field, random: SeededRandom): Uint8Array {
  const out = new ByteWriter(16);
  switch (field.kind) {
    case 'u8':
      out.u8(random.chance(0.5) ? random.below(30) : random.below(256));
      break;
    case 'u32':
      out.u32(
        random.chance(0.3) ? random.pick(LARGE) % 2 ** 32 : random.below(1 << random.below(18)),
      );
      break;
    case 'varint':
      if (random.chance(0.15)) return random.pick(ODD);
      out.varint(random.pick(random.chance(0.5) ? NUMBERS : LARGE));
      break;
    default: {
      const raw = Uint8Array.from(bytes.subarray(field.start, field.end));
      if (raw.length > 0) raw[random.below(raw.length)] = random.below(256);
      return random.chance(0.5) ? raw : raw.subarray(0, random.below(raw.length + 1));
    }
  }
  return out.take();
}

function flip(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  if (bytes.length === 0) return bytes;
  const flipped = Uint8Array.from(bytes); // slice() of a Buffer is a view.
  const at = random.below(flipped.length);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
  return flipped;
}

function without(bytes: Uint8Array, { start, end }: Field): Uint8Array {
  return splice(bytes, start, end, new Uint8Array());
}

/** A run of fields, twice or very often. */
function repeated(bytes: Uint8Array, fields: readonly Field[], random: SeededRandom): Uint8Array {
  const first = random.below(fields.length);
  const last = Math.min(fields.length - 1, first + random.below(6));
  const [start, end] = [fields[first]?.start ?? 0, fields[last]?.end ?? 0];
  const run = bytes.subarray(start, end);
  const most = Math.floor(REPEATED_BYTES_MAX / Math.max(1, run.length));
  const times = random.chance(0.02) ? random.below(most) : random.below(5);
  return splice(bytes, end, end, Buffer.concat(Array.from({ length: times }, () => run)));
}

function spliced(one: Sample, other: Sample, random: SeededRandom): Uint8Array {
  if (other.fields.length === 0) return one.bytes;
  const from = random.pick(one.fields).start;
  const to = random.pick(other.fields).start;
  return Buffer.concat([one.bytes.subarray(0, from), other.bytes.subarray(to)]);
}

function splice(bytes: Uint8Array, start: number, end: number, middle: Uint8Array): Uint8Array {
  const out = new Uint8Array(start + middle.length + bytes.length - end);
  out.set(bytes.subarray(0, start));
  out.set(middle, start);
  out.set(bytes.subarray(end), start + middle.length);
  return out;
}

function randomBytes(random: SeededRandom): Uint8Array {
  return Uint8Array.from({ length: random.below(40) }, () => random.below(256));
}

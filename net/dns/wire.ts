/**
 * What the forwarder reads and changes in messages without decoding them (RFC 1035 4.1): identifiers,
 * flags, the question, and the times to live of records. Answers of upstream servers pass as they
 * came, record types unknown to us included. Pure; malformed messages give undefined.
 *
 *   u16 id | u16 flags | u16 questions | u16 answers | u16 authorities | u16 additionals
 *   record: name | u16 type | u16 class | u32 ttl | u16 length | data
 */

const HEADER_BYTES = 12;
const TYPE_SOA = 6;
const TYPE_OPT = 41;
export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;
const RCODE_MASK = 0x000f;
const RCODE_NXDOMAIN = 3;

export interface WireRecord {
  readonly type: number;
  readonly section: 'answer' | 'authority' | 'additional';
  readonly ttlOffset: number;
  readonly ttl: number;
  /** Only of SOA records: how long an absence may be remembered (RFC 2308). */
  readonly minimum: number | undefined;
}

export interface WireMessage {
  readonly id: number;
  readonly flags: number;
  /** End of the question section. */
  readonly questionEnd: number;
  readonly records: readonly WireRecord[];
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Offset behind a name; undefined when it runs out of the message. */
function skipName(bytes: Uint8Array, start: number): number | undefined {
  for (let at = start; at < bytes.length; ) {
    const length = bytes[at] ?? 0;
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
    if ((length & 0xc0) !== 0) return undefined;
    at += length + 1;
  }
  return undefined;
}

export function parseWire(bytes: Uint8Array): WireMessage | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) =>
    view.getUint16(at),
  );
  let at: number | undefined = HEADER_BYTES;
  for (let i = 0; i < (questions ?? 0); i++) {
    at = skipName(bytes, at);
    if (at === undefined || at + 4 > bytes.length) return undefined;
    at += 4;
  }
  const questionEnd = at;
  const records: WireRecord[] = [];
  const sections = [
    ['answer', answers],
    ['authority', authorities],
    ['additional', additionals],
  ] as const;
  for (const [section, count = 0] of sections) {
    for (let i = 0; i < count; i++) {
      const start = skipName(bytes, at);
      if (start === undefined || start + 10 > bytes.length) return undefined;
      const end: number = start + 10 + view.getUint16(start + 8);
      if (end > bytes.length) return undefined;
      const type = view.getUint16(start);
      const minimum = type === TYPE_SOA && end - start >= 14 ? view.getUint32(end - 4) : undefined;
      records.push({
        type,
        section,
        ttlOffset: start + 4,
        ttl: view.getUint32(start + 4),
        minimum,
      });
      at = end;
    }
  }
  return { id: view.getUint16(0), flags: view.getUint16(2), questionEnd, records };
}

/** A copy with another identifier. */
export function withId(bytes: Uint8Array, id: number): Uint8Array {
  const copy = bytes.slice();
  viewOf(copy).setUint16(0, id);
  return copy;
}

/** A copy whose records have lived `seconds` already. */
export function aged(
  bytes: Uint8Array,
  records: readonly WireRecord[],
  seconds: number,
): Uint8Array {
  const copy = bytes.slice();
  const view = viewOf(copy);
  for (const { type, ttlOffset, ttl } of records) {
    if (type !== TYPE_OPT) view.setUint32(ttlOffset, Math.max(0, ttl - seconds));
  }
  return copy;
}

/** Head and question alone, marked as truncated: the client asks again by TCP. */
export function truncated(bytes: Uint8Array, message: WireMessage): Uint8Array {
  const copy = bytes.slice(0, message.questionEnd);
  const view = viewOf(copy);
  view.setUint16(2, message.flags | FLAG_TRUNCATED);
  for (const at of [6, 8, 10]) view.setUint16(at, 0);
  return copy;
}

/** Seconds for which an answer may be kept; 0 when it may not. */
export function secondsToKeep(message: WireMessage): number {
  const rcode = message.flags & RCODE_MASK;
  if ((message.flags & FLAG_TRUNCATED) !== 0) return 0;
  if (rcode !== 0 && rcode !== RCODE_NXDOMAIN) return 0;
  const answers = message.records.filter((record) => record.section === 'answer');
  if (answers.length > 0 && rcode === 0) return Math.min(...answers.map(({ ttl }) => ttl));
  const soa = message.records.find((record) => record.minimum !== undefined);
  return soa === undefined ? 0 : Math.min(soa.ttl, soa.minimum ?? 0);
}

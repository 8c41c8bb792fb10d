/**
 * Decides what to answer to a query from the zone alone. Pure but for dns-packet's codec, whose
 * messages are plain data. `respond` builds the answer to be sent.
 */
import {
  AUTHORITATIVE_ANSWER,
  type Answer,
  type DecodedPacket,
  type OptAnswer,
  type Packet,
  type Question,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
  encode,
} from 'dns-packet';
import { compressed } from './compress.ts';
import { CNAME_STEPS_MAX, RECORD_TTL_SECONDS, UDP_PAYLOAD_BYTES } from './limits.ts';
import type { ClusterZone, ZoneRecord } from './zone.ts';

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
} as const;

export type Decision =
  | {
      readonly kind: 'answer';
      readonly rcode: number;
      readonly records: readonly ZoneRecord[];
      /** With the zone's SOA, so that absence may be remembered. */
      readonly negative: boolean;
    }
  /** Nothing of the cluster: pass the query on. */
  | { readonly kind: 'forward' }
  /** A chain of CNAMEs leads out: its end has to be asked for. */
  | { readonly kind: 'follow'; readonly records: readonly ZoneRecord[]; readonly target: string };

/** `rotation` turns the order of addresses, so that clients that take the first spread out. */
export function decide(zone: ClusterZone, question: Question, rotation: number): Decision {
  const type = String(question.type);
  if ((question.class ?? 'IN') !== 'IN') return refusal(RCODE.REFUSED);
  const records: ZoneRecord[] = [];
  let name = question.name.toLowerCase();
  for (let step = 0; step < CNAME_STEPS_MAX; step++) {
    const lookup = zone.lookup(name);
    if (lookup.kind === 'elsewhere') {
      return step === 0 ? { kind: 'forward' } : { kind: 'follow', records, target: name };
    }
    if (lookup.kind === 'absent') {
      return { kind: 'answer', rcode: RCODE.NXDOMAIN, records, negative: true };
    }
    const alias = lookup.records.find(isAlias);
    if (alias === undefined || type === 'CNAME') {
      const wanted = lookup.records.filter((record) => type === 'ANY' || record.type === type);
      const all = [...records, ...rotated(wanted, rotation)];
      return { kind: 'answer', rcode: RCODE.NOERROR, records: all, negative: wanted.length === 0 };
    }
    records.push(alias);
    name = alias.data;
  }
  return refusal(RCODE.SERVFAIL); // A loop of aliases.
}

function isAlias(record: ZoneRecord): record is ZoneRecord & { type: 'CNAME'; data: string } {
  return record.type === 'CNAME';
}

function refusal(rcode: number): Decision {
  return { kind: 'answer', rcode, records: [], negative: false };
}

function rotated<T>(items: readonly T[], by: number): T[] {
  if (items.length < 2) return [...items];
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

export interface ResponseParts {
  readonly rcode: number;
  readonly answers?: readonly Answer[];
  readonly authorities?: readonly Answer[];
  readonly additionals?: readonly Answer[];
  readonly authoritative?: boolean;
  readonly truncated?: boolean;
}

export function optOf(query: Packet): OptAnswer | undefined {
  return query.additionals?.find((record): record is OptAnswer => record.type === 'OPT');
}

/** The message to send for `query`; its question is echoed as it came. */
export function respond(query: DecodedPacket, parts: ResponseParts): Uint8Array {
  const additionals = [...(parts.additionals ?? [])];
  if (optOf(query) !== undefined) additionals.push(ownOpt(parts.rcode >> 4));
  return encode({
    type: 'response',
    id: query.id,
    flags:
      ((query.flags ?? 0) & RECURSION_DESIRED) |
      RECURSION_AVAILABLE |
      (parts.authoritative === true ? AUTHORITATIVE_ANSWER : 0) |
      (parts.truncated === true ? TRUNCATED_RESPONSE : 0) |
      (parts.rcode & 0xf),
    questions: query.questions,
    answers: [...(parts.answers ?? [])],
    authorities: [...(parts.authorities ?? [])],
    additionals,
  });
}

/**
 * The same in at most `bytesMax`: names are compressed when they have to be, then additional records
 * are left out, then the answer is truncated.
 */
export function respondWithin(
  query: DecodedPacket,
  parts: ResponseParts,
  bytesMax: number,
): Uint8Array {
  const whole = respond(query, parts);
  if (whole.length <= bytesMax) return whole;
  const small = compressed(whole);
  if (small.length <= bytesMax) return small;
  const smaller = compressed(respond(query, { ...parts, additionals: [] }));
  if (smaller.length <= bytesMax) return smaller;
  const { rcode, authoritative = false } = parts;
  return respond(query, { rcode, authoritative, truncated: true });
}

function ownOpt(extendedRcode: number): OptAnswer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: UDP_PAYLOAD_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** Records as dns-packet writes them. `spelling` is the name as the client asked for it. */
export function answerOf(record: ZoneRecord, spelling?: string): Answer {
  const shared = { ttl: RECORD_TTL_SECONDS, class: 'IN' as const };
  const same = spelling !== undefined && spelling.toLowerCase() === record.name;
  const name = same ? spelling : record.name;
  if (record.type === 'SRV') return { ...shared, type: 'SRV', name, data: { ...record.data } };
  if (record.type === 'TXT') return { ...shared, type: 'TXT', name, data: record.data };
  return { ...shared, type: record.type, name, data: record.data };
}

/** The start of authority of the cluster domain. */
export function soaOf(domain: string, serial: number): Answer {
  return {
    type: 'SOA',
    name: domain,
    class: 'IN',
    ttl: RECORD_TTL_SECONDS,
    data: {
      mname: `ns.dns.${domain}`,
      rname: `hostmaster.${domain}`,
      serial,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: RECORD_TTL_SECONDS,
    },
  };
}

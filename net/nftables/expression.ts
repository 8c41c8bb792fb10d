/**
 * Expressions of rules: the register machine of nf_tables (include/uapi/linux/netfilter/nf_tables.h)
 * as data, and their encoding. Registers are the sixteen 32-bit ones, 0 to 15; an address of IPv6
 * takes four of them. Pure.
 */
import { assertNever } from '#base/assert.ts';
import type { NetlinkWriter } from '#net/netlink/port.ts';
import type { Verdict } from './model.ts';

export type Register = number;

export type Expression =
  | {
      readonly kind: 'payload';
      readonly base: 'network' | 'transport';
      readonly offset: number;
      readonly bytes: number;
      readonly to: Register;
    }
  | { readonly kind: 'meta'; readonly key: MetaKey; readonly to: Register }
  | { readonly kind: 'setMark'; readonly from: Register }
  | { readonly kind: 'ct'; readonly key: 'state' | 'status'; readonly to: Register }
  /** Type of an address as the routing table sees it (RTN_*). */
  | { readonly kind: 'fibType'; readonly of: 'saddr' | 'daddr'; readonly to: Register }
  | {
      readonly kind: 'compare';
      readonly op: 'eq' | 'neq';
      readonly register: Register;
      readonly value: Uint8Array;
    }
  /** register = (register & mask) ^ xor */
  | {
      readonly kind: 'bitwise';
      readonly register: Register;
      readonly mask: Uint8Array;
      readonly xor: Uint8Array;
    }
  /** Goes on only when the key is (or, inverted, is not) in the set; a map's value goes to `to`. */
  | {
      readonly kind: 'lookup';
      readonly set: string;
      readonly key: Register;
      readonly to?: Register | 'verdict' | undefined;
      readonly inverted?: boolean | undefined;
    }
  /** A random number below `modulus`, in the machine's order. */
  | { readonly kind: 'random'; readonly modulus: number; readonly to: Register }
  | { readonly kind: 'immediate'; readonly to: Register; readonly value: Uint8Array }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /** Adds or refreshes an element of a dynamic set or map. */
  | {
      readonly kind: 'update';
      readonly set: string;
      readonly key: Register;
      readonly data?: Register | undefined;
      readonly timeoutMs: number;
    }
  /** Removes an element of a dynamic set or map. The kernel wants a map's value named, and ignores it. */
  | {
      readonly kind: 'forget';
      readonly set: string;
      readonly key: Register;
      readonly data?: Register | undefined;
    }
  | {
      readonly kind: 'dnat';
      readonly family: 4 | 6;
      readonly address: Register;
      readonly port: Register;
    }
  | { readonly kind: 'masquerade' }
  /** ICMP port unreachable. */
  | { readonly kind: 'reject'; readonly family: 4 | 6 }
  | { readonly kind: 'counter' };

const META = { mark: 3, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const;
export type MetaKey = keyof typeof META;

const CT = { state: 0, status: 2 } as const;
const BASES = { network: 1, transport: 2 } as const;
const NFPROTO = { 4: 2, 6: 10 } as const;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10;
const FIB_RESULT_ADDRTYPE = 3;
const FIB_F = { saddr: 1, daddr: 2 } as const;
const NG_RANDOM = 1;
const DYNSET_OP_UPDATE = 1;
const DYNSET_OP_DELETE = 2;
const LOOKUP_F_INV = 1;
const NAT_DNAT = 1;
const REJECT_ICMP_UNREACH = 0;

const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { NAME: 1, DATA: 2 } as const;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;
const VERDICT_CODES = {
  drop: 0,
  accept: 1,
  jump: 0xfffffffd,
  goto: 0xfffffffc,
  return: 0xfffffffb,
};
const REG_VERDICT = 0;
const REG32_00 = 8;

/** Writes a rule's NFTA_RULE_EXPRESSIONS. */
export function writeExpressions(
  writer: NetlinkWriter,
  attribute: number,
  rule: readonly Expression[],
): void {
  writer.nest(attribute, () => {
    for (const expression of rule) {
      writer.nest(NFTA_LIST_ELEM, () => {
        writer.attributeString(NFTA_EXPR.NAME, NAMES[expression.kind]);
        writer.nest(NFTA_EXPR.DATA, () => writeData(writer, expression));
      });
    }
  });
}

const NAMES: Readonly<Record<Expression['kind'], string>> = {
  payload: 'payload',
  meta: 'meta',
  setMark: 'meta',
  ct: 'ct',
  fibType: 'fib',
  compare: 'cmp',
  bitwise: 'bitwise',
  lookup: 'lookup',
  random: 'numgen',
  immediate: 'immediate',
  verdict: 'immediate',
  update: 'dynset',
  forget: 'dynset',
  dnat: 'nat',
  masquerade: 'masq',
  reject: 'reject',
  counter: 'counter',
};

/** Attribute numbers below are those of each expression's enum in nf_tables.h, in its order. */
function writeData(writer: NetlinkWriter, e: Expression): void {
  const register = (type: number, index: Register) => writer.attributeU32be(type, REG32_00 + index);
  switch (e.kind) {
    case 'payload':
      register(1, e.to);
      writer.attributeU32be(2, BASES[e.base]).attributeU32be(3, e.offset);
      writer.attributeU32be(4, e.bytes);
      return;
    case 'meta':
      register(1, e.to);
      writer.attributeU32be(2, META[e.key]);
      return;
    case 'setMark':
      writer.attributeU32be(2, META.mark);
      register(3, e.from);
      return;
    case 'ct':
      register(1, e.to);
      writer.attributeU32be(2, CT[e.key]);
      return;
    case 'fibType':
      register(1, e.to);
      writer.attributeU32be(2, FIB_RESULT_ADDRTYPE).attributeU32be(3, FIB_F[e.of]);
      return;
    case 'compare':
      register(1, e.register);
      writer.attributeU32be(2, e.op === 'eq' ? 0 : 1);
      writeValue(writer, 3, e.value);
      return;
    case 'bitwise':
      register(1, e.register);
      register(2, e.register);
      writer.attributeU32be(3, e.mask.length);
      writeValue(writer, 4, e.mask);
      writeValue(writer, 5, e.xor);
      return;
    case 'lookup':
      writer.attributeString(1, e.set);
      register(2, e.key);
      if (e.to === 'verdict') writer.attributeU32be(3, REG_VERDICT);
      else if (e.to !== undefined) register(3, e.to);
      if (e.inverted === true) writer.attributeU32be(5, LOOKUP_F_INV);
      return;
    case 'random':
      register(1, e.to);
      writer.attributeU32be(2, e.modulus).attributeU32be(3, NG_RANDOM);
      return;
    case 'immediate':
      register(1, e.to);
      writeValue(writer, 2, e.value);
      return;
    default:
      writeAction(writer, e, register);
  }
}

type Action = Extract<
  Expression,
  { kind: 'verdict' | 'update' | 'forget' | 'dnat' | 'masquerade' | 'reject' | 'counter' }
>;

function writeAction(
  writer: NetlinkWriter,
  e: Action,
  register: (type: number, index: Register) => void,
): void {
  switch (e.kind) {
    case 'verdict':
      writer.attributeU32be(1, REG_VERDICT);
      writeVerdict(writer, 2, e.verdict);
      return;
    case 'update':
      writer.attributeString(1, e.set).attributeU32be(3, DYNSET_OP_UPDATE);
      register(4, e.key);
      if (e.data !== undefined) register(5, e.data);
      writer.attributeU64be(6, e.timeoutMs);
      return;
    case 'forget':
      writer.attributeString(1, e.set).attributeU32be(3, DYNSET_OP_DELETE);
      register(4, e.key);
      if (e.data !== undefined) register(5, e.data);
      return;
    case 'dnat':
      writer.attributeU32be(1, NAT_DNAT).attributeU32be(2, NFPROTO[e.family]);
      register(3, e.address);
      register(5, e.port);
      return;
    case 'masquerade':
      writer.attributeU32be(1, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
      return;
    case 'reject':
      writer.attributeU32be(1, REJECT_ICMP_UNREACH).attributeU8(2, e.family === 4 ? 3 : 4);
      return;
    case 'counter':
      return;
    default:
      assertNever(e);
  }
}

/** An NFTA_DATA_VALUE inside attribute `type`. */
export function writeValue(writer: NetlinkWriter, type: number, value: Uint8Array | string): void {
  writer.nest(type, () => {
    if (typeof value === 'string') writer.attributeBinary(NFTA_DATA.VALUE, value);
    else writer.attribute(NFTA_DATA.VALUE, value);
  });
}

/** An NFTA_DATA_VERDICT inside attribute `type`. */
export function writeVerdict(writer: NetlinkWriter, type: number, verdict: Verdict): void {
  writer.nest(type, () => {
    writer.nest(NFTA_DATA.VERDICT, () => {
      writer.attributeU32be(NFTA_VERDICT.CODE, VERDICT_CODES[verdict.kind]);
      if ('chain' in verdict) writer.attributeString(NFTA_VERDICT.CHAIN, verdict.chain);
    });
  });
}

/** The verdict of a VERDICT_CODES number; undefined for others. */
export function verdictOf(code: number, chain: string | undefined): Verdict | undefined {
  for (const kind of ['drop', 'accept', 'return', 'goto', 'jump'] as const) {
    if (VERDICT_CODES[kind] !== code) continue;
    return kind === 'goto' || kind === 'jump' ? { kind, chain: chain ?? '' } : { kind };
  }
  return undefined;
}

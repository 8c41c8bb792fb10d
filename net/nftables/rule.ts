/**
 * Rules in the words of nft(8): small functions that return the expressions of one match or statement,
 * for one address family. `key` loads components of a concatenation into consecutive registers,
 * which is the layout that a set's key has. Pure.
 */
import { maskOf, networkOf, type Cidr } from '#base/ip.ts';
import type { Expression, Register } from './expression.ts';
import type { Verdict } from './model.ts';

export type Family = 4 | 6;

/** An expression that puts a value into a register. */
export type Load = Expression & { readonly to: Register };

/** Registers that an address takes. */
export function addressRegisters(family: Family): number {
  return family === 4 ? 1 : 4;
}

export function saddr(family: Family, to: Register = 0): Load {
  return family === 4
    ? { kind: 'payload', base: 'network', offset: 12, bytes: 4, to }
    : { kind: 'payload', base: 'network', offset: 8, bytes: 16, to };
}

export function daddr(family: Family, to: Register = 0): Load {
  return family === 4
    ? { kind: 'payload', base: 'network', offset: 16, bytes: 4, to }
    : { kind: 'payload', base: 'network', offset: 24, bytes: 16, to };
}

export function l4proto(to: Register = 0): Expression {
  return { kind: 'meta', key: 'l4proto', to };
}

/** Destination port of TCP, UDP and SCTP alike. */
export function dport(to: Register = 0): Expression {
  return { kind: 'payload', base: 'transport', offset: 2, bytes: 2, to };
}

/** `ip daddr . meta l4proto . th dport`, from register `to` on. */
export function frontendKey(family: Family, to: Register = 0): Expression[] {
  const after = to + addressRegisters(family);
  return [daddr(family, to), l4proto(after), dport(after + 1)];
}

/** `meta l4proto . th dport`. */
export function portKey(to: Register = 0): Expression[] {
  return [l4proto(to), dport(to + 1)];
}

/** `key vmap @set`; what misses goes on to the next rule. */
export function vmap(key: readonly Expression[], set: string): Expression[] {
  return [...key, { kind: 'lookup', set, key: 0, to: 'verdict' }];
}

/** Matches addresses inside (or outside) a prefix. */
export function inCidr(load: Load, cidr: Cidr, op: 'eq' | 'neq' = 'eq'): Expression[] {
  const { address } = networkOf(cidr);
  const mask = maskOf(cidr.family, cidr.prefixLength);
  const xor = new Uint8Array(address.length);
  return [
    load,
    { kind: 'bitwise', register: load.to, mask, xor },
    { kind: 'compare', op, register: load.to, value: address },
  ];
}

export function ctStateNew(): Expression[] {
  return bitsSet({ kind: 'ct', key: 'state', to: 0 }, 8);
}

/** Matches when one of the `bits` of a 32-bit value in the machine's order is set. */
export function bitsSet(load: Load, bits: number): Expression[] {
  const zero = new Uint8Array(4);
  return [
    load,
    { kind: 'bitwise', register: load.to, mask: u32(bits), xor: zero },
    { kind: 'compare', op: 'neq', register: load.to, value: zero },
  ];
}

/** The destination is an address of this node. */
export function daddrIsLocal(): Expression[] {
  return isLocal('daddr');
}

/** The source is an address of this node. */
export function saddrIsLocal(): Expression[] {
  return isLocal('saddr');
}

const RTN_LOCAL = 2;

function isLocal(of: 'saddr' | 'daddr'): Expression[] {
  return [
    { kind: 'fibType', of, to: 0 },
    { kind: 'compare', op: 'eq', register: 0, value: u32(RTN_LOCAL) },
  ];
}

export function mark(): Load {
  return { kind: 'meta', key: 'mark', to: 0 };
}

/** `meta mark set mark or bits`. */
export function markOr(bits: number): Expression[] {
  return [
    mark(),
    { kind: 'bitwise', register: 0, mask: u32(~bits), xor: u32(bits) },
    { kind: 'setMark', from: 0 },
  ];
}

/** `meta mark set mark xor bits`. */
export function markXor(bits: number): Expression[] {
  return [
    mark(),
    { kind: 'bitwise', register: 0, mask: u32(0xffffffff), xor: u32(bits) },
    { kind: 'setMark', from: 0 },
  ];
}

/** Matches packets that came in (or, with `neq`, did not) by an interface of this name. */
export function iifname(name: string, op: 'eq' | 'neq' = 'eq'): Expression[] {
  return [{ kind: 'meta', key: 'iifname', to: 0 }, compareName(name, op)];
}

export function oifname(name: string, op: 'eq' | 'neq' = 'eq'): Expression[] {
  return [{ kind: 'meta', key: 'oifname', to: 0 }, compareName(name, op)];
}

function compareName(name: string, op: 'eq' | 'neq'): Expression {
  const value = new Uint8Array(16); // IFNAMSIZ
  for (let i = 0; i < name.length; i++) value[i] = name.charCodeAt(i);
  return { kind: 'compare', op, register: 0, value };
}

export function verdict(value: Verdict): Expression {
  return { kind: 'verdict', verdict: value };
}

/** `value` in the machine's order. */
export function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

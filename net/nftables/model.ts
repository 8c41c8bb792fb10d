/**
 * A table of nf_tables as plain data: what callers want, and what the kernel has. Names are those of
 * nft(8). Invariant: two values that mean the same have the same form, so they can be compared.
 */
import type { Expression } from './expression.ts';

export type TableFamily = 'ip' | 'ip6' | 'inet';
export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';

/** `goto` and `jump` name a chain of the same table. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'goto' | 'jump'; readonly chain: string };

export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  readonly chains: readonly Chain[];
  readonly sets: readonly NftSet[];
}

export interface BaseChain {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: Hook;
  readonly priority: number;
}

export interface Chain {
  readonly name: string;
  /** Absent for chains that are only jumped to. Policy is always accept. */
  readonly base?: BaseChain | undefined;
  readonly rules: readonly Rule[];
}

export type Rule = readonly Expression[];

/** Data types by their number in nft(8) and their bytes; a concatenation lists several. */
export const DATA_TYPES = {
  ipv4_addr: { id: 7, bytes: 4 },
  ipv6_addr: { id: 8, bytes: 16 },
  inet_proto: { id: 12, bytes: 1 },
  inet_service: { id: 13, bytes: 2 },
  mark: { id: 19, bytes: 4 },
} as const;
export type DataType = keyof typeof DATA_TYPES;

export interface SetDeclaration {
  readonly name: string;
  readonly key: readonly DataType[];
  /** Makes it a map. */
  readonly data?: readonly DataType[] | 'verdict' | undefined;
  /** Filled by rules: its elements are never compared, and time out. */
  readonly dynamic?: { readonly timeoutMs: number; readonly entriesMax: number } | undefined;
}

export interface NftSet extends SetDeclaration {
  readonly elements: ElementMap;
}

/** By key; the value is '' in sets, a binary string or a verdict in maps. */
export type ElementMap = ReadonlyMap<string, ElementValue>;
export type ElementValue = string | Verdict;

export function sameValue(a: ElementValue, b: ElementValue): boolean {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  return a.kind === b.kind && chainOf(a) === chainOf(b);
}

function chainOf(verdict: Verdict): string {
  return 'chain' in verdict ? verdict.chain : '';
}

/** Bytes of a key or value: concatenated components take whole registers. */
export function bytesOfType(types: readonly DataType[]): number {
  const [only] = types;
  if (types.length === 1 && only !== undefined) return DATA_TYPES[only].bytes;
  return types.reduce((sum, type) => sum + ((DATA_TYPES[type].bytes + 3) & ~3), 0);
}

/** nft's number of a type: six bits per component of a concatenation. */
export function idOfType(types: readonly DataType[]): number {
  return types.reduce((id, type) => (id << 6) | DATA_TYPES[type].id, 0);
}

/** One step of a change, in the order in which a batch performs them. */
export type Change =
  | { readonly kind: 'addTable' }
  | { readonly kind: 'deleteTable' }
  | { readonly kind: 'addSet'; readonly set: SetDeclaration }
  | { readonly kind: 'deleteSet'; readonly name: string }
  | { readonly kind: 'addChain'; readonly name: string; readonly base?: BaseChain | undefined }
  | { readonly kind: 'flushChain'; readonly name: string }
  | { readonly kind: 'deleteChain'; readonly name: string }
  | { readonly kind: 'addRule'; readonly chain: string; readonly rule: Rule }
  | {
      readonly kind: 'addElements';
      readonly set: SetDeclaration;
      readonly elements: Iterable<readonly [string, ElementValue]>;
    }
  | {
      readonly kind: 'deleteElements';
      readonly set: SetDeclaration;
      readonly keys: Iterable<string>;
    };

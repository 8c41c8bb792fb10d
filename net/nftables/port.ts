/** Public face of net/nftables for code that decides: tables and rules as data. Pure. */
export { binaryOf, binaryU16be, binaryU32, binaryU8, bytesOfBinary } from './binary.ts';
export type { TableName } from './encode.ts';
export type { Expression, Register } from './expression.ts';
export {
  type BaseChain,
  type Chain,
  type Change,
  type DataType,
  type ElementMap,
  type ElementValue,
  type NftSet,
  type Rule,
  type SetDeclaration,
  type Table,
  type TableFamily,
  type Verdict,
  sameValue,
} from './model.ts';
export {
  addressRegisters,
  bitsSet,
  ctStateNew,
  daddr,
  daddrIsLocal,
  dport,
  frontendKey,
  iifname,
  inCidr,
  type Load,
  l4proto,
  mark,
  markOr,
  markXor,
  oifname,
  portKey,
  saddr,
  saddrIsLocal,
  u32,
  verdict,
  vmap,
} from './rule.ts';

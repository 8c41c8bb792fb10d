/**
 * What the kernel says of a table, from the messages of its dumps. Pure; the inverse of encode.ts as
 * far as comparison needs it.
 */
import { type NetlinkMessage, eachAttribute, parseAttributes } from '#net/netlink/port.ts';
import { binaryOf } from './binary.ts';
import {
  HOOKS,
  NFTA_CHAIN,
  NFTA_HOOK,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM,
  NFTA_SET_ELEM_LIST,
  NFT_DATA_VERDICT,
  flagsOfSet,
} from './encode.ts';
import { verdictOf } from './expression.ts';
import {
  type BaseChain,
  type ElementValue,
  type Hook,
  type SetDeclaration,
  bytesOfType,
  idOfType,
} from './model.ts';
import type { DeclarationNumbers } from './plan.ts';

const NFGENMSG_BYTES = 4;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;
const VERDICT_BYTES = 16; // struct nft_verdict, as the kernel counts it.

export interface DecodedChain {
  readonly table: string;
  readonly name: string;
  readonly base: BaseChain | undefined;
}

export function decodeChain(message: NetlinkMessage): DecodedChain {
  const attributes = parseAttributes(message.payload, NFGENMSG_BYTES);
  const hook = attributes.nested(NFTA_CHAIN.HOOK);
  const number = hook?.u32be(NFTA_HOOK.HOOKNUM);
  const type = attributes.string(NFTA_CHAIN.TYPE);
  const hookName = (Object.keys(HOOKS) as Hook[]).find((name) => HOOKS[name] === number); // Keys of HOOKS.
  const known = type === 'filter' || type === 'nat' || type === 'route';
  return {
    table: attributes.string(NFTA_CHAIN.TABLE) ?? '',
    name: attributes.string(NFTA_CHAIN.NAME) ?? '',
    base:
      hookName === undefined || !known
        ? undefined
        : { type, hook: hookName, priority: (hook?.u32be(NFTA_HOOK.PRIORITY) ?? 0) | 0 },
  };
}

export interface DecodedRule {
  readonly table: string;
  readonly chain: string;
  /** Its comment; empty when it has none. */
  readonly digest: string;
}

export function decodeRule(message: NetlinkMessage): DecodedRule {
  const attributes = parseAttributes(message.payload, NFGENMSG_BYTES);
  const userData = attributes.bytes(NFTA_RULE.USERDATA);
  const isComment = userData !== undefined && userData[0] === 0 && userData.length >= 3;
  return {
    table: attributes.string(NFTA_RULE.TABLE) ?? '',
    chain: attributes.string(NFTA_RULE.CHAIN) ?? '',
    digest: isComment ? binaryOf(userData.subarray(2, 1 + (userData[1] ?? 1))) : '',
  };
}

export interface DecodedSet {
  readonly table: string;
  readonly name: string;
  readonly declaration: DeclarationNumbers;
}

export function decodeSet(message: NetlinkMessage): DecodedSet {
  const attributes = parseAttributes(message.payload, NFGENMSG_BYTES);
  const dataType = attributes.u32be(NFTA_SET.DATA_TYPE) ?? 0;
  return {
    table: attributes.string(NFTA_SET.TABLE) ?? '',
    name: attributes.string(NFTA_SET.NAME) ?? '',
    declaration: {
      flags: attributes.u32be(NFTA_SET.FLAGS) ?? 0,
      keyType: attributes.u32be(NFTA_SET.KEY_TYPE) ?? 0,
      keyBytes: attributes.u32be(NFTA_SET.KEY_LEN) ?? 0,
      dataType,
      dataBytes:
        dataType === NFT_DATA_VERDICT ? VERDICT_BYTES : (attributes.u32be(NFTA_SET.DATA_LEN) ?? 0),
    },
  };
}

/** The numbers that the kernel will state for a declaration of ours. */
export function declarationOf(set: SetDeclaration): DeclarationNumbers {
  const { data } = set;
  const isVerdict = data === 'verdict';
  return {
    flags: flagsOfSet(set),
    keyType: idOfType(set.key),
    keyBytes: bytesOfType(set.key),
    dataType: isVerdict ? NFT_DATA_VERDICT : data === undefined ? 0 : idOfType(data),
    dataBytes: isVerdict ? VERDICT_BYTES : data === undefined ? 0 : bytesOfType(data),
  };
}

/** The elements of one message of an element dump, added to `into`. */
export function decodeElements(message: NetlinkMessage, into: Map<string, ElementValue>): void {
  const list = parseAttributes(message.payload, NFGENMSG_BYTES).bytes(NFTA_SET_ELEM_LIST.ELEMENTS);
  if (list === undefined) return;
  for (const { value } of eachAttribute(list)) {
    const element = parseAttributes(value);
    const key = element.nested(NFTA_SET_ELEM.KEY)?.bytes(NFTA_DATA.VALUE);
    const data = element.nested(NFTA_SET_ELEM.DATA);
    const plain = data?.bytes(NFTA_DATA.VALUE);
    const verdict = data?.nested(NFTA_DATA.VERDICT);
    const decoded =
      verdict === undefined
        ? binaryOf(plain ?? new Uint8Array())
        : verdictOf(verdict.u32be(NFTA_VERDICT.CODE) ?? 0, verdict.string(NFTA_VERDICT.CHAIN));
    if (key !== undefined && decoded !== undefined) into.set(binaryOf(key), decoded);
  }
}

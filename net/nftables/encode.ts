/**
 * Changes of one table as the messages of one batch (nf_tables.h). Pure.
 *
 *   BATCH_BEGIN | messages | BATCH_END, each with nfgenmsg: u8 family | u8 0 | u16be resource id
 *
 * Invariant: the batch is applied wholly or not at all; no message asks for an acknowledgement, so
 * silence is success. `labels` names the change behind every sequence number, for errors.
 */
import { assertNever } from '#base/assert.ts';
import type { NetlinkWriter } from '#net/netlink/port.ts';
import { NLM_F } from '#net/netlink/port.ts';
import { writeExpressions, writeValue, writeVerdict } from './expression.ts';
import { ruleDigest } from './digest.ts';
import {
  type BaseChain,
  type Change,
  type ElementValue,
  type Hook,
  type Rule,
  type SetDeclaration,
  type TableFamily,
  bytesOfType,
  idOfType,
} from './model.ts';

export const NFNL_SUBSYS_NFTABLES = 10;
export const NFPROTO_OF = { inet: 1, ip: 2, ip6: 10 } as const satisfies Record<
  TableFamily,
  number
>;
export const NFT_MSG = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  DELCHAIN: 5,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  GETSET: 10,
  DELSET: 11,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
} as const;
export const HOOKS = {
  prerouting: 0,
  input: 1,
  forward: 2,
  output: 3,
  postrouting: 4,
} as const satisfies Record<Hook, number>;

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;

export const NFTA_TABLE = { NAME: 1 } as const;
export const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
export const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2 } as const;
export const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4, USERDATA: 7 } as const;
export const NFTA_SET = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DATA_TYPE: 6,
  DATA_LEN: 7,
  DESC: 9,
  ID: 10,
  TIMEOUT: 11,
  USERDATA: 13,
} as const;
const NFTA_SET_DESC_SIZE = 1;
export const NFTA_SET_ELEM_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
export const NFTA_SET_ELEM = { KEY: 1, DATA: 2 } as const;
export const NFTA_LIST_ELEM = 1;

export const NFT_SET = { MAP: 0x8, TIMEOUT: 0x10, EVAL: 0x20 } as const;
export const NFT_DATA_VERDICT = 0xffffff00;
const ACCEPT = 1;

/** nft's note that a key is in the machine's order; without it `nft list` swaps a lone mark. */
const HOST_ENDIAN_KEY = Uint8Array.of(0, 4, 1, 0, 0, 0);

/** Lists of elements are cut below an attribute's 65,535 bytes; one element is at most 200. */
const ELEMENT_LIST_BYTES_MAX = 60_000;

export interface TableName {
  readonly family: TableFamily;
  readonly name: string;
}

/** Head and nfgenmsg of a nf_tables message. */
export function nftMessage(
  writer: NetlinkWriter,
  head: { readonly message: number; readonly flags: number; readonly family: number },
  payload: () => void,
): number {
  const type = (NFNL_SUBSYS_NFTABLES << 8) | head.message;
  return writer.message({ type, flags: head.flags }, () => {
    writer.u8(head.family).u8(0).u16be(0);
    payload();
  });
}

/** Writes the batch; returns what each sequence number stands for. */
export function writeBatch(
  writer: NetlinkWriter,
  table: TableName,
  changes: Iterable<Change>,
): ReadonlyMap<number, string> {
  const labels = new Map<number, string>();
  writeBracket(writer, BATCH_BEGIN);
  for (const change of changes) writeChange({ writer, table, labels }, change);
  writeBracket(writer, BATCH_END);
  return labels;
}

function writeBracket(writer: NetlinkWriter, type: number): void {
  writer.message({ type, flags: NLM_F.REQUEST }, () => {
    writer.u8(0).u8(0).u16be(NFNL_SUBSYS_NFTABLES);
  });
}

interface Batch {
  readonly writer: NetlinkWriter;
  readonly table: TableName;
  readonly labels: Map<number, string>;
}

function put(
  batch: Batch,
  head: { readonly message: number; readonly flags?: number; readonly label: string },
  payload: () => void,
): void {
  const family = NFPROTO_OF[batch.table.family];
  const flags = NLM_F.REQUEST | (head.flags ?? 0);
  const seq = nftMessage(batch.writer, { message: head.message, flags, family }, () => {
    batch.writer.attributeString(1, batch.table.name); // NFTA_*_TABLE is 1 everywhere.
    payload();
  });
  batch.labels.set(seq, `${head.label} of table ${batch.table.family} ${batch.table.name}`);
}

function writeChange(batch: Batch, change: Change): void {
  const { writer } = batch;
  switch (change.kind) {
    case 'addTable':
      put(batch, { message: NFT_MSG.NEWTABLE, flags: NLM_F.CREATE, label: 'addTable' }, () => {});
      return;
    case 'deleteTable':
      put(batch, { message: NFT_MSG.DELTABLE, label: 'deleteTable' }, () => {});
      return;
    case 'addChain':
      writeChain(batch, change.name, change.base);
      return;
    case 'flushChain': // A deletion of rules without a handle takes all of the chain.
      put(batch, { message: NFT_MSG.DELRULE, label: `flush ${change.name}` }, () =>
        writer.attributeString(NFTA_RULE.CHAIN, change.name),
      );
      return;
    case 'deleteChain':
      put(batch, { message: NFT_MSG.DELCHAIN, label: `deleteChain ${change.name}` }, () =>
        writer.attributeString(NFTA_CHAIN.NAME, change.name),
      );
      return;
    case 'addRule':
      writeRule(batch, change.chain, change.rule);
      return;
    case 'addSet':
      writeSet(batch, change.set);
      return;
    case 'deleteSet':
      put(batch, { message: NFT_MSG.DELSET, label: `deleteSet ${change.name}` }, () =>
        writer.attributeString(NFTA_SET.NAME, change.name),
      );
      return;
    case 'addElements':
      writeElements(batch, { message: NFT_MSG.NEWSETELEM, set: change.set }, change.elements);
      return;
    case 'deleteElements':
      writeElements(batch, { message: NFT_MSG.DELSETELEM, set: change.set }, keysOnly(change.keys));
      return;
    default:
      assertNever(change);
  }
}

function writeChain(batch: Batch, name: string, base: BaseChain | undefined): void {
  const { writer } = batch;
  const head = { message: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE, label: `addChain ${name}` };
  put(batch, head, () => {
    writer.attributeString(NFTA_CHAIN.NAME, name);
    if (base === undefined) return;
    writer.nest(NFTA_CHAIN.HOOK, () => {
      writer.attributeU32be(NFTA_HOOK.HOOKNUM, HOOKS[base.hook]);
      writer.attributeU32be(NFTA_HOOK.PRIORITY, base.priority);
    });
    writer.attributeU32be(NFTA_CHAIN.POLICY, ACCEPT);
    writer.attributeString(NFTA_CHAIN.TYPE, base.type);
  });
}

function writeRule(batch: Batch, chain: string, rule: Rule): void {
  const { writer } = batch;
  const flags = NLM_F.CREATE | NLM_F.APPEND;
  put(batch, { message: NFT_MSG.NEWRULE, flags, label: `addRule ${chain}` }, () => {
    writer.attributeString(NFTA_RULE.CHAIN, chain);
    writeExpressions(writer, NFTA_RULE.EXPRESSIONS, rule);
    writer.attribute(NFTA_RULE.USERDATA, commentOf(ruleDigest(rule)));
  });
}

/** A comment in the rule's user data, as nft stores it: u8 type 0 | u8 length | text | zero. */
export function commentOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length + 3);
  bytes[1] = text.length + 1;
  for (let i = 0; i < text.length; i++) bytes[i + 2] = text.charCodeAt(i);
  return bytes;
}

/** No NFT_SET_CONCAT: the kernel wants it with interval sets only (EINVAL otherwise). */
export function flagsOfSet(set: SetDeclaration): number {
  return (
    (set.data === undefined ? 0 : NFT_SET.MAP) |
    (set.dynamic === undefined ? 0 : NFT_SET.TIMEOUT | NFT_SET.EVAL)
  );
}

function writeSet(batch: Batch, set: SetDeclaration): void {
  const { writer } = batch;
  const head = { message: NFT_MSG.NEWSET, flags: NLM_F.CREATE, label: `addSet ${set.name}` };
  put(batch, head, () => {
    writer.attributeString(NFTA_SET.NAME, set.name);
    writer.attributeU32be(NFTA_SET.FLAGS, flagsOfSet(set));
    writer.attributeU32be(NFTA_SET.KEY_TYPE, idOfType(set.key));
    writer.attributeU32be(NFTA_SET.KEY_LEN, bytesOfType(set.key));
    if (set.data === 'verdict') {
      writer.attributeU32be(NFTA_SET.DATA_TYPE, NFT_DATA_VERDICT);
    } else if (set.data !== undefined) {
      writer.attributeU32be(NFTA_SET.DATA_TYPE, idOfType(set.data));
      writer.attributeU32be(NFTA_SET.DATA_LEN, bytesOfType(set.data));
    }
    writer.attributeU32be(NFTA_SET.ID, 1);
    if (set.dynamic !== undefined) {
      const { timeoutMs, entriesMax } = set.dynamic;
      writer.nest(NFTA_SET.DESC, () => writer.attributeU32be(NFTA_SET_DESC_SIZE, entriesMax));
      writer.attributeU64be(NFTA_SET.TIMEOUT, timeoutMs);
    }
    if (set.key.length === 1 && set.key[0] === 'mark') {
      writer.attribute(NFTA_SET.USERDATA, HOST_ENDIAN_KEY);
    }
  });
}

function* keysOnly(keys: Iterable<string>): Generator<readonly [string, undefined]> {
  for (const key of keys) yield [key, undefined];
}

/** As many messages as the attribute's length makes necessary; none for no elements. */
function writeElements(
  batch: Batch,
  head: { readonly message: number; readonly set: SetDeclaration },
  elements: Iterable<readonly [string, ElementValue | undefined]>,
): void {
  const { writer } = batch;
  const { message, set } = head;
  const flags = message === NFT_MSG.NEWSETELEM ? NLM_F.CREATE : 0;
  const iterator = elements[Symbol.iterator]();
  let next = iterator.next();
  while (next.done !== true) {
    put(batch, { message, flags, label: `elements of ${set.name}` }, () => {
      writer.attributeString(NFTA_SET_ELEM_LIST.SET, set.name);
      writer.nest(NFTA_SET_ELEM_LIST.ELEMENTS, () => {
        const start = writer.length;
        while (next.done !== true && writer.length - start < ELEMENT_LIST_BYTES_MAX) {
          const [key, value] = next.value;
          writer.nest(NFTA_LIST_ELEM, () => writeElement(writer, key, value));
          next = iterator.next();
        }
      });
    });
  }
}

function writeElement(writer: NetlinkWriter, key: string, value: ElementValue | undefined): void {
  writeValue(writer, NFTA_SET_ELEM.KEY, key);
  if (value === undefined || value === '') return;
  if (typeof value === 'string') writeValue(writer, NFTA_SET_ELEM.DATA, value);
  else writeVerdict(writer, NFTA_SET_ELEM.DATA, value);
}

/**
 * Public face of net/nftables for code that acts: tables of one network namespace, read and changed by
 * netlink alone. Pure code imports port.ts.
 * `sync` makes a table equal to the one wanted; `apply` sends changes that the caller planned from
 * what it applied before. A batch is atomic: after an error nothing changed.
 */
import { isErrno } from '#base/errors.ts';
import { NETLINK, NetlinkError, NetlinkSocket } from '#net/netlink/netlink.ts';
import type { NetlinkWriter } from '#net/netlink/port.ts';
import {
  type DecodedSet,
  declarationOf,
  decodeChain,
  decodeElements,
  decodeRule,
  decodeSet,
} from './decode.ts';
import {
  NFNL_SUBSYS_NFTABLES,
  NFPROTO_OF,
  NFTA_CHAIN,
  NFTA_RULE,
  NFTA_SET,
  NFTA_SET_ELEM_LIST,
  NFT_MSG,
  NFT_SET,
  type TableName,
  writeBatch,
} from './encode.ts';
import type { Change, ElementValue, Table } from './model.ts';
import { type ObservedChain, type ObservedSet, type ObservedTable, planTable } from './plan.ts';

export class Nftables implements Disposable {
  readonly #socket: NetlinkSocket;

  /** Of the calling thread's namespace. */
  constructor() {
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER);
  }

  /** Makes the kernel's table equal to `wanted`; returns how many changes that took. */
  sync(wanted: Table): number {
    const observed = this.observe(wanted);
    const changes = planTable(wanted, observed, { declarationOf });
    if (changes.length > 0) this.apply(wanted, changes);
    return changes.length;
  }

  /** Throws NetlinkError with the first rejected change in its text. */
  apply(table: TableName, changes: Iterable<Change>): void {
    const writer = this.#socket.batchWriter(16 * 1024);
    const labels = writeBatch(writer, table, changes);
    const [rejection] = this.#socket.sendBatch(writer, 'nf_tables batch');
    if (rejection === undefined) return;
    const label = labels.get(rejection.seq) ?? 'batch';
    throw new NetlinkError(`nf_tables ${label}`, rejection.error.errno, rejection.error.extack);
  }

  /** Idempotent. */
  deleteTable(table: TableName): void {
    if (this.observe(table) !== undefined) this.apply(table, [{ kind: 'deleteTable' }]);
  }

  /** Undefined when there is no such table. Elements of dynamic sets are left out. */
  observe(table: TableName): ObservedTable | undefined {
    if (!this.#hasTable(table)) return undefined;
    const chains = new Map<string, ObservedChain>();
    const digests = new Map<string, string[]>();
    for (const message of this.#dump(table, NFT_MSG.GETRULE, NFTA_RULE.TABLE)) {
      const rule = decodeRule(message);
      if (rule.table !== table.name) continue;
      const list = digests.get(rule.chain) ?? [];
      list.push(rule.digest);
      digests.set(rule.chain, list);
    }
    for (const message of this.#dump(table, NFT_MSG.GETCHAIN, NFTA_CHAIN.TABLE)) {
      const { table: owner, name, base } = decodeChain(message);
      if (owner === table.name) chains.set(name, { base, ruleDigests: digests.get(name) ?? [] });
    }
    const sets = new Map<string, ObservedSet>();
    for (const message of this.#dump(table, NFT_MSG.GETSET, NFTA_SET.TABLE)) {
      const set = decodeSet(message);
      if (set.table !== table.name) continue;
      const { declaration } = set;
      sets.set(set.name, { declaration, elements: this.#elements(table, set) });
    }
    return { chains, sets };
  }

  /** The elements of one set as they stand, dynamic ones included. */
  elements(table: TableName, setName: string): ReadonlyMap<string, ElementValue> {
    const elements = new Map<string, ElementValue>();
    const dumped = this.#dump(table, NFT_MSG.GETSETELEM, NFTA_SET_ELEM_LIST.TABLE, (writer) =>
      writer.attributeString(NFTA_SET_ELEM_LIST.SET, setName),
    );
    for (const message of dumped) decodeElements(message, elements);
    return elements;
  }

  #elements(table: TableName, set: DecodedSet): ReadonlyMap<string, ElementValue> {
    if ((set.declaration.flags & NFT_SET.EVAL) !== 0) return new Map();
    return this.elements(table, set.name);
  }

  #hasTable(table: TableName): boolean {
    try {
      const type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG.GETTABLE;
      this.#socket.request({ type, operation: `get table ${table.name}` }, (writer) => {
        writer.u8(NFPROTO_OF[table.family]).u8(0).u16be(0);
        writer.attributeString(1, table.name);
      });
      return true;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return false;
      throw error;
    }
  }

  #dump(
    table: TableName,
    message: number,
    tableAttribute: number,
    more: (writer: NetlinkWriter) => void = () => {},
  ) {
    const type = (NFNL_SUBSYS_NFTABLES << 8) | message;
    return this.#socket.dump({ type, operation: `dump of table ${table.name}` }, (writer) => {
      writer.u8(NFPROTO_OF[table.family]).u8(0).u16be(0);
      writer.attributeString(tableAttribute, table.name);
      more(writer);
    });
  }
  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

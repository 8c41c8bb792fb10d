import fc from 'fast-check';
import t from 'tap';
import { must } from '#base/assert.ts';
import { parseIp } from '#base/ip.ts';
import { NetlinkWriter, parseMessages } from '#net/netlink/port.ts';
import { binaryOf, binaryU16be, binaryU32, binaryU8 } from './binary.ts';
import { declarationOf } from './decode.ts';
import { ruleDigest } from './digest.ts';
import { writeBatch } from './encode.ts';
import type { Change, Chain, ElementValue, NftSet, Rule, Table } from './model.ts';
import { type ObservedChain, type ObservedSet, type ObservedTable, planTable } from './plan.ts';
import { frontendKey, vmap } from './rule.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** The kernel's side of a batch, refusing what it would refuse. */
class ModelKernel {
  table:
    | {
        chains: Map<string, Chain & { rules: Rule[] }>;
        sets: Map<string, NftSet & { elements: Map<string, ElementValue> }>;
      }
    | undefined;

  apply(changes: readonly Change[]): void {
    for (const change of changes) this.#perform(change);
    for (const chain of this.table?.chains.values() ?? []) {
      for (const expression of chain.rules.flat()) {
        if (expression.kind === 'lookup') must(this.table?.sets.get(expression.set), 'ENOENT set');
      }
    }
  }

  #perform(change: Change): void {
    if (change.kind === 'addTable') {
      this.table = { chains: new Map(), sets: new Map() };
      return;
    }
    if (change.kind === 'deleteTable') {
      this.table = undefined;
      return;
    }
    const { chains, sets } = must(this.table, 'ENOENT table');
    switch (change.kind) {
      case 'addSet':
        if (sets.has(change.set.name)) throw new Error('EEXIST set');
        sets.set(change.set.name, { ...change.set, elements: new Map() });
        return;
      case 'deleteSet':
        for (const chain of chains.values()) {
          for (const e of chain.rules.flat())
            if (e.kind === 'lookup' && e.set === change.name) throw new Error('EBUSY set');
        }
        if (!sets.delete(change.name)) throw new Error('ENOENT set');
        return;
      case 'addChain':
        if (chains.has(change.name)) throw new Error('EEXIST chain');
        chains.set(change.name, { name: change.name, base: change.base, rules: [] });
        return;
      case 'flushChain':
        must(chains.get(change.name), 'ENOENT chain').rules.length = 0;
        return;
      case 'deleteChain':
        if (must(chains.get(change.name), 'ENOENT chain').rules.length > 0)
          throw new Error('EBUSY chain');
        for (const set of sets.values()) {
          for (const value of set.elements.values()) {
            if (typeof value !== 'string' && 'chain' in value && value.chain === change.name)
              throw new Error('EBUSY verdict');
          }
        }
        chains.delete(change.name);
        return;
      case 'addRule':
        must(chains.get(change.chain), 'ENOENT chain').rules.push(change.rule);
        return;
      case 'addElements':
        for (const [key, value] of change.elements) {
          const { elements } = must(sets.get(change.set.name), 'ENOENT set');
          if (elements.has(key)) throw new Error('EEXIST element');
          if (typeof value !== 'string' && 'chain' in value)
            must(chains.get(value.chain), 'ENOENT verdict');
          elements.set(key, value);
        }
        return;
      case 'deleteElements':
        for (const key of change.keys) {
          if (sets.get(change.set.name)?.elements.delete(key) !== true)
            throw new Error('ENOENT element');
        }
        return;
    }
  }

  observe(): ObservedTable | undefined {
    if (this.table === undefined) return undefined;
    const chains = new Map<string, ObservedChain>();
    for (const { name, base, rules } of this.table.chains.values()) {
      chains.set(name, { base, ruleDigests: rules.map((rule) => ruleDigest(rule)) });
    }
    const sets = new Map<string, ObservedSet>();
    for (const set of this.table.sets.values()) {
      sets.set(set.name, { declaration: declarationOf(set), elements: set.elements });
    }
    return { chains, sets };
  }
}

const CHAINS = ['a', 'b', 'c'];
const SETS = ['s', 't', 'u'];

/** Any table that the kernel would take: verdicts and lookups name what is there. */
const anyTable = fc
  .record({
    chains: fc.subarray(CHAINS, { minLength: 1 }),
    sets: fc.subarray(SETS, { minLength: 1 }),
    keyType: fc.constantFrom('mark' as const, 'ipv4_addr' as const),
    priority: fc.constantFrom(-100, 0),
    rules: fc.array(fc.record({ chain: fc.nat(), set: fc.nat() }), { maxLength: 5 }),
    elements: fc.array(fc.record({ set: fc.nat(), key: fc.nat(5), chain: fc.nat() }), {
      maxLength: 12,
    }),
  })
  .map((shape): Table => {
    const at = (list: readonly string[], i: number) => list[i % list.length] ?? '';
    const values = new Map<string, Map<string, ElementValue>>(
      shape.sets.map((name) => [name, new Map()]),
    );
    for (const { set, key, chain } of shape.elements) {
      values
        .get(at(shape.sets, set))
        ?.set(binaryU32(key), { kind: 'goto', chain: at(shape.chains, chain) });
    }
    return {
      family: 'ip',
      name: 'x',
      chains: shape.chains.map((name, i) => ({
        name,
        ...(i === 0
          ? { base: { type: 'filter', hook: 'input', priority: shape.priority } as const }
          : {}),
        rules: shape.rules.flatMap(({ chain, set }): Rule[] =>
          at(shape.chains, chain) === name
            ? [
                [
                  { kind: 'meta', key: 'mark', to: 0 },
                  { kind: 'lookup', set: at(shape.sets, set), key: 0, to: 'verdict' },
                ],
              ]
            : [],
        ),
      })),
      sets: shape.sets.map((name) => ({
        name,
        key: [shape.keyType],
        data: 'verdict',
        elements: values.get(name) ?? new Map(),
      })),
    };
  });

t.test('planTable() leads from any table to any other, and then to nothing', async (t) => {
  fc.assert(
    fc.property(fc.array(anyTable, { minLength: 1, maxLength: 4 }), (tables) => {
      const kernel = new ModelKernel();
      for (const table of tables) {
        kernel.apply(planTable(table, kernel.observe(), { declarationOf }));
        const rest = planTable(table, kernel.observe(), { declarationOf });
        if (rest.length > 0) throw new Error(`left: ${JSON.stringify(rest)}`);
      }
    }),
    { numRuns: 400 },
  );
  t.pass('400 histories');
});

t.test('planTable() leaves dynamic sets to the packets', async (t) => {
  const set = {
    name: 'd',
    key: ['ipv4_addr'],
    dynamic: { timeoutMs: 1000, entriesMax: 10 },
  } as const;
  const table: Table = {
    family: 'ip',
    name: 'x',
    chains: [],
    sets: [{ ...set, elements: new Map() }],
  };
  const elements = new Map([[binaryU32(1), '']]);
  const observed = {
    chains: new Map(),
    sets: new Map([['d', { declaration: declarationOf(set), elements }]]),
  };
  t.same(planTable(table, observed, { declarationOf }), []);
});

/** Payloads as `nft --debug=mnl` 1.0.6 shows them for the same wish, but for NLA_F_NESTED. */
t.test('writeBatch() writes what nft writes', async (t) => {
  const ip = (text: string) => binaryOf(must(parseIp(text), text));
  const set = {
    name: 'm',
    key: ['ipv4_addr', 'inet_proto', 'inet_service'],
    data: 'verdict',
  } as const;
  const element = [ip('10.96.0.1') + binaryU8(6) + binaryU16be(80), { kind: 'drop' }] as const;
  const changes: Change[] = [
    { kind: 'addTable' },
    { kind: 'addChain', name: 'c', base: { type: 'nat', hook: 'prerouting', priority: -100 } },
    { kind: 'addSet', set },
    { kind: 'addElements', set, elements: [element] },
    { kind: 'addRule', chain: 'c', rule: vmap(frontendKey(4), 'm') },
  ];
  const writer = new NetlinkWriter();
  const labels = writeBatch(writer, { family: 'ip', name: 't' }, changes);
  const messages = parseMessages(writer.bytes);
  t.same(
    messages.map(({ type }) => type),
    [0x10, 0xa00, 0xa03, 0xa09, 0xa0c, 0xa06, 0x11],
  );
  t.equal(labels.get(2), 'addTable of table ip t');
  const expected = [
    '0000000a',
    '02000000 0600010074000000',
    `02000000 0600010074000000 0600030063000000
     14000480 0800010000000000 08000200ffffff9c 0800050000000001 080007006e617400`,
    `02000000 0600010074000000 060002006d000000 0800030000000008 080004000000730d 080005000000000c
     08000600ffffff00 08000a0000000001`,
    `02000000 0600010074000000 060002006d000000
     2c000380 28000180 14000180 100001000a6000010600000000500000 10000280 0c000280 0800010000000000`,
  ];
  for (const [i, hex] of expected.entries()) {
    t.equal(hexOf(must(messages[i], 'message').payload), hex.replaceAll(/\s/g, ''), `message ${i}`);
  }
});

t.test('writeBatch() splits long lists of elements', async (t) => {
  const set = { name: 'm', key: ['mark'] } as const;
  const elements = Array.from({ length: 10_000 }, (_, i): [string, string] => [binaryU32(i), '']);
  const writer = new NetlinkWriter();
  writeBatch(writer, { family: 'ip', name: 't' }, [{ kind: 'addElements', set, elements }]);
  const messages = parseMessages(writer.bytes);
  t.ok(messages.length > 3, `${messages.length} messages`);
  t.ok(messages.every(({ payload }) => payload.length < 65_535));
});

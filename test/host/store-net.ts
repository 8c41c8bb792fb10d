/**
 * A network of members in namespaces of their own: each has a veth into a bridge, which lies in the calling
 * process's namespace (one of its own: unshare first). Faults are rules of the bridge and queues at its ports, so that
 * neither end hears of them. This kernel may lack sch_netem: loss is nftables' numgen, delay and reordering
 * come from queues that are short of rate (htb, which u32 fills with a part of the packets).
 *
 *   m0 eth0 ── store0 ┐
 *   m1 eth0 ── store1 ┼─ stores (bridge, 10.77.0.1: clients)
 *   m2 eth0 ── store2 ┘
 */
import { execFileSync } from 'node:child_process';
import { must } from '#base/assert.ts';
import { parseCidr } from '#base/ip.ts';
import { RtNetlink, inNetns, inNetnsFd } from '#net/netlink/netlink.ts';
import { createNetns } from './net-worker.ts';
import type { TestNetns } from './net-worker.ts';

const BRIDGE = 'stores';
const PORT = 7000;
const cidr = (text: string) => must(parseCidr(text), text);

/** What a member's link does to what goes to it. */
export interface Shape {
  /** Rate for all, in kbit/s. */
  readonly kbit: number;
  /** Rate for a quarter of the packets, which others overtake. */
  readonly slowKbit?: number;
}

export class StoreNet implements Disposable {
  readonly #members: readonly TestNetns[];
  /** Rules by the hook that they are for. */
  #rules: { forward: string[]; input: string[]; output: string[] } = noRules();

  constructor(count: number) {
    using rt = new RtNetlink();
    rt.setLink({ index: must(rt.link('lo'), 'lo').index, up: true });
    rt.createLink({ name: BRIDGE, kind: 'bridge', up: true });
    const bridge = must(rt.link(BRIDGE), BRIDGE);
    rt.putAddress({ index: bridge.index, address: cidr('10.77.0.1/24') });
    this.#members = Array.from({ length: count }, (_, number) => {
      const netns = createNetns();
      const peer = { name: 'eth0', netnsFd: netns.fd };
      rt.createLink({ name: portOf(number), kind: 'veth', peer });
      const { index } = must(rt.link(portOf(number)), 'a port');
      rt.setLink({ index, masterIndex: bridge.index, up: true });
      inNetnsFd(netns.fd, () => {
        using inside = new RtNetlink();
        const eth0 = must(inside.link('eth0'), 'eth0');
        inside.setLink({ index: must(inside.link('lo'), 'lo').index, up: true });
        inside.setLink({ index: eth0.index, up: true });
        inside.putAddress({ index: eth0.index, address: cidr(`${hostOf(number)}/24`) });
      });
      return netns;
    });
    this.#apply();
  }

  address(number: number): string {
    return `${hostOf(number)}:${PORT}`;
  }

  enter<T>(number: number, run: () => T): T {
    return inNetns(must(this.#members[number], 'a member').path, run);
  }

  /** Nothing goes from the one member to the other; answers do. */
  cutOneWay(from: number, to: number): void {
    this.#rules.forward.push(`iifname "${portOf(from)}" oifname "${portOf(to)}" drop`);
    this.#apply();
  }

  /** The member neither hears other members nor is heard by them; clients reach it. */
  cutFromMembers(number: number): void {
    this.#rules.forward.push(`iifname "${portOf(number)}" drop`);
    this.#rules.forward.push(`oifname "${portOf(number)}" drop`);
    this.#apply();
  }

  cutFromClients(number: number): void {
    this.#rules.input.push(`iifname "${portOf(number)}" drop`);
    this.#rules.output.push(`oifname "${portOf(number)}" drop`);
    this.#apply();
  }

  /** Of every packet between members this share gets lost. */
  lose(percent: number): void {
    this.#rules.forward.push(`numgen random mod 100 < ${percent} drop`);
    this.#apply();
  }

  shape(number: number, { kbit, slowKbit = kbit }: Shape): void {
    const port = portOf(number);
    tc('qdisc', 'replace', 'dev', port, 'root', 'handle', '1:', 'htb', 'default', '10');
    for (const [id, rate] of [
      ['1:10', kbit],
      ['1:20', slowKbit],
    ] as const) {
      tc('class', 'replace', 'dev', port, 'classid', id, ...htb(rate));
    }
    // By two bits of the IPv4 identification, which counts up with every packet of a connection.
    const quarter = ['match', 'u16', '0', '0x0003', 'at', '4'];
    tc('filter', 'add', 'dev', port, 'protocol', 'ip', 'u32', ...quarter, 'flowid', '1:20');
  }

  unshape(number: number): void {
    tc('qdisc', 'delete', 'dev', portOf(number), 'root');
  }

  /** Every rule goes; queues stay. */
  heal(): void {
    this.#rules = noRules();
    this.#apply();
  }

  /** The members' namespaces end with their processes and this one. */
  [Symbol.dispose](): void {
    using rt = new RtNetlink();
    rt.deleteLink({ name: BRIDGE });
    for (const number of this.#members.keys()) rt.deleteLink({ name: portOf(number) });
  }

  /** All rules at once, in place of the former. */
  #apply(): void {
    const chain = (hook: 'forward' | 'input' | 'output') =>
      `chain ${hook} { type filter hook ${hook} priority 0; ${this.#rules[hook].join('; ')}\n }`;
    const chains = (['forward', 'input', 'output'] as const).map(chain).join('\n');
    const text = `table bridge faults\ndelete table bridge faults\ntable bridge faults {\n${chains}\n}\n`;
    execFileSync('nft', ['-f', '-'], { input: text });
  }
}

function noRules() {
  return { forward: [] as string[], input: [] as string[], output: [] as string[] };
}

function portOf(number: number): string {
  return `store${number}`;
}

function hostOf(number: number): string {
  return `10.77.0.${11 + number}`;
}

/** Bursts of one packet: whatever comes at once waits. */
function htb(kbit: number): string[] {
  return ['htb', 'rate', `${kbit}kbit`, 'burst', '1600', 'cburst', '1600'];
}

function tc(...args: string[]): void {
  execFileSync('tc', args);
}

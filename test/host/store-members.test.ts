/**
 * Goal: three real processes of a store, each in a network namespace of its own, go through kills,
 * pauses, bad networks, partitions and full disks under load; nothing acknowledged is lost or done twice,
 * watches stay complete and in order, and whoever lacks a quorum says so. Needs root and nft.
 *   node test/host/store-members.test.ts --minutes N [--seed N]   faults by chance, for so long
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import t from 'tap';
import type { Test } from 'tap';
import { CLONE, MS, mount, umount, unshare } from '#base/linux/syscall.ts';
import { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { StoreFollower, StoreLoad, checkHistory, describeLoad } from '#test/contract/store-load.ts';
import { StoreGroup } from '#test/contract/store-process.ts';
import { FAULTS, within } from './store-faults.ts';
import type { Fault, Scene } from './store-faults.ts';
import { StoreNet } from './store-net.ts';

const MEMBERS = 3;
/** Room for ballast, a segment or two and a checkpoint. */
const DISK_BYTES = 96 * 1024 * 1024;
/** Snapshots get sent to whoever lags a few seconds. */
const SETTINGS = { checkpointLogBytes: 200_000, logTailEntries: 50 };
const END_MS_MAX = 60_000;
const { signal } = new AbortController();

const { values: args } = parseArgs({
  options: { minutes: { type: 'string', default: '0' }, seed: { type: 'string', default: '1' } },
  strict: false,
});
const minutes = Number(args.minutes);
const seed = Number(args.seed);
const skip =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync('/usr/sbin/nft') && existsSync('/usr/sbin/tc')
      ? false
      : 'no nft or tc on this host';

/** A small disk in memory for each member. */
class Disks implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'store-disks-'));

  constructor() {
    for (let number = 0; number < MEMBERS; number++) {
      const target = this.path(number);
      mkdirSync(target);
      mount({ source: 'tmpfs', target, type: 'tmpfs', flags: 0, data: `size=${DISK_BYTES}` });
    }
  }

  readonly path = (number: number): string => join(this.#directory, String(number));

  [Symbol.dispose](): void {
    for (let number = 0; number < MEMBERS; number++) umount(this.path(number));
    rmSync(this.#directory, { recursive: true });
  }
}

async function throughFaults(t: Test, faults: Iterable<Fault>): Promise<void> {
  using disks = new Disks();
  using net = new StoreNet(MEMBERS);
  const place = {
    address: (number: number) => Promise.resolve(net.address(number)),
    enter: <T>(number: number, run: () => T) => net.enter(number, run),
    dataDir: disks.path,
  };
  await using group = await StoreGroup.start(SETTINGS, signal, place);
  const numbers = [...Array(MEMBERS).keys()];
  const stores = await Promise.all(numbers.map((number) => group.connect([number], signal)));
  const revision = Math.max(
    ...(await Promise.all(stores.map((s) => s.status(signal)))).map((s) => s.revision),
  );
  const followers = stores.map((store) => new StoreFollower(store, revision));
  const any = await group.connect(numbers, signal);
  const load = new StoreLoad([any, ...stores], { writersPerStore: 2, pauseMs: 10, signal });
  const scene: Scene = { group, net, stores, load, dataDir: disks.path, signal };
  for (const fault of faults) {
    await t.test(fault.name, (t) => fault.run(t, scene));
    if (t.passing()) continue;
    for (const member of group.members) t.comment(member.logged.join(''));
    // What follows would only fail for the same reason. They end with their stores.
    for (const work of [load, ...followers]) work.stop().catch(() => {});
    return;
  }
  await within(END_MS_MAX, load.stop());
  t.comment(describeLoad(load));
  await checkHistory(t, load, { stores, signal });
  for (const [number, follower] of followers.entries()) {
    const last = (await stores[number]?.status(signal))?.revision;
    const end = performance.now() + END_MS_MAX;
    while (follower.revision !== last && performance.now() < end)
      await new Promise((r) => setTimeout(r, 20));
    t.equal(follower.revision, last, `the watch of member ${number} came to the end`);
    t.same(follower.violations.slice(0, 10), [], 'each revision once, in order');
    const other = [...load.acknowledged].filter(([key, at]) => follower.seen.get(key) !== at);
    t.same(
      other.slice(0, 10),
      [],
      `it showed all that was acknowledged (${follower.resumed} resumed)`,
    );
    await follower.stop();
  }
}

function* byChance(): Iterable<Fault> {
  const random = new SeededRandom(seed);
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) yield random.pick(FAULTS);
}

t.setTimeout((minutes + 4) * 60_000);
t.test('three members in namespaces', { skip, timeout: (minutes + 4) * 60_000 }, async (t) => {
  // What is mounted and linked ends with this process, also where a time-out ends it.
  unshare(CLONE.NEWNET | CLONE.NEWNS);
  mount({ source: 'none', target: '/', type: '', flags: MS.REC | MS.PRIVATE });
  if (minutes > 0) t.comment(`seed ${seed}`);
  await throughFaults(t, minutes > 0 ? byChance() : FAULTS);
});

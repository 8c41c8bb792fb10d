/**
 * What goes wrong in a simulated group, drawn from its seed: kinds, how often each, and whom it meets;
 * a leader as often as not. Everything can be undone: `heal`.
 */
import { StoreError } from '#control/store/port.ts';
import { VERSION } from '#control/store/versions.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { Group } from './group.ts';
import { PowerFailure } from './member.ts';
import type { SimMember } from './member.ts';
import type { NetworkFaults } from './network.ts';

const { signal } = new AbortController();
const MEMBERS_EVER_MAX = 7;

const FAULTS = [
  'crash',
  'upgrade',
  'cutPower',
  'failSync',
  'fillDisk',
  'pause',
  'isolate',
  'partition',
  'noise',
  'heal',
  'change',
  'move',
] as const;
type Fault = (typeof FAULTS)[number];

export class Faults {
  readonly #group: Group;
  readonly #random: SeededRandom;
  readonly #count: (what: string) => void;
  readonly #noise: NetworkFaults;
  /** How often each comes. */
  readonly #weights: Readonly<Record<Fault, number>>;
  #membersEver: number;
  #isEnding = false;
  #isChanging = false;
  readonly #changes: Promise<void>[] = [];

  constructor(group: Group, count: (what: string) => void) {
    this.#group = group;
    this.#count = count;
    const { random } = group;
    this.#random = random;
    this.#membersEver = group.members.length;
    this.#noise = {
      loss: random.pick([0, 0.02, 0.1, 0.3]),
      double: random.pick([0, 0.05, 0.2]),
      delayMsMax: random.pick([2, 10, 60]),
      late: random.pick([0, 0.02, 0.1]),
    };
    const drawn = FAULTS.map((fault) => [fault, random.pick([0, 1, 1, 3])] as const);
    this.#weights = { ...(Object.fromEntries(drawn) as Record<Fault, number>), heal: 2 }; // All of FAULTS.
    this.#schedule();
  }

  /** A change of members is under way. */
  get isChanging(): boolean {
    return this.#isChanging;
  }

  /** Nothing goes wrong any more, whoever is down starts, and all run the newest software. */
  heal(): void {
    this.#isEnding = true;
    this.#group.network.heal();
    for (const member of this.#group.members) {
      member.resume();
      if (member.runsAsVersion < VERSION) this.#upgrade(member);
      this.#restart(member, member.life, true);
      calmDisk(member);
    }
  }

  /** Throws what a change of members met. */
  async settle(): Promise<void> {
    await Promise.all(this.#changes);
  }

  #schedule(): void {
    this.#group.time.after(50 + this.#random.next() * 1500, () => {
      if (this.#isEnding) return;
      this.#inflict();
      this.#schedule();
    });
  }

  #inflict(): void {
    const { members, network, leader } = this.#group;
    const up = members.filter(({ isUp }) => isUp);
    if (up.length === 0) return;
    const some = this.#random.chance(0.5) && leader !== undefined ? leader : this.#random.pick(up);
    const fault = this.#draw();
    this.#count(some === leader ? `${fault} leader` : fault);
    if (fault === 'crash') this.#crash(some);
    else if (fault === 'upgrade') this.#upgrade(some);
    else if (fault === 'cutPower') this.#cutPower(some);
    else if (fault === 'failSync') this.#failSync(some);
    else if (fault === 'fillDisk') this.#fillDisk(some);
    else if (fault === 'pause') some.pause(this.#random.next() * this.#random.pick([300, 5000]));
    else if (fault === 'heal') network.heal();
    else if (fault === 'noise') network.faults = this.#noise;
    else if (fault === 'isolate') this.#isolate(some);
    else if (fault === 'partition') this.#partition();
    else if (fault === 'move') this.#move();
    else this.#changes.push(this.#change());
  }

  #draw(): Fault {
    const total = FAULTS.reduce((sum, fault) => sum + this.#weights[fault], 0);
    let draw = this.#random.next() * total;
    for (const fault of FAULTS) {
      draw -= this.#weights[fault];
      if (draw < 0) return fault;
    }
    return 'heal';
  }

  /** The process dies; the page cache survives it, or not. */
  #crash(member: SimMember): void {
    member.kill();
    this.#restartLater(member, this.#random.chance(0.5));
  }

  /** Another process, of the newest software. */
  #upgrade(member: SimMember): void {
    member.runsAsVersion = VERSION;
    member.kill();
    this.#restartLater(member, false);
  }

  /** The power fails within the next changes of the disk: in the middle of a write. */
  #cutPower(member: SimMember): void {
    let left = this.#random.below(12);
    member.disk.faults.beforeChange = () => {
      if (left-- <= 0) throw new PowerFailure('power failed');
    };
    this.#endSoon(member, true);
  }

  /** A sync fails: the process must end, whatever the page cache makes of it. */
  #failSync(member: SimMember): void {
    const mode = this.#random.pick(['kept', 'dropped'] as const);
    member.disk.faults.failSync = () => mode;
    this.#endSoon(member, this.#random.chance(0.5));
  }

  /** The fault ends the process with its next write; if none comes, it is killed. */
  #endSoon(member: SimMember, isPowerCut: boolean): void {
    const { life } = member;
    this.#group.time.after(500, () => {
      if (member.life !== life) return;
      member.kill();
      this.#restartLater(member, isPowerCut);
    });
  }

  #restartLater(member: SimMember, isPowerCut: boolean): void {
    const { life } = member;
    const afterMs = this.#random.next() * this.#random.pick([200, 2000, 8000]);
    this.#group.time.after(afterMs, () => this.#restart(member, life, isPowerCut));
  }

  #restart(member: SimMember, life: number, isPowerCut: boolean): void {
    if (member.life !== life || member.isUp || !this.#group.members.includes(member)) return;
    calmDisk(member);
    const share = this.#random.pick([0, 0.5, 1]);
    if (isPowerCut) member.disk.crash({ keep: () => this.#random.chance(share) });
    else if (this.#random.chance(0.5)) member.disk.evict();
    member.start();
  }

  /** No room for a while: nobody ends of that. */
  #fillDisk({ disk }: SimMember): void {
    disk.faults.capacityBytes = disk.bytesUsed + this.#random.below(4000);
    this.#group.time.after(this.#random.next() * 6000, () => {
      disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
    });
  }

  #isolate(member: SimMember): void {
    const isOneWay = this.#random.chance(0.3);
    const isOut = this.#random.chance(0.5);
    for (const { id } of this.#group.members) {
      if (id === member.id) continue;
      const [from, to] = isOut ? [member.id, id] : [id, member.id];
      this.#group.network.cut(from, to, isOneWay);
    }
  }

  #partition(): void {
    const { members, network } = this.#group;
    const left = members.filter(() => this.#random.chance(0.5));
    for (const a of left) {
      for (const b of members) if (!left.includes(b)) network.cut(a.id, b.id, false);
    }
  }

  #move(): void {
    const { leader, members, clients } = this.#group;
    const to = this.#random.pick(members);
    if (leader === undefined || leader === to) return;
    clients[1]?.store.moveLeader(to.id, signal).catch(ignoreRefusal);
  }

  /** Adds a member, or removes one: the leader, too. */
  async #change(): Promise<void> {
    if (this.#isChanging) return;
    this.#isChanging = true;
    const { members, clients, leader } = this.#group;
    const client = this.#random.pick(clients.slice(1));
    try {
      const isGrowing = members.length < 3 || (members.length < 5 && this.#random.chance(0.5));
      if (isGrowing && this.#membersEver < MEMBERS_EVER_MAX) {
        this.#membersEver++;
        await this.#group.add(client);
        this.#count('member added');
      } else if (members.length > 3) {
        const gone = this.#random.chance(0.4) ? leader : this.#random.pick(members);
        if (gone === undefined) return;
        await client.store.removeMember(gone.id, signal);
        this.#count(gone === leader ? 'leader removed' : 'member removed');
        await this.#group.pause(3000);
        this.#group.remove(gone);
      }
    } catch (error) {
      ignoreRefusal(error);
    } finally {
      this.#isChanging = false;
    }
  }
}

function calmDisk({ disk }: SimMember): void {
  disk.faults.beforeChange = () => {};
  disk.faults.failSync = () => undefined;
  disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

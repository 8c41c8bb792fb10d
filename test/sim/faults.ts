/**
 * What goes wrong in a run: processes end, stop and hang, disks fail and fill, links break, clocks run
 * at other paces, members come and go, in any combination; how often each happens is drawn per run.
 * Half of it comes at any time; the other half when a member is in a state in which little happens
 * (member-states.ts), or the moment would be missed. Faults that leave damage: damage.ts.
 */
import { StoreError } from '#control/store/port.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import { DAMAGES, Damage } from './damage.ts';
import type { DamageKind } from './damage.ts';
import type { Group } from './group.ts';
import { countFault, statesOf } from './member-states.ts';
import type { FaultTable } from './member-states.ts';
import { PowerFailure, calmDisk } from './member.ts';
import type { SimMember } from './member.ts';
import type { NetworkFaults } from './network.ts';
import { Upgrades } from './upgrades.ts';

const { signal } = new AbortController();
/** Members that a group has had, at most. */
const MEMBERS_EVER_MAX = 9;

/** What is aimed at one member. */
const MEMBER_FAULTS = [
  'crash',
  'restart',
  'upgrade',
  'goBack',
  'cutPower',
  'failSync',
  'hangSync',
  'fillDisk',
  'pause',
  'skewClock',
  'isolate',
  'slowReader',
  'narrowLink',
  'reset',
  'halfOpen',
  ...DAMAGES,
] as const;
/** What concerns the whole group. */
const GROUP_FAULTS = ['partition', 'noise', 'change', 'move'] as const;
export const FAULTS = [...MEMBER_FAULTS, ...GROUP_FAULTS] as const;
type MemberFault = (typeof MEMBER_FAULTS)[number];
type Fault = (typeof FAULTS)[number] | 'heal';

const ALL: readonly Fault[] = [...FAULTS, 'heal'];

export class Faults {
  readonly #group: Group;
  readonly #random: SeededRandom;
  readonly #count: (what: string) => void;
  readonly #noise: NetworkFaults;
  /** How often each comes. */
  readonly #weights: ReadonlyMap<Fault, number>;
  readonly #damage: Damage;
  readonly #upgrades: Upgrades;
  /** Chance that a rare state is met by a fault, at each event in it. */
  readonly #eagerness: number;
  /** The same in a joint configuration, which is rare and short. */
  readonly #jointEagerness: number;
  readonly table: FaultTable = {};
  #metAtMs = 0;
  #membersEver: number;
  #isEnding = false;
  #restUntilMs = 0;
  #isChanging = false;
  /** Who is being removed. */
  #leaving: SimMember | undefined;
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
      echoMsMax: random.pick([0, 0, 300, 3000]),
      delayMsMax: random.pick([2, 10, 60]),
      late: random.pick([0, 0.02, 0.1]),
    };
    this.#weights = new Map([
      ...FAULTS.map((fault) => [fault, random.pick([0, 1, 1, 3])] as const),
      ['heal', 4] as const,
    ]);
    this.#eagerness = random.pick([0, 0.02, 0.3]);
    this.#jointEagerness = this.#eagerness === 0 ? 0 : random.pick([0.1, 1]);
    const restart = (member: SimMember) => this.#restartLater(member, random.chance(0.5));
    this.#damage = new Damage(group, { count, restart });
    this.#upgrades = new Upgrades(group);
    group.watch = (member) => this.#observe(member);
    this.#schedule();
  }

  /** Nothing is on its way any more that changes who the members are. */
  get isSettled(): boolean {
    return !this.#isChanging && !this.#damage.isAny;
  }

  /** Nothing goes wrong any more, whoever is down starts, and all run the last software for good. */
  heal(): void {
    this.#isEnding = true;
    this.#group.network.heal();
    for (const member of this.#group.members) {
      member.resume();
      if (this.#damage.isDamaged(member)) continue;
      if (this.#upgrades.finish(member)) this.#end(member, () => member.stop());
      this.#restart(member, member.life, true);
      calmDisk(member);
    }
  }

  /** Throws what a change of members met. */
  async settle(): Promise<void> {
    await Promise.all(this.#changes);
    await this.#damage.settle();
  }

  /** Nothing new goes wrong for so long, and all can speak to all. */
  rest(ms: number): void {
    const { network, time } = this.#group;
    this.#restUntilMs = time.nowMs + ms;
    network.heal();
  }

  get #isResting(): boolean {
    return this.#group.time.nowMs < this.#restUntilMs;
  }

  /** The leader ends, whatever was drawn. */
  crashLeader(): void {
    const { leader } = this.#group;
    if (leader !== undefined && !this.#damage.isDamaged(leader)) this.#hit('crash', leader);
  }

  #schedule(): void {
    this.#group.time.after(50 + this.#random.next() * 1500, () => {
      if (this.#isEnding) return;
      const { members, leader } = this.#group;
      const up = members.filter(({ isRunning }) => isRunning);
      const isAtLeader = this.#random.chance(0.5) && leader !== undefined;
      const isHit = up.length > 0 && !this.#isResting;
      if (isHit) {
        const member = isAtLeader ? leader : this.#random.pick(up);
        this.#inflict(this.#drawFor(member), member);
      }
      this.#schedule();
    });
  }

  #observe(member: SimMember): void {
    this.#damage.observe(member);
    if (this.#isEnding || this.#isResting || this.#eagerness === 0) return;
    if (member.engine === undefined) return;
    const { nowMs } = this.#group.time;
    if (!isInRareState(member)) return;
    const isJoint = statesOf(member).includes('joint');
    if (nowMs - this.#metAtMs < (isJoint ? 20 : 300)) return;
    if (!this.#random.chance(isJoint ? this.#jointEagerness : this.#eagerness)) return;
    this.#metAtMs = nowMs;
    // Damage is rare, too; it waits for others to know of the configuration.
    const isDamaging = this.#random.chance(isJoint ? 0.7 : isRarest(member) ? 0.2 : 0);
    const fault = isDamaging ? this.#drawDamage(member) : this.#drawFor(member);
    // Not within the event that is being looked at.
    this.#group.time.after(isDamaging ? this.#random.next() * 10 : 0, () => {
      if (!this.#isEnding && fault !== 'heal' && member.isUp) this.#inflict(fault, member);
    });
  }

  /** Not every member has a copy of its disk to be set back to. */
  #drawDamage(member: SimMember): DamageKind {
    const isToRollBack = this.#damage.hasImageOf(member) && this.#random.chance(0.4);
    return isToRollBack ? 'rollBack' : this.#random.pick(DAMAGES);
  }

  /** Software on trial in a rare state is rarer still. */
  #drawFor(member: SimMember): Fault {
    if (!this.#upgrades.isOnTrial(member)) return this.#draw();
    return this.#random.chance(isRarest(member) ? 0.8 : 0.1) ? 'goBack' : this.#draw();
  }

  #draw(): Fault {
    const weight = (fault: Fault) => this.#weights.get(fault) ?? 0;
    let draw = this.#random.next() * ALL.reduce((sum, fault) => sum + weight(fault), 0);
    for (const fault of ALL) {
      draw -= weight(fault);
      if (draw < 0) return fault;
    }
    return 'heal';
  }

  #inflict(fault: Fault, member: SimMember): void {
    const { network } = this.#group;
    if (fault === 'heal') network.heal();
    else if (isGroupFault(fault)) this.#hitGroup(fault);
    else if (!this.#damage.isDamaged(member)) this.#hit(fault, member);
  }

  #hitGroup(fault: (typeof GROUP_FAULTS)[number]): void {
    const { members, network, leader, trace, time } = this.#group;
    const isChange = fault === 'change';
    if (isChange && (this.#isChanging || this.#damage.isAny)) return;
    if (fault === 'move' && leader === undefined) return;
    countFault(this.table, fault, [...new Set(members.flatMap(statesOf))]);
    trace.note(fault, { atMs: time.nowMs, from: 0 });
    if (fault === 'partition') this.#partition();
    else if (fault === 'noise') network.faults = this.#noise;
    else if (fault === 'move') this.#move();
    else this.#changes.push(this.#change());
  }

  #hit(fault: MemberFault, member: SimMember): void {
    const { network, trace, time } = this.#group;
    if (isDamage(fault)) {
      if (member === this.#leaving || !this.#damage.isBearable(member)) return;
      if (fault === 'rollBack' && !this.#damage.hasImageOf(member)) return;
    }
    if (fault === 'goBack' && !this.#upgrades.isOnTrial(member)) return;
    // Without a log it has no room set aside, and ends.
    if (fault === 'fillDisk' && !member.isUp) return;
    countFault(this.table, fault, statesOf(member));
    if (!member.isUp) this.#count('fault met who waits for others');
    trace.note(fault, { atMs: time.nowMs, from: member.id });
    if (isDamage(fault)) this.#damage.inflict(fault, member);
    else if (fault === 'crash') this.#end(member, () => member.kill());
    else if (fault === 'upgrade') this.#upgrade(member);
    else if (fault === 'goBack') this.#goBack(member);
    else if (fault === 'restart') this.#end(member, () => member.stop());
    else if (fault === 'cutPower') this.#cutPower(member);
    else if (fault === 'failSync') this.#failSync(member);
    else if (fault === 'hangSync') this.#hangSync(member);
    else if (fault === 'fillDisk') this.#fillDisk(member);
    else if (fault === 'pause') this.#pause(member);
    else if (fault === 'skewClock') member.skewClock();
    else if (fault === 'isolate') this.#isolate(member);
    else if (fault === 'slowReader') network.narrow({ reader: member.id }, this.#bytesPerMs());
    else this.#breakLink(fault, member);
  }

  /** Who stands still, and then hears nothing of what came meanwhile, still believes what it was. */
  #pause(member: SimMember): void {
    member.pause(this.#random.next() * this.#random.pick([300, 5000]));
    if (this.#random.chance(0.3)) this.#isolate(member);
  }

  /** From a modem to what a snapshot just fits through. */
  #bytesPerMs(): number {
    return this.#random.pick([2, 10, 100]);
  }

  #breakLink(fault: 'narrowLink' | 'reset' | 'halfOpen', { id }: SimMember): void {
    const { members, network } = this.#group;
    const other = this.#random.pick(members.filter((member) => member.id !== id));
    if (fault === 'reset') network.reset(id, other.id);
    else if (fault === 'halfOpen') {
      if (this.#random.chance(0.5)) network.halfOpen(id, other.id);
      else network.halfOpen(other.id, id);
    } else network.narrow({ from: id, to: other.id }, this.#bytesPerMs());
  }

  /** Another process, of later software, if there is any. */
  #upgrade(member: SimMember): void {
    this.#upgrades.install(member);
    this.#end(member, () => member.stop());
  }

  /** The software on trial is no good: the machine begins anew with what it ran before. */
  #goBack(member: SimMember): void {
    this.#upgrades.goBack(member);
    this.#end(member, () => (this.#random.chance(0.5) ? member.stop() : member.kill()));
  }

  /** The process ends; the page cache survives it, or not. */
  #end(member: SimMember, end: () => void): void {
    end();
    this.#restartLater(member, this.#random.chance(0.5));
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
    if (this.#random.chance(0.2)) member.disk.faults.failDirectorySync = () => true;
    else member.disk.faults.failSync = () => mode;
    this.#endSoon(member, this.#random.chance(0.5));
  }

  /** The next syncs take long. */
  #hangSync(member: SimMember): void {
    const hangMs = this.#random.next() * this.#random.pick([200, 1500, 5000]);
    let left = this.#random.between(1, 5);
    member.disk.faults.failSync = () => {
      if (left-- > 0) member.pause(hangMs);
      return undefined;
    };
  }

  /** The fault ends the process with its next write; if none comes, it is killed. */
  #endSoon(member: SimMember, isPowerCut: boolean): void {
    const { life } = member;
    this.#group.time.after(500, () => {
      if (member.life !== life) return;
      // Who came to be suspected meanwhile ended by this all the same, and nobody else starts it.
      if (this.#damage.isDamaged(member) && !this.#damage.mayRestart(member)) return;
      member.kill();
      this.#restartLater(member, isPowerCut);
    });
  }

  #restartLater(member: SimMember, isPowerCut: boolean): void {
    const { life } = member;
    const afterMs = this.#random.next() * this.#random.pick([20, 200, 2000, 8000]);
    this.#group.time.after(afterMs, () => this.#restart(member, life, isPowerCut));
  }

  #restart(member: SimMember, life: number, isPowerCut: boolean): void {
    if (member.life !== life || member.isRunning) return;
    if (!this.#group.members.includes(member)) return;
    if (this.#damage.isDamaged(member) && !this.#damage.mayRestart(member)) return;
    calmDisk(member);
    const share = this.#random.pick([0, 0.5, 1]);
    const torn = this.#random.pick([0, 0.3]);
    if (isPowerCut) {
      member.disk.crash({
        keep: () => this.#random.chance(share),
        tear: () => (this.#random.chance(torn) ? this.#random.below(512) : undefined),
      });
    } else if (this.#random.chance(0.5)) member.disk.evict();
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
    // Now and then it loses the others before they can follow.
    if (!this.#random.chance(0.3)) return;
    this.#group.time.after(this.#random.next() * 20, () => {
      if (!this.#isEnding) this.#isolate(leader);
    });
  }

  /** Adds a member, or removes one: the leader, too. */
  async #change(): Promise<void> {
    this.#isChanging = true;
    const { members, clients, leader } = this.#group;
    const client = this.#random.pick(clients.slice(1));
    const voters = leader?.engine?.state.members.voters ?? [];
    try {
      const isGrowing = members.length < 3 || (members.length < 5 && this.#random.chance(0.5));
      if (isGrowing && this.#membersEver < MEMBERS_EVER_MAX) {
        this.#membersEver++;
        await this.#group.add(client);
        this.#count('member added');
      } else if (voters.length > 3) {
        // Of three, two would be left: a change that is on its way when one is damaged could not end.
        const gone = this.#random.chance(0.4) ? leader : this.#random.pick(members);
        if (gone === undefined) return;
        this.#leaving = gone;
        await this.#group.dismiss(client, gone.id);
        this.#count(gone === leader ? 'leader removed' : 'member removed');
        await this.#group.pause(3000);
        this.#group.remove(gone);
      }
    } catch (error) {
      ignoreRefusal(error);
    } finally {
      this.#leaving = undefined;
      this.#isChanging = false;
    }
  }
}

function isInRareState(member: SimMember): boolean {
  const states = statesOf(member);
  return member.isElecting || states.length > (states.includes('leader') ? 1 : 0);
}

function isRarest(member: SimMember): boolean {
  return statesOf(member).some((state) => state !== 'leader' && state !== 'replaying');
}

function isGroupFault(fault: string): fault is (typeof GROUP_FAULTS)[number] {
  return GROUP_FAULTS.some((other) => other === fault);
}

function isDamage(fault: string): fault is DamageKind {
  return DAMAGES.some((other) => other === fault);
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

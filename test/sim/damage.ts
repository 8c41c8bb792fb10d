/**
 * Faults after which a member is not what it was: bits of its disk rot, a write lands elsewhere, the
 * whole disk is set back or lost, or its memory holds what nobody wrote. They are placed so that a
 * quorum can always recover:
 *
 *   at most one member is damaged at a time, and without it there is a quorum of all voters
 *   it starts on a disk that may have forgotten something only when all other voters know of all that
 *   it had promised (its log and its term); nobody could tell otherwise (reference/store.md section 8,
 *   rule 2)
 *   members may be changing when it comes, if a quorum (of both halves) is left by what all others know;
 *   then they change only in that the damaged one is replaced
 *
 * A member whose memory was corrupt is right when it starts again: what counts on its disk is older than
 * that, and its log holds the rest. One that cannot go on as who it was, by its own word, comes in anew by
 * itself (asking.ts); meanwhile other faults meet it. One that cannot even do that, and now and then one that
 * lost its disk, is replaced by another, as an operator would do it.
 */
import { assert, must } from '#base/assert.ts';
import { isQuorum } from '#control/raft/raft.ts';
import { SECTOR_BYTES } from '#control/store/disk/memory-disk.ts';
import type { DiskImage } from '#control/store/disk/memory-disk.ts';
import { Outcast } from '#control/store/engine/outcast.ts';
import { StoreError } from '#control/store/port.ts';
import type { SeededRandom } from '#control/store/testing/seeded-random.ts';
import type { Group } from './group.ts';
import { calmDisk } from './member.ts';
import type { Promised, SimMember } from './member.ts';

export const DAMAGES = ['rot', 'misdirect', 'rollBack', 'loseDisk', 'corruptMemory'] as const;
export type DamageKind = (typeof DAMAGES)[number];

export class Damage {
  readonly #group: Group;
  readonly #random: SeededRandom;
  readonly #count: (what: string) => void;
  readonly #restart: (member: SimMember) => void;
  #damaged: SimMember | undefined;
  /** It runs on a disk that may have forgotten something. */
  #isBack = false;
  /** Who it was when the fault came. */
  #damagedId = 0;
  /** Who it was, should it come in anew. */
  #formerId: number | undefined;
  /** The process whose memory was changed. */
  #corruptLife = 0;
  /** Disks as they were some time ago. */
  readonly #images = new Map<SimMember, DiskImage>();
  readonly #tasks: Promise<void>[] = [];

  /** `restart` starts a member whose disk is whole, as after any crash. */
  constructor(
    group: Group,
    io: { count: (what: string) => void; restart: (member: SimMember) => void },
  ) {
    this.#group = group;
    this.#random = group.random;
    this.#count = io.count;
    this.#restart = io.restart;
    group.isExplained = (member, error) => this.#isExplained(member, error);
    group.isDamageExplained = (member) => {
      if (this.#damaged !== member) return false;
      this.#count('damaged disk repaired');
      return true;
    };
    group.isComingInExplained = (member) => {
      if (this.#damaged !== member) return false;
      this.#comesIn(member);
      return true;
    };
    this.#takeImages();
  }

  get isAny(): boolean {
    return this.#damaged !== undefined;
  }

  /** Not one that comes in anew, which any other fault may meet. */
  isDamaged(member: SimMember): boolean {
    return this.#damaged === member && this.#formerId === undefined;
  }

  /** Whether the group can bear to have this member, whom nobody removes, damaged now. */
  isBearable(member: SimMember): boolean {
    const { leader } = this.#group;
    if (this.isAny || leader?.engine === undefined || member.engine === undefined) return false;
    const { members } = leader.engine.state;
    // Who knows of older members only may wait for one of those before it votes (rule 2).
    const known = JSON.stringify(members);
    const others = this.#voters().filter(
      ({ id, engine }) => id !== member.id && JSON.stringify(engine?.state.members) === known,
    );
    const isOther = (id: number) => others.some((other) => other.id === id);
    return members.voters.includes(member.id) && isQuorum(members, isOther);
  }

  /** Throws what a replacement met. */
  async settle(): Promise<void> {
    await Promise.all(this.#tasks);
  }

  inflict(kind: DamageKind, member: SimMember): void {
    assert(this.isBearable(member), 'a quorum is left');
    this.#damaged = member;
    this.#damagedId = member.id;
    if (kind === 'corruptMemory') {
      // Who ends by another fault is not started again while it counts as damaged.
      calmDisk(member);
      this.#corrupt(member);
    } else if (kind === 'misdirect') this.#misdirect(member);
    else {
      member.kill();
      if (this.#random.chance(0.5)) member.disk.crash({ keep: () => this.#random.chance(0.5) });
      if (kind === 'rot') this.#rot(member);
      else if (kind === 'rollBack') {
        member.disk.rollBack(must(this.#images.get(member), 'a copy of its disk'));
      } else if (this.#random.chance(0.3)) {
        this.#replaceSoon(member);
        return;
      } else {
        member.disk.wipe();
        this.#comesIn(member);
        this.#restart(member);
        return;
      }
      this.#startSoon(member);
    }
  }

  /** Who was damaged and is no more: its memory is gone with its process, or it holds all again. */
  observe(member: SimMember): void {
    const { engine, promised } = member;
    if (this.#damaged !== member || engine === undefined) return;
    const { oracle } = this.#group;
    if (this.#formerId !== undefined) {
      this.#observeReturn(member);
      return;
    }
    if (oracle.suspects.has(member)) {
      // The next process is believed at once: from its next event on, its state must be the group's.
      if (member.life === this.#corruptLife) return;
      oracle.suspects.delete(member);
    } else if (!this.#isBack || !holds(engine.tail, promised)) return;
    this.#count('damage healed by itself');
    this.#clear();
  }

  /** Who came in anew is whole again once it votes. */
  #observeReturn(member: SimMember): void {
    if (member.id === this.#formerId) return;
    const votes = (one: SimMember | undefined) =>
      one?.engine?.state.members.voters.includes(member.id) === true;
    if (!votes(member) || !votes(this.#group.leader)) return;
    this.#count('member came in anew');
    this.#clear();
  }

  /** The group is to take the member in under another id: it asks by itself when it starts. */
  #comesIn(member: SimMember): void {
    if (this.#formerId === undefined) {
      this.#formerId = member.id;
      if (member.id !== this.#damagedId) this.#count('set back to a former member');
      // A disk that is set back later may hold who it was.
      this.#group.oracle.log.forget(member);
    }
    this.#isBack = false;
    this.#group.oracle.suspects.delete(member);
  }

  /** Whether the member starts again as after any crash: its disk should be whole. */
  mayRestart(member: SimMember): boolean {
    return this.#damaged === member && this.#group.oracle.suspects.has(member);
  }

  #clear(): void {
    this.#damaged = undefined;
    this.#formerId = undefined;
    this.#isBack = false;
  }

  #isExplained(member: SimMember, error: unknown): boolean {
    if (this.#damaged !== member) return false;
    if (this.#group.oracle.suspects.has(member)) {
      const isFenced = error instanceof StoreError && error.code === 'CORRUPT';
      this.#count(isFenced ? 'corrupt memory found' : 'corrupt memory met an assertion');
      if (member.life === this.#corruptLife) this.#restart(member);
      else if (error instanceof Outcast) {
        this.#comesIn(member); // Fenced a second time.
        this.#restart(member);
      } else return false;
      return true;
    }
    if (!(error instanceof StoreError) || error.code !== 'CORRUPT') return false;
    this.#count('damaged disk found');
    if (error instanceof Outcast) {
      this.#comesIn(member);
      this.#restart(member);
    } else this.#replaceSoon(member);
    return true;
  }

  /** One bit of one file, or a sector that cannot be read. */
  #rot({ disk }: SimMember): void {
    const files = disk.list().filter((name) => !name.startsWith('ballast'));
    const name = this.#random.pick(files);
    const file = disk.open(name);
    if (this.#random.chance(0.2)) {
      disk.breakSector(name, this.#random.below(Math.ceil(file.size / SECTOR_BYTES)));
      return;
    }
    const at = this.#random.below(file.size);
    const bit = 1 << this.#random.below(8);
    disk.damage(name, (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ bit;
    });
  }

  /** The next sector that is synced goes elsewhere; soon afterwards the power fails. */
  #misdirect(member: SimMember): void {
    const { disk, life } = member;
    let isDone = false;
    disk.faults.misdirect = (name, sector) => {
      if (isDone) return undefined;
      isDone = true;
      if (this.#random.chance(0.5)) return 'nowhere';
      const other = this.#random.pick(disk.list());
      const sectors = Math.ceil(disk.open(other).size / SECTOR_BYTES);
      const target = this.#random.below(Math.max(1, sectors));
      return other === name && target === sector ? 'nowhere' : { name: other, sector: target };
    };
    this.#group.time.after(this.#random.next() * 400, () => {
      assert(member.life === life, 'nobody else starts a damaged member');
      member.kill();
      disk.faults.misdirect = () => undefined;
      disk.crash({ keep: () => false });
      this.#startSoon(member);
    });
  }

  /** Starts it when nothing of what it had promised depends on it. */
  #startSoon(member: SimMember): void {
    const start = () => {
      if (this.#damaged !== member || member.isUp) return;
      const { promised } = member;
      const others = this.#voters().filter((other) => other !== member);
      const isKnown = others.every(
        ({ engine }) =>
          engine !== undefined &&
          engine.status().raftTerm >= promised.term &&
          holds(engine.tail, promised),
      );
      if (!isKnown || this.#group.leader === undefined) {
        this.#group.time.after(100, start);
        return;
      }
      calmDisk(member);
      this.#isBack = true;
      this.#group.oracle.log.forget(member);
      member.start();
    };
    this.#group.time.after(this.#random.next() * 1000, start);
  }

  /** All who vote by the configuration of the leader. */
  #voters(): SimMember[] {
    const { voters = [], votersOutgoing = [] } = this.#group.leader?.engine?.state.members ?? {};
    return this.#group.members.filter(
      ({ id }) => voters.includes(id) || votersOutgoing.includes(id),
    );
  }

  #replaceSoon(member: SimMember): void {
    const closed = (error: unknown) => {
      if (!(error instanceof StoreError && error.code === 'CLOSED')) throw error;
    };
    this.#tasks.push(this.#replace(member).catch(closed));
  }

  async #replace(member: SimMember): Promise<void> {
    const group = this.#group;
    await group.pause(this.#random.next() * 500);
    group.oracle.suspects.delete(member);
    const client = this.#random.pick(group.clients.slice(1));
    group.remove(member);
    await group.dismiss(client, member.id);
    const added = await group.add(client);
    const isVoter = () =>
      added.engine?.state.members.voters.includes(added.id) === true &&
      group.leader?.engine?.state.members.voters.includes(added.id) === true;
    while (!isVoter()) await group.pause(100);
    this.#count('member replaced');
    this.#clear();
  }

  /** Something in memory is not what was written there. Nobody may believe what this member says. */
  #corrupt(member: SimMember): void {
    const { engine } = member;
    if (engine === undefined) return;
    this.#group.oracle.suspects.add(member);
    for (const client of this.#group.clients) client.unlink(member);
    const { state } = engine;
    const { records } = state.mvcc;
    const heads: number[] = [];
    const range = { start: new Uint8Array(1), end: new Uint8Array(0) };
    state.mvcc.scan(range, { revision: state.mvcc.revision, limit: 0 }, (record) => {
      heads.push(record);
    });
    const what = this.#random.below(4);
    if (heads.length === 0 || what === 0) state.leases.grant(999_999_999, 1000);
    else {
      const record = this.#random.pick(heads);
      const value = state.mvcc.value(record);
      if (what === 1 && value.length > 0) {
        const at = this.#random.below(value.length);
        value[at] = (value[at] ?? 0) ^ (1 << this.#random.below(8));
      } else if (what === 2) records.create[record] = (records.create[record] ?? 0) + 1;
      else records.version[record] = (records.version[record] ?? 0) + 1;
    }
    const { life } = member;
    this.#corruptLife = life;
    // What only a checkpoint finds may be found late.
    this.#group.time.after(10_000, () => {
      if (member.life !== life || !member.isUp) return;
      this.#count('corrupt memory not met');
      member.kill();
      this.#restart(member);
    });
  }

  /** Now and then a member's disk is copied, to be put back later: the last copy of each. */
  #takeImages(): void {
    this.#group.time.after(500 + this.#random.next() * 3000, () => {
      const member = this.#random.pick(this.#group.members);
      if (member.isUp && !this.isAny) this.#images.set(member, member.disk.image());
      this.#takeImages();
    });
  }

  /** Whether there is a copy to set this member's disk back to. */
  hasImageOf(member: SimMember): boolean {
    return this.#images.has(member);
  }
}

/** Whether a log that ends so holds all that one with the other end has promised and is committed. */
function holds(
  tail: { readonly lastTerm: number; readonly lastIndex: number },
  promised: Promised,
): boolean {
  if (tail.lastTerm !== promised.lastTerm) return tail.lastTerm > promised.lastTerm;
  return tail.lastIndex >= promised.lastIndex;
}

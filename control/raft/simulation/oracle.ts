/**
 * What must be true of a group at every moment, checked after every event on the member it touched.
 * Paper figure 3, the configuration rules of the thesis, and that answers promise only what is on disk.
 * Entries are compared as objects: each is made once, by one leader, so a second one of equal index and
 * term is a violation even if it looks the same.
 */
import { assert, must } from '#base/assert.ts';
import { isJoint, membersOf } from '../raft.ts';
import type { Entry, LogIndex, MemberId, Members, Message, SnapshotMeta, Term } from '../raft.ts';
import type { TestMember } from '../testing/member.ts';
import { showMembers } from '../testing/member.ts';
import { isQuorum, quorumsMeet } from './quorums.ts';

/** Entries applied in one event, at most. */
const APPLIED_CHECKED = 40;

/** What was seen of a member after its last event. */
interface Seen {
  isLeader: boolean;
  term: Term;
  commitIndex: LogIndex;
  appliedIndex: LogIndex;
  lastIndex: LogIndex;
  members: Members;
  membersIndex: LogIndex;
}

export interface Counts {
  leaders: number;
  committed: number;
  truncated: number;
  simpleChanges: number;
  jointChanges: number;
  jointCommits: number;
}

export class Oracle {
  readonly #founders: Members;
  readonly #members: ReadonlyMap<MemberId, TestMember>;
  readonly #seen = new Map<MemberId, Seen>();
  readonly #leaders = new Map<Term, MemberId>();
  /** Every entry ever made, by index and term, with the term before it. */
  readonly #made = new Map<string, { readonly entry: Entry; readonly prevTerm: Term }>();
  /** Every committed entry: place 0 stands for the beginning. */
  readonly #truth: (Entry | undefined)[] = [undefined];
  /** In which term each was committed. */
  readonly #truthTerms: Term[] = [0];
  /** Logs as last seen, by member, from index 1. */
  readonly #logs = new Map<MemberId, Entry[]>();
  readonly counts: Counts = {
    leaders: 0,
    committed: 0,
    truncated: 0,
    simpleChanges: 0,
    jointChanges: 0,
    jointCommits: 0,
  };

  constructor(founders: readonly MemberId[], members: ReadonlyMap<MemberId, TestMember>) {
    this.#founders = membersOf(founders);
    this.#members = members;
  }

  /** The highest index that anybody committed. */
  get committedIndex(): LogIndex {
    return this.#truth.length - 1;
  }

  /** The member did something. */
  observe(member: TestMember): void {
    const { id, raft } = member;
    const { role, term, commitIndex, appliedIndex, lastIndex, membersIndex } = raft.status;
    const before = this.#seen.get(id);
    assert(raft.lostLog === undefined, `member ${id} lost nothing`);
    assert(appliedIndex <= commitIndex, 'applied <= committed');
    assert(commitIndex <= lastIndex, 'committed <= last');
    if (before !== undefined) {
      assert(term >= before.term, `member ${id}: terms never fall`);
      assert(commitIndex >= before.commitIndex, `member ${id}: commit index never falls`);
    }
    this.#observeLog(member);
    const now: Seen = {
      isLeader: role === 'leader',
      term,
      commitIndex,
      appliedIndex,
      lastIndex,
      members: raft.members,
      membersIndex,
    };
    this.#observeCommit(member, before, now);
    if (now.isLeader) this.#observeLeader(member, before, now);
    this.#seen.set(id, now);
  }

  /** The member crashed; nothing seen of it need hold any more. */
  forget(id: MemberId): void {
    this.#seen.delete(id);
  }

  /** A message leaves the member: it must not promise more than the disk holds. */
  leaves(member: TestMember, message: Message): void {
    const { disk, id } = member;
    if (message.kind === 'voteResponse' && !message.rejected) {
      const { term, vote } = disk.hardState;
      assert(term >= message.term, `member ${id} votes in a term that its disk knows`);
      assert(
        term > message.term || vote === message.to,
        `member ${id} votes for whom its disk says`,
      );
    } else if (message.kind === 'appendResponse' && !message.rejected) {
      const last = disk.entries.at(-1)?.index ?? disk.snapshot?.index ?? 0;
      // What a later term cut away was on disk when the answer was given, and is on its way out.
      const isCurrent = disk.hardState.term === message.term;
      assert(!isCurrent || last >= message.index, `member ${id} holds what it acknowledges`);
    } else if (message.kind === 'snapshot') {
      this.#checkSnapshot(message.snapshot);
    }
  }

  /** What is given out to be applied is committed, and on the member's own disk. */
  handsOut(member: TestMember, committed: readonly Entry[]): void {
    for (const entry of committed) {
      assert(this.#truth[entry.index] === entry, `entry ${entry.index} to apply is committed`);
      assert(isOnDisk(member, entry), `entry ${entry.index} to apply is on disk`);
    }
  }

  /** A snapshot says of its index what the log said there. */
  #checkSnapshot(snapshot: SnapshotMeta): void {
    const { index, term, members } = snapshot;
    assert(index <= this.committedIndex, `snapshot ${index} is committed`);
    assert(this.#truth[index]?.term === term, `snapshot ${index} has the term of its entry`);
    const wanted = this.#truth.slice(0, index + 1).findLast((entry) => entry?.members)?.members;
    const text = showMembers(wanted ?? this.#founders);
    assert(showMembers(members) === text, `snapshot ${index} has the members of its index`);
  }

  /** Everything that was committed before `term` is in the log, or behind its begin. */
  checkHolds({ raft, id }: TestMember, term: Term): void {
    const { firstIndex, lastIndex } = raft.status;
    for (let index = this.committedIndex; index > 0; index--) {
      // Who wins an election late, in a term that is over, need not know what came after it.
      if ((this.#truthTerms[index] ?? 0) >= term) continue;
      assert(lastIndex >= index, `member ${id} holds ${index}, committed before term ${term}`);
      if (index < firstIndex) return;
      assert(raft.entry(index) === this.#truth[index], `member ${id} holds committed ${index}`);
    }
  }

  /** Log matching: with each new entry its predecessor is the same as in every other log. */
  #observeLog({ id, raft }: TestMember): void {
    const known = this.#logs.get(id) ?? [];
    this.#logs.set(id, known);
    const { firstIndex, lastIndex } = raft.status;
    if (known.length > lastIndex) this.counts.truncated++;
    known.length = Math.min(known.length, lastIndex);
    for (let index = lastIndex; index >= firstIndex; index--) {
      const entry = must(raft.entry(index), `entry ${index} is kept`);
      if (known[index - 1] === entry) break;
      if (known[index - 1] !== undefined && index === lastIndex) this.counts.truncated++;
      known[index - 1] = entry;
      const prevTerm = raft.entry(index - 1)?.term ?? this.#truth[index - 1]?.term ?? 0;
      const key = `${index}/${entry.term}`;
      const made = this.#made.get(key);
      if (made === undefined) this.#made.set(key, { entry, prevTerm });
      else {
        assert(made.entry === entry, `entry ${key} of member ${id} is the one that was made`);
        assert(made.prevTerm === prevTerm, `entry ${key} of member ${id} follows the same`);
      }
    }
  }

  #observeCommit(member: TestMember, before: Seen | undefined, now: Seen): void {
    const { raft, id } = member;
    const from = before?.commitIndex ?? 0;
    for (
      let index = Math.max(from + 1, raft.status.firstIndex);
      index <= now.commitIndex;
      index++
    ) {
      const entry = must(raft.entry(index), `entry ${index} is kept`);
      const known = this.#truth[index];
      if (known !== undefined) {
        assert(known === entry, `members commit the same at ${index}`);
        continue;
      }
      assert(index === this.#truth.length, `entry ${index} is committed in order`);
      this.#truth.push(entry);
      this.#truthTerms.push(now.term);
      this.counts.committed++;
      // Also who led until this very event: it may have committed its own removal.
      assert(now.isLeader || before?.isLeader === true, `member ${id} commits ${index} as leader`);
      this.#checkQuorum(index, entry, configurationsFor(index, must(before, 'was seen'), now));
    }
    for (const entry of member.applied.slice(-APPLIED_CHECKED)) {
      assert(this.#truth[entry.index] === entry, `members apply the same at ${entry.index}`);
    }
  }

  /** Both halves' majorities of the configuration, or of one of two, hold the entry on disk. */
  #checkQuorum(index: LogIndex, entry: Entry, configurations: readonly Members[]): void {
    const isHeld = (id: MemberId) => {
      const member = this.#members.get(id);
      return member !== undefined && isOnDisk(member, entry);
    };
    const text = configurations.map(showMembers).join(' or ');
    const isHeldByOne = configurations.some((members) => isQuorum(members, isHeld));
    assert(isHeldByOne, `entry ${index} is on the disks of a quorum of ${text}`);
    if (configurations.some(isJoint)) this.counts.jointCommits++;
  }

  #observeLeader(member: TestMember, before: Seen | undefined, now: Seen): void {
    const { id } = member;
    const known = this.#leaders.get(now.term);
    assert(known === undefined || known === id, `term ${now.term} has one leader`);
    if (known === undefined) {
      this.#leaders.set(now.term, id);
      this.counts.leaders++;
      this.checkHolds(member, now.term);
      const { hardState, snapshot } = member.disk;
      const isOwn = hardState.term === now.term && hardState.vote === id;
      assert(isOwn, `member ${id} leads term ${now.term} with its vote for itself on disk`);
      const begin = member.raft.status.firstIndex - 1;
      assert((snapshot?.index ?? 0) >= begin, `member ${id} leads with its snapshot on disk`);
    }
    const isFollowing = before?.isLeader === true && before.term === now.term;
    if (isFollowing && now.membersIndex > before.membersIndex)
      this.#checkChange(member, before, now);
  }

  /** A leader appended a configuration. */
  #checkChange({ raft }: TestMember, before: Seen, now: Seen): void {
    const text = `${showMembers(before.members)} -> ${showMembers(now.members)}`;
    // Its predecessor may have been committed by this very event.
    assert(before.membersIndex <= now.commitIndex, `one change at a time: ${text}`);
    const committedTerm = raft.entry(now.commitIndex)?.term ?? now.term;
    assert(committedTerm === now.term, `changed after a commit in the term: ${text}`);
    assert(quorumsMeet(before.members, now.members), `quorums meet: ${text}`);
    let uncommitted = 0;
    for (let index = this.committedIndex + 1; index <= now.lastIndex; index++) {
      if (raft.entry(index)?.members !== undefined) uncommitted++;
    }
    assert(uncommitted <= 1, `at most one change is uncommitted: ${text}`);
    if (isJoint(now.members)) this.counts.jointChanges++;
    else if (!isJoint(before.members)) this.counts.simpleChanges++;
  }
}

function isOnDisk({ disk }: TestMember, entry: Entry): boolean {
  if ((disk.snapshot?.index ?? 0) >= entry.index) return true;
  const first = disk.entries[0]?.index ?? 1;
  return disk.entries[entry.index - first] === entry;
}

/**
 * By which configuration a leader committed the entry. When the one before the event was waiting itself,
 * it counted up to its own entry; the next one, which that commit made the leader append, may have
 * counted for what stands between the two.
 */
function configurationsFor(index: LogIndex, before: Seen, now: Seen): readonly Members[] {
  if (before.membersIndex <= before.commitIndex) return [now.members];
  return index <= before.membersIndex ? [before.members] : [before.members, now.members];
}

/**
 * Text scenarios over a group of members: a command per line, and under it what happened. Files in
 * testdata/group hold both, so that a change of behaviour shows as a diff (scenario.test.ts).
 *
 *   members N [OPTION...]  a fresh group of N voters, elections after 3 to 5 ticks. Options:
 *                          voters=1,2 learners=3 (instead of N), start=1,2 (the others are down),
 *                          inflight=N appends in flight at most, apply=N entries at a time at most,
 *                          uncommitted=BYTES, reads=N that wait at most
 *   join ID                a new member that knows nobody
 *   campaign ID            start an election
 *   elect ID [ID...]       campaign and stabilize among these members, saying only who leads
 *   tick ID [N]            N ticks (1)
 *   propose ID TEXT        append a proposal
 *   change ID [auto|simple|joint|jointExplicit] WORD...
 *                          v4 adds voter 4, l4 learner 4, r4 removes 4
 *   leave ID               end a joint change
 *   transfer ID TO         hand over leadership
 *   win ID [ID...]         collect the votes of these members; all that ID sends otherwise is lost
 *   forget ID [ID...]      forget the leader
 *   unreachable ID OF      messages to OF do not get through
 *   read ID CONTEXT        ask for a linearizable read
 *   take ID                take a Ready, send what needs no disk, keep the disk waiting
 *   persist ID [PLACE]     finish the oldest write (0), or a later one
 *   process ID             both, until the disk is idle
 *   deliver ID [KIND]      hand over the messages for ID, of one kind
 *   drop ID [KIND]         lose them
 *   lose                   lose everything under way
 *   hold ID [KIND]         put them aside; `release ID` puts them back
 *   repeat ID [KIND]       hand them over and keep them: they will come again
 *   stabilize [ID...]      process and deliver among these members until nothing happens
 *   snapshot ID INDEX      keep and offer a snapshot up to INDEX; compact ID INDEX drops the log too
 *   transferred ID OF installed|failed    how sending a snapshot to OF ended
 *   restart ID [N]         lose what was not persisted, but for N writes that had landed
 *   status [ID...], log ID, progress ID, config [ID...]   show
 *   quietly COMMAND        show nothing of it
 */
import { must } from '#base/assert.ts';
import { NO_MEMBERS, membersOf } from '../raft.ts';
import type { Entry, MemberId, Members, Message } from '../raft.ts';
import type { Limits } from '../limits.ts';
import { parseChange } from './change-scenario.ts';
import { TestMember, showMembers, votersUpTo } from './member.ts';
import { showEntry, showMessage, showProgress, showReady, showStatus } from './show.ts';

/** Makes every election timeout 5 ticks; after 3 without a leader a member helps to elect another. */
const ELECTION_JITTER = 0.99;

/** `apply` is in bytes: below that of any entry, one entry at a time passes. */
const LIMIT_OPTIONS = {
  inflight: 'inflightAppendsMax',
  apply: 'committedBytesPerReadyMax',
  uncommitted: 'uncommittedBytesMax',
  reads: 'readsPendingMax',
} as const;

type Command = (words: readonly string[]) => void;

export class GroupScenario {
  #members = new Map<MemberId, TestMember>();
  #limits: { -readonly [Name in keyof Limits]?: number } = {};
  #network: Message[] = [];
  #aside: Message[] = [];
  #output: string[] = [];

  readonly #commands: Readonly<Record<string, Command>> = {
    members: (words) => this.#found(words),
    join: ([id]) => this.#startMember(Number(id), NO_MEMBERS),
    campaign: ([id]) => this.#raft(id).campaign(),
    elect: (words) => this.#elect(words.map(Number)),
    tick: ([id, count = '1']) => this.#tick(this.member(id), Number(count)),
    propose: ([id, ...words]) => this.#propose(this.member(id), words.join(' ')),
    change: ([id, ...words]) => this.#change(this.member(id), words),
    leave: ([id]) => this.#sayProposed(this.#raft(id).proposeLeave()),
    transfer: ([id, to]) => this.#sayUnless(this.#raft(id).transferLeadership(Number(to))),
    win: (words) => this.#win(words.map(Number)),
    forget: (words) => words.forEach((id) => this.#raft(id).forgetLeader()),
    unreachable: ([id, of]) => this.#raft(id).unreachable(Number(of)),
    read: ([id, context]) => this.#say(this.#raft(id).read(Number(context)) ? 'taken' : 'refused'),
    take: ([id]) => this.#take(this.member(id)),
    persist: ([id, place = '0']) => this.#persist(this.member(id), Number(place)),
    process: ([id]) => this.#process(this.member(id)),
    deliver: ([id, kind]) => this.#deliver(this.#remove(id, kind)),
    drop: ([id, kind]) =>
      this.#remove(id, kind).forEach((m) => this.#say(`lost ${showMessage(m)}`)),
    lose: () => {
      this.#network = [];
    },
    hold: ([id, kind]) => void this.#aside.push(...this.#remove(id, kind)),
    repeat: ([id, kind]) => this.#repeat(id, kind),
    release: ([id]) => this.#release(Number(id)),
    stabilize: (words) => this.#stabilize(words.map(Number)),
    snapshot: ([id, index]) => void this.member(id).snapshot(Number(index)),
    compact: ([id, index]) => void this.member(id).compact(Number(index)),
    transferred: ([id, of, outcome]) =>
      this.#raft(id).snapshotEnded(Number(of), outcome === 'installed' ? 'installed' : 'failed'),
    restart: ([id, landed = '0']) => this.member(id).restart(Number(landed)),
    status: (words) => this.#show(words, ({ raft }) => showStatus(raft)),
    config: (words) => this.#show(words, ({ raft }) => showMembers(raft.members)),
    progress: ([id]) => this.#raft(id).progress.forEach((p) => this.#say(showProgress(p))),
    log: ([id]) => this.#log(this.member(id)),
  };

  /** Runs commands, a line each, and returns what the last of them gave. */
  runAll(commands: string): string[] {
    let outcome: string[] = [];
    for (const line of commands.trim().split('\n')) outcome = this.run(line.trim());
    return outcome;
  }

  /** Runs one command and returns what happened, a line each. */
  run(command: string): string[] {
    this.#output = [];
    const quiet = command.startsWith('quietly ');
    const [verb = '', ...words] = command.slice(quiet ? 8 : 0).split(' ');
    must(this.#commands[verb], `command ${verb} is known`)(words);
    return quiet ? [] : this.#output;
  }

  #found(words: readonly string[]): void {
    const options = new Map(words.map((word) => word.split('=') as [string, string])); // key=value.
    const list = (name: string) => options.get(name)?.split(',').map(Number);
    const voters = list('voters') ?? votersUpTo(Number(words[0]));
    const members = { ...membersOf(voters), learners: list('learners') ?? [] };
    this.#limits = {};
    for (const [name, limit] of Object.entries(LIMIT_OPTIONS)) {
      if (options.has(name)) this.#limits[limit] = Number(options.get(name));
    }
    this.#members = new Map();
    this.#network = [];
    this.#aside = [];
    for (const id of list('start') ?? [...voters, ...members.learners]) {
      this.#startMember(id, members);
    }
  }

  #startMember(id: MemberId, members: Members): void {
    let draws = 0;
    // The first draw numbers a member's reads: from 0 on.
    const random = () => (draws++ === 0 ? 0 : ELECTION_JITTER);
    this.#members.set(id, new TestMember({ id, members, random, limits: this.#limits }));
  }

  #tick({ raft }: TestMember, count: number): void {
    for (let i = 0; i < count; i++) raft.tick();
  }

  #propose({ raft }: TestMember, text: string): void {
    const data = Uint8Array.from(text, (character) => character.charCodeAt(0));
    this.#sayProposed(raft.propose(data));
  }

  #change({ raft }: TestMember, words: readonly string[]): void {
    const { transition, changes } = parseChange(words);
    this.#sayProposed(raft.proposeChange(changes, { transition }));
  }

  #process(member: TestMember): void {
    this.#take(member);
    while (member.isWriting) this.#persist(member, 0);
  }

  #take(member: TestMember): void {
    const ready = member.take();
    while (member.unapplied.length > 0) member.apply();
    if (ready === undefined) return this.#say(`${member.id}: nothing to do`);
    for (const line of showReady(ready)) this.#say(`${member.id}: ${line}`);
    this.#network.push(...ready.messages);
    return undefined;
  }

  #persist(member: TestMember, place: number): void {
    const messages = member.persist(place);
    for (const message of messages) this.#say(`${member.id}: persisted, ${showMessage(message)}`);
    this.#network.push(...messages);
  }

  #deliver(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#say(showMessage(message));
      const { raft } = this.member(message.to);
      const before = raft.lostLog;
      raft.step(message);
      if (raft.lostLog !== before) this.#say(`${message.to}: lost its log`);
    }
  }

  #repeat(id: string | undefined, kind: string | undefined): void {
    const messages = this.#remove(id, kind);
    this.#deliver(messages);
    this.#network.push(...messages);
  }

  #release(id: number): void {
    this.#network.push(...this.#aside.filter(({ to }) => to === id));
    this.#aside = this.#aside.filter(({ to }) => to !== id);
  }

  #remove(id: string | undefined, kind: string | undefined): Message[] {
    const matches = (message: Message) =>
      message.to === Number(id) && (kind === undefined || message.kind === kind);
    const removed = this.#network.filter(matches);
    this.#network = this.#network.filter((message) => !matches(message));
    return removed;
  }

  #elect(ids: readonly number[]): void {
    const { raft } = this.member(ids[0] ?? 0);
    raft.campaign();
    this.#stabilize(ids.length === 1 ? [] : ids);
    const { role, term, commitIndex } = raft.status;
    this.#output = [`${role} in term ${term}, commit=${commitIndex}`];
  }

  /** The first campaign may only tell the candidate which term it is. */
  #win(ids: readonly number[]): void {
    const { raft } = this.member(ids[0]);
    for (let i = 0; i < 2 && !raft.isLeader; i++) this.#collectVotes(ids);
    const { role, term } = raft.status;
    this.#output = [`${role} in term ${term}`];
  }

  #collectVotes(ids: readonly number[]): void {
    for (const id of ids.slice(1)) this.#raft(`${id}`).forgetLeader();
    this.#raft(`${ids[0]}`).campaign();
    // A pre-vote and a vote, there and back, and the leader's first entry to its disk.
    for (let hop = 0; hop < 5; hop++) {
      for (const id of ids) this.#process(this.member(id));
      this.#network = this.#network.filter(({ kind }) => kind.toLowerCase().includes('vote'));
      for (const id of ids) this.#deliver(this.#remove(`${id}`, undefined));
    }
    this.#network = [];
  }

  #stabilize(ids: readonly number[]): void {
    const isAmong = (id: number) => this.#members.has(id) && (ids.length === 0 || ids.includes(id));
    const among = [...this.#members.values()].filter(({ id }) => isAmong(id));
    for (let round = 0; round < 100; round++) {
      let isQuiet = true;
      for (const member of among) {
        const { id } = member;
        const isWaiting = this.#network.some(({ to, from }) => to === id && isAmong(from));
        if (!isWaiting && !member.raft.hasReady) continue;
        isQuiet = false;
        this.#deliver(this.#remove(`${id}`, undefined));
        if (member.raft.hasReady) this.#process(member);
      }
      if (isQuiet) return;
    }
    throw new Error('the group does not come to rest');
  }

  #show(words: readonly string[], line: (member: TestMember) => string): void {
    const wanted = words.map(Number);
    for (const member of this.#members.values()) {
      if (wanted.length > 0 && !wanted.includes(member.id)) continue;
      this.#say(`${member.id}: ${line(member)}`);
    }
  }

  #log(member: TestMember): void {
    const { snapshot, entries } = member.disk;
    if (snapshot !== undefined) this.#say(`snapshot ${snapshot.index}/${snapshot.term}`);
    for (const entry of entries) this.#say(showEntry(entry));
  }

  #sayProposed(result: Entry | string): void {
    this.#say(typeof result === 'string' ? `refused: ${result}` : `entry ${showEntry(result)}`);
  }

  #sayUnless(refusal: string | undefined): void {
    if (refusal !== undefined) this.#say(`refused: ${refusal}`);
  }

  #raft(id: string | undefined): TestMember['raft'] {
    return this.member(id).raft;
  }

  member(id: string | number | undefined): TestMember {
    return must(this.#members.get(Number(id)), `member ${id} exists`);
  }

  #say(line: string): void {
    this.#output.push(line);
  }
}

/** A group that these commands were given to, a line each. */
export function groupAfter(commands: string): GroupScenario {
  const group = new GroupScenario();
  group.runAll(commands);
  return group;
}

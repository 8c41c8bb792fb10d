/**
 * Text scenarios over a group of members: a command per line, and under it what happened. Files in
 * testdata/ hold both, so that a change of behaviour shows as a diff (scenario.test.ts).
 *
 *   members N              a fresh group of N voters
 *   campaign ID            start an election
 *   elect ID [ID...]       campaign and stabilize among these members, saying only who leads
 *   tick ID [N]            N ticks (1)
 *   propose ID TEXT        append a proposal
 *   read ID CONTEXT        ask for a linearizable read
 *   take ID                take a Ready, send what needs no disk, keep the disk waiting
 *   persist ID             finish the oldest Ready taken
 *   process ID             both
 *   deliver ID [KIND]      hand over the messages for ID, of one kind
 *   drop ID [KIND]         lose them
 *   hold ID [KIND]         put them aside; `release ID` puts them back
 *   stabilize [ID...]      process and deliver among these members until nothing happens
 *   compact ID INDEX       keep a snapshot up to INDEX
 *   restart ID             lose what was not persisted
 *   status, log ID         show
 */
import { must } from '#base/assert.ts';
import type { Entry, Message, Ready } from './raft.ts';
import { testMembers } from './testing.ts';
import type { TestMember } from './testing.ts';

/** Makes every election timeout 5 ticks; after 3 without a leader a member helps to elect another. */
const ELECTION_JITTER = 0.99;

export class Scenario {
  #members: TestMember[] = [];
  #network: Message[] = [];
  #aside: Message[] = [];
  #output: string[] = [];

  /** Runs one command and returns what happened, a line each. */
  run(command: string): string[] {
    this.#output = [];
    const [verb = '', ...words] = command.split(' ');
    const id = Number(words[0]);
    const text = words.slice(1).join(' ');
    if (verb === 'members') this.#members = testMembers(id, () => ELECTION_JITTER);
    else if (verb === 'stabilize') this.#stabilize(words.map(Number));
    else if (verb === 'elect') this.#elect(words.map(Number));
    else if (verb === 'status') this.#status();
    else this.#memberCommand(verb, this.#member(id), text);
    return this.#output;
  }

  #memberCommand(verb: string, member: TestMember, text: string): void {
    const { raft, id } = member;
    if (verb === 'campaign') raft.campaign();
    else if (verb === 'tick') this.#tick(member, text === '' ? 1 : Number(text));
    else if (verb === 'propose') this.#propose(member, text);
    else if (verb === 'read') this.#say(raft.read(Number(text)) ? 'taken' : 'refused');
    else if (verb === 'take') this.#take(member);
    else if (verb === 'persist') this.#persist(member);
    else if (verb === 'process') this.#process(member);
    else if (verb === 'deliver') this.#deliver(id, text);
    else if (verb === 'drop') this.#remove(id, text).forEach((m) => this.#say(`lost ${show(m)}`));
    else if (verb === 'hold') this.#aside.push(...this.#remove(id, text));
    else if (verb === 'release') this.#release(id);
    else if (verb === 'compact') member.compact(Number(text));
    else if (verb === 'restart') member.restart();
    else if (verb === 'log') this.#log(member);
    else throw new Error(`unknown command: ${verb}`);
  }

  #tick(member: TestMember, count: number): void {
    for (let i = 0; i < count; i++) member.raft.tick();
  }

  #propose(member: TestMember, text: string): void {
    const entry = member.raft.propose(asciiBytes(text));
    this.#say(entry === undefined ? 'refused' : `entry ${showEntry(entry)}`);
  }

  #process(member: TestMember): void {
    this.#take(member);
    while (member.held.length > 0) this.#persist(member);
  }

  #take(member: TestMember): void {
    const ready = member.take();
    if (ready === undefined) return this.#say(`${member.id}: nothing to do`);
    for (const line of showReady(ready)) this.#say(`${member.id}: ${line}`);
    this.#network.push(...ready.messages);
    return undefined;
  }

  #persist(member: TestMember): void {
    const messages = member.persist();
    for (const message of messages) this.#say(`${member.id}: persisted, ${show(message)}`);
    this.#network.push(...messages);
  }

  #deliver(id: number, kind: string): void {
    for (const message of this.#remove(id, kind)) {
      this.#say(show(message));
      this.#member(id).raft.step(message);
    }
  }

  #release(id: number): void {
    this.#network.push(...this.#aside.filter(({ to }) => to === id));
    this.#aside = this.#aside.filter(({ to }) => to !== id);
  }

  #remove(id: number, kind: string): Message[] {
    const matches = (message: Message) =>
      message.to === id && (kind === '' || message.kind === kind);
    const removed = this.#network.filter(matches);
    this.#network = this.#network.filter((message) => !matches(message));
    return removed;
  }

  #elect(ids: readonly number[]): void {
    const { raft } = this.#member(ids[0] ?? 0);
    raft.campaign();
    this.#stabilize(ids.length === 1 ? [] : ids);
    const { role, term, commitIndex } = raft.status;
    this.#output = [`${role} in term ${term}, commit=${commitIndex}`];
  }

  #stabilize(ids: readonly number[]): void {
    const among = this.#members.filter(({ id }) => ids.length === 0 || ids.includes(id));
    for (let round = 0; round < 100; round++) {
      let isQuiet = true;
      for (const member of among) {
        const waiting = this.#network.some(
          ({ to, from }) => to === member.id && among.some(({ id }) => id === from),
        );
        if (!waiting && !member.raft.hasReady) continue;
        isQuiet = false;
        this.#deliver(member.id, '');
        if (member.raft.hasReady) this.#process(member);
      }
      if (isQuiet) return;
    }
    throw new Error('the group does not come to rest');
  }

  #status(): void {
    for (const { id, raft } of this.#members) {
      const { role, term, leader, commitIndex, appliedIndex, persistedIndex, lastIndex } =
        raft.status;
      this.#say(
        `${id}: ${role} term=${term} leader=${leader} commit=${commitIndex} ` +
          `applied=${appliedIndex} persisted=${persistedIndex} last=${lastIndex}`,
      );
    }
  }

  #log(member: TestMember): void {
    const { snapshot, entries } = member.disk;
    if (snapshot !== undefined) this.#say(`snapshot ${snapshot.index}/${snapshot.term}`);
    for (const entry of entries) this.#say(showEntry(entry));
  }

  #member(id: number): TestMember {
    return must(this.#members[id - 1], `member ${id} exists`);
  }

  #say(line: string): void {
    this.#output.push(line);
  }
}

function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Index, term and data: `3/2 "x"`. */
function showEntry(entry: Entry): string {
  return `${entry.index}/${entry.term} ${JSON.stringify(String.fromCharCode(...entry.data))}`;
}

function showReady(ready: Ready): string[] {
  const lines = ready.messages.map((message) => `send ${show(message)}`);
  if (ready.snapshot !== undefined) {
    lines.push(`install snapshot ${ready.snapshot.index}/${ready.snapshot.term}`);
  }
  if (ready.hardState !== undefined) {
    const { term, vote, commitIndex } = ready.hardState;
    lines.push(`write term=${term} vote=${vote} commit=${commitIndex}`);
  }
  for (const entry of ready.entries) lines.push(`write ${showEntry(entry)}`);
  for (const entry of ready.committed) lines.push(`apply ${showEntry(entry)}`);
  for (const read of ready.readStates) lines.push(`read ${read.context} at ${read.index}`);
  return lines.length === 0 ? ['only messages that wait for the disk'] : lines;
}

function show(message: Message): string {
  return `${message.from}->${message.to} ${message.kind} term=${message.term}${details(message)}`;
}

function details(message: Message): string {
  switch (message.kind) {
    case 'vote':
    case 'preVote':
      return ` last=${message.lastIndex}/${message.lastTerm}`;
    case 'voteResponse':
    case 'preVoteResponse':
      return message.rejected ? ' rejected' : ' granted';
    case 'append': {
      const entries = message.entries.map(showEntry).join(' ');
      const prev = `${message.prevIndex}/${message.prevTerm}`;
      return ` prev=${prev} commit=${message.commitIndex} [${entries}]`;
    }
    case 'appendResponse':
      return message.rejected
        ? ` index=${message.index} rejected hint=${message.hintIndex}/${message.hintTerm}`
        : ` index=${message.index}`;
    case 'heartbeat':
      return ` commit=${message.commitIndex} round=${message.readCounter}`;
    case 'heartbeatResponse':
      return ` round=${message.readCounter}`;
    case 'snapshot':
      return ` snapshot=${message.snapshot.index}/${message.snapshot.term}`;
    case 'read':
      return ` context=${message.context}`;
    case 'readResponse':
      return ` context=${message.context} index=${message.index}`;
    default:
      return message satisfies never;
  }
}

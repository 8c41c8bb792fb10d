/**
 * Known bugs, each as a patch over the shipped sources: mutation-gate.ts holds the simulator to find
 * them. A number is that of the bug in reference/store.md section 2.
 */
import { assert } from '#base/assert.ts';

export interface Patch {
  readonly file: string;
  /** Stands there once. */
  readonly find: string;
  readonly replace: string;
}

export type Area = 'raft' | 'log' | 'mvcc' | 'lease';

export interface Mutation {
  readonly name: string;
  readonly area: Area;
  /** Of the bug in reference/store.md. */
  readonly bug?: number;
  readonly patches: readonly Patch[];
}

function one(
  name: string,
  area: Area,
  [file, find, replace]: readonly [string, string, string],
  bug?: number,
): Mutation {
  const patches = [{ file, find, replace }];
  return bug === undefined ? { name, area, patches } : { name, area, bug, patches };
}

export const MUTATIONS: readonly Mutation[] = [
  one(
    'new-leader-answers-reads',
    'raft',
    [
      'control/raft/reads.ts',
      "role.kind === 'leader' && role.reads.hasWaiting && hasCommittedInTerm(state)",
      "role.kind === 'leader' && role.reads.hasWaiting",
    ],
    1,
  ),
  one(
    'late-answer-confirms-read',
    'raft',
    [
      'control/raft/read-rounds.ts',
      'return this.#answered.get(id) ?? 0;',
      'return this.#answered.has(id) ? this.#counter : 0;',
    ],
    2,
  ),
  {
    name: 'two-leaders-change-members',
    area: 'raft',
    bug: 7,
    patches: [
      {
        file: 'control/raft/leader.ts',
        find: "if (log.membersIndex > log.commitIndex) return 'changePending';",
        replace: '',
      },
      {
        file: 'control/raft/leader.ts',
        find: "if (!hasCommittedInTerm(state)) return 'termUncommitted';",
        replace: '',
      },
      {
        file: 'control/store/engine/raft-consensus.ts',
        find: 'this.#raft.appliedIndex < this.#raft.status.membersIndex',
        replace: 'false',
      },
    ],
  },
  one(
    'quorum-of-unsorted-list',
    'raft',
    ['control/raft/quorum.ts', '.sort((a, b) => b - a)', ''],
    10,
  ),
  one(
    'append-cuts-without-conflict',
    'raft',
    [
      'control/raft/log.ts',
      'if (this.matches(entry.index, entry.term)) continue;',
      'if (entry.index <= this.#commitIndex) continue;',
    ],
    11,
  ),
  {
    // A member that starts asks the others for their terms first (rule 2), which would hide it.
    name: 'vote-is-not-kept',
    area: 'raft',
    bug: 13,
    patches: [
      {
        file: 'control/store/wal/record.ts',
        find: 'out.varint(hardState.vote);',
        replace: 'out.varint(0);',
      },
      {
        file: 'control/store/engine/open-engine.ts',
        find: 'isAlone && settings.isPatient !== true ? 0 : Number.POSITIVE_INFINITY',
        replace: 'isAlone && settings.isPatient !== true ? 0 : 0',
      },
    ],
  },
  one(
    // The host writes before it goes on, so no write of its own ends late: the others' answers do.
    'answer-for-overwritten-entries-counts',
    'raft',
    [
      'control/raft/admit.ts',
      'if (message.term < state.term) {',
      "if (message.term < state.term && message.kind !== 'appendResponse') {",
    ],
    14,
  ),
  {
    name: 'lost-appends-are-not-sent-again',
    area: 'raft',
    bug: 15,
    patches: [
      {
        file: 'control/raft/progress.ts',
        find: "if (this.#state === 'replicate' && this.#matchIndex < lastIndex) this.#isPoked = true;",
        replace: '',
      },
      {
        file: 'control/raft/limits.ts',
        find: 'inflightAppendsMax: 256,',
        replace: 'inflightAppendsMax: 2,',
      },
    ],
  },
  {
    name: 'transfer-outlasts-leadership',
    area: 'raft',
    bug: 21,
    patches: [
      {
        file: 'control/raft/leader.ts',
        find: 'transfer: undefined,',
        replace: "transfer: (state as { kept?: Leading['transfer'] }).kept,",
      },
      {
        file: 'control/raft/transfer.ts',
        find: 'role.transfer = to === state.id ? undefined : { to, elapsed: 0 };',
        replace:
          'role.transfer = to === state.id ? undefined : { to, elapsed: 0 };\n' +
          "  (state as { kept?: Leading['transfer'] }).kept = role.transfer;",
      },
      {
        file: 'control/raft/ticks.ts',
        find: 'transfer.elapsed++;',
        replace: 'if (transfer.elapsed < 0) transfer.elapsed++;',
      },
    ],
  },
  one('vote-ignores-the-log', 'raft', [
    'control/raft/election.ts',
    'mayVote && state.log.isUpToDate(message.lastIndex, message.lastTerm)',
    'mayVote',
  ]),
  {
    // Entries go one by one here, or the leader's own first entry would always travel with the older ones.
    name: 'commit-of-earlier-term',
    area: 'raft',
    patches: [
      {
        file: 'control/raft/leader.ts',
        find: 'if (index <= log.commitIndex || log.term(index) !== state.term) return;',
        replace: 'if (index <= log.commitIndex || index > log.lastIndex) return;',
      },
      {
        file: 'control/raft/limits.ts',
        find: 'appendBytesMax: MEBIBYTE,',
        replace: 'appendBytesMax: 1,',
      },
    ],
  },
  {
    name: 'set-back-disk-goes-on',
    area: 'raft',
    bug: 24,
    patches: [
      {
        file: 'control/raft/follower.ts',
        find: 'if (log.isWithout(commitIndex, commitTerm)) {',
        replace: 'if (false as boolean) {',
      },
    ],
  },
  one(
    'acknowledged-before-sync',
    'log',
    [
      'control/store/wal/batch-writer.ts',
      'file.write(bytes, at);\n    file.sync();',
      'file.write(bytes, at);',
    ],
    16,
  ),
  {
    // It rides along with entries, which puts it into nearly every segment: here it is written when it
    // changes, and not otherwise.
    name: 'hard-state-not-in-new-segment',
    area: 'log',
    bug: 17,
    patches: [
      {
        file: 'control/store/wal/wal.ts',
        find: 'if (this.#hardState === undefined) return position;\n    const out',
        replace: 'if (this.#hardState !== undefined) return position;\n    const out',
      },
      {
        file: 'control/raft/ready.ts',
        find: 'const hardState = isChanged || entries.length > 0 ? hardStateOf(state) : undefined;',
        replace: 'const hardState = isChanged ? hardStateOf(state) : undefined;',
      },
    ],
  },
  one(
    'applied-index-apart-from-data',
    'log',
    [
      'control/store/checkpoint/write.ts',
      'index: state.appliedIndex,',
      'index: Math.max(1, state.appliedIndex - 1),',
    ],
    18,
  ),
  one('segment-name-not-synced', 'log', [
    'control/store/wal/segment-writer.ts',
    'this.#io.disk.rename(this.#temporaryName, name);\n      this.#io.disk.syncDirectory();',
    'this.#io.disk.rename(this.#temporaryName, name);',
  ]),
  one('segment-not-synced-before-its-name', 'log', [
    'control/store/wal/segment-writer.ts',
    'publish(name = this.name): void {\n    this.#file.sync();',
    'publish(name = this.name): void {',
  ]),
  one('log-released-too-far', 'log', [
    'control/store/wal/wal.ts',
    'this.#older.findIndex((segment) => segment.lastIndex > index)',
    'this.#older.findIndex((segment) => segment.lastIndex > index + 30)',
  ]),
  one('overwritten-entries-come-back', 'log', [
    'control/store/wal/record.ts',
    'this.#entries.length = place;',
    'if (this.#entries.length < place) this.#entries.length = place;',
  ]),
  one('tombstone-at-compaction-goes', 'mvcc', [
    'control/store/mvcc/mvcc.ts',
    'if (revision === this.#compactRevision) continue;',
    '',
  ]),
  one('read-of-the-past-sees-the-present', 'mvcc', [
    'control/store/mvcc/mvcc.ts',
    'if (changed < revision) break;',
    'if (changed <= revision + 1) break;',
  ]),
  one('version-goes-on-after-delete', 'mvcc', [
    'control/store/mvcc/mvcc.ts',
    'records.version[record] = lived ? (records.version[old] as number) + 1 : 1;',
    'records.version[record] = (records.version[old] ?? 0) + (lived ? 1 : 2);',
  ]),
  one('watch-skips-when-it-joins', 'mvcc', [
    'control/store/watch/hub.ts',
    'if (!behind && watch.next < this.#next) watch.next = this.#next;',
    'if (watch.next < this.#next) watch.next = this.#next;',
  ]),
  one('watch-hears-twice', 'mvcc', [
    'control/store/watch/hub.ts',
    'watch.next = revision + 1;',
    'watch.next = revision;',
  ]),
  one('progress-before-events', 'mvcc', [
    'control/store/watch/hub.ts',
    'if (this.#progress.size === 0 || this.#next <= this.#mvcc.revision) return;',
    'if (this.#progress.size === 0) return;',
  ]),
  one('previous-value-of-a-deleted-key', 'mvcc', [
    'control/store/mvcc/mvcc.ts',
    'return this.#living(this.records.prev[record] as number);',
    'return this.records.prev[record] as number;',
  ]),
  one('new-leader-forgets-renewals', 'lease', [
    'control/store/engine/lessor.ts',
    'this.#deadlines.set(lease.id, nowMs + lease.remainingMs + this.#electionMs);',
    'this.#deadlines.set(lease.id, nowMs + 500);',
  ]),
  one('lease-runs-on-half-time', 'lease', [
    'control/store/engine/lessor.ts',
    'this.#deadlines.set(id, nowMs + lease.ttlSeconds * 1000);',
    'this.#deadlines.set(id, nowMs + lease.ttlSeconds * 500);',
  ]),
  one('retry-is-executed-again', 'lease', [
    'control/store/engine/sessions.ts',
    "if (outcome === 0) return 'new';",
    "if (outcome >= 0) return 'new';",
  ]),
  one('sessions-not-in-checkpoint', 'lease', [
    'control/store/checkpoint/write.ts',
    'this.#sessions = state.sessions.copies();',
    'this.#sessions = [];',
  ]),
  one('doubled-request-is-taken-twice', 'lease', [
    'control/store/engine/engine.ts',
    'if (this.#askedBefore.check(from, id)) return;',
    '',
  ]),
  one('lost-write-is-called-refused', 'lease', [
    'control/store/client/write-session.ts',
    'answer === ANSWER_NOT_TAKEN && numbered.attempts > 1',
    'answer === ANSWER_NOT_TAKEN && numbered.attempts > 1_000',
  ]),
  one('raised-while-one-may-go-back', 'lease', [
    'control/store/engine/leader-work.ts',
    'return stated?.isConfirmed === true ? stated.version : 0;',
    'return stated?.version ?? 0;',
  ]),
  one('raised-to-what-the-leader-runs', 'lease', [
    'control/store/engine/leader-work.ts',
    'return Math.min(...versions);',
    'return Math.max(...versions);',
  ]),
  one('commands-in-the-leaders-own-layout', 'lease', [
    'control/store/engine/leader-work.ts',
    'const { software, version } = this.#state;',
    'const { software, runsAs: version } = this.#state;',
  ]),
  {
    // As long as it counts the others alone, who leads on without a vote harms nobody.
    name: 'removed-leader-counts-itself',
    area: 'lease',
    patches: [
      {
        file: 'control/raft/leader.ts',
        find: 'if (!isVoter(log.members, state.id)) handOver(state, leading);',
        replace: '',
      },
      {
        file: 'control/raft/leader.ts',
        find: 'const index = committedIndex(log.members, matchOf);',
        replace:
          'const voters = new Set([...log.members.voters, state.id]);\n' +
          '  const index = committedIndex({ ...log.members, voters: [...voters] }, matchOf);',
      },
    ],
  },
];

/** The source with the patches of its file; throws where one's text does not stand there once. */
export function patched(mutation: Mutation, file: string, source: string): string {
  let text = source;
  for (const patch of mutation.patches) {
    if (patch.file !== file) continue;
    const count = text.split(patch.find).length - 1;
    assert(count === 1, `${mutation.name}: its text stands ${count} times in ${file}`);
    text = text.replace(patch.find, () => patch.replace);
  }
  return text;
}

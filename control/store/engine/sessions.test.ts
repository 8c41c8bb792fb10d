/** What is remembered of commands, for how long, and that the hash follows. */
import fc from 'fast-check';
import t from 'tap';
import { SESSIONS_MAX, SESSION_IDLE_ENTRIES, SESSION_WINDOW } from '../limits.ts';
import { formatHash } from '../mvcc/state-hash.ts';
import { OUTCOME, Sessions, executedOf, remembered } from './sessions.ts';

const done = { outcome: OUTCOME.done, revision: 7 };

function execute(sessions: Sessions, id: number, sequence: number, index: number): void {
  sessions.executed(id, sequence, { ...done, index });
}

t.test('find() tells new, executed, stale and expired commands apart', (t) => {
  const sessions = new Sessions();
  sessions.open(10);
  t.equal(sessions.find(9, 1, 11), 'expired', 'no such session');
  t.equal(sessions.find(10, 1, 11), 'new');
  execute(sessions, 10, 1, 11);
  t.same(sessions.find(10, 1, 12), done);
  execute(sessions, 10, 5, 12);
  t.equal(sessions.find(10, 3, 13), 'new', 'a hole');
  execute(sessions, 10, 3, 13);
  t.same(sessions.find(10, 3, 14), done);
  execute(sessions, 10, SESSION_WINDOW + 2, 14);
  t.equal(sessions.find(10, 1, 15), 'stale');
  t.equal(sessions.find(10, 2, 15), 'stale', 'executed or not, nobody knows');
  t.same(sessions.find(10, 3, 15), done, 'the oldest that is remembered');
  execute(sessions, 10, 10 * SESSION_WINDOW, 15);
  t.equal(sessions.find(10, SESSION_WINDOW + 2, 16), 'stale');
  t.equal(sessions.find(10, 10 * SESSION_WINDOW - 1, 16), 'new');
  t.end();
});

t.test('sessions end when they are not used, by log index', (t) => {
  const sessions = new Sessions();
  sessions.open(1);
  sessions.open(2);
  execute(sessions, 1, 1, 100);
  t.same(sessions.find(1, 1, 100 + SESSION_IDLE_ENTRIES), done);
  t.equal(sessions.find(2, 1, 3 + SESSION_IDLE_ENTRIES), 'expired');
  sessions.open(3 + SESSION_IDLE_ENTRIES);
  t.same(
    sessions.all().map(({ id }) => id),
    [1, 3 + SESSION_IDLE_ENTRIES],
  );
  t.end();
});

t.test('when there are too many, the one unused for longest makes room', (t) => {
  const sessions = new Sessions();
  for (let id = 1; id <= SESSIONS_MAX; id++) sessions.open(id);
  execute(sessions, 1, 1, SESSIONS_MAX + 1);
  sessions.open(SESSIONS_MAX + 2);
  t.equal(sessions.size, SESSIONS_MAX);
  t.same(sessions.find(1, 1, SESSIONS_MAX + 3), done);
  t.equal(sessions.find(2, 1, SESSIONS_MAX + 3), 'expired');
  t.end();
});

t.test('the hash is that of the same sessions taken from a checkpoint', (t) => {
  const step = fc.record({
    session: fc.nat(3),
    ahead: fc.oneof({ weight: 9, arbitrary: fc.nat(4) }, fc.nat(3 * SESSION_WINDOW)),
    isBehind: fc.boolean(),
    revision: fc.nat(1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const sessions = new Sessions();
      let index = 4;
      for (let id = 1; id <= 4; id++) sessions.open(id);
      for (const { session, ahead, isBehind, revision } of steps) {
        const id = session + 1;
        const { highest } = sessions.all()[session] ?? { highest: 0 };
        const sequence = Math.max(1, isBehind ? highest - ahead : highest + ahead);
        if (sessions.find(id, sequence, ++index) !== 'new') continue;
        sessions.executed(id, sequence, { outcome: OUTCOME.done, revision, index });
      }
      const copy = new Sessions();
      for (const session of sessions.copies()) {
        copy.restore(session);
        for (const sequence of remembered(session)) {
          const executed = executedOf(session, sequence);
          if (!copy.restoreExecuted(session.id, sequence, executed)) throw new Error('not taken');
        }
      }
      if (formatHash(copy.hash) !== formatHash(sessions.hash)) throw new Error('hashes differ');
      sessions.clear();
      if (formatHash(sessions.hash) !== formatHash({ a: 0, b: 0 })) throw new Error('not empty');
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('restoring refuses what no session can hold', (t) => {
  const sessions = new Sessions();
  const session = { id: 1, lastIndex: 5, highest: 2000 };
  t.equal(sessions.restore(session), true);
  t.equal(sessions.restore(session), false, 'twice');
  t.equal(sessions.restoreExecuted(2, 1, done), false, 'of no session');
  t.equal(sessions.restoreExecuted(1, 2001, done), false, 'above the highest');
  t.equal(sessions.restoreExecuted(1, 2000 - SESSION_WINDOW, done), false, 'below the window');
  t.equal(sessions.restoreExecuted(1, 2000, { outcome: 0, revision: 0 }), false, 'a hole');
  t.equal(sessions.restoreExecuted(1, 2000, done), true);
  t.equal(sessions.restoreExecuted(1, 2000, done), false, 'twice');
  t.end();
});

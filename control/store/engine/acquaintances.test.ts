/** Whose word on who the members are counts, and for how long. */
import t from 'tap';
import { Acquaintances } from './acquaintances.ts';
import type { PeerMessage } from './peers.ts';
import { Roster } from './roster.ts';
import type { RosterRow } from './roster.ts';

const row = (id: number): RosterRow => ({ id, key: `key ${id}`, address: '', isToVote: true });

t.test('members named by a newer state are known until the own one has come as far', (t) => {
  const sent: { to: number; message: PeerMessage }[] = [];
  let known: readonly number[] = [];
  const peers = {
    send: (to: number, message: PeerMessage) => sent.push({ to, message }) > 0,
    setMembers: (rows: readonly RosterRow[]) => {
      known = rows.map(({ id }) => id);
    },
  };
  const state = { appliedIndex: 10, roster: new Roster() };
  for (const id of [1, 2, 3]) state.roster.set(row(id));
  const of = new Acquaintances({ state, memberId: 1, peers });
  t.same(of.update(), [1, 2, 3]);
  t.equal(of.update(), undefined, 'nothing has changed');
  of.round();
  t.same(sent, [], 'nobody knocked');
  of.metStranger();
  of.metStranger();
  of.round();
  of.round();
  const message = { kind: 'rosterRequest' };
  t.same(sent, [
    { to: 2, message },
    { to: 3, message },
  ]);
  const told = (index: number, ids: readonly number[]) => {
    of.told({ kind: 'rosterNews', index, rows: ids.map(row) });
    of.update();
    return known;
  };
  t.same(told(10, [1, 9]), [1, 2, 3], 'the own state is as new');
  t.same(told(20, [1, 2, 4]), [1, 2, 4], 'who was removed goes, too');
  t.same(told(15, [1, 2, 3]), [1, 2, 4], 'others may be behind');
  t.same(told(30, []), [1, 2, 4], 'a group has members');
  state.appliedIndex = 20;
  state.roster.retain([1, 2]);
  state.roster.set(row(5));
  of.update();
  t.same(known, [1, 2, 5], 'the own state knows better from there on');
  t.end();
});

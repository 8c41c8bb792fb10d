/** Whom a member that starts waits for before it votes, and above which term it votes then. */
import t from 'tap';
import { membersOf } from '#control/raft/raft.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { crc32, sha256 } from '../native-digests.ts';
import { openEngine } from './open-engine.ts';
import type { PeerMessage, Peers } from './peers.ts';

t.test('a member that was added and holds nothing votes only above what others heard of', (t) => {
  const sent: { to: number; message: PeerMessage }[] = [];
  const peers: Peers = {
    send: (to, message) => sent.push({ to, message }) > 0,
    setMembers: () => {},
  };
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const disk = new MemoryDisk();
  const io = { disk, crc32, sha256, log, peers, random: () => 0.5, monotonicMs: () => 0 };
  const engine = openEngine(io, { join: { groupId: 1, memberId: 9 } });
  const votes = (term: number) => {
    sent.length = 0;
    engine.receive(2, { kind: 'vote', term, lastIndex: 3, lastTerm: 4, isTransfer: false });
    while (engine.pump());
    return sent.some(({ message }) => message.kind === 'voteResponse' && !message.rejected);
  };
  const asked = () => {
    sent.length = 0;
    engine.tick();
    return sent.filter(({ message }) => message.kind === 'termRequest').map(({ to }) => to);
  };
  // Its disk may be lost, and its vote in this term with it.
  t.notOk(votes(5));
  engine.receive(2, { kind: 'preVote', term: 6, lastIndex: 3, lastTerm: 4, isTransfer: false });
  while (engine.pump());
  t.same(asked(), [2], 'who asks for a vote is asked');
  engine.receive(2, { kind: 'termResponse', term: 5, matchIndex: 0, matchTerm: 0 });
  while (engine.pump());
  t.notOk(votes(6), 'nobody has said who the members are');
  engine.receive(2, { kind: 'membersNews', index: 3, members: membersOf([2, 4, 9]) });
  while (engine.pump());
  t.notOk(votes(5));
  t.ok(votes(7));
  t.same(asked(), []);
  engine.close();
  t.end();
});

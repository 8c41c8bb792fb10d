/** How much the group may hold, and when it says so. */
import t from 'tap';
import { membersOf } from '#control/raft/raft.ts';
import { MemoryDisk } from '../disk/memory-disk.ts';
import type { Operation } from '../port.ts';
import { TestMember } from '../testing/test-member.ts';
import { Quota } from './quota.ts';

const { signal } = new AbortController();
const GIB = 2 ** 30;

t.test('the quota follows the smallest voter, unless it is set', (t) => {
  const rows: [string, number, [number, number][], number[], number][] = [
    ['plenty of memory', 0, [[1, 64 * GIB]], [1], 2 * GIB],
    ['a quarter of it', 0, [[1, 4 * GIB]], [1], GIB],
    [
      'the smallest counts',
      0,
      [
        [1, 4 * GIB],
        [2, 2 * GIB],
        [3, 8 * GIB],
      ],
      [1, 2, 3],
      GIB / 2,
    ],
    [
      'a learner does not',
      0,
      [
        [1, 4 * GIB],
        [2, 2 * GIB],
      ],
      [1],
      GIB,
    ],
    ['who said nothing does not', 0, [[1, 4 * GIB]], [1, 2], GIB],
    ['nobody said anything', 0, [], [1], 2 * GIB],
    ['it is set', 3 * GIB, [[1, 4 * GIB]], [1], 3 * GIB],
  ];
  for (const [name, setting, memory, voters, bytes] of rows) {
    const quota = new Quota();
    const members = membersOf(voters);
    for (const [id, ofMember] of memory) quota.setMemory({ id, bytes: ofMember });
    quota.setMembers(members, [1, 2, 3]);
    quota.setting = setting;
    t.equal(quota.bytes, bytes, name);
  }
  t.end();
});

t.test('what is known of a member goes with it, and the hash follows', (t) => {
  const quota = new Quota();
  const { a, b } = quota.memoryHash;
  quota.setMemory({ id: 1, bytes: 8 });
  const one = { ...quota.memoryHash };
  quota.setMemory({ id: 2, bytes: 9 });
  quota.setMemory({ id: 2, bytes: 10 });
  t.same(quota.memory(), [
    { id: 1, bytes: 8 },
    { id: 2, bytes: 10 },
  ]);
  quota.setMembers(membersOf([1]), [1]);
  t.same(quota.memory(), [{ id: 1, bytes: 8 }]);
  t.same({ ...quota.memoryHash }, one);
  quota.setMembers(membersOf([3]), [3]);
  t.same({ a: quota.memoryHash.a, b: quota.memoryHash.b }, { a, b });
  t.end();
});

function put(key: string, bytes: number): Operation {
  return { kind: 'put', request: { key, value: new Uint8Array(bytes) } };
}

t.test(
  'a store that fills warns, refuses growth, ends deletions, and goes on by itself',
  async (t) => {
    const disk = new MemoryDisk();
    const settings = { quotaBytes: 10_000, ballastPieceBytes: 512 };
    const open = () =>
      new TestMember({ disk, random: () => 0.5, monotonicMs: () => nowMs, settings });
    let nowMs = 0;
    let member = open();
    const write = async (success: Operation[], isRelief = false) => {
      const answer = member.client
        .txn({ compare: [], success, failure: [], isRelief }, signal)
        .then(
          () => 'ok',
          (error: { code: string }) => error.code,
        );
      await member.run();
      member.tick();
      return answer;
    };
    const alarms = () => member.engine.status().alarms;
    for (let i = 0; i < 7; i++) t.equal(await write([put(`key${i}`, 1100)]), 'ok');
    t.same(alarms(), []);
    t.equal(await write([put('key7', 1100)]), 'ok');
    t.same(alarms(), ['NEARLY_FULL'], 'from 80 % on');
    t.match(member.logged, ['store is nearly full']);
    t.equal(await write([put('key8', 900)]), 'ok');
    t.same(alarms(), ['NO_SPACE'], 'from 95 % on');
    t.equal(member.logged.at(-1), 'store is full, only what does not grow is taken');
    t.equal(await write([put('key9', 1)]), 'NO_SPACE');
    t.equal(await write([put('key0', 1101)]), 'NO_SPACE');
    t.equal(await write([put('key0', 1100)]), 'ok', 'a heartbeat');
    t.equal(await write([put('key0', 1150)], true), 'ok', 'a deletion begins: its mark');
    t.equal(await write([put('key9', 1)], true), 'NO_SPACE', 'nothing new is part of one');
    t.equal(
      await write([put('key0', 2000)], true),
      'NO_SPACE',
      'and there is an end to the reserve',
    );
    const endMs = nowMs + 30 * 60_000;
    for (; nowMs < endMs; nowMs += 10_000) {
      const told = [await write([put('key2', 1100)]), await write([put('key9', 1)])];
      if (told.join() !== 'ok,NO_SPACE') t.same(told, ['ok', 'NO_SPACE'], `after ${nowMs} ms`);
    }
    t.same(alarms(), ['NO_SPACE'], 'half an hour later');
    member.kill();
    member = open();
    member.tick();
    t.same(alarms(), ['NO_SPACE'], 'it is kept');
    t.equal(await write([{ kind: 'deleteRange', request: { key: 'key1' } }]), 'ok');
    t.same(alarms(), ['NEARLY_FULL'], 'below 90 %');
    t.equal(await write([put('key9', 1)]), 'ok');
    t.equal(member.logged.at(-1), 'store has room again');
    const status = member.client.memberStatus(signal);
    await member.run();
    t.match(await status, { alarms: ['NEARLY_FULL'], quotaBytes: 10_000, version: 2 });
    member.kill();
  },
);

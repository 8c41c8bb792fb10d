/** Damage to what lies on a store's disk is found while it runs, and gone before it is needed. */
import t from 'tap';
import { MemoryDisk } from '../disk/memory-disk.ts';
import { TestMember } from '../testing/test-member.ts';
import { listCheckpoints } from './read.ts';

const { signal } = new AbortController();

const settings = {
  checkpointLogBytes: 20_000,
  segmentBytes: 4000,
  preallocateBytes: 2048,
  ballastPieceBytes: 512,
  scrub: { firstTicks: 5, pauseTicks: 20 },
};

async function filled(): Promise<{ disk: MemoryDisk; member: TestMember }> {
  const disk = new MemoryDisk();
  const member = open(disk);
  for (let i = 0; i < 180; i++) {
    const request = { key: `k${i % 40}`, value: new Uint8Array(200).fill(i) };
    const write = { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
    const answer = member.client.txn(write, signal);
    await member.run();
    await answer;
  }
  return { disk, member };
}

function open(disk: MemoryDisk): TestMember {
  return new TestMember({ disk, random: () => 0.5, monotonicMs: () => 0, settings });
}

async function ticks(member: TestMember, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    member.tick();
    await member.run();
  }
}

function flip(disk: MemoryDisk, name: string): void {
  disk.damage(name, (bytes) => {
    const at = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 8;
  });
}

t.test('a store whose disk is whole is read through, and left alone', async (t) => {
  const { disk, member } = await filled();
  const before = listCheckpoints(disk);
  await ticks(member, 60);
  t.same(listCheckpoints(disk), before);
  t.notOk(member.logged.some((line) => line.includes('damaged')));
  member.kill();
});

t.test('a damaged checkpoint, or closed segment, is replaced', async (t) => {
  const { disk } = await filled();
  const victims = disk
    .list()
    .filter((name) => name.startsWith('checkpoint-') || name.startsWith('wal-'))
    .slice(0, -1);
  t.ok(victims.length > 4, `${victims.length} files`);
  for (const [i, victim] of victims.entries()) {
    const { disk: other, member } = await filled();
    if (i % 3 === 2) other.breakSector(victim, 0);
    else flip(other, victim);
    await ticks(member, 80);
    t.ok(
      member.logged.some((line) => line.includes('found damaged')),
      victim,
    );
    t.notOk(member.isDead);
    const count = member.logged.filter((line) => line.includes('found damaged')).length;
    await ticks(member, 60);
    const again = member.logged.filter((line) => line.includes('found damaged')).length;
    t.equal(again, count, 'once');
    member.kill();
    const next = open(other);
    const answer = next.client.range({ key: 'k', rangeEnd: 'l' }, signal);
    await next.run();
    t.equal((await answer).count, 40);
    next.kill();
  }
});

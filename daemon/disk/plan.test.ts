import t from 'tap';
import { decodeGpt, encodeGpt, PARTITION_TYPE, type PartitionTable } from '#base/gpt.ts';
import { planDisk } from './plan.ts';

const MIB_SECTORS = 2048;
const esp = {
  index: 0,
  type: PARTITION_TYPE.esp,
  guid: '00000000-0000-4000-8000-000000000002',
  firstSector: 2048,
  lastSector: 2048 + 1024 * MIB_SECTORS - 1,
  name: 'BAREBOAT-ESP',
};
const flashed: PartitionTable = {
  diskGuid: '00000000-0000-4000-8000-000000000001',
  sectorCount: 1026 * MIB_SECTORS,
  partitions: [esp],
};
let guids = 0;
const newGuid = () => `00000000-0000-4000-8000-1${String(guids++).padStart(11, '0')}`;
const mib = (p: { firstSector: number; lastSector: number }) =>
  (p.lastSector + 1 - p.firstSector) / MIB_SECTORS;

const sizes = [
  { name: 'a 20 GiB disk', diskMib: 20 * 1024, state: 256, store: 3890 },
  { name: 'a large disk: STORE stops at 8 GiB', diskMib: 500 * 1024, state: 256, store: 8192 },
  { name: 'a small disk', diskMib: 2100, state: 256, store: 214 },
] as const;
for (const c of sizes) {
  t.test(`planDisk() lays out ${c.name}`, async (t) => {
    const plan = planDisk(flashed, c.diskMib * MIB_SECTORS, newGuid);
    if (plan.kind !== 'write') throw new Error(plan.kind);
    t.same(plan.fresh, ['STATE', 'STORE', 'DATA']);
    const [first, state, store, data] = plan.table.partitions;
    t.same(first, esp, 'the ESP is untouched');
    t.equal(state && mib(state), c.state);
    t.equal(store && mib(store), c.store);
    t.equal(store && data && store.lastSector + 1, data?.firstSector);
    t.ok(data && data.lastSector <= plan.table.sectorCount - 34);
    const disk = new Uint8Array(34 * 512);
    for (const { sector, bytes } of encodeGpt(plan.table))
      if (sector < 34) disk.set(bytes, sector * 512);
    t.same(decodeGpt(disk), plan.table, 'it can be written');
    t.same(
      planDisk(plan.table, plan.table.sectorCount, newGuid),
      { kind: 'keep' },
      'and then kept',
    );
  });
}

t.test('planDisk() grows DATA with the disk, and nothing else', async (t) => {
  const before = planDisk(flashed, 4096 * MIB_SECTORS, newGuid);
  if (before.kind !== 'write') throw new Error(before.kind);
  const plan = planDisk(before.table, 8192 * MIB_SECTORS, newGuid);
  if (plan.kind !== 'write') throw new Error(plan.kind);
  t.same(plan.fresh, []);
  t.ok(plan.grownData);
  t.same(plan.table.partitions.slice(0, 3), before.table.partitions.slice(0, 3));
  t.equal(plan.table.partitions[3]?.firstSector, before.table.partitions[3]?.firstSector);
});

t.test('planDisk() leaves a disk alone that has no room', async (t) => {
  t.match(planDisk(flashed, 1500 * MIB_SECTORS, newGuid), { kind: 'tooSmall' });
});

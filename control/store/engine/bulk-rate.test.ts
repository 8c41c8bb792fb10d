/** Against a disk whose syncs take longer the more bulk traffic there is. */
import t from 'tap';
import { SNAPSHOT_BYTES_PER_TICK } from '../limits.ts';
import { BulkRate } from './bulk-rate.ts';

/** Ticks of ten syncs each; `slowdown`: of a sync, by bulk bytes in its tick. */
function run(rate: BulkRate, ticks: number, slowdown: (bytes: number) => number): number[] {
  const syncs: number[] = [];
  for (let tick = 0; tick < ticks; tick++) {
    let bytes = 0;
    while (rate.hasBudget) {
      rate.spend(256 * 1024);
      bytes += 256 * 1024;
    }
    for (let i = 0; i < 10; i++) {
      const ms = 2 * slowdown(bytes) + (i === 9 ? 1 : 0);
      syncs.push(ms);
      rate.synced(ms);
    }
    rate.tick();
  }
  return syncs.slice(-200);
}

function idle(rate: BulkRate): void {
  for (let i = 0; i < 100; i++) {
    rate.synced(i % 10 === 9 ? 3 : 2);
    if (i % 10 === 9) rate.tick();
  }
}

t.test('bulk traffic grows to its bound where the log does not feel it', (t) => {
  const rate = new BulkRate(SNAPSHOT_BYTES_PER_TICK);
  idle(rate);
  run(rate, 200, () => 1.2);
  t.equal(rate.bytesPerTick, SNAPSHOT_BYTES_PER_TICK);
  t.end();
});

t.test('syncs of the log stay within about twice their idle time', (t) => {
  const rate = new BulkRate(SNAPSHOT_BYTES_PER_TICK);
  idle(rate);
  const limitBytes = 2 * 1024 * 1024;
  const syncs = run(rate, 600, (bytes) => 1 + bytes / limitBytes);
  const sorted = syncs.toSorted((a, b) => a - b);
  const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
  t.ok(p99 < 3 * 2 + 3, `p99 is ${p99} ms, 3 ms without bulk traffic`);
  t.ok(rate.bytesPerTick > 500_000, `${rate.bytesPerTick} bytes a tick are left`);
  t.end();
});

t.test('a slow disk leaves bulk traffic a little, and none of it is lost', (t) => {
  const rate = new BulkRate(SNAPSHOT_BYTES_PER_TICK);
  idle(rate);
  run(rate, 300, (bytes) => (bytes > 0 ? 20 : 1));
  t.ok(rate.bytesPerTick > 0);
  t.ok(rate.bytesPerTick < 300_000, `${rate.bytesPerTick}`);
  t.end();
});

t.test('what one piece has spent beyond the bound is owed', (t) => {
  const rate = new BulkRate(100);
  rate.spend(1000);
  let ticks = 0;
  while (!rate.hasBudget) {
    rate.tick();
    ticks++;
  }
  t.ok(ticks >= 9, `${ticks} ticks`);
  t.end();
});

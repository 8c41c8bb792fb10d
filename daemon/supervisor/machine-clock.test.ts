/** The clock at start, and the time that is saved. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { imageTimeMs, planClock, readSavedClock, saveClock } from './machine-clock.ts';

const dir = mkdtempSync(join(tmpdir(), 'bareboat-clock-'));
t.teardown(() => rmSync(dir, { recursive: true }));

const rows = [
  { name: 'a good hardware clock', nowMs: 500, known: [400, 300], to: undefined },
  { name: 'a dead battery', nowMs: 0, known: [400, 300, undefined], to: 400 },
  { name: 'nothing known', nowMs: 5, known: [undefined], to: undefined },
  { name: 'no list', nowMs: 5, known: [], to: undefined },
];
for (const { name, nowMs, known, to } of rows) {
  t.test(`planClock() with ${name}`, async (t) => t.equal(planClock(nowMs, known), to));
}

t.test('imageTimeMs() reads what the kernel says of itself', async (t) => {
  const text = '#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)';
  t.equal(imageTimeMs(text), Date.UTC(2025, 8, 20));
  t.equal(imageTimeMs('#1 SMP PREEMPT_DYNAMIC @0'), undefined);
});

t.test('saveClock() writes what readSavedClock() reads, in place', async (t) => {
  const path = join(dir, 'state/clock');
  t.equal(readSavedClock(path), undefined);
  await saveClock(path, 1_800_000_000_000.7);
  t.equal(readSavedClock(path), 1_800_000_000_001);
  await saveClock(path, 5);
  t.equal(readSavedClock(path), 5);
  t.equal(readFileSync(path, 'latin1').length, 16, 'always of one length');
});

for (const text of ['', 'x', '12 34', '-5', '1e99', '99999999999999999']) {
  t.test(`readSavedClock() takes ${JSON.stringify(text)} for nothing`, async (t) => {
    const path = join(dir, 'bad');
    writeFileSync(path, text);
    t.equal(readSavedClock(path), undefined);
  });
}

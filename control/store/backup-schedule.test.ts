/** Snapshots by themselves, in the time of the test. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { RealClock } from '#base/clock.ts';
import { type Log, silentLog } from '#base/log.ts';
import { BackupSchedule, backupName, parseBackupName } from './backup-schedule.ts';
import { openStore } from './open.ts';
import { StoreError } from './port.ts';
import { verifySnapshot } from './snapshot-file.ts';

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 10, 27, 18);

/** Passes as fast as it is waited for, up to an hour of the test; then stops who waits. */
class FastClock extends RealClock {
  ms: number;
  readonly #untilMs: number;
  readonly stop = new AbortController();

  constructor(fromMs: number, untilMs: number) {
    super();
    this.ms = fromMs;
    this.#untilMs = untilMs;
  }

  override nowMs(): number {
    return this.ms;
  }

  override async sleep(ms: number, signal: AbortSignal): Promise<void> {
    this.ms += ms;
    if (this.ms > this.#untilMs) this.stop.abort(new Error('the test is over'));
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  }
}

async function scene(t: Test) {
  const root = mkdtempSync(join(tmpdir(), 'backups-'));
  const store = await openStore({
    dataDir: join(root, 'store'),
    clock: new RealClock(),
    log: silentLog,
  });
  t.teardown(async () => {
    await store.close();
    rmSync(root, { recursive: true });
  });
  const dir = join(root, 'backups');
  const run = async (clock: FastClock, from: typeof store | Failing = store, log = silentLog) => {
    const settings = { everyHours: 24, keep: 2 };
    const schedule = new BackupSchedule({ store: from, dir, settings, clock, log });
    await t.rejects(schedule.run(clock.stop.signal), { message: 'the test is over' });
    return readdirSync(dir);
  };
  return { store, dir, run };
}

type Failing = Pick<Awaited<ReturnType<typeof openStore>>, 'snapshot' | 'memberStatus'>;

t.test('names say when', (t) => {
  const name = backupName(START_MS + 61_500);
  t.equal(name, '2026-11-27T18-01-01Z.snapshot');
  t.equal(parseBackupName(name), START_MS + 61_000);
  for (const other of ['2026-11-27.snapshot', `${name}.part`, '2026-99-27T18-01-01Z.snapshot']) {
    t.equal(parseBackupName(other), undefined, other);
  }
  t.end();
});

t.test('one each interval, the newest are kept, and each is whole', async (t) => {
  const { dir, run } = await scene(t);
  const days = 4;
  const first = await run(new FastClock(START_MS, START_MS + days * 24 * HOUR_MS + HOUR_MS));
  t.same(
    first,
    [3, 4].map((day) => backupName(START_MS + day * 24 * HOUR_MS)),
  );
  for (const name of first) await verifySnapshot(join(dir, name));
  writeFileSync(join(dir, 'x.snapshot.part'), 'left behind');
  const soon = START_MS + days * 24 * HOUR_MS + 2 * HOUR_MS;
  t.same(await run(new FastClock(soon, soon + 20 * HOUR_MS)), first, 'a restart takes none early');
  const before = START_MS - 1000 * HOUR_MS;
  const setRight = await run(new FastClock(before, before + 20 * HOUR_MS));
  t.same(
    setRight,
    [backupName(before), first[1]],
    'the clock had been ahead: one is taken at once',
  );
});

t.test('one that fails is logged and tried again', async (t) => {
  const { store, run } = await scene(t);
  let failures = 3;
  const failing: Failing = {
    memberStatus: (signal) => store.memberStatus(signal),
    snapshot: (signal) =>
      failures-- > 0
        ? Promise.reject(new StoreError('UNAVAILABLE', 'no member leads the store'))
        : store.snapshot(signal),
  };
  const logged: string[] = [];
  const log: Log = { ...silentLog, error: (message: string) => void logged.push(message) };
  const names = await run(new FastClock(START_MS, START_MS + 3 * HOUR_MS), failing, log);
  t.equal(names.length, 1);
  t.ok((parseBackupName(names[0] ?? '') ?? 0) <= START_MS + HOUR_MS);
  t.same(
    logged,
    Array.from({ length: 3 }, () => 'scheduled snapshot failed'),
  );
});

/**
 * Goal (reference/store.md section 8, rule 11): members are upgraded one after the other under load; the
 * group is raised when the last one runs the new version, and takes no member of the old one any more.
 */
import t from 'tap';
import { must } from '#base/assert.ts';
import { StoreError } from '#control/store/store.ts';
import { VERSION } from '#control/store/versions.ts';
import { StoreGroup, waitFor } from './store-process.ts';

const OLD = VERSION - 1;
const { signal } = new AbortController();

t.test('a rolling upgrade of three processes', { timeout: 120_000 }, async (t) => {
  await using group = await StoreGroup.start({ runsAsVersion: OLD, heartbeatMs: 50 }, signal);
  const store = await group.connect([0, 1, 2], signal);
  let isOver = false;
  let written = 0;
  const write = async () => {
    while (!isOver) {
      const request = { key: `k${written}`, value: Buffer.from('x'), prevKv: true };
      const txn = { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
      try {
        await store.txn({ ...txn, isRelief: written % 2 === 0 }, signal);
        written++;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
    }
  };
  const writing = write();
  const versionOf = async (number: number) => {
    const member = await group.connect([number], signal);
    return (await member.memberStatus(AbortSignal.timeout(5000))).version;
  };
  for (const [number, member] of group.members.entries()) {
    t.equal(await versionOf(number), OLD, `before member ${number} is upgraded`);
    const before = written;
    await member.end('SIGTERM');
    group.configure(number, { runsAsVersion: VERSION });
    await member.start();
    await waitFor(() => Promise.resolve(written > before + 20));
  }
  for (const number of [0, 1, 2]) {
    await waitFor(async () => (await versionOf(number).catch(() => 0)) === VERSION);
  }
  const before = written;
  await waitFor(() => Promise.resolve(written > before + 20));
  isOver = true;
  await writing;
  const { count } = await store.range({ key: 'k', rangeEnd: 'l', countOnly: true }, signal);
  t.equal(count, written, 'nothing was lost, nothing came twice');
  const last = must(group.members[2], 'a member');
  await last.end('SIGTERM');
  group.configure(2, { runsAsVersion: OLD });
  await last.start().catch(() => {});
  await waitFor(() => Promise.resolve(!last.isAlive));
  t.match(
    last.logged.join(''),
    /UNSUPPORTED|version \d+, known is \d+/,
    'the old software says why',
  );
});

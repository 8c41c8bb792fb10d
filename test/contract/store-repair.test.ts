/** Members as processes whose disks went wrong while they were down. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { must } from '#base/assert.ts';
import { type OwnStore, createJoinToken } from '#control/store/store.ts';
import { StoreGroup, freeAddress, leaderOf, waitFor } from './store-process.ts';

const { signal } = new AbortController();

function put(key: string, value: string) {
  const request = { key, value: Buffer.from(value) };
  return { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
}

async function threeProcesses(
  t: Test,
): Promise<{ group: StoreGroup; store: OwnStore; dataDir: (number: number) => string }> {
  const directory = mkdtempSync(join(tmpdir(), 'store-repair-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const dataDir = (number: number) => join(directory, String(number));
  const place = { address: freeAddress, enter: <T>(_: number, run: () => T) => run(), dataDir };
  const group = await StoreGroup.start({}, signal, place);
  return { group, store: await group.connect([0, 1, 2], signal), dataDir };
}

async function fill(store: OwnStore, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await store.txn(put(`k${i}`, `value ${i} ${'x'.repeat(300)}`), signal);
  }
}

t.test('a log that rotted is repaired from another member', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 300);
  await Promise.all(group.members.map((member) => member.end('SIGKILL')));
  const name = must(
    readdirSync(dataDir(1)).find((file) => file.startsWith('wal-')),
    'a log',
  );
  const path = join(dataDir(1), name);
  const bytes = readFileSync(path);
  const end = bytes.findLastIndex((byte) => byte !== 0);
  const at = Math.floor(end / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const [one, damaged] = group.members;
  // The third stays away: without the damaged one there is no quorum.
  await Promise.all([must(one, 'a member').start(), must(damaged, 'a member').start()]);
  const again = await group.connect([1], signal);
  const { count } = await again.range({ key: 'k', rangeEnd: 'l' }, signal);
  t.equal(count, 300);
  t.match(must(damaged, 'a member').logged.join(''), /log repaired/);
});

/** All three vote, the one of this number under another id than it had. */
async function isBack(group: StoreGroup, store: OwnStore, key: string, formerId: number) {
  await waitFor(async () => {
    const { members } = await store.members(signal);
    const row = members.find((member) => member.key === key);
    const voters = members.filter(({ role }) => role === 'voter');
    return voters.length === 3 && row !== undefined && row.id !== formerId;
  });
  const number = group.members.findIndex(({ identity }) => identity.key === key);
  const own = await group.connect([number], signal);
  const { count } = await own.range({ key: 'k', rangeEnd: 'l' }, signal);
  return count;
}

/** The third member's process is killed. `formerId`: what it was called until then. */
async function endThird(group: StoreGroup, store: OwnStore) {
  const lost = must(group.members[2], 'a member');
  const { members } = await store.members(signal);
  const formerId = must(members.find(({ key }) => key === lost.identity.key)?.id, 'a member');
  await lost.end('SIGKILL');
  return { lost, formerId };
}

t.test('a member that lost its disk comes back by itself', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 100);
  const { lost, formerId } = await endThird(group, store);
  rmSync(dataDir(2), { recursive: true });
  const peers = group.members.map(({ address }) => address);
  group.configure(2, { peers, join: undefined });
  await lost.start();
  t.equal(await isBack(group, store, lost.identity.key, formerId), 100);
  t.match(lost.logged.join(''), /asked to take this one in/);
});

t.test('a disk set back to before its member came in anew', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 50);
  const { lost, formerId } = await endThird(group, store);
  const copy = `${dataDir(2)}-copy`;
  cpSync(dataDir(2), copy, { recursive: true });
  rmSync(dataDir(2), { recursive: true });
  group.configure(2, { peers: group.members.map(({ address }) => address) });
  await lost.start();
  t.equal(await isBack(group, store, lost.identity.key, formerId), 50);
  const { formerId: presentId } = await endThird(group, store);
  rmSync(dataDir(2), { recursive: true });
  cpSync(copy, dataDir(2), { recursive: true });
  await lost.start();
  await waitFor(() =>
    Promise.resolve(
      lost.logged.join('').includes(`as member ${presentId} by now: it was set back`),
    ),
  );
  await lost.end('SIGKILL');
  await lost.start();
  t.equal(await isBack(group, store, lost.identity.key, presentId), 50);
});

t.test('a lost disk is noticed though an old id is configured', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 100);
  const { lost, formerId } = await endThird(group, store);
  rmSync(dataDir(2), { recursive: true });
  group.configure(2, { peers: [] });
  await t.rejects(lost.start(), /directory is empty, and no other member is named/);
  group.configure(2, { peers: group.members.map(({ address }) => address) });
  await lost.start();
  t.equal(await isBack(group, store, lost.identity.key, formerId), 100);
  t.match(lost.logged.join(''), /asked to take this one in/, 'it did not begin under its old id');
  await lost.end('SIGKILL');
  await lost.start();
  const again = await group.connect([2], signal);
  t.not((await again.memberStatus(signal)).memberId, formerId, 'also when it starts again');
});

t.test('a log that does not say whose it is counts as lost', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 100);
  const { lost, formerId } = await endThird(group, store);
  for (const name of readdirSync(dataDir(2)).filter((file) => file.startsWith('wal-'))) {
    const bytes = readFileSync(join(dataDir(2), name));
    writeFileSync(join(dataDir(2), name), bytes.fill(0, 0, 80));
  }
  group.configure(2, { join: undefined, peers: [] });
  await t.rejects(lost.start(), /log segment .* has no magic number/, 'nobody is asked');
  group.configure(2, { peers: group.members.map(({ address }) => address) });
  await lost.start();
  t.equal(await isBack(group, store, lost.identity.key, formerId), 100);
  t.match(lost.logged.join(''), /no header of the log can be read/);
  await waitFor(async () => !readdirSync(dataDir(2)).some((name) => name.startsWith('former-')));
  await lost.end('SIGKILL');
  await lost.start();
});

t.test('a member that comes in lets in who came in before it', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 100);
  const number = await group.grow(store, {}, signal);
  const { key } = must(group.members[number], 'a member').identity;
  const { members } = await store.members(signal);
  const id = must(members.find((member) => member.key === key)?.id, 'a member');
  const lost = must(group.members[2], 'a member');
  await lost.end('SIGKILL');
  rmSync(dataDir(2), { recursive: true });
  const each = await Promise.all([0, 1, number].map((at) => group.connect([at], signal)));
  await waitFor(async () => {
    await store.moveLeader(id, signal).catch(() => {});
    return (await leaderOf(each)) === 2;
  });
  group.configure(2, { peers: [must(group.members[0], 'a member').address] });
  await lost.start();
  const own = await group.connect([2], signal);
  const { count } = await own.range({ key: 'k', rangeEnd: 'l' }, AbortSignal.timeout(30_000));
  t.equal(count, 100);
});

t.test(
  'a founder set back to when it was alone finds its group',
  { timeout: 120_000 },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'store-founder-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const dataDir = (number: number) => join(directory, String(number));
    let copied = false;
    const address = () => {
      // The founder runs alone when the second member is about to be added.
      if (!copied && existsSync(dataDir(0))) {
        copied = true;
        cpSync(dataDir(0), join(directory, 'copy'), { recursive: true });
      }
      return freeAddress();
    };
    const place = { address, enter: <T>(_: number, run: () => T) => run(), dataDir };
    await using group = await StoreGroup.start({}, signal, place);
    const store = await group.connect([1, 2], signal);
    await fill(store, 100);
    const founder = must(group.members[0], 'a member');
    const { members } = await store.members(signal);
    const formerId = must(members.find(({ key }) => key === founder.identity.key)?.id, 'a member');
    await founder.end('SIGKILL');
    rmSync(dataDir(0), { recursive: true });
    cpSync(join(directory, 'copy'), dataDir(0), { recursive: true });
    group.configure(0, { peers: group.members.map(({ address: at }) => at) });
    await founder.start();
    t.equal(await isBack(group, store, founder.identity.key, formerId), 100);
    t.match(founder.logged.join(''), /it is alone by its log, but its group has 3 members/);
  },
);

t.test('a token lets a member in that nobody has added', { timeout: 120_000 }, async (t) => {
  const { group: made, store, dataDir } = await threeProcesses(t);
  await using group = made;
  await fill(store, 100);
  const stranger = must(group.members[2], 'a member');
  const { key } = stranger.identity;
  const { members } = await store.members(signal);
  const formerId = must(members.find((member) => member.key === key)?.id, 'a member');
  await store.removeMember(formerId, signal);
  await stranger.end('SIGKILL');
  rmSync(dataDir(2), { recursive: true });
  const peers = group.members.map(({ address }) => address);
  group.configure(2, { peers, join: undefined });
  await t.rejects(stranger.start(), /no member of the group has this key/);
  group.configure(2, { peers, join: undefined, token: 'invented' });
  await t.rejects(stranger.start(), /join token is unknown/);
  const token = await createJoinToken(store, 600, signal);
  group.configure(2, { peers, join: undefined, token });
  await stranger.start();
  t.equal(await isBack(group, store, key, formerId), 100);
});

/** A member that is told to end while it waits for others ends soon, and leaves nothing open. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import { RealDisk } from './disk/real-disk.ts';
import { writeNote } from './engine/outcast.ts';
import { Member } from './member.ts';
import type { MemberOptions } from './member.ts';
import { crc32 } from './native-digests.ts';
import { startStoreWorker } from './start-worker.ts';
import { recoverLog } from './wal/recover.ts';
import { Wal } from './wal/wal.ts';

const HOST = '127.0.0.1';
const STOP_MS_MAX = 2000;
const nowMs = Date.now();
const ca = await createCa({ commonName: 'test', nowMs, lifetimeMs: 3_600_000 });

/** A member whose others take connections and say nothing. */
async function options(t: Test): Promise<MemberOptions & { network: object }> {
  const directory = t.testdir({});
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, HOST, resolve));
  t.teardown(() => silent.close());
  const { port } = silent.address() as AddressInfo; // It listens.
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'member' },
    usages: ['client', 'server'],
    nowMs,
    lifetimeMs: 3_600_000,
  });
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const dataDir = join(directory, 'data');
  mkdirSync(dataDir);
  return {
    dataDir,
    log: silentLog,
    settings: {},
    network: {
      host: HOST,
      port: 0,
      privateKey: file('key', leaf.key),
      certificate: file('certificate', leaf.certificate),
      address: `${HOST}:1`,
      peers: [`${HOST}:${port}`],
      memberKeys: ['another'],
      clientKeys: [],
    },
    failed: (error) => t.fail(String(error)),
    ended: () => {},
  };
}

async function endsSoon(t: Test, open: (signal: AbortSignal) => Promise<unknown>, dataDir: string) {
  const stop = new AbortController();
  const opened = open(stop.signal);
  opened.catch(() => {});
  // It is waiting by then.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const startMs = performance.now();
  const reason = new Error('stopped');
  stop.abort(reason);
  await t.rejects(opened, reason);
  t.ok(performance.now() - startMs < STOP_MS_MAX);
  t.notOk(readdirSync(dataDir).includes('lock'), 'the directory is let go');
  using _again = new RealDisk(dataDir);
}

t.test('while it asks to be taken in', async (t) => {
  const of = await options(t);
  await endsSoon(t, (signal) => Member.open(of, signal), of.dataDir);
});

t.test('while it asks for another id', async (t) => {
  const of = await options(t);
  {
    using disk = new RealDisk(of.dataDir);
    writeNote(disk, { groupId: 1, memberId: 2, reason: 'a test says so', others: [] });
  }
  await endsSoon(t, (signal) => Member.open(of, signal), of.dataDir);
});

t.test('while it looks whether it is alone', async (t) => {
  const of = await options(t);
  const alone = { ...of, network: { ...of.network, peers: [] } };
  const founder = await Member.open(alone, new AbortController().signal);
  await founder.close();
  await endsSoon(t, (signal) => Member.open(of, signal), of.dataDir);
});

t.test('while its directory is repaired', async (t) => {
  const of = await options(t);
  const identity = { groupId: 1, memberId: 2 };
  {
    using disk = new RealDisk(of.dataDir);
    const log = new Wal(
      { disk, crc32, identity: () => ({ ...identity, isJoined: true }), seed: () => 7 },
      recoverLog(disk, crc32),
    );
    const entry = (index: number) => ({ index, term: 1, data: new Uint8Array(0) });
    for (const index of [1, 2, 3, 4])
      log.write([entry(index)], { term: 1, vote: 0, commitIndex: 0 });
    log.close();
  }
  const [name = ''] = readdirSync(of.dataDir).filter((each) => each.startsWith('wal-'));
  const path = join(of.dataDir, name);
  const bytes = readFileSync(path);
  const second = bytes.indexOf('BBWB', bytes.indexOf('BBWB') + 1);
  bytes.fill(9, second, second + 10);
  writeFileSync(path, bytes);
  const warned: string[] = [];
  const log = { ...silentLog, error: (text: string) => void warned.push(text) };
  await endsSoon(t, (signal) => Member.open({ ...of, log }, signal), of.dataDir);
  t.match(warned, [/directory is damaged, the other members are asked/]);
});

t.test('on a thread of its own', async (t) => {
  const of = await options(t);
  const { dataDir, network } = of;
  const onFailure = (error: Error) => t.fail(error.message);
  const start = (signal: AbortSignal) =>
    startStoreWorker({ dataDir, network, logLevel: 'error', onFailure }, signal);
  await endsSoon(t, start, dataDir);
});

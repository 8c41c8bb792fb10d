/**
 * Goal: the store as `control` has it, on worker threads, is a member of a group like any other: it is
 * founded, joined, asked on every member, and goes on without the one that ends.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { must } from '#base/assert.ts';
import { createCa } from '#base/pki/pki.ts';
import { startStoreWorker } from '#control/store/store.ts';
import type { MemberNetwork, OwnStore } from '#control/store/store.ts';
import { LIFETIME_MS, freeAddress, newIdentity, waitFor, writeIdentity } from './store-process.ts';

const { signal } = new AbortController();
const directory = mkdtempSync(join(tmpdir(), 'store-workers-'));
t.teardown(() => rmSync(directory, { recursive: true }));

const put = (key: string) => ({
  compare: [],
  success: [{ kind: 'put', request: { key, value: Buffer.from(key) } } as const],
  failure: [],
});

t.test('three workers are one group', { timeout: 120_000 }, async (t) => {
  const ca = await createCa({ commonName: 'test', nowMs: Date.now(), lifetimeMs: LIFETIME_MS });
  const identities = await Promise.all(['a', 'b', 'c'].map((name) => newIdentity(ca, name)));
  const stores: OwnStore[] = [];
  const peers: string[] = [];
  const open = async (number: number, address: string, join_?: MemberNetwork['join']) => {
    const identity = must(identities[number], 'one of three');
    const [host = '', port] = address.split(':');
    const store = await startStoreWorker(
      {
        dataDir: join(directory, `data-${number}`),
        logLevel: 'error',
        network: {
          ...writeIdentity(directory, String(number), identity),
          host,
          port: Number(port),
          address,
          join: join_,
          memberKeys: identities.map(({ key }) => key),
          peers: [...peers],
          clientKeys: [],
        },
        onFailure: (error) => {
          throw error;
        },
      },
      signal,
    );
    stores.push(store);
    peers.push(address);
    return store;
  };
  const founder = await open(0, await freeAddress());
  t.equal((await founder.txn(put('alone'), signal)).succeeded, true);
  for (const number of [1, 2]) {
    const address = await freeAddress();
    const { key = '' } = identities[number] ?? {};
    const added = await founder.addMember({ key, address, isToVote: true }, signal);
    await open(number, address, added);
    await waitFor(async () => {
      const { members } = await founder.members(signal);
      return members.filter(({ role }) => role === 'voter').length === number + 1;
    });
  }
  const [, second, third] = stores;
  await second?.txn(put('by the second'), signal);
  const { kvs } = (await third?.range({ key: '\0', rangeEnd: '\0' }, signal)) ?? {};
  t.same(
    kvs?.map(({ key }) => key),
    ['alone', 'by the second'],
  );
  await founder.close();
  await third?.txn(put('without the first'), signal);
  t.equal((await second?.range({ key: 'without the first' }, signal))?.kvs.length, 1);
  await Promise.all([second?.close(), third?.close()]);
});

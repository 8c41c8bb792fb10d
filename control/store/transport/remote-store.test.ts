/** The client that ships, over sockets to a real member: long answers, watches, members that fall silent. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { WebSocket } from 'ws';
import { must } from '#base/assert.ts';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import { REPLY } from '../codec/frame.ts';
import { SOCKET_PIECE_BYTES } from '../limits.ts';
import { Member } from '../member.ts';
import { Listener } from './listener.ts';
import { CLOSE } from './peer-links.ts';
import { connectStore } from './remote-store.ts';
import { keyOfCertificate, tlsOptions } from './tls.ts';

const HOST = '127.0.0.1';
const HOUR_MS = 3_600_000;
const { signal } = new AbortController();
const ca = await createCa({ commonName: 'test', nowMs: Date.now(), lifetimeMs: HOUR_MS });

async function identity() {
  const request = { subject: { commonName: 'x' }, usages: ['client', 'server'] as const };
  const leaf = await issueLeaf(ca, { ...request, nowMs: Date.now(), lifetimeMs: HOUR_MS });
  const key = keyOfCertificate(leaf.certificate);
  return { certificate: leaf.certificate, privateKey: leaf.key, key };
}

const [own, client] = await Promise.all([identity(), identity()]);

/** A port of a member that the test plays. */
function listener(accept: (socket: WebSocket) => void): Listener {
  return new Listener(own, { accept, isKnown: () => true });
}

/** A group of one with a port. */
async function startMember(t: Test): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'remote-store-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const member = await Member.open(
    {
      dataDir: join(directory, 'data'),
      log: silentLog,
      settings: {},
      network: {
        host: HOST,
        port: 0,
        privateKey: file('key', own.privateKey),
        certificate: file('certificate', own.certificate),
        address: `${HOST}:1`,
        peers: [],
        memberKeys: [],
        clientKeys: [client.key],
      },
      failed: (error) => t.fail(String(error)),
      ended: () => {},
    },
    signal,
  );
  t.teardown(async () => {
    await member.close();
    rmSync(directory, { recursive: true });
  });
  return `${HOST}:${await member.listen()}`;
}

function connect(addresses: readonly string[], credentials = client) {
  return connectStore({ addresses, credentials, memberKeys: [own.key] }, signal);
}

function put(key: string, value: Uint8Array) {
  return { compare: [], success: [{ kind: 'put', request: { key, value } }], failure: [] } as const;
}

t.test('answers and events longer than a piece arrive whole', async (t) => {
  const store = await connect([await startMember(t)]);
  const watch = store.watch({ key: 'k', rangeEnd: 'l' });
  const value = new Uint8Array(SOCKET_PIECE_BYTES * 2.5).fill(7);
  await Promise.all(['k1', 'k2', 'k3'].map((key) => store.txn(put(key, value), signal)));
  const { kvs } = await store.range({ key: 'k', rangeEnd: 'l' }, signal);
  t.same(
    kvs.map((kv) => [kv.key, kv.value.length, kv.value.at(-1)]),
    ['k1', 'k2', 'k3'].map((key) => [key, value.length, 7]),
  );
  const seen: string[] = [];
  for await (const batch of watch) {
    if (batch.kind === 'events') seen.push(...batch.events.map(({ kv }) => kv.key));
    if (seen.length === 3) break;
  }
  t.same(seen.toSorted(), ['k1', 'k2', 'k3'], 'a watch from now on saw what was put behind it');
  await store.close();
});

t.test('a member that falls silent is left for another', { timeout: 30_000 }, async (t) => {
  const silent = listener((socket) => socket.pause());
  t.teardown(() => silent[Symbol.asyncDispose]());
  const port = await silent.listen(HOST, 0);
  const store = await connect([`${HOST}:${port}`, await startMember(t)]);
  const { revision } = await store.txn(put('k', new Uint8Array(1)), signal);
  t.ok(revision > 1, 'the other one executed it');
  await store.close();
});

t.test('a watch sees what is put, and a foreign key opens nothing', async (t) => {
  const address = await startMember(t);
  const store = await connect([address]);
  const watch = store.watch({ key: 'k' });
  await store.txn(put('k', new Uint8Array(1)), signal);
  const [first] = await Array.fromAsync(one(watch));
  t.equal(must(first, 'a batch').kind, 'events');
  const foreign = connectStore(
    { addresses: [address], credentials: await identity(), memberKeys: [own.key] },
    AbortSignal.timeout(500),
  );
  const stranger = await foreign;
  await t.rejects(stranger.range({ key: 'k' }, AbortSignal.timeout(300)), 'its key opens nothing');
  stranger.close().catch(() => {});
  await store.close();
});

async function* one<T>(from: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of from) {
    yield item;
    return;
  }
}

t.test('a client that speaks other frames is refused with the reason', async (t) => {
  const address = await startMember(t);
  for (const protocols of [[], ['bareboat-store.99']]) {
    const socket = new WebSocket(`wss://${address}/client`, protocols, tlsOptions(client));
    const [code, reason] = (await once(socket, 'close')) as [number, Buffer]; // As ws documents it.
    t.equal(code, CLOSE.version);
    t.match(reason.toString(), /^a client speaks bareboat-store\.\d+ here$/);
  }
});

t.test('a member that sends what does not decode is left for another', async (t) => {
  // A frame of events whose body ends early.
  const message = Uint8Array.of(0, REPLY.events, 1, 0, 0, 0, 255);
  const odd = listener((socket) => socket.send(message));
  t.teardown(() => odd[Symbol.asyncDispose]());
  const port = await odd.listen(HOST, 0);
  const store = await connect([`${HOST}:${port}`, await startMember(t)]);
  const { revision } = await store.txn(put('k', new Uint8Array(1)), signal);
  t.ok(revision > 1, 'the other one executed it');
  await store.close();
});

/** A port whose sockets are closed with this code; counts them. */
async function refusing(t: Test, code: number) {
  const seen = { address: '', count: 0 };
  const port = listener((socket) => {
    seen.count++;
    socket.close(code, 'so it is');
  });
  t.teardown(() => port[Symbol.asyncDispose]());
  seen.address = `${HOST}:${await port.listen(HOST, 0)}`;
  return seen;
}

t.test('a client whose version no member speaks is told so', { timeout: 30_000 }, async (t) => {
  const refused = await Promise.all([refusing(t, CLOSE.version), refusing(t, CLOSE.version)]);
  const addresses = refused.map(({ address }) => address);
  const store = await connect(addresses);
  const unsupported = { code: 'UNSUPPORTED', message: /so it is/ };
  await t.rejects(store.range({ key: 'k' }, signal), unsupported);
  await t.rejects(store.range({ key: 'k' }, signal), unsupported, 'from now on');
  await store.close();
  const mixed = await connect([...addresses, await startMember(t)]);
  const { kvs } = await mixed.range({ key: 'k' }, signal);
  t.same(kvs, [], 'one that speaks it is found');
  await mixed.close();
});

t.test('a member that sends a client away is dialled ever less often', async (t) => {
  const foreign = await refusing(t, CLOSE.foreignKey);
  const startMs = performance.now();
  const store = await connect([foreign.address]);
  const read = store.range({ key: 'k' }, signal).catch((error: unknown) => error);
  while (foreign.count < 6) await new Promise((resolve) => setTimeout(resolve, 10));
  t.ok(performance.now() - startMs > 50 + 100 + 200 + 400 + 800, 'doubling waits');
  await store.close();
  t.match(await read, { code: 'CLOSED' });
});

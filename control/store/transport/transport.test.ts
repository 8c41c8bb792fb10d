/** Sockets between members, and of clients: who is let in, and what is refused with which code. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { silentLog } from '#base/log.ts';
import { createCa, issueLeaf } from '#base/pki/pki.ts';
import { encodeHello } from '../codec/hello.ts';
import type { Hello } from '../codec/hello.ts';
import { encodePeerMessage } from '../codec/peer.ts';
import type { PeerMessage } from '../engine/peers.ts';
import { STRANGERS_MAX, STRANGER_MESSAGE_BYTES_MAX } from '../limits.ts';
import { Listener } from './listener.ts';
import { CLOSE, PeerLinks } from './peer-links.ts';
import { keyOfCertificate, tlsOptions } from './tls.ts';
import type { Credentials } from './tls.ts';

const GROUP = 77;
const VERSIONS = { version: 5, versionMin: 4, groupVersion: 4 };
const HOUR_MS = 3_600_000;
const ca = await createCa({ commonName: 'test', nowMs: Date.now(), lifetimeMs: 48 * HOUR_MS });

async function identity(nowMs = Date.now()): Promise<Credentials & { key: string }> {
  const request = { subject: { commonName: 'member' }, usages: ['client', 'server'] as const };
  const { certificate, key } = await issueLeaf(ca, { ...request, nowMs, lifetimeMs: HOUR_MS });
  return { certificate, privateKey: key, key: keyOfCertificate(certificate) };
}

const [home, peer, foreign] = await Promise.all([identity(), identity(), identity()]);

interface Taken {
  readonly from: number;
  readonly message: PeerMessage;
}

/** Member 1 of the group, which knows member 2. */
async function member1(known = peer, stranger: (isTrusted: boolean) => void = () => {}) {
  const links = new PeerLinks({ credentials: home, trustedKeys: [], log: silentLog });
  const listener = new Listener(home, {
    accept: (socket, proved) => links.accept(socket, proved),
    isKnown: (key) => links.knows(key),
  });
  const port = await listener.listen('127.0.0.1', 0);
  const taken: Taken[] = [];
  const greetings: number[] = [];
  const unreachable: number[] = [];
  links.start({
    groupId: GROUP,
    memberId: 1,
    tail: () => ({ lastIndex: 9, lastTerm: 2 }),
    versions: () => VERSIONS,
    receive: (from, message) => taken.push({ from, message }),
    greeted: (_from, { lastIndex }) => greetings.push(lastIndex),
    stranger,
    unreachable: (member) => unreachable.push(member),
  });
  links.setMembers([
    { id: 1, key: home.key, address: '', isToVote: true },
    { id: 2, key: known.key, address: '', isToVote: true },
  ]);
  const end = async () => {
    links[Symbol.dispose]();
    await listener[Symbol.asyncDispose]();
  };
  return { links, port, taken, greetings, unreachable, end };
}

const HELLO: Hello = {
  socketClass: 'control',
  groupId: GROUP,
  from: 2,
  to: 1,
  lastIndex: 5,
  lastTerm: 2,
  ...VERSIONS,
};

async function dial(port: number, credentials: Credentials): Promise<WebSocket> {
  const socket = new WebSocket(`wss://127.0.0.1:${port}/peer`, tlsOptions(credentials));
  await once(socket, 'open');
  return socket;
}

async function closeCode(socket: WebSocket): Promise<unknown> {
  const [code] = (await once(socket, 'close')) as [number]; // As ws documents it.
  return code;
}

const otherLayout = encodeHello(HELLO);
otherLayout[4] = 99;

const refusals: [string, Credentials, Uint8Array | string, number][] = [
  ['another group', peer, encodeHello({ ...HELLO, groupId: 78 }), CLOSE.otherGroup],
  ['another receiver', peer, encodeHello({ ...HELLO, to: 3 }), CLOSE.otherMember],
  ['a foreign key', foreign, encodeHello(HELLO), CLOSE.foreignKey],
  ['a member that is none', peer, encodeHello({ ...HELLO, from: 4 }), CLOSE.foreignKey],
  ['another layout', peer, otherLayout, CLOSE.version],
  ['what is too old', peer, encodeHello({ ...HELLO, version: 3, versionMin: 3 }), CLOSE.version],
  ['what is too new', peer, encodeHello({ ...HELLO, version: 7, versionMin: 6 }), CLOSE.version],
  ['a group that is ahead', peer, encodeHello({ ...HELLO, groupVersion: 6 }), CLOSE.version],
  ['what is no hello', peer, new Uint8Array([1, 2, 3]), CLOSE.malformed],
  [
    'a hello that goes on',
    peer,
    Buffer.concat([encodeHello(HELLO), HELLO_REST()]),
    CLOSE.malformed,
  ],
  ['text', peer, 'hello', CLOSE.malformed],
];

function HELLO_REST(): Uint8Array {
  return new Uint8Array(3);
}

t.test('a hello is refused with the reason', async (t) => {
  const { port, taken, end } = await member1();
  for (const [name, credentials, message, code] of refusals) {
    const socket = await dial(port, credentials);
    socket.send(message);
    t.equal(await closeCode(socket), code, name);
  }
  t.same(taken, []);
  await end();
});

t.test('a member that is not known yet is let in once others have named it', async (t) => {
  const met: boolean[] = [];
  const { links, port, greetings, end } = await member1(peer, (isTrusted) => met.push(isTrusted));
  const hello = encodeHello({ ...HELLO, from: 3 });
  const refused = await dial(port, foreign);
  refused.send(hello);
  t.equal(await closeCode(refused), CLOSE.foreignKey);
  t.same(met, [false], 'its home is told that somebody knocks');
  const row = (id: number, key: string) => ({ id, key, address: '', isToVote: true });
  links.setMembers([row(1, home.key), row(2, peer.key), row(3, foreign.key)]);
  const socket = await dial(port, foreign);
  socket.send(hello);
  await once(socket, 'message');
  t.same(greetings, [HELLO.lastIndex]);
  const other = await dial(port, peer);
  other.send(hello);
  t.equal(await closeCode(other), CLOSE.foreignKey, 'under its own key alone');
  await end();
});

t.test('strangers say little, and are few', async (t) => {
  const { port, end } = await member1();
  const socket = await dial(port, foreign);
  socket.send(new Uint8Array(STRANGER_MESSAGE_BYTES_MAX + 1));
  t.equal(await closeCode(socket), 1009, 'a long message is not taken in');
  const member = await dial(port, peer);
  member.send(new Uint8Array(STRANGER_MESSAGE_BYTES_MAX + 1));
  t.equal(await closeCode(member), CLOSE.malformed, 'of a member it is');
  const many = await Promise.all(Array.from({ length: STRANGERS_MAX }, () => dial(port, foreign)));
  await t.rejects(dial(port, foreign), 'one more');
  const answered = await dial(port, peer);
  answered.terminate();
  for (const one of many) one.terminate();
  await end();
});

t.test('messages of a known member are taken, malformed ones end its socket', async (t) => {
  const { port, taken, greetings, unreachable, end } = await member1();
  const socket = await dial(port, peer);
  const answered = once(socket, 'message');
  socket.send(encodeHello(HELLO));
  await answered;
  socket.send(
    encodePeerMessage({
      kind: 'heartbeat',
      term: 3,
      commitIndex: 4,
      commitTerm: 3,
      readCounter: 5,
    }),
  );
  socket.send(encodePeerMessage({ kind: 'termRequest' }));
  const bad = encodePeerMessage({ kind: 'timeoutNow', term: 3 });
  socket.send(Buffer.concat([bad, bad]));
  t.equal(await closeCode(socket), CLOSE.malformed);
  t.same(taken, [
    {
      from: 2,
      message: { kind: 'heartbeat', term: 3, commitIndex: 4, commitTerm: 3, readCounter: 5 },
    },
    { from: 2, message: { kind: 'termRequest' } },
  ]);
  t.same(greetings, [5]);
  t.same(unreachable, [2]);
  await end();
});

t.test('a member with an expired certificate is let in by its key', async (t) => {
  const old = await identity(Date.now() - 10 * HOUR_MS);
  const { port, end } = await member1(old);
  const socket = await dial(port, old);
  const answered = once(socket, 'message');
  socket.send(encodeHello(HELLO));
  await answered;
  t.pass('it was greeted');
  socket.terminate();
  await end();
});

t.test('a removed member is cut off', async (t) => {
  const { links, port, end } = await member1();
  const socket = await dial(port, peer);
  const answered = once(socket, 'message');
  socket.send(encodeHello(HELLO));
  await answered;
  const closed = once(socket, 'close');
  links.setMembers([{ id: 1, key: home.key, address: '', isToVote: true }]);
  await closed;
  const again = await dial(port, peer);
  again.send(encodeHello(HELLO));
  t.equal(await closeCode(again), CLOSE.foreignKey);
  await end();
});

t.test('two members find each other, by three sockets, over which nothing gets lost', async (t) => {
  const one = await member1();
  const links = new PeerLinks({ credentials: peer, trustedKeys: [], log: silentLog });
  const answers: Taken[] = [];
  links.start({
    groupId: GROUP,
    memberId: 2,
    tail: () => ({ lastIndex: 1, lastTerm: 1 }),
    versions: () => VERSIONS,
    receive: (from, message) => answers.push({ from, message }),
    greeted: () => {},
    stranger: () => {},
    unreachable: () => {},
  });
  const address = `127.0.0.1:${one.port}`;
  links.setMembers([{ id: 1, key: home.key, address, isToVote: true }]);
  const entries = [{ index: 6, term: 2, data: Buffer.from('data') }];
  const append = {
    kind: 'append',
    term: 3,
    prevIndex: 5,
    prevTerm: 2,
    commitIndex: 5,
    entries,
  } as const;
  const chunk = {
    kind: 'chunk',
    index: 4,
    sha256: new Uint8Array(32).fill(7),
    bytes: new Uint8Array(300_000).fill(3),
  } as const;
  const messages: PeerMessage[] = [append, chunk, { kind: 'read', term: 3, readId: 2 }];
  while (one.taken.length < 30) {
    for (const message of messages) links.send(1, message);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const message of messages) {
    const found = one.taken.find((taken) => taken.message.kind === message.kind);
    t.same(found, { from: 2, message }, message.kind);
  }
  one.links.send(2, { kind: 'termResponse', term: 8, matchIndex: 1, matchTerm: 1 });
  while (answers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.same(answers, [
    { from: 1, message: { kind: 'termResponse', term: 8, matchIndex: 1, matchTerm: 1 } },
  ]);
  links[Symbol.dispose]();
  await one.end();
});

t.test('two members that dial each other at once both hear each other', async (t) => {
  const one = await member1();
  const links = new PeerLinks({ credentials: peer, trustedKeys: [], log: silentLog });
  const listener = new Listener(peer, {
    accept: (socket, proved) => links.accept(socket, proved),
    isKnown: () => true,
  });
  const port = await listener.listen('127.0.0.1', 0);
  let heard = 0;
  let broken = 0;
  links.start({
    groupId: GROUP,
    memberId: 2,
    tail: () => ({ lastIndex: 1, lastTerm: 1 }),
    versions: () => VERSIONS,
    receive: () => heard++,
    greeted: () => {},
    stranger: () => {},
    unreachable: () => broken++,
  });
  const row1 = { id: 1, key: home.key, address: `127.0.0.1:${one.port}`, isToVote: true };
  const row2 = { id: 2, key: peer.key, address: `127.0.0.1:${port}`, isToVote: true };
  one.links.setMembers([row1, row2]);
  links.setMembers([row1, row2]);
  while (heard < 30 || one.taken.length < 30) {
    one.links.send(2, { kind: 'termRequest' });
    links.send(1, { kind: 'termRequest' });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.same([one.unreachable.length, broken], [0, 0], 'no socket was given up');
  links[Symbol.dispose]();
  await listener[Symbol.asyncDispose]();
  await one.end();
});

t.test('a member whose address has another key is not spoken to', async (t) => {
  const one = await member1();
  const links = new PeerLinks({ credentials: peer, trustedKeys: [], log: silentLog });
  const nothing = () => {};
  links.start({
    groupId: GROUP,
    memberId: 2,
    tail: () => ({ lastIndex: 1, lastTerm: 1 }),
    versions: () => VERSIONS,
    receive: nothing,
    greeted: nothing,
    stranger: () => {},
    unreachable: nothing,
  });
  const address = `127.0.0.1:${one.port}`;
  links.setMembers([{ id: 1, key: foreign.key, address, isToVote: true }]);
  for (let i = 0; i < 40; i++) {
    links.send(1, { kind: 'termRequest' });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.same(one.taken, []);
  t.same(one.greetings, []);
  links[Symbol.dispose]();
  await one.end();
});

t.test('who shows no certificate, or speaks no TLS, is closed', async (t) => {
  const { port, end } = await member1();
  const socket = new WebSocket(`wss://127.0.0.1:${port}/peer`, { rejectUnauthorized: false });
  const [error] = (await once(socket, 'error')) as [Error]; // As ws documents it.
  t.ok(error);
  const raw = connect(port, '127.0.0.1');
  raw.write('GET / HTTP/1.1\r\n\r\n');
  raw.on('error', () => {});
  await once(raw, 'close');
  t.ok((raw.address() as Partial<AddressInfo>).port === undefined, 'closed');
  await end();
});

t.test('a client that falls silent without a word is cut, others stay', async (t) => {
  const sockets: WebSocket[] = [];
  const closed: string[] = [];
  const accept = (socket: WebSocket, _proved: unknown, path: string) => {
    sockets.push(socket);
    socket.on('close', () => closed.push(path));
  };
  const listener = new Listener(home, { accept, isKnown: () => true, pingMs: 50 });
  const port = await listener.listen('127.0.0.1', 0);
  const open = async (path: string, options: object) => {
    const url = `wss://127.0.0.1:${port}${path}`;
    const socket = new WebSocket(url, { ...tlsOptions(peer), ...options });
    await once(socket, 'open');
    return socket;
  };
  const dead = await open('/client/dead', { autoPong: false });
  await open('/client/idle', {});
  const slow = await open('/client/slow', {});
  slow.pause();
  sockets.at(-1)?.send(new Uint8Array(64 * 1024 * 1024));
  const startMs = performance.now();
  await once(dead, 'close');
  while (closed.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  t.same(closed, ['/client/dead'], 'who reads slowly is given longer');
  while (closed.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(closed, ['/client/dead', '/client/slow']);
  t.ok(performance.now() - startMs > 500);
  await listener[Symbol.asyncDispose]();
  slow.terminate();
});

/**
 * Composition root of `bareboat-store`: one member of a store as a process of its own, for tests and
 * benchmarks. `node control/store/main.ts CONFIG.json`; prints `listening PORT` when it serves. It ends
 * with its engine: what is on disk is found out by the next start.
 */
import { readFileSync } from 'node:fs';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import { FdLog } from '#base/log.ts';
import { checkRequests } from './codec/check-request.ts';
import { RealDisk } from './disk/real-disk.ts';
import { EngineHost } from './engine-host.ts';
import { openEngine } from './engine/open-engine.ts';
import { LEADERLESS_CHECK_MS } from './limits.ts';
import { crc32, sha256 } from './native-digests.ts';
import { serveClient } from './transport/serve-client.ts';
import { Listener } from './transport/listener.ts';
import { PeerLinks } from './transport/peer-links.ts';
import { keyOfCertificate } from './transport/tls.ts';

/** From the last word as a leader to the end. */
const RESIGN_MS = 100;

/** Close code of WebSocket: try again later. */
const TRY_ELSEWHERE = 1013;

const config = z
  .strictObject({
    dataDir: z.string(),
    host: z.string(),
    port: z.int(),
    /** PEM files. */
    privateKey: z.string(),
    certificate: z.string(),
    /** Where the other members reach this one, should it found the group. */
    address: z.string(),
    /** What the group answered when the member was added; else the directory's group, or a new one. */
    join: z.strictObject({ groupId: z.int(), memberId: z.int() }).optional(),
    /** Hashes of keys of members to be met before the log names any, and of clients. */
    memberKeys: z.array(z.string()),
    clientKeys: z.array(z.string()),
    quotaBytes: z.int().optional(),
    checkpointLogBytes: z.int().optional(),
    logTailEntries: z.int().optional(),
  })
  .parse(JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')));

const credentials = {
  privateKey: readFileSync(config.privateKey, 'utf8'),
  certificate: readFileSync(config.certificate, 'utf8'),
};
const log = new FdLog({ level: 'info' }).child('store');
const disk = new RealDisk(config.dataDir);
const links = new PeerLinks({ credentials, trustedKeys: config.memberKeys, log });
const engine = openEngine(
  {
    disk,
    crc32,
    sha256,
    log,
    random: () => Math.random(),
    monotonicMs: () => performance.now(),
    peers: links,
  },
  {
    ...config,
    founder: { key: keyOfCertificate(credentials.certificate), address: config.address },
  },
);
const host = new EngineHost(engine, {
  failed: (error) => {
    log.error('store failed', { error });
    process.exit(1);
  },
  ended: () => disk[Symbol.dispose](),
});
links.start({
  groupId: engine.groupId,
  memberId: engine.memberId,
  tail: () => engine.tail,
  receive: (from, message) => {
    engine.receive(from, message);
    host.wake();
  },
  greeted: (from, lastIndex) => engine.greeted(from, lastIndex),
  unreachable: (member) => {
    engine.unreachable(member);
    host.wake();
  },
});
const clients = new Set<WebSocket>();
setInterval(() => {
  if (!engine.isLeaderless) return;
  for (const socket of clients) socket.close(TRY_ELSEWHERE, 'no member leads the store');
}, LEADERLESS_CHECK_MS);
const listener = new Listener(credentials, (socket, proved, path) => {
  if (path === '/peer') links.accept(socket, proved);
  else if (path === '/client' && config.clientKeys.includes(proved.key)) {
    serveClient(socket, { host, log, check: checkRequests });
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
  } else socket.close(4004, 'no key of a client');
});
const port = await listener.listen(config.host, config.port);
process.on('SIGTERM', () => {
  engine.resign();
  host.pump();
  // What the successor is sent needs a moment to leave.
  setTimeout(() => {
    host.end('close');
    links[Symbol.dispose]();
    process.exit(0);
  }, RESIGN_MS);
});
process.stdout.write(`listening ${port}\n`);

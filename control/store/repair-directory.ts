/**
 * Repairs a damaged directory over the network before its member starts: the sockets to the others, and
 * nothing else of a member, for as long as it takes.
 */
import { RealDisk } from './disk/real-disk.ts';
import type { DamagedDirectory } from './engine/read-directory.ts';
import { Repair } from './engine/repair.ts';
import { REPAIR_TICK_MS } from './limits.ts';
import type { MemberOptions } from './member.ts';
import { crc32, sha256 } from './native-digests.ts';
import { readCredentials } from './socket-asker.ts';
import { Listener } from './transport/listener.ts';
import { PeerLinks } from './transport/peer-links.ts';

/** Rejects with the damage when the others cannot help, or with the signal's reason; all is closed then. */
export async function repairDirectory(
  damage: DamagedDirectory,
  { dataDir, log, settings, network }: MemberOptions,
  signal: AbortSignal,
): Promise<void> {
  if (network === undefined) throw damage;
  const credentials = readCredentials(network);
  log.error('directory is damaged, the other members are asked', { error: damage });
  using disk = new RealDisk(dataDir);
  using links = new PeerLinks({ credentials, trustedKeys: network.memberKeys, log });
  await using listener = new Listener(credentials, {
    isKnown: (key) => links.knows(key),
    accept: (socket, proved, path) => {
      if (path === '/peer') links.accept(socket, proved);
      else socket.close(TRY_ELSEWHERE, 'directory is being repaired');
    },
  });
  const random = () => Math.random();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const go = (work: (repair: Repair) => void) => {
    try {
      work(repair);
      while (repair.pump());
      if (repair.state === 'repaired') resolve();
      else if (repair.state === 'stuck') reject(repair.damage);
    } catch (error) {
      reject(error);
    }
  };
  const repair = new Repair({ disk, crc32, sha256, log, random, peers: links }, settings, damage);
  links.start({
    groupId: repair.groupId,
    memberId: repair.memberId,
    // Nothing is known of where the log ends; a leader that counts on more must not be misled.
    tail: () => ({ lastIndex: Number.MAX_SAFE_INTEGER, lastTerm: Number.MAX_SAFE_INTEGER }),
    versions: () => repair.versions,
    receive: (from, message) => go((of) => of.receive(from, message)),
    greeted: () => {},
    unreachable: () => {},
    stranger: () => {},
  });
  const onAbort = () => reject(signal.reason);
  let ticks: NodeJS.Timeout | undefined;
  try {
    await listener.listen(network.host, network.port);
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort, { once: true });
    ticks = setInterval(() => go((of) => of.tick()), REPAIR_TICK_MS);
    await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearInterval(ticks);
    repair.close();
  }
}

/** Close code of WebSocket: try again later. */
const TRY_ELSEWHERE = 1013;

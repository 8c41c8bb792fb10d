/** How a member that is not of its group now reaches the others: over sockets, by the machine's clock. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineLog } from './engine/engine-log.ts';
import type { MemberNetwork } from './member-config.ts';
import type { GroupMember, GroupMembers } from './port.ts';
import { acquainted, findGroup } from './rejoin.ts';
import type { Asker } from './rejoin.ts';
import { connectStore } from './transport/remote-store.ts';
import { keyOfCertificate } from './transport/tls.ts';
import type { Credentials } from './transport/tls.ts';

/** Throws as reading the key files does: errno errors. */
export function socketAsker(network: MemberNetwork, log: EngineLog): Asker {
  const credentials = readCredentials(network);
  return {
    network,
    key: keyOfCertificate(credentials.certificate),
    log,
    connect: ({ address, memberKeys }, signal) =>
      connectStore({ addresses: [address], credentials, memberKeys, path: '/member' }, signal),
    // Nothing else may keep the process meanwhile.
    pause: (ms, signal) => sleep(ms, undefined, { signal }),
    within: (ms, signal) => AbortSignal.any([signal, AbortSignal.timeout(ms)]),
  };
}

/**
 * The group of these members, should a quorum of them live: whoever of the others is reached says so.
 * Undefined when nobody does in some seconds. Rejects as reading the key files does, or with the signal's
 * reason.
 */
export function findLivingGroup(
  of: { readonly network: MemberNetwork; readonly groupId: number; readonly log: EngineLog },
  others: readonly Pick<GroupMember, 'key' | 'address'>[],
  signal: AbortSignal,
): Promise<GroupMembers | undefined> {
  const asker = acquainted(socketAsker(of.network, of.log), others);
  return findGroup(asker, of.groupId, signal);
}

/** Throws errno errors. */
export function readCredentials(network: MemberNetwork): Credentials {
  return {
    privateKey: readFileSync(network.privateKey, 'utf8'),
    certificate: readFileSync(network.certificate, 'utf8'),
  };
}

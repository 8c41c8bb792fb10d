/**
 * A member that is not of its group now asks the others (reference/store.md section 8, rules 1 and 2):
 * one that cannot go on as who it was, or has lost its disk, for another id under the same key; one that
 * is alone by its log, whether the group is larger than it knows.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '#base/log.ts';
import type { Acquaintance, OutcastNote } from './engine/outcast.ts';
import { LOOK_AROUND_MS_MAX, REJOIN_ATTEMPT_MS_MAX, REJOIN_RETRY_MS } from './limits.ts';
import type { MemberNetwork } from './member-config.ts';
import { StoreError } from './port.ts';
import type { AddedMember, FormerMember, GroupMember, GroupMembers, OwnStore } from './port.ts';
import { connectStore } from './transport/remote-store.ts';
import { keyOfCertificate } from './transport/tls.ts';
import type { Credentials } from './transport/tls.ts';

export interface Asker {
  readonly network: MemberNetwork;
  readonly credentials: Credentials;
  readonly log: Log;
}

/** What a member is that comes in, and who the others are by that time. */
export interface Admission extends AddedMember {
  readonly others: readonly Acquaintance[];
}

/**
 * Asks until the group has an id for this key. Rejects with StoreError INVALID_REQUEST when no member of
 * the group has it and there is no good token, or when nobody is known to be asked; with the signal's reason
 * when it is aborted.
 */
export async function askToRejoin(
  asker: Asker,
  note: OutcastNote | undefined,
  signal: AbortSignal,
): Promise<Admission> {
  const { network, credentials, log } = asker;
  const known = note?.others ?? [];
  const addresses = [...new Set([...network.peers, ...known.map(({ address }) => address)])];
  const memberKeys = [...network.memberKeys, ...known.map(({ key }) => key)];
  const open = addresses.filter((address) => address !== '' && address !== network.address);
  if (open.length === 0) {
    throw new StoreError('INVALID_REQUEST', 'no address of another member is known', {
      cause: note,
    });
  }
  const former = {
    formerId: note?.memberId ?? 0,
    key: keyOfCertificate(credentials.certificate),
    address: network.address,
  };
  for (let attempt = 0; ; attempt++) {
    const address = open[attempt % open.length] ?? '';
    try {
      const attempted = AbortSignal.any([signal, AbortSignal.timeout(REJOIN_ATTEMPT_MS_MAX)]);
      const of = { addresses: [address], credentials, memberKeys };
      return await withStore(of, attempted, (store) =>
        comeIn(store, { former, token: network.token }, attempted),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError && error.code === 'INVALID_REQUEST') throw error;
      log.warn('not taken in yet', { address, error });
    }
    await pause(REJOIN_RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** As a former member, else by a token. */
async function comeIn(
  store: OwnStore,
  as: { readonly former: FormerMember; readonly token: string | undefined },
  signal: AbortSignal,
): Promise<Admission> {
  const added = await admit(store, as, signal);
  // Who leads may have come in behind all that the configuration names.
  const { members } = await store.members(signal);
  const others = members.filter(({ id }) => id !== added.memberId);
  return { ...added, others: others.map(({ key, address }) => ({ key, address })) };
}

async function admit(
  store: OwnStore,
  as: { readonly former: FormerMember; readonly token: string | undefined },
  signal: AbortSignal,
): Promise<AddedMember> {
  const { former, token } = as;
  try {
    return await store.rejoin(former, signal);
  } catch (error) {
    const isUnknown = error instanceof StoreError && error.code === 'INVALID_REQUEST';
    if (!isUnknown || token === undefined || former.formerId !== 0) throw error;
    const { key, address } = former;
    return await store.join({ token, key, address, isToVote: true }, signal);
  }
}

/**
 * The group of this id, as a quorum of it knows it; undefined when nobody can say in some seconds. Rejects
 * with the signal's reason.
 */
export async function findGroup(
  asker: Asker,
  groupId: number,
  signal: AbortSignal,
): Promise<GroupMembers | undefined> {
  const { network, credentials } = asker;
  const { memberKeys } = network;
  const ask = async (address: string): Promise<GroupMembers> => {
    const asked = AbortSignal.any([signal, AbortSignal.timeout(LOOK_AROUND_MS_MAX)]);
    const of = { addresses: [address], credentials, memberKeys };
    const group = await withStore(of, asked, (store) => store.members(asked));
    if (group.groupId === groupId) return group;
    throw new StoreError('INVALID_REQUEST', `${address} is of group ${group.groupId}`);
  };
  try {
    return await Promise.any(network.peers.filter((at) => at !== network.address).map(ask));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AggregateError) return undefined; // Nobody answered.
    throw error;
  }
}

/**
 * The group of these members, should a quorum of them live: whoever of the others is reached says so.
 * Undefined when nobody does in some seconds. Rejects as reading the key files does, or with the signal's
 * reason.
 */
export function findLivingGroup(
  of: { readonly network: MemberNetwork; readonly groupId: number; readonly log: Log },
  others: readonly Pick<GroupMember, 'key' | 'address'>[],
  signal: AbortSignal,
): Promise<GroupMembers | undefined> {
  const peers = [...of.network.peers, ...others.map(({ address }) => address)];
  const memberKeys = [...of.network.memberKeys, ...others.map(({ key }) => key)];
  const network = {
    ...of.network,
    peers: [...new Set(peers)].filter((address) => address !== ''),
    memberKeys,
  };
  const asker = { network, credentials: readCredentials(network), log: of.log };
  return findGroup(asker, of.groupId, signal);
}

/** Throws errno errors. */
export function readCredentials(network: MemberNetwork): Credentials {
  return {
    privateKey: readFileSync(network.privateKey, 'utf8'),
    certificate: readFileSync(network.certificate, 'utf8'),
  };
}

async function withStore<T>(
  of: { addresses: readonly string[]; credentials: Credentials; memberKeys: readonly string[] },
  signal: AbortSignal,
  work: (store: OwnStore) => Promise<T>,
): Promise<T> {
  const store = await connectStore({ ...of, path: '/member' }, signal);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

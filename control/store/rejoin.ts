/**
 * A member that is not of its group now asks the others (reference/store.md section 8, rules 1 and 2):
 * one that cannot go on as who it was, or has lost its disk, for another id under the same key; one that
 * is alone by its log, whether the group is larger than it knows. What it takes of sockets and clocks is
 * the asker's (socket-asker.ts).
 */
import type { Engine } from './engine/engine.ts';
import type { EngineLog } from './engine/engine-log.ts';
import type { Acquaintance, OutcastNote } from './engine/outcast.ts';
import { LOOK_AROUND_MS_MAX, REJOIN_ATTEMPT_MS_MAX, REJOIN_RETRY_MS } from './limits.ts';
import type { MemberNetwork } from './member-config.ts';
import { StoreError } from './port.ts';
import type { AddedMember, FormerMember, GroupMembers, OwnStore } from './port.ts';

/** Whom to reach, and by which keys to believe it. */
export interface Asked {
  readonly address: string;
  readonly memberKeys: readonly string[];
}

export interface Asker {
  readonly network: Pick<MemberNetwork, 'address' | 'join' | 'memberKeys' | 'peers' | 'token'>;
  /** The hash of its own public key. */
  readonly key: string;
  readonly log: EngineLog;
  /** Resolves when the member is reached, which is tried until the signal rejects it with its reason. */
  readonly connect: (asked: Asked, signal: AbortSignal) => Promise<OwnStore>;
  /** Resolves after so long; rejects when the signal is aborted. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** A signal that is aborted with this one, or after so long. */
  readonly within: (ms: number, signal: AbortSignal) => AbortSignal;
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
  const { network, key, log } = asker;
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
    key,
    address: network.address,
  };
  for (let attempt = 0; ; attempt++) {
    const address = open[attempt % open.length] ?? '';
    try {
      const attempted = asker.within(REJOIN_ATTEMPT_MS_MAX, signal);
      return await ask(asker, { address, memberKeys }, attempted, (store) =>
        comeIn(store, { former, token: network.token }, attempted),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError && error.code === 'INVALID_REQUEST') throw error;
      log.warn('not taken in yet', { address, error });
    }
    await asker.pause(REJOIN_RETRY_MS, signal).catch(() => signal.throwIfAborted());
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
  const { network } = asker;
  const { memberKeys } = network;
  const askAt = async (address: string): Promise<GroupMembers> => {
    const asked = asker.within(LOOK_AROUND_MS_MAX, signal);
    const group = await ask(asker, { address, memberKeys }, asked, (store) => store.members(asked));
    if (group.groupId === groupId) return group;
    throw new StoreError('INVALID_REQUEST', `${address} is of group ${group.groupId}`);
  };
  try {
    return await Promise.any(network.peers.filter((at) => at !== network.address).map(askAt));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AggregateError) return undefined; // Nobody answered.
    throw error;
  }
}

/**
 * Why a member that hears of no leader may not go on: a quorum of the group has its key under another id, so
 * its disk was set back to before it came in anew, and nobody speaks with who it was. Undefined when nobody
 * says so in some seconds. Rejects with the signal's reason.
 */
export async function whyReplaced(
  asker: Asker,
  { groupId, memberId, state }: Pick<Engine, 'groupId' | 'memberId' | 'state'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const others = state.roster.all().filter(({ id }) => id !== memberId);
  const group = await findGroup(acquainted(asker, others), groupId, signal);
  const id = group?.members.find(({ key }) => key === asker.key)?.id ?? memberId;
  return id === memberId ? undefined : `the group has it as member ${id} by now: it was set back`;
}

/** The same, who may reach these others, too. */
export function acquainted(asker: Asker, others: readonly Acquaintance[]): Asker {
  const { network } = asker;
  const peers = [...network.peers, ...others.map(({ address }) => address)];
  const memberKeys = [...network.memberKeys, ...others.map(({ key }) => key)];
  const open = [...new Set(peers)].filter((address) => address !== '');
  return { ...asker, network: { ...network, peers: open, memberKeys } };
}

async function ask<T>(
  asker: Asker,
  asked: Asked,
  signal: AbortSignal,
  work: (store: OwnStore) => Promise<T>,
): Promise<T> {
  const store = await asker.connect(asked, signal);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

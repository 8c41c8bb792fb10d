/**
 * Control's part of the machine API (service Store of bareboat.proto), served on its unix socket. Who may
 * call what is the gateway's affair; here is what each call does.
 */
import { createHash } from 'node:crypto';
import { Store } from '#base/protocol/bareboat.gen.ts';
import type { SnapshotPart } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import type { ProtocolErrorCode } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import {
  createJoinToken,
  type OwnStore,
  StoreError,
  type StoreErrorCode,
} from '#control/store/store.ts';

export function storeServices(store: OwnStore): ServiceTable {
  return new ServiceTable()
    .unary(Store.GetStatus, async (_request, { signal }) => {
      const [status, { groupId, members }] = await explained(() =>
        Promise.all([store.memberStatus(signal), store.members(signal)]),
      );
      return {
        groupId,
        memberId: status.memberId,
        leaderId: status.leaderId,
        revision: status.revision,
        version: status.version,
        keyCount: status.keyCount,
        liveBytes: status.liveBytes,
        quotaBytes: status.quotaBytes,
        alarms: [...status.alarms],
        members: members.map(({ id, address, role }) => ({ id, address, role })),
      };
    })
    .unary(Store.RemoveMember, async ({ id }, { signal }) => {
      await requireMember(store, id, signal);
      await explained(() => store.removeMember(id, signal));
      return {};
    })
    .unary(Store.MoveLeader, async ({ id }, { signal }) => {
      await requireMember(store, id, signal);
      await explained(() => store.moveLeader(id, signal));
      return {};
    })
    .unary(Store.CreateJoinToken, async ({ lifetimeSeconds }, { signal }) => ({
      token: await explained(() => createJoinToken(store, lifetimeSeconds, signal)),
    }))
    .stream(Store.Snapshot, async function* (requests, { signal }) {
      for await (const _request of requests) {
        yield* snapshotParts(store, signal);
        return;
      }
    });
}

/** The store takes a member that is gone for one that was removed; who mistyped its number does not. */
async function requireMember(store: OwnStore, id: number, signal: AbortSignal): Promise<void> {
  const { members } = await explained(() => store.members(signal));
  if (members.some((member) => member.id === id)) return;
  throw new ProtocolError('NOT_FOUND', `the store has no member ${id}`);
}

async function* snapshotParts(
  store: OwnStore,
  signal: AbortSignal,
): AsyncGenerator<Partial<SnapshotPart>> {
  try {
    await using snapshot = await store.snapshot(signal);
    yield { revision: snapshot.revision, sizeBytes: snapshot.bytes };
    const hash = createHash('sha256');
    for await (const data of snapshot.pieces(signal)) {
      hash.update(data);
      yield { data };
    }
    yield { sha256: hash.digest('hex') };
  } catch (error) {
    throw toProtocolError(error);
  }
}

async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toProtocolError(error);
  }
}

const CODES: Readonly<Partial<Record<StoreErrorCode, ProtocolErrorCode>>> = {
  UNAVAILABLE: 'UNAVAILABLE',
  CLOSED: 'UNAVAILABLE',
  NO_SPACE: 'RESOURCE_EXHAUSTED',
  INVALID_REQUEST: 'FAILED_PRECONDITION',
  // Not UNAVAILABLE, by which callers take it that nothing was done.
  OUTCOME_UNKNOWN: 'OUTCOME_UNKNOWN',
};

function toProtocolError(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  const code = CODES[error.code] ?? 'INTERNAL';
  const details = { reason: error.code };
  return new ProtocolError(code, error.message, { details, cause: error });
}

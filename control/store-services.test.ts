/** What callers of the machine API are told of the store's refusals. */
import { join } from 'node:path';
import t from 'tap';
import { Store } from '#base/protocol/bareboat.gen.ts';
import { connectUnix } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { StoreError } from '#control/store/store.ts';
import type { OwnStore, StoreErrorCode } from '#control/store/store.ts';
import { storeServices } from './store-services.ts';

const signal = AbortSignal.timeout(20_000);

const rows: readonly [StoreErrorCode, string][] = [
  ['OUTCOME_UNKNOWN', 'OUTCOME_UNKNOWN'],
  ['UNAVAILABLE', 'UNAVAILABLE'],
  ['CLOSED', 'UNAVAILABLE'],
  ['NO_SPACE', 'RESOURCE_EXHAUSTED'],
  ['INVALID_REQUEST', 'FAILED_PRECONDITION'],
  ['CORRUPT', 'INTERNAL'],
];

t.test('each error of the store has a code', async (t) => {
  let code: StoreErrorCode = 'CLOSED';
  const store: Pick<OwnStore, 'leaseGrant'> = {
    leaseGrant: () => Promise.reject(new StoreError(code, 'a test says so')),
  };
  const path = join(t.testdir(), 'x.sock');
  const server = await serveMachineSocket(path, storeServices(store as OwnStore)); // All that is asked.
  const client = await connectUnix(path, signal);
  t.teardown(async () => {
    await client[Symbol.asyncDispose]();
    server.close();
  });
  for (const [own, told] of rows) {
    code = own;
    const call = client.call(Store.CreateJoinToken, { lifetimeSeconds: 60 }, signal);
    await t.rejects(call, { code: told, details: { reason: own } }, own);
  }
});

/**
 * Goal (reference/store.md section 8, rule 9): a store whose quorum is lost for good goes on with what one
 * member holds, by the operator's command; never while there is a quorum. Real members, control's own program,
 * the supervisor's part and a gateway before it; the units of the machine are those of this test.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { must } from '#base/assert.ts';
import { Machine, Store } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { ServiceTable } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { runCli } from '#cli/test-run.ts';
import { writeClusterFiles } from '#control/api/testing/cluster-files.ts';
import { memberNetwork } from '#control/store/store.ts';
import { StoreRecovery } from '#daemon/supervisor/recover-store.ts';
import type { RecoveryHost } from '#daemon/supervisor/recover-store.ts';
import { freePort } from './free-ports.ts';
import { StoreGroup, freeAddress, waitFor } from './store-process.ts';
import { startTestGateway } from './test-gateway.ts';

const { signal } = new AbortController();
const MAIN = new URL('../../control/main.ts', import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), 'store-recover-'));
const path = (name: string) => join(dir, name);
const bareboat = (...args: string[]) =>
  runCli(['--config', path('bareboat.yaml'), ...args], AbortSignal.timeout(60_000));

function put(key: string) {
  const request = { key, value: Buffer.from(key) };
  return { compare: [], success: [{ kind: 'put', request } as const], failure: [] };
}

t.test('a store goes on with its last member', { timeout: 180_000 }, async (t) => {
  const configs: object[] = [];
  const place = {
    address: freeAddress,
    enter: <T>(_: number, run: () => T) => run(),
    dataDir: (number: number) => path(`node-${number}/store`),
    program: (number: number, config: object) => {
      configs[number] = config;
      return undefined;
    },
  };
  await using group = await StoreGroup.start({}, signal, place);
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const store = await group.connect([0, 1, 2], signal);
  for (let i = 0; i < 20; i++) await store.txn(put(`k${i}`), signal);
  const [first, second, last] = group.members.map((member) => must(member, 'one of three'));
  const { members } = await store.members(signal);

  // The node of the last one: control is configured as the member was.
  await writeClusterFiles(dir, await freePort());
  const config = JSON.parse(readFileSync(path('config.json'), 'utf8')) as object; // Just written.
  const network = memberNetwork.strip().parse(configs[2]);
  const nodeConfig = { ...config, dataDir: path('node-2'), store: network };
  writeFileSync(path('node-2.json'), JSON.stringify(nodeConfig));
  const done: string[] = [];
  const units = {
    phase: 'running',
    state: () => ({ phase: units.phase }),
    want: () => void done.push('want'),
    unwant: () => void done.push('unwant'),
    onStopped: (_: string, then: () => void) => then(),
  };
  const host = { state: { bootstrapped: true }, events: { add: () => {} }, units };
  const recovery = new StoreRecovery(host as unknown as RecoveryHost, {
    program: {
      dir: path('node-2'),
      configFile: path('node-2.json'),
      uid: process.getuid?.() ?? 0,
      program: process.execPath,
      args: ['--no-warnings', MAIN],
      env: {},
    },
    controlSocket: path('control.sock'),
    quorumWaitMs: 1500,
  });
  let leaderId = 0;
  const control = await serveMachineSocket(
    path('control.sock'),
    new ServiceTable().unary(Store.GetStatus, async () => {
      if (leaderId === 0) throw new ProtocolError('UNAVAILABLE', 'no member leads the store');
      return { leaderId };
    }),
  );
  const supervisor = await serveMachineSocket(
    path('supervisor.sock'),
    new ServiceTable()
      .unary(Machine.InspectStore, async (_request, call) => recovery.inspect(call.signal))
      .unary(Machine.RecoverStore, async (request, call) => recovery.recover(request, call.signal)),
  );
  const gateway = await startTestGateway(dir, { supervisor: path('supervisor.sock') });
  t.teardown(async () => {
    await gateway[Symbol.asyncDispose]();
    for (const server of [control, supervisor]) {
      server.close();
      server.closeAllConnections();
    }
  });

  leaderId = 5;
  const served = await bareboat('store', 'recover');
  t.match(served, { code: 1, notes: /the store has a quorum: member 5 leads it/ });
  t.same(done, [], 'control was left alone');
  leaderId = 0;
  await must(last, 'the last one').end('SIGTERM');
  const living = await bareboat('store', 'recover');
  t.match(living, { code: 1, notes: /the store has a quorum: member \d+ leads it/ });
  t.same(done.splice(0), ['unwant', 'want'], 'the others were asked, and control starts again');

  await Promise.all([first, second].map((member) => must(member, 'one of three').end('SIGKILL')));
  const told = await bareboat('store', 'recover');
  t.match(told, { code: 0, out: /one of 3 voters/ });
  const index = must(/at index (\d+)/.exec(told.out)?.[1], 'an index');
  const own = must(
    members.find(({ key }) => key === last?.identity.key),
    'a member',
  );
  t.match(told.out, new RegExp(`member: +${own.id} of group `));
  t.match(told.out, new RegExp(`bareboat store recover --take ${index}`));
  for (const { id, address } of members.filter((member) => member !== own)) {
    t.ok(told.out.includes(`${id} (${address})`), 'who is given up is named');
  }
  const other = await bareboat('store', 'recover', '--take', String(Number(index) + 1));
  t.match(other, { code: 2, notes: /the log ends at \d+, not \d+: nothing was changed/ });
  const wrong = { groupId: 1, memberId: own.id, lastTerm: 1, lastIndex: Number(index) };
  await t.rejects(recovery.recover(wrong, signal), { code: 'FAILED_PRECONDITION' });
  const help = await bareboat('store', 'recover', '--help');
  t.match(help, { code: 0, out: /What only others held is lost/ });
  const recovered = await bareboat('store', 'recover', '--take', index);
  t.match(recovered, { code: 0, notes: /the store is group \d+ now, with this member alone/ });
  const again = await bareboat('store', 'recover');
  t.match(again, { code: 1, notes: /has no other voter: it needs no recovery/ });

  // Its configuration still names the group that it once joined; the others come back, and are refused.
  await must(last, 'the last one').start();
  const alone = await group.connect([2], signal);
  const { count } = await alone.range({ key: 'k', rangeEnd: 'l' }, signal);
  t.equal(count, 20, 'what it held is there');
  t.ok((await alone.txn(put('k-new'), signal)).revision > 1_000_000_000);
  await Promise.all([must(first, 'a member').start(), must(second, 'a member').start()]);
  await waitFor(async () => {
    const status = await store.memberStatus(AbortSignal.timeout(1000)).catch(() => undefined);
    return status !== undefined && status.leaderId !== 0;
  });
  const after = await alone.members(signal);
  t.equal(after.members.length, 1, 'it stays alone');
  t.equal((await alone.range({ key: 'k-new' }, signal)).count, 1);
});

/** The container runtime against the real kernel, runc and conmon. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import type { ContainerSpec } from '#daemon/runtime/port.ts';
import {
  bytes,
  cannotRun,
  containerSpec,
  find,
  logOf,
  output,
  runContainer,
  sandboxSpec,
  TestHost,
  until,
} from './runtime-host.ts';
import { busyboxLayer, dockerArchive, makeTar } from './runtime-images.ts';

const skip = cannotRun() ?? false;
if (skip) t.comment(`skipped: ${skip}`);

await t.test('containers', { skip, timeout: 120_000 }, async (t) => {
  await using host = new TestHost();
  await using runtime = await host.open();
  const { containers, images } = runtime;
  const { signal } = host;
  const archive = await dockerArchive({ layers: [await busyboxLayer()], tag: 'busybox:latest' });
  t.same(await images.importArchive(bytes(archive), signal), ['docker.io/library/busybox:latest']);
  const logs = join(host.root, 'logs');
  const sandbox = await containers.runSandbox(sandboxSpec(logs), signal);

  const run = (given: Partial<ContainerSpec>) => runContainer(containers, sandbox, given);

  await t.test('run to the end: exit code, log, state', async (t) => {
    const id = await run({
      name: 'short',
      command: ['sh', '-c', 'echo out; echo err >&2; exit 7'],
    });
    await until('it has exited', () => find(containers, id).state === 'exited');
    const container = find(containers, id);
    t.equal(container.exitCode, 7);
    t.equal(container.oomKilled, false);
    t.ok((container.finishedAtMs ?? 0) >= (container.startedAtMs ?? Infinity) - 1000);
    const log = readFileSync(container.logPath, 'utf8');
    t.match(log, /^\d{4}-\d\d-\d\dT[\d:.]+\S* stdout F out$/m);
    t.match(log, / stderr F err$/m);
  });

  await t.test('identity, environment, names, mounts', async (t) => {
    const id = await run({
      name: 'who',
      command: ['sh', '-c', 'id; hostname; echo $FROM_IMAGE $FROM_POD $HOSTNAME; pwd; sleep 1000'],
      workingDir: '/work/here',
      env: [{ name: 'FROM_POD', value: 'a b' }],
      security: { ...containerSpec('', {}).security, runAsUserName: 'web' },
    });
    await until('it has written', () => logOf(containers, id).split('\n').length > 4);
    const log = logOf(containers, id);
    t.match(log, /uid=1001\(web\) gid=1002\(web\) groups=1002\(web\),1003\(extra\)/);
    t.match(log, / test-pod$/m);
    t.match(log, / yes a b test-pod$/m);
    t.match(log, / \/work\/here$/m);
    await containers.stopContainer(id, 0, signal);
    t.equal(find(containers, id).exitCode, 137);
  });

  await t.test('what cannot start says why', async (t) => {
    const spec = (command: string[]) => containerSpec(sandbox.id, { name: 'bad', command });
    const { id } = await containers.createContainer(spec(['/no/such/program']), signal);
    await t.rejects(containers.startContainer(id, signal), {
      code: 'START_FAILED',
      message: /no such file or directory/,
    });
    const { state, exitCode, startError } = find(containers, id);
    t.equal(state, 'exited');
    t.equal(exitCode, 128);
    t.match(startError, /no such file/);
    await containers.removeContainer(id, signal);
    const user = { ...spec(['sh']).security, runAsUserName: 'nobody-here' };
    await t.rejects(containers.createContainer({ ...spec(['sh']), security: user }, signal), {
      code: 'INVALID_USER',
    });
    await t.rejects(containers.createContainer({ ...spec(['sh']), imageId: 'other' }, signal), {
      code: 'IMAGE_NOT_FOUND',
    });
  });

  await t.test('stop: grace, then the kill; a stop of what never ran', async (t) => {
    const polite = await run({
      name: 'polite',
      command: ['sh', '-c', 'trap "exit 9" TERM; echo ready; while :; do sleep 0.1; done'],
    });
    await until('its trap is set', () => logOf(containers, polite).includes('ready'));
    await containers.stopContainer(polite, 20, signal);
    t.equal(find(containers, polite).exitCode, 9);
    const deaf = await run({ name: 'deaf', command: ['sleep', '1000'] }); // Process 1 ignores TERM.
    const started = performance.now();
    await containers.stopContainer(deaf, 1, signal);
    t.ok(performance.now() - started > 900);
    t.equal(find(containers, deaf).exitCode, 137);
    const spec = containerSpec(sandbox.id, { name: 'never', command: ['sh'] });
    const { id } = await containers.createContainer(spec, signal);
    await containers.stopContainer(id, 5, signal);
    t.equal(find(containers, id).state, 'exited');
  });

  await t.test('limits, statistics, update, out of memory', async (t) => {
    const id = await run({
      name: 'limited',
      command: ['sleep', '1000'],
      resources: { cpuShares: 256, memoryLimitBytes: 64 * 1024 * 1024, pidsLimit: 50 },
    });
    await until('its program runs', () => containers.stats(id)?.pids === 1);
    const { memoryUsageBytes = 0, memoryWorkingSetBytes = 0 } = containers.stats(id) ?? {};
    t.ok(memoryUsageBytes > 0 && memoryWorkingSetBytes <= memoryUsageBytes);
    await containers.updateResources(id, { memoryLimitBytes: 32 * 1024 * 1024 }, signal);
    await containers.removeContainer(id, signal);
    const hungry = await run({
      name: 'hungry',
      command: ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=100M', 'count=1'],
      resources: { memoryLimitBytes: 16 * 1024 * 1024 },
    });
    await until('the kernel has ended it', () => find(containers, hungry).state === 'exited');
    t.equal(find(containers, hungry).exitCode, 137);
    t.equal(find(containers, hungry).oomKilled, true);
  });

  await t.test('security: capabilities, seccomp, read-only root with volumes', async (t) => {
    const base = containerSpec('', {}).security;
    const status = async (security: Partial<ContainerSpec['security']>): Promise<string> => {
      const id = await run({
        name: 'secure',
        command: ['sh', '-c', 'cat /proc/1/status; echo x >/probe; echo x >/data/probe; echo done'],
        security: { ...base, ...security },
        mounts: [
          {
            hostPath: join(host.root, 'vol'),
            containerPath: '/data',
            readOnly: false,
            propagation: 'private',
          },
        ],
      });
      await until('it has exited', () => find(containers, id).state === 'exited');
      const log = logOf(containers, id);
      rmSync(find(containers, id).logPath);
      await containers.removeContainer(id, signal);
      return log;
    };
    const plain = await status({});
    t.match(plain, /CapEff:\t00000000a80425fb/);
    t.match(plain, /Seccomp:\t0/);
    const tight = await status({
      dropCapabilities: ['ALL'],
      addCapabilities: ['NET_BIND_SERVICE'],
      seccomp: 'RuntimeDefault',
      noNewPrivileges: true,
      readOnlyRootfs: true,
    });
    t.match(tight, /CapEff:\t0000000000000400/);
    t.match(tight, /Seccomp:\t2/);
    t.match(tight, /NoNewPrivs:\t1/);
    t.match(tight, /can't create \/probe: Read-only file system/);
    t.notMatch(tight, /\/data\/probe/);
    const privileged = await status({ privileged: true });
    t.match(privileged, /CapEff:\t000001f/);
  });

  await t.test('one PID namespace for the pod', async (t) => {
    const shared = await containers.runSandbox(
      sandboxSpec(logs, {
        podUid: 'uid-2',
        cgroupParent: 'kubepods/poduid-2',
        namespaces: { network: 'pod', pid: 'pod', ipc: 'pod' },
        sysctls: { 'net.ipv4.ip_unprivileged_port_start': '80', 'kernel.shm_rmid_forced': '1' },
      }),
      signal,
    );
    const spec = (name: string, command: string[]) =>
      containerSpec(shared.id, { name, command, logPath: `${name}/shared.log` });
    const ids: string[] = [];
    for (const seconds of ['2001', '2002']) {
      const made = await containers.createContainer(spec(seconds, ['sleep', seconds]), signal);
      await containers.startContainer(made.id, signal);
      ids.push(made.id);
    }
    const { stdout } = await containers.execSync(
      ids[0] ?? '',
      [
        'sh',
        '-c',
        'ps; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; sleep 0.1 & exec sleep 0',
      ],
      signal,
    );
    const text = Buffer.from(stdout).toString();
    t.match(text, /sleep 2001/);
    t.match(text, /sleep 2002/);
    t.match(text, /^80$/m);
    await containers.stopSandbox(shared.id, signal);
    t.ok(ids.every((id) => find(containers, id).state === 'exited'));
    await containers.removeSandbox(shared.id, signal);
    t.notOk(containers.listSandboxes().some((s) => s.id === shared.id));
  });

  await t.test('a look into another container, and the namespaces of the node', async (t) => {
    const id = await run({ name: 'seen', command: ['sleep', '3003'] });
    const { security } = containerSpec('', {});
    const debug = await run({
      name: 'debug',
      command: ['ps'],
      security: { ...security, pidTargetContainerId: id },
    });
    await until('it has exited', () => find(containers, debug).state === 'exited');
    t.match(logOf(containers, debug), /sleep 3003/);
    await containers.removeContainer(id, signal);

    const node = await containers.runSandbox(
      sandboxSpec(logs, {
        podUid: 'uid-3',
        cgroupParent: 'kubepods/poduid-3',
        namespaces: { network: 'node', pid: 'node', ipc: 'node' },
      }),
      signal,
    );
    const names = ['net', 'pid', 'ipc', 'uts'];
    const script = `hostname; for n in ${names.join(' ')}; do stat -L -c %i /proc/self/ns/$n; done`;
    const spec = containerSpec(node.id, { command: ['sh', '-c', script], logPath: 'node/0.log' });
    const { id: inNode } = await containers.createContainer(spec, signal);
    await containers.startContainer(inNode, signal);
    await until('it has exited', () => find(containers, inNode).state === 'exited');
    const inodes = names.map((name) => statSync(`/proc/self/ns/${name}`).ino);
    t.equal(output(logOf(containers, inNode)), `${[hostname(), ...inodes].join('\n')}\n`);
    t.equal(node.netnsPath, '');
    await containers.removeSandbox(node.id, signal);
  });

  await t.test('layers on top of one another: whiteouts, opaque directories', async (t) => {
    const lower = await makeTar([
      { name: 'd/', type: 'directory' },
      { name: 'd/old', content: 'old' },
      { name: 'gone', content: 'gone' },
      { name: 'kept', content: 'kept' },
    ]);
    const upper = await makeTar([
      { name: 'd/.wh..wh..opq', content: '' },
      { name: 'd/new', content: 'new' },
      { name: '.wh.gone', content: '' },
    ]);
    const layers = [await busyboxLayer(), lower, upper];
    await images.importArchive(bytes(await dockerArchive({ layers, tag: 'layered' })), signal);
    const script = 'cat /d/* /kept; echo; [ -e /gone ] || echo none; echo more >>/kept; cat /kept';
    const id = await run({ name: 'layered', imageId: 'layered', command: ['sh', '-c', script] });
    await until('it has exited', () => find(containers, id).state === 'exited');
    t.equal(output(logOf(containers, id)), 'newkept\nnone\nkeptmore\n');
    await containers.removeContainer(id, signal);
    await images.remove('layered', signal);
  });

  await t.test('a container is removed with its logs and all it wrote, however deep', async (t) => {
    // Two trees whose paths fit into a system call, one moved to the end of the other.
    const tree = Array(15).fill('d'.repeat(200)).join('/');
    const script = `mkdir -p /a/${tree} /b/${tree} && mv /b /a/${tree}/ && echo deep`;
    const id = await run({ name: 'deep', command: ['sh', '-c', script], logPath: 'deep/0.log' });
    await until('it has exited', () => find(containers, id).state === 'exited');
    t.match(logOf(containers, id), / stdout F deep/);
    const { logPath } = find(containers, id);
    writeFileSync(`${logPath}.20260101-000000`, 'rotated away');
    writeFileSync(join(dirname(logPath), '1.log'), 'of another run');
    await containers.removeContainer(id, signal);
    t.same(readdirSync(dirname(logPath)), ['1.log']);
    t.notOk(existsSync(join(host.root, 'data/containers', id)));
  });

  await t.test('a network that fails leaves no sandbox', async (t) => {
    const before = readdirSync(join(host.root, 'run/s'));
    host.network.failWith = new Error('no address is free');
    const spec = sandboxSpec(logs, { namespaces: { network: 'pod', pid: 'pod', ipc: 'pod' } });
    await t.rejects(containers.runSandbox(spec, signal), {
      code: 'CREATE_FAILED',
      cause: { message: 'no address is free' },
    });
    host.network.failWith = undefined;
    t.same(readdirSync(join(host.root, 'run/s')), before);
    t.same(containers.listSandboxes().length, 1);
  });

  await t.test('removal leaves nothing', async (t) => {
    await containers.removeSandbox(sandbox.id, signal);
    t.equal(containers.listContainers().length, 0);
    t.same(readdirSync(join(host.root, 'data/containers')), []);
    t.same(readdirSync(join(host.root, 'run/c')), []);
    t.same(readdirSync(join(host.root, 'run/s')), []);
    t.same(readdirSync(join(host.root, 'run/exits')), []);
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), host.root);
    await images.remove('busybox', signal);
    t.same(readdirSync(join(host.root, 'data/images/layers')), ['empty']);
    t.same(readdirSync(join(host.root, 'data/images/blobs/sha256')), []);
  });
});

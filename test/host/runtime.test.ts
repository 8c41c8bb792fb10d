/** The container runtime against the real kernel, runc and conmon. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ContainerRuntime, ContainerSpec } from '#daemon/runtime/port.ts';
import {
  bytes,
  cannotRun,
  containerSpec,
  sandboxSpec,
  text,
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

  async function run(given: Partial<ContainerSpec>): Promise<string> {
    const name = given.name ?? 'main';
    const spec = containerSpec(sandbox.id, { logPath: `${name}/0.log`, ...given });
    const { id } = await containers.createContainer(spec, signal);
    await containers.startContainer(id, signal);
    return id;
  }

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

  await t.test('exec: output, exit code, stdin, failure', async (t) => {
    const id = await run({ name: 'exec', command: ['sleep', '1000'] });
    const result = await containers.execSync(
      id,
      ['sh', '-c', 'echo a; echo b >&2; exit 3'],
      signal,
    );
    t.equal(result.exitCode, 3);
    t.equal(Buffer.from(result.stdout).toString(), 'a\n');
    t.equal(Buffer.from(result.stderr).toString(), 'b\n');
    await t.rejects(containers.execSync(id, ['nothing-like-that'], signal), {
      code: 'START_FAILED',
      message: /executable file not found/,
    });
    await using session = await containers.exec(
      id,
      { argv: ['cat'], stdin: true, stdout: true, stderr: true, tty: false },
      signal,
    );
    const output = text(session.stdout);
    await session.writeStdin(Buffer.from('through\n'));
    session.closeStdin();
    t.equal(await output, 'through\n');
    t.equal(await session.exited, 0);
    await containers.removeContainer(id, signal);
  });

  await t.test('exec under a terminal: size, resize, end of input', async (t) => {
    const id = await run({ name: 'tty-exec', command: ['sleep', '1000'] });
    await using session = await containers.exec(
      id,
      { argv: ['sh'], stdin: true, stdout: true, stderr: false, tty: true },
      signal,
    );
    const output = collect(session.stdout);
    session.resize(97, 31);
    await until('the prompt', () => output.text().includes('# '));
    await session.writeStdin(Buffer.from('stty size; exit 5\n'));
    t.equal(await session.exited, 5);
    await output.done;
    t.match(output.text(), /31 97\r\n/);
    t.notMatch(output.text(), /\r\r\n/, 'one terminal, not two');
    await containers.removeContainer(id, signal);
  });

  await t.test('exec left early ends its process', async (t) => {
    const id = await run({ name: 'left', command: ['sleep', '1000'] });
    const session = await containers.exec(
      id,
      { argv: ['sleep', '1234'], stdin: false, stdout: true, stderr: true, tty: false },
      signal,
    );
    const sleeping = async (): Promise<boolean> => {
      const { stdout } = await containers.execSync(id, ['ps'], signal);
      return Buffer.from(stdout).includes('sleep 1234');
    };
    while (!(await sleeping()));
    await session[Symbol.asyncDispose]();
    t.notOk(await sleeping());
    const gone = AbortSignal.timeout(300);
    await t.rejects(containers.execSync(id, ['sleep', '4321'], gone), gone.reason);
    await containers.removeContainer(id, signal);
  });

  await t.test('attach: both streams, input, exit', async (t) => {
    const id = await run({
      name: 'attached',
      command: ['sh', '-c', 'read a; echo "got $a"; echo bad >&2; read b; echo "and $b"; exit 4'],
      stdin: true,
      stdinOnce: true,
    });
    const all = { stdin: true, stdout: true, stderr: true, tty: false };
    await using session = await containers.attach(id, all, signal);
    await using second = await containers.attach(id, { ...all, stdin: false }, signal);
    const [stdout, stderr] = [collect(session.stdout), collect(session.stderr)];
    const seen = collect(second.stdout);
    await session.writeStdin(Buffer.from('one\n'));
    await until('it answered', () => stderr.text() === 'bad\n' && stdout.text() === 'got one\n');
    await session.writeStdin(Buffer.from('two\n'));
    t.equal(await session.exited, 4);
    await Promise.all([stdout.done, stderr.done, seen.done]);
    t.equal(stdout.text(), 'got one\nand two\n');
    t.equal(seen.text(), stdout.text());
    await t.rejects(containers.attach(id, all, signal), { code: 'NOT_FOUND' });
  });

  await t.test('attach: closing the input, much output to a slow reader', async (t) => {
    const id = await run({
      name: 'flood',
      command: ['sh', '-c', 'cat >/dev/null; dd if=/dev/zero bs=65536 count=64 2>/dev/null'],
      stdin: true,
      stdinOnce: true,
    });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: true, tty: false },
      signal,
    );
    session.closeStdin();
    let length = 0;
    for await (const chunk of session.stdout) {
      if (length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      length += chunk.length;
    }
    t.equal(length, 64 * 65_536);
    t.equal(await session.exited, 0);
  });

  await t.test('a container with a terminal: attach and resize', async (t) => {
    const id = await run({ name: 'tty', command: ['sh'], stdin: true, tty: true });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: false, tty: true },
      signal,
    );
    const output = collect(session.stdout);
    session.resize(81, 23);
    await session.writeStdin(Buffer.from('sleep 0.2; stty size; exit 6\n'));
    t.equal(await session.exited, 6);
    await output.done;
    t.match(output.text(), /23 81\r\n/);
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

  await t.test('a renamed log goes on in a new file', async (t) => {
    const id = await run({ name: 'rotated', command: ['sh'], stdin: true });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: false, tty: false },
      signal,
    );
    const { logPath } = find(containers, id);
    await session.writeStdin(Buffer.from('echo one\n'));
    await until('the first line', () => logOf(containers, id).includes('one'));
    renameSync(logPath, `${logPath}.old`);
    containers.reopenLog(id);
    await until('the new file', () => existsSync(logPath));
    await session.writeStdin(Buffer.from('echo two\n'));
    await until('the second line', () => logOf(containers, id).includes('two'));
    t.notMatch(readFileSync(`${logPath}.old`, 'utf8'), 'two');
    await containers.removeContainer(id, signal);
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

function find(containers: ContainerRuntime, id: string) {
  const container = containers.listContainers().find((c) => c.id === id);
  if (container === undefined) throw new Error(`no container ${id}`);
  return container;
}

function logOf(containers: ContainerRuntime, id: string): string {
  const path = find(containers, id).logPath;
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** What was written, from a log in CRI format: a line ends where its tag is F. */
function output(log: string): string {
  return log.replace(/^\S+ \S+ ([FP]) (.*)\n/gm, (_, tag, text) =>
    tag === 'F' ? `${text}\n` : text,
  );
}

function collect(source: AsyncIterable<Uint8Array>): { text(): string; done: Promise<void> } {
  let text = '';
  const done = (async () => {
    for await (const chunk of source) text += Buffer.from(chunk).toString('utf8');
  })();
  return { text: () => text, done };
}

/** The runtime's process is killed with SIGKILL; the next one finds everything and breaks nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isErrno } from '#base/errors.ts';
import { mountsBelow, unmountMaybe } from '#base/linux/mounts.ts';
import type { Container } from '#daemon/runtime/port.ts';
import type { Runtime } from '#daemon/runtime/runtime.ts';
import { bytes, cannotRun, TestHost, until } from './runtime-host.ts';
import { busyboxLayer, dockerArchive, makeTar } from './runtime-images.ts';

const skip = cannotRun() ?? false;
if (skip) t.comment(`skipped: ${skip}`);

async function startAgent(host: TestHost, mode: 'steady' | 'busy'): Promise<ChildProcess> {
  const config = join(host.root, 'config.json');
  const archive = join(host.root, 'image.tar');
  writeFileSync(config, JSON.stringify(host.config));
  const extra = await makeTar([{ name: 'etc/extra', content: Buffer.alloc(3_000_000, 'x') }]);
  const layers = [await busyboxLayer(), extra];
  writeFileSync(archive, await dockerArchive({ layers, tag: 'busybox:latest' }));
  const script = join(import.meta.dirname, 'runtime-agent.ts');
  const child = spawn(process.execPath, ['--no-warnings', script, config, archive, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [first] = (await once(child.stdout, 'data')) as [Buffer]; // 'data' event.
  if (first.toString() !== 'ready\n') throw new Error(`agent said ${first.toString()}`);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** What it names may have ended already, or never have been. */
function killByFile(path: string): void {
  if (!existsSync(path)) return;
  try {
    process.kill(Number(readFileSync(path, 'utf8')), 'SIGKILL');
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

function named(runtime: Runtime, name: string): Container {
  const container = runtime.containers.listContainers().find((c) => c.name === name);
  if (container === undefined) throw new Error(`no container ${name}`);
  return container;
}

await t.test('running containers are found again', { skip, timeout: 60_000 }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  await kill(await startAgent(host, 'steady'));
  await using runtime = await host.open();
  const { containers } = runtime;
  const [sandbox] = containers.listSandboxes();
  t.equal(sandbox?.state, 'ready');

  const long = named(runtime, 'long');
  t.equal(long.state, 'running');
  t.equal(readFileSync(long.logPath, 'utf8').match(/ up$/gm)?.length, 1, 'not restarted');
  const { stdout } = await containers.execSync(long.id, ['echo', 'here'], signal);
  t.equal(Buffer.from(stdout).toString(), 'here\n');

  await until('the exit is seen', () => named(runtime, 'soon').state === 'exited');
  t.equal(named(runtime, 'soon').exitCode, 5);

  const tty = named(runtime, 'tty');
  const request = { stdin: true, stdout: true, stderr: false, tty: true };
  await using session = await containers.attach(tty.id, request, signal);
  await session.writeStdin(Buffer.from('exit 12\n'));
  t.equal(await session.exited, 12);

  const waiting = named(runtime, 'waiting');
  t.equal(waiting.state, 'created');
  await containers.startContainer(waiting.id, signal);
  await until('it has run', () => named(runtime, 'waiting').state === 'exited');
  t.equal(named(runtime, 'waiting').exitCode, 0);

  const conmon = Number(readFileSync(join(host.config.runDir, 'c', long.id, 'conmon.pid'), 'utf8'));
  process.kill(conmon, 'SIGKILL');
  await containers.stopContainer(long.id, 0, signal);
  t.equal(named(runtime, 'long').exitCode, 255, 'an end that nobody saw');
});

await t.test('after a reboot nothing runs, everything can be removed', { skip }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  const { dataDir, runDir } = host.config;
  await kill(await startAgent(host, 'steady'));
  for (const id of readdirSync(join(runDir, 'c'))) {
    for (const name of ['conmon.pid', 'pid']) killByFile(join(runDir, 'c', id, name));
  }
  for (const mounted of mountsBelow(runDir)) unmountMaybe(mounted);
  const [sandboxId = ''] = readdirSync(join(runDir, 's'));
  const holder = JSON.parse(readFileSync(join(runDir, 's', sandboxId, 'holder.json'), 'utf8'));
  process.kill(holder.pid, 'SIGKILL');
  rmSync(runDir, { recursive: true }); // A tmpfs in real life.
  for (const kind of ['containers', 'sandboxes']) {
    for (const id of readdirSync(join(dataDir, kind))) {
      const path = join(dataDir, kind, id, 'record.json');
      const record = JSON.parse(readFileSync(path, 'utf8'));
      writeFileSync(path, JSON.stringify({ ...record, bootId: 'another boot' }));
    }
  }
  await using runtime = await host.open();
  const { containers, images } = runtime;
  t.same(
    containers.listSandboxes().map((sandbox) => sandbox.state),
    ['notReady'],
  );
  await until('all are seen', () =>
    containers.listContainers().every((c) => c.state !== 'running'),
  );
  t.equal(named(runtime, 'long').exitCode, 255);
  t.equal(images.list().length, 1);
  await containers.removeSandbox(sandboxId, signal);
  t.same(readdirSync(join(dataDir, 'containers')), []);
});

await t.test('killed at any moment', { skip, timeout: 120_000 }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  for (const ms of [5, 60, 130, 210, 270, 330, 420, 560]) {
    const child = await startAgent(host, 'busy');
    await new Promise((resolve) => setTimeout(resolve, ms));
    await kill(child);
    await using runtime = await host.open();
    const { containers, images } = runtime;
    for (const { id } of containers.listSandboxes()) await containers.removeSandbox(id, signal);
    for (const image of images.list()) await images.remove(image.id, signal);
    const { dataDir, runDir } = host.config;
    const left = (dir: string): readonly string[] => (existsSync(dir) ? readdirSync(dir) : []);
    const state = {
      containers: left(join(dataDir, 'containers')),
      sandboxes: left(join(dataDir, 'sandboxes')),
      layers: left(join(dataDir, 'images/layers')),
      blobs: left(join(dataDir, 'images/blobs/sha256')),
      ingest: left(join(dataDir, 'images/ingest')),
      bundles: left(join(runDir, 'c')),
      namespaces: left(join(runDir, 's')),
      exits: left(join(runDir, 'exits')),
      runc: left(join(runDir, 'runc')),
    };
    const empty = Object.fromEntries(Object.keys(state).map((key) => [key, [] as string[]]));
    t.same(state, { ...empty, layers: ['empty'] }, `after ${ms} ms`);
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), host.root);
  }
  await using runtime = await host.open();
  const archive = await dockerArchive({ layers: [await busyboxLayer()], tag: 'busybox:latest' });
  t.same((await runtime.images.importArchive(bytes(archive), signal)).length, 1);
});

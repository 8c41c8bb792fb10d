/** The container runtime against the real kernel, runc and conmon. */
import { existsSync, readFileSync } from 'node:fs';
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
import { busyboxLayer, dockerArchive } from './runtime-images.ts';

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

/**
 * A process that runs the runtime until it is killed; started by runtime-restart.test.ts.
 *
 *   node runtime-agent.ts CONFIG.json ARCHIVE.tar steady   one sandbox, three containers, `ready`
 *   node runtime-agent.ts CONFIG.json ARCHIVE.tar busy     import, run, stop, remove, for ever
 */
import { createReadStream, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RealClock } from '#base/clock.ts';
import { FdLog } from '#base/log.ts';
import type { ContainerSpec } from '#daemon/runtime/port.ts';
import { openRuntime, type Runtime, type RuntimeConfig } from '#daemon/runtime/runtime.ts';
import { containerSpec, NoNetwork, sandboxSpec } from './runtime-host.ts';

const [configPath = '', archive = '', mode = ''] = process.argv.slice(2);
const config = JSON.parse(readFileSync(configPath, 'utf8')) as RuntimeConfig; // Written by the test.
const logs = join(dirname(configPath), 'logs');
const { signal } = new AbortController();
const io = { network: new NoNetwork(), clock: new RealClock(), log: new FdLog({ level: 'error' }) };
const runtime = await openRuntime(config, io, signal);

async function run(sandboxId: string, given: Partial<ContainerSpec>): Promise<string> {
  const spec = containerSpec(sandboxId, { logPath: `${given.name}/0.log`, ...given });
  const { id } = await runtime.containers.createContainer(spec, signal);
  await runtime.containers.startContainer(id, signal);
  return id;
}

async function steady({ containers, images }: Runtime): Promise<void> {
  await images.importArchive(createReadStream(archive), signal);
  const sandbox = await containers.runSandbox(
    sandboxSpec(logs, { namespaces: { network: 'pod', pid: 'pod', ipc: 'pod' } }),
    signal,
  );
  await run(sandbox.id, { name: 'long', command: ['sh', '-c', 'echo up; sleep 1000'] });
  await run(sandbox.id, { name: 'soon', command: ['sh', '-c', 'sleep 0.7; exit 5'] });
  await run(sandbox.id, { name: 'tty', command: ['sh'], stdin: true, tty: true });
  const spec = containerSpec(sandbox.id, { name: 'waiting', command: ['sleep', '1'] });
  await containers.createContainer(spec, signal);
  process.stdout.write('ready\n');
}

async function busy({ containers, images }: Runtime): Promise<void> {
  process.stdout.write('ready\n');
  for (let attempt = 0; ; attempt++) {
    await images.importArchive(createReadStream(archive), signal);
    const sandbox = await containers.runSandbox(
      sandboxSpec(logs, {
        attempt,
        namespaces: { network: 'pod', pid: attempt % 2 === 0 ? 'pod' : 'container', ipc: 'pod' },
      }),
      signal,
    );
    const id = await run(sandbox.id, { name: 'short', command: ['sleep', '1000'] });
    await containers.stopContainer(id, 0, signal);
    await containers.removeSandbox(sandbox.id, signal);
    await images.remove('busybox', signal);
  }
}

await (mode === 'steady' ? steady(runtime) : busy(runtime));

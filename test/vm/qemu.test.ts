/** Starting QEMU: what goes wrong is said and leaves nothing behind. No machine boots here. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { ephemeralPorts, freePort, isFree } from './ports.ts';
import { Machine, type QemuOptions } from './qemu.ts';

const options = (dir: string): QemuOptions => ({
  dir,
  boot: { kind: 'direct', kernel: join(dir, 'vmlinuz'), initramfs: dir, commandLine: '' },
  disk: join(dir, 'none.img'),
  memoryMiB: 64,
  accelerator: 'tcg',
  forwards: new Map(),
});

t.test('Machine.start() tells why QEMU ended', async (t) => {
  await t.rejects(Machine.start(options(t.testdir({}))), { message: /code 1: .*none\.img/ });
});

t.test('Machine.start() that failed keeps no process waiting', async (t) => {
  const { forwards: _, ...rest } = options(t.testdir({}));
  const script = `
    import { Machine } from '${join(import.meta.dirname, 'qemu.ts')}';
    const options = { ...${JSON.stringify(rest)}, forwards: new Map() };
    await Machine.start(options).catch(() => {});
  `;
  const run = promisify(execFile);
  const args = ['--no-warnings', '--input-type=module', '--eval', script];
  await t.resolves(run(process.execPath, args, { timeout: 20_000, killSignal: 'SIGKILL' }));
});

t.test('freePort() gives no port that a connection going out may take', async (t) => {
  const [first, last] = ephemeralPorts();
  for (let i = 0; i < 20; i++) {
    const port = await freePort();
    t.ok(port < first || port > last, `${port}`);
    t.ok(await isFree(port));
  }
});

/**
 * A machine whose store writes to a recorded disk: our kernel and root image, booted by QEMU itself, with
 * store-guest.ts in the supervisor's place. What the guest says is kept together with where the disk
 * stood when it said so.
 */
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { Cpio } from '#image/initramfs.ts';
import { COMMAND_LINE } from '#image/steps.ts';
import { NbdServer } from './nbd-server.ts';
import type { BlockDevice } from './nbd-server.ts';
import type { PowerDisk } from './power-disk.ts';
import { Machine, chooseAccelerator } from './qemu.ts';
import type { Boot } from './qemu.ts';
import { CONTROL_BYTES, PROGRAM_BYTES_MAX, decodeMessage } from './store-messages.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
/** Of the kernel, beside what stage0 loads to mount the root. */
const MODULES = ['drivers/block/virtio_blk.ko'];
const MEMORY_MIB = 768;
const BOOT_MS_MAX = 120_000;

/** An acknowledgement, and the operations of the disk that came before the host knew of it. */
interface Acknowledged {
  readonly number: number;
  readonly operations: number;
}

/** What boots, made once for many machines. */
export class PowerImage implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'store-power-'));
  readonly program: Uint8Array;
  readonly boot: Extract<Boot, { kind: 'direct' }>;
  accelerator: 'kvm' | 'tcg' = 'tcg';

  private constructor(image: string, program: Uint8Array) {
    this.program = program;
    const initramfs = join(this.dir, 'initramfs');
    writeFileSync(initramfs, Buffer.concat([readFileSync(join(image, 'initramfs')), modules()]));
    const script =
      `f=process.getBuiltinModule('fs');b=Buffer.alloc(${PROGRAM_BYTES_MAX});` +
      `f.readSync(f.openSync('/dev/vdb'),b,0,b.length,0);` +
      `f.writeFileSync('/dev/guest.mjs',b.subarray(0,b.indexOf(0)));` +
      `f.existsSync('/dev/node_modules')||f.symlinkSync('/usr/lib/bareboat/node_modules','/dev/node_modules');` +
      `import('/dev/guest.mjs')`;
    this.boot = {
      kind: 'direct',
      kernel: join(image, 'vmlinuz'),
      initramfs,
      commandLine: `${COMMAND_LINE} -- /usr/bin/node --no-warnings -e ${script}`,
    };
  }

  /** `image` is the folder out/image. */
  static async make(image: string): Promise<PowerImage> {
    const { outputFiles } = await build({
      entryPoints: [join(CHECKOUT, 'test/vm/store-guest.ts')],
      absWorkingDir: CHECKOUT,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node26',
      external: ['koffi'],
      write: false,
      logLevel: 'warning',
    });
    const program = outputFiles[0]?.contents ?? new Uint8Array();
    const made = new PowerImage(image, program);
    const dir = join(made.dir, 'try');
    mkdirSync(dir);
    made.accelerator = await chooseAccelerator(dir, made.boot);
    return made;
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A third archive behind the two of the initramfs: stage0 loads what lies in /modules, by name. */
function modules(): Buffer {
  const root = join(CHECKOUT, 'out/root/usr/lib/modules');
  const [release = ''] = readdirSync(root);
  const archive = new Cpio();
  for (const [index, path] of MODULES.entries()) {
    const content = readFileSync(join(root, release, 'kernel', path));
    archive.add(`modules/9${index}-${path.split('/').at(-1)}`, { mode: 0o100644, content });
  }
  return archive.end();
}

export class PowerMachine implements AsyncDisposable {
  readonly acknowledged: Acknowledged[] = [];
  /** Ranges of numbers that the store had when it started. */
  readonly kept: number[] = [];
  /** Operations of the disk until the filesystem was there, and until the store wrote. */
  formattedAt = 0;
  readyAt = 0;
  failure: string | undefined;
  readonly #disk: PowerDisk;
  readonly #dir: string;
  readonly #server: NbdServer;
  readonly #machine: Machine;

  private constructor(disk: PowerDisk, image: PowerImage) {
    this.#disk = disk;
    this.#dir = mkdtempSync(join(image.dir, 'machine-'));
    this.#machine = new Machine(this.#dir);
    const control: BlockDevice = {
      size: CONTROL_BYTES,
      read: (at, length) => {
        const bytes = new Uint8Array(length);
        bytes.set(image.program.subarray(at, at + length));
        return bytes;
      },
      write: (_at, bytes) => this.#take(Buffer.from(bytes)),
      flush: () => {},
    };
    this.#server = new NbdServer(
      new Map<string, BlockDevice>([
        ['store', disk],
        ['control', control],
      ]),
    );
  }

  /** Boots; resolves when the store writes. Throws what kept it from that. */
  static async start(disk: PowerDisk, image: PowerImage): Promise<PowerMachine> {
    const machine = new PowerMachine(disk, image);
    try {
      await machine.#boot(image);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  async #boot(image: PowerImage): Promise<void> {
    const socket = join(this.#dir, 'nbd.sock');
    await this.#server.listen(socket);
    const [store, control] = ['store', 'control'].map(
      (name) => `nbd+unix:///${name}?socket=${socket}`,
    );
    await Machine.start({
      dir: this.#dir,
      boot: image.boot,
      disk: store,
      moreDisks: [control ?? ''],
      memoryMiB: MEMORY_MIB,
      accelerator: image.accelerator,
      forwards: new Map(),
    });
    await this.until(() => this.readyAt > 0, BOOT_MS_MAX);
  }

  /** Until `isSo`. Throws when the guest failed or the time is over. */
  async until(isSo: () => boolean, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!isSo()) {
      const end = () => this.#machine.console().split('\n').slice(-15).join('\n');
      if (this.failure !== undefined) throw new Error(`the store failed: ${this.failure}`);
      if (this.#server.errors.length > 0) {
        throw new Error('serving the disk failed', { cause: this.#server.errors[0] });
      }
      if (!this.#machine.isRunning()) throw new Error(`the machine ended: ${end()}`);
      if (performance.now() > deadline) {
        throw new Error(`it took longer than ${timeoutMs / 1000} s: ${end()}`);
      }
      await sleep(10);
    }
  }

  /** The power goes: from this moment on the disk takes nothing in. */
  async cutPower(): Promise<void> {
    this.#server.cutOff();
    await this.#machine.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #take(page: Buffer): void {
    if (page.every((byte) => byte === 0)) return;
    const message = decodeMessage(page);
    const { operations } = this.#disk;
    if (message.kind === 'failed') this.failure = message.text;
    else if (message.kind === 'formatted') this.formattedAt = operations;
    else if (message.kind === 'ready') this.readyAt = operations;
    else if (message.kind === 'kept') this.kept.push(...message.numbers);
    else for (const number of message.numbers) this.acknowledged.push({ number, operations });
  }
}

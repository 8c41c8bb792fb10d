/**
 * A machine under QEMU: starts it in the background, reads its serial console from a file, talks QMP to
 * it, and ends it. `make run` and the tests of the image share it. State lies in one directory, so that
 * a later process finds the machine again.
 */
import { spawn } from 'node:child_process';
import { existsSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, type ProcessId, processId } from '#base/linux/process.ts';

export interface Firmware {
  readonly code: string;
  /** Template of the variable store; each machine has a copy. */
  readonly variables: string;
}

export type Boot =
  /** Firmware starts what the disk holds: what a flashed machine does. */
  | { readonly kind: 'firmware'; readonly firmware: Firmware }
  /** QEMU loads kernel and initramfs itself: the fast path. */
  | {
      readonly kind: 'direct';
      readonly kernel: string;
      readonly initramfs: string;
      readonly commandLine: string;
    };

export interface QemuOptions {
  /** Sockets, serial log, process id. */
  readonly dir: string;
  readonly boot: Boot;
  /** A file, or a URL that QEMU understands. */
  readonly disk: string | undefined;
  /** Behind it. */
  readonly moreDisks?: readonly string[];
  readonly memoryMiB: number;
  readonly accelerator: 'kvm' | 'tcg';
  /** Ports of 127.0.0.1, by port of the machine. */
  readonly forwards: ReadonlyMap<number, number>;
}

/** The arguments of qemu-system for `options`. */
export function qemuArguments(options: QemuOptions): string[] {
  const { dir, boot, disk, accelerator, forwards } = options;
  const forward = [...forwards]
    .map(([guest, host]) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`)
    .join('');
  return [
    '-machine',
    `q35,accel=${accelerator}`,
    '-cpu',
    accelerator === 'kvm' ? 'host' : 'max',
    '-smp',
    '2',
    '-m',
    String(options.memoryMiB),
    '-display',
    'none',
    '-serial',
    `file:${join(dir, 'serial.log')}`,
    '-qmp',
    `unix:${join(dir, 'qmp.sock')},server=on,wait=off`,
    '-device',
    'virtio-rng-pci',
    '-device',
    'i6300esb',
    '-netdev',
    `user,id=net0,ipv6=off${forward}`,
    '-device',
    'virtio-net-pci,netdev=net0,mac=52:54:00:ba:7e:b0',
    ...[...(disk === undefined ? [] : [disk]), ...(options.moreDisks ?? [])].flatMap((file) => [
      '-drive',
      `if=virtio,format=raw,cache=writeback,discard=unmap,file=${file}`,
    ]),
    ...bootArguments(boot, dir),
  ];
}

function bootArguments(boot: Boot, dir: string): string[] {
  if (boot.kind === 'direct') {
    return ['-kernel', boot.kernel, '-initrd', boot.initramfs, '-append', boot.commandLine];
  }
  return [
    '-drive',
    `if=pflash,format=raw,readonly=on,file=${boot.firmware.code}`,
    '-drive',
    `if=pflash,format=raw,file=${join(dir, 'efivars.fd')}`,
  ];
}

/** A machine that runs, or ran, in `dir`. */
export class Machine {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Starts QEMU, which outlives this process. Throws with its message when it ends at once. */
  static async start(options: QemuOptions): Promise<Machine> {
    const machine = new Machine(options.dir);
    const { dir, boot } = options;
    rmSync(join(dir, 'serial.log'), { force: true });
    rmSync(join(dir, 'qmp.sock'), { force: true });
    const variables = join(dir, 'efivars.fd');
    if (boot.kind === 'firmware' && !existsSync(variables)) {
      writeFileSync(variables, readFileSync(boot.firmware.variables));
    }
    const log = openSync(join(dir, 'qemu.log'), 'w');
    const program = process.arch === 'arm64' ? 'qemu-system-aarch64' : 'qemu-system-x86_64';
    const child = spawn(program, qemuArguments(options), {
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const gone = new AbortController();
    child.once('error', (error) => gone.abort(error));
    child.once('exit', (code, signal) => {
      if (!existsSync(join(dir, 'qemu.log'))) return; // It ran, and its directory went first.
      const text = readFileSync(join(dir, 'qemu.log'), 'utf8').trim();
      gone.abort(new Error(`QEMU ended with code ${code ?? signal}: ${text}`));
    });
    await machine.#untilQmp(gone.signal); // Later its end is seen by isRunning().
    child.unref();
    const id = processId(child.pid ?? 0);
    if (id === undefined) throw new Error('QEMU ended at once');
    writeFileSync(join(dir, 'qemu.pid'), `${id.pid} ${id.startTicks}`);
    return machine;
  }

  isRunning(): boolean {
    const id = this.#processId();
    return id !== undefined && isRunning(id);
  }

  /** All that the serial console has shown, cleared of terminal control sequences. */
  console(): string {
    const path = join(this.#dir, 'serial.log');
    const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
    // oxlint-disable-next-line no-control-regex -- escape sequences are control characters
    return text.replace(/\x1b\[[0-9;?=]*[A-Za-z]|\x1bc|\r/g, '');
  }

  /** Waits until the console shows `pattern`. Throws when the machine ends or the time is over. */
  async waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = pattern.exec(this.console());
      if (found !== null) return found;
      const tail = () => this.console().split('\n').slice(-5).join('\n');
      if (!this.isRunning()) throw new Error(`the machine ended before ${pattern}: ${tail()}`);
      if (Date.now() > deadline)
        throw new Error(`no ${pattern} within ${timeoutMs / 1000} s: ${tail()}`);
      await sleep(100);
    }
  }

  /** Power cut: the process is killed where it stands. */
  async kill(): Promise<void> {
    const id = this.#processId();
    if (id === undefined || !isRunning(id)) return;
    process.kill(id.pid, 'SIGKILL');
    while (isRunning(id)) await sleep(20);
  }

  /** Presses the power button and waits until the machine is off. Throws when it is not in time. */
  async powerOff(timeoutMs: number): Promise<void> {
    if (!this.isRunning()) return;
    await this.qmp('system_powerdown');
    const deadline = Date.now() + timeoutMs;
    while (this.isRunning()) {
      if (Date.now() > deadline) throw new Error(`it still runs after ${timeoutMs / 1000} s`);
      await sleep(100);
    }
  }

  /** One QMP command; resolves to what it returns. */
  async qmp(command: string, args: object = {}): Promise<unknown> {
    const socket = connect(join(this.#dir, 'qmp.sock'));
    try {
      const lines = createInterface(socket)[Symbol.asyncIterator]();
      const answer = async (): Promise<{ return?: unknown; error?: { desc: string } }> => {
        for (;;) {
          const { value, done } = await lines.next();
          if (done === true) throw new Error(`QMP closed during ${command}`);
          const message = JSON.parse(value);
          if ('return' in message || 'error' in message) return message;
        }
      };
      socket.write('{"execute":"qmp_capabilities"}\n');
      await answer();
      socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
      const { return: result, error } = await answer();
      if (error !== undefined) throw new Error(`QMP ${command}: ${error.desc}`);
      return result;
    } finally {
      socket.destroy();
    }
  }

  /** Throws the reason of `gone` when QEMU ends instead. */
  async #untilQmp(gone: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.qmp('query-status');
        return;
      } catch {
        gone.throwIfAborted();
        await sleep(50); // Not listening yet.
      }
    }
  }

  #processId(): ProcessId | undefined {
    const path = join(this.#dir, 'qemu.pid');
    if (!existsSync(path)) return undefined;
    const [pid, startTicks] = readFileSync(path, 'utf8').split(' ').map(Number);
    return { pid: pid ?? 0, startTicks: startTicks ?? 0 };
  }
}

/** The firmware that Debian's and Ubuntu's packages install, or undefined. */
export function findFirmware(): Firmware | undefined {
  const places: Firmware[] = [
    { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
    { code: '/usr/share/AAVMF/AAVMF_CODE.fd', variables: '/usr/share/AAVMF/AAVMF_VARS.fd' },
  ];
  return places.find(({ code }) => existsSync(code));
}

/**
 * KVM where it works: /dev/kvm may open and still not run a guest, so trying means that our own kernel
 * shows its first line within 5 s and QEMU says that the guest runs.
 */
export async function chooseAccelerator(
  dir: string,
  boot: Extract<Boot, { kind: 'direct' }>,
): Promise<'kvm' | 'tcg'> {
  if (!existsSync('/dev/kvm')) return 'tcg';
  try {
    const options = {
      dir,
      boot,
      disk: undefined,
      memoryMiB: 1024,
      accelerator: 'kvm',
      forwards: new Map(),
    } as const;
    const machine = await Machine.start(options);
    try {
      await machine.waitFor(/stage0: /, 5000);
      const status = (await machine.qmp('query-status')) as { status: string }; // QMP schema.
      return status.status === 'running' ? 'kvm' : 'tcg';
    } finally {
      await machine.kill();
    }
  } catch {
    return 'tcg'; // Whatever went wrong, software emulation does not need it.
  }
}

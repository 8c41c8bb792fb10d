/**
 * First process of a PID namespace that the containers of a pod share. It ignores SIGCHLD, so that the
 * kernel buries orphans at once, and sleeps for ever; with its end the kernel ends the namespace. As
 * the image has no such program, it is written here: one ELF segment of under 200 bytes, no libc.
 *
 *   0x00  ELF header, 64 bytes; 0x40 one program header, 56 bytes; 0x78 code, then struct sigaction
 *
 * Called by sandboxes.ts.
 */
import { spawn } from 'node:child_process';
import { chmodSync, closeSync, openSync, writeFileSync } from 'node:fs';
import { assert, must } from '#base/assert.ts';
import { CLONE, MS, mount, setns, unshare } from '#base/linux/syscall.ts';
import { processStart } from './host.ts';
import { RuntimeError } from './port.ts';
import type { ProcessName } from './records.ts';

/** sigaction { SIG_IGN, flags 0, no restorer, empty mask }. */
const ACTION = [1n, 0n, 0n, 0n] as const;

interface Machine {
  /** e_machine of elf.h. */
  readonly id: number;
  readonly code: Uint8Array;
}

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: {
    id: 62,
    code: Buffer.from(
      [
        'b80d000000', // mov eax, 13 (rt_sigaction)
        'bf11000000', // mov edi, 17 (SIGCHLD)
        '488d3513000000', // lea rsi, [rip + 19]: the action behind the code
        '31d2', // xor edx, edx
        '41ba08000000', // mov r10d, 8
        '0f05', // syscall
        'b822000000', // mov eax, 34 (pause)
        '0f05', // syscall
        'ebf7', // jmp to the mov before
      ].join(''),
      'hex',
    ),
  },
  arm64: {
    id: 183,
    code: new Uint8Array(
      Uint32Array.of(
        0xd28010c8, // mov x8, 134 (rt_sigaction)
        0xd2800220, // mov x0, 17 (SIGCHLD)
        0x10000181, // adr x1, +48: the action behind the code
        0xd2800002, // mov x2, 0
        0xd2800103, // mov x3, 8
        0xd4000001, // svc 0
        0xd2800000, // mov x0, 0
        0xd2800001, // mov x1, 0
        0xd2800002, // mov x2, 0
        0xd2800003, // mov x3, 0
        0xd2800004, // mov x4, 0
        0xd2800928, // mov x8, 73 (ppoll: waits for a signal)
        0xd4000001, // svc 0
        0x17fffff9, // b -7 instructions
      ).buffer,
    ),
  },
};

/** The program for `arch` (process.arch), little-endian ELF64. */
export function holderProgram(arch: string): Uint8Array {
  const machine = must(MACHINES[arch], `PID namespace holder for ${arch}`);
  const base = 0x400000n;
  const codeAt = 64 + 56;
  const size = BigInt(codeAt + machine.code.length + 32);
  const file = Buffer.alloc(Number(size));
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // Magic, 64 bit, little-endian, version.
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(machine.id, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(base + BigInt(codeAt), 24); // e_entry
  file.writeBigUInt64LE(64n, 32); // e_phoff
  file.writeUInt16LE(64, 52); // e_ehsize
  file.writeUInt16LE(56, 54); // e_phentsize
  file.writeUInt16LE(1, 56); // e_phnum
  file.writeUInt32LE(1, 64); // PT_LOAD
  file.writeUInt32LE(5, 68); // Readable, executable.
  file.writeBigUInt64LE(base, 80); // p_vaddr; p_offset is 0.
  file.writeBigUInt64LE(base, 88);
  file.writeBigUInt64LE(size, 96);
  file.writeBigUInt64LE(size, 104);
  file.writeBigUInt64LE(0x1000n, 112);
  file.set(machine.code, codeAt);
  ACTION.forEach((word, i) => {
    file.writeBigUInt64LE(word, codeAt + machine.code.length + i * 8);
  });
  return file;
}

export function writeHolderProgram(path: string): void {
  writeFileSync(path, holderProgram(process.arch));
  chmodSync(path, 0o755);
}

/**
 * Starts the holder as process 1 of a new PID namespace, pinned at `nsPath`, inside the IPC and other
 * namespaces of the host. Between unshare and setns no thread may start: nothing here is asynchronous.
 */
export function startHolder(program: string, nsPath: string): ProcessName {
  const home = openSync('/proc/thread-self/ns/pid', 'r');
  let pid: number | undefined;
  try {
    unshare(CLONE.NEWPID);
    try {
      const child = spawn(program, [], { stdio: 'ignore', detached: true, cwd: '/', env: {} });
      child.on('error', () => undefined); // No pid then: reported below.
      child.unref();
      pid = child.pid;
    } finally {
      setns(home, CLONE.NEWPID);
    }
  } finally {
    closeSync(home);
  }
  if (pid === undefined) throw new RuntimeError('CREATE_FAILED', `cannot run ${program}`);
  const start = processStart(pid);
  assert(start !== undefined, 'the holder of a PID namespace runs');
  try {
    writeFileSync(nsPath, '');
    mount({ source: `/proc/${pid}/ns/pid`, target: nsPath, flags: MS.BIND });
  } catch (error) {
    process.kill(pid, 'SIGKILL'); // Nobody else knows of it yet.
    throw error;
  }
  return { pid, start };
}

/** Where a machine under QEMU keeps its things, and what is remembered of it between commands. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './ports.ts';

export const GUEST = { api: 6443, machineApi: 50000, sample: 30080 } as const;

export interface MachineFiles {
  /** Sockets, serial log, disk, and the node's configuration. */
  readonly dir: string;
  readonly record: string;
  readonly disk: string;
  readonly serialLog: string;
  readonly kubeconfig: string;
  readonly clientConfig: string;
}

/** `out` is the checkout's folder for products; `name` tells machines of one checkout apart. */
export function machineFiles(out: string, name: string): MachineFiles {
  const dir = join(out, name);
  const own = name === 'run' ? out : dir; // What the user of `make run` types is short.
  return {
    dir,
    record: name === 'run' ? join(out, 'run.json') : join(dir, 'run.json'),
    disk: join(dir, 'disk.img'),
    serialLog: join(dir, 'serial.log'),
    kubeconfig: join(own, 'kubeconfig'),
    clientConfig: join(own, 'bareboat.yaml'),
  };
}

export interface MachineRecord {
  /** Ports of 127.0.0.1 by port of the machine. */
  readonly ports: Readonly<Record<string, number>>;
  readonly accelerator: 'kvm' | 'tcg' | undefined;
}

/** The record; free ports are chosen when there is none. */
export async function readRecord(files: MachineFiles): Promise<MachineRecord> {
  if (existsSync(files.record)) return JSON.parse(readFileSync(files.record, 'utf8'));
  const ports: Record<string, number> = {};
  for (const port of Object.values(GUEST)) ports[port] = await freePort();
  return { ports, accelerator: undefined };
}

export function writeRecord(files: MachineFiles, record: MachineRecord): void {
  mkdirSync(files.dir, { recursive: true });
  writeFileSync(`${files.record}.new`, `${JSON.stringify(record, undefined, 2)}\n`);
  renameSync(`${files.record}.new`, files.record);
}

export function forwardedPort(record: MachineRecord, guest: number): number {
  const port = record.ports[guest];
  if (port === undefined) throw new Error(`port ${guest} of the machine is not forwarded`);
  return port;
}

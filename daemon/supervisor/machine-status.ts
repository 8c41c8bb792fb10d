/** The machine's status, as the API tells it: what stage it is in, and what keeps it from running. */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { isClockSynchronized } from '#base/linux/syscall.ts';
import type { MachineStatus } from '#base/protocol/bareboat.gen.ts';
import { usage, type VolumeName } from '#daemon/disk/disk.ts';
import type { BootReason } from './boot-record.ts';
import type { MachineState } from './machine-state.ts';
import type { NetworkState } from './network.ts';
import { formatExit, isLooping } from './unit.ts';
import type { UnitRunner } from './unit-runner.ts';

export interface StatusFacts {
  readonly state: Pick<MachineState, 'bootstrapped' | 'config' | 'mode' | 'problems'>;
  readonly units: Pick<UnitRunner, 'names' | 'state'>;
  readonly network: Pick<NetworkState, 'addresses' | 'primary'>;
  readonly volumes: ReadonlyMap<string, string>;
  readonly volumeProblems: ReadonlyMap<VolumeName, string>;
  readonly bootReason: BootReason;
  readonly ending: boolean;
  readonly warnings: readonly string[];
  /** Monotonic. */
  readonly nowMs: number;
}

export function machineStatus(facts: StatusFacts): Partial<MachineStatus> {
  const { state, units, network, volumes, bootReason, warnings } = facts;
  const { total, available } = memory();
  const blockedBy = blockersOf(facts);
  return {
    nodeName: state.config()?.node.name ?? '',
    stage: stageOf(facts, blockedBy),
    blockedBy,
    uptimeSeconds: Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    bootReason,
    addresses: [...network.addresses],
    memoryTotalBytes: total,
    memoryAvailableBytes: available,
    disks: [...volumes].map(([name, mountPoint]) => ({ name, mountPoint, ...usage(mountPoint) })),
    controlPlane: units.state('control').phase === 'running',
    timeSynchronized: isClockSynchronized(),
    warnings: [...warnings],
  };
}

/** MemTotal and MemAvailable of this machine, in bytes. */
function memory(): { total: number; available: number } {
  const text = readFileSync('/proc/meminfo', 'utf8');
  const available = /^MemAvailable:\s+(\d+) kB/m.exec(text)?.[1];
  return {
    total: totalmem(),
    available: available === undefined ? freemem() : Number(available) * 1024,
  };
}

/** degraded: it should run, and damage keeps it from that. Pure. */
export function stageOf(
  { state, ending, volumeProblems }: Pick<StatusFacts, 'state' | 'ending' | 'volumeProblems'>,
  blockedBy: readonly string[],
): string {
  if (ending) return 'stopping';
  if (state.mode === 'maintenance') return 'maintenance';
  if (state.mode === 'locked' || volumeProblems.size > 0) return 'degraded';
  return blockedBy.length === 0 ? 'running' : 'starting';
}

/** What keeps the machine from running, in words. Pure. */
export function blockersOf(
  facts: Pick<StatusFacts, 'state' | 'units' | 'network' | 'volumeProblems' | 'nowMs'>,
): string[] {
  const { state, units, network, volumeProblems, nowMs } = facts;
  const blocked = [
    ...[...volumeProblems].map(([volume, problem]) => `${volume}: ${problem}`),
    ...state.problems,
  ];
  const config = state.config();
  if (config === undefined || state.mode !== 'configured') {
    return blocked.length > 0 ? blocked : ['no configuration was applied'];
  }
  if (network.primary === undefined) blocked.push('no address on any link');
  if (config.node.role !== 'worker' && !state.bootstrapped) {
    blocked.push('the cluster was not bootstrapped');
  }
  for (const name of units.names()) {
    const unit = units.state(name);
    if (isLooping(unit, nowMs)) {
      const exit = unit.lastExit === undefined ? '' : ` with ${formatExit(unit.lastExit)}`;
      blocked.push(`service ${name} ended ${unit.failureCount} times in a row${exit}`);
    } else if (unit.phase === 'backoff' || unit.phase === 'starting') {
      blocked.push(`service ${name} is in ${unit.phase}`);
    }
  }
  return blocked;
}

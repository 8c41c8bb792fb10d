/** Tells whoever reads the log how full the store is, when that changes; and says the same in its status. */
import type { StoreAlarm } from '../port.ts';
import type { Consensus } from './consensus.ts';
import type { EngineLog } from './engine-log.ts';
import type { QuotaLevel } from './quota.ts';
import type { StateMachine } from './state-machine.ts';

export class SpaceLog {
  readonly #log: EngineLog;
  #told: QuotaLevel = 'room';

  constructor(log: EngineLog) {
    this.#log = log;
  }

  look({ mvcc, quota }: StateMachine): void {
    const { liveBytes } = mvcc;
    const level = quota.level(liveBytes);
    if (level === this.#told) return;
    const facts = { liveBytes, quotaBytes: quota.bytes };
    if (level === 'full') this.#log.error('store is full, only what does not grow is taken', facts);
    else if (this.#told === 'full') this.#log.info('store has room again', facts);
    else if (level === 'nearlyFull') this.#log.warn('store is nearly full', facts);
    this.#told = level;
  }
}

/** Of one member: those of the group, that of its own disk, and what it knows as a leader. */
export function alarmsOf(
  { mvcc, quota }: StateMachine,
  { isDiskFull, isDisputed }: Pick<Consensus, 'isDiskFull' | 'isDisputed'>,
): StoreAlarm[] {
  const alarms: StoreAlarm[] = [];
  const level = quota.level(mvcc.liveBytes);
  if (level === 'full') alarms.push('NO_SPACE');
  if (level === 'nearlyFull') alarms.push('NEARLY_FULL');
  if (isDiskFull) alarms.push('DISK_FULL');
  if (isDisputed) alarms.push('CORRUPT');
  return alarms;
}

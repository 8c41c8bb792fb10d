/** Names of signals as images and pods write them. Pure. */
import { constants } from 'node:os';

/** `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; SIGTERM for what is no signal. */
export function signalNumber(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const upper = name.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RTM(IN|AX)([+-]\d+)?$/.exec(upper);
  if (realTime !== null) return (realTime[1] === 'IN' ? 34 : 64) + Number(realTime[2] ?? 0);
  const table: Readonly<Record<string, number>> = constants.signals;
  return table[`SIG${upper}`] ?? constants.signals.SIGTERM;
}

import t from 'tap';
import { signalNumber } from './signals.ts';

for (const [name, value] of [
  ['SIGTERM', 15],
  ['TERM', 15],
  ['sigint', 2],
  ['9', 9],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-1', 63],
  ['', 15],
  ['SIGNOSUCH', 15],
] as const) {
  t.equal(signalNumber(name), value, name);
}

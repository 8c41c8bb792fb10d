/**
 * Goal: a machine whose power goes loses nothing that its store acknowledged, and the store starts again on
 * whatever the disk kept. A sample of what `make power-cuts` does.
 */
import t from 'tap';
import { hasQemu } from './test-machine.ts';
import { cutPower } from './store-power.ts';

const skip = process.getuid?.() !== 0 ? 'needs root' : hasQemu() ? false : 'no QEMU on this host';
// Making the image may be a part of it.
t.setTimeout(1_700_000);

t.test('power cuts lose nothing that was acknowledged', { skip }, async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const say = (line: string) => t.comment(line);
  await t.resolves(cutPower({ seed, cuts: 20, trueCuts: 1, seconds: 5, say }));
});

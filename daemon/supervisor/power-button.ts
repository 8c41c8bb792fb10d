/**
 * The power button, as the kernel's input layer reports it (include/uapi/linux/input.h): events of 24
 * bytes, type EV_KEY and code KEY_POWER, value 1 when it goes down.
 */
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const EVENT_BYTES = 24;
const EV_KEY = 1;
const KEY_POWER = 116;

/** Calls back each time that a power button of this machine is pressed. */
export function watchPowerButton(onPress: () => void): void {
  const base = '/sys/class/input';
  if (!existsSync(base)) return;
  for (const name of readdirSync(base)) {
    if (!/^event\d+$/.test(name)) continue;
    const label = readFileSync(join(base, name, 'device/name'), 'utf8').trim();
    if (label !== 'Power Button') continue;
    const stream = createReadStream(join('/dev/input', name), { highWaterMark: EVENT_BYTES });
    stream.on('data', (event: Buffer | string) => {
      if (typeof event === 'string' || event.length < EVENT_BYTES) return;
      const pressed = event.readInt32LE(20) === 1;
      if (event.readUInt16LE(16) === EV_KEY && event.readUInt16LE(18) === KEY_POWER && pressed)
        onPress();
    });
    stream.on('error', () => stream.destroy()); // The device went away.
  }
}

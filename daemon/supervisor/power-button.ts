/**
 * The power button, as the kernel's input layer reports it (include/uapi/linux/input.h): events of 24
 * bytes, type EV_KEY and code KEY_POWER, value 1 when it goes down.
 */
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';

const EVENT_BYTES = 24;
const EV_KEY = 1;
const KEY_POWER = 116;

export class PowerButtons {
  readonly #onPress: () => void;
  readonly #watched = new Set<string>();

  /** `onPress` is called each time that a power button of this machine is pressed. */
  constructor(onPress: () => void) {
    this.#onPress = onPress;
  }

  /** Watches those that are there; called again when an input device came. */
  look(): void {
    const base = '/sys/class/input';
    if (!existsSync(base)) return;
    for (const name of readdirSync(base)) {
      if (!/^event\d+$/.test(name) || this.#watched.has(name) || !isPowerButton(base, name))
        continue;
      this.#watched.add(name);
      this.#watch(name);
    }
  }

  #watch(name: string): void {
    const stream = createReadStream(join('/dev/input', name), { highWaterMark: EVENT_BYTES });
    stream.on('data', (event: Buffer | string) => {
      if (typeof event === 'string' || event.length < EVENT_BYTES) return;
      const pressed = event.readInt32LE(20) === 1;
      if (event.readUInt16LE(16) === EV_KEY && event.readUInt16LE(18) === KEY_POWER && pressed)
        this.#onPress();
    });
    stream.on('error', () => {
      stream.destroy(); // The device went away, or is not there yet: the next look tries again.
      this.#watched.delete(name);
    });
  }
}

function isPowerButton(base: string, name: string): boolean {
  try {
    return readFileSync(join(base, name, 'device/name'), 'utf8').trim() === 'Power Button';
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENODEV')) return false; // It went away.
    throw error;
  }
}

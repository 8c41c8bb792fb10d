/**
 * Bounds the log files of units: a file above LOG_BYTES_MAX is copied to `NAME.log.1` and cut. Units
 * append (O_APPEND), so what they write next begins the file anew; a line written between copy and cut
 * is lost, which bounded memory is worth.
 */
import { copyFileSync, readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

const LOG_BYTES_MAX = 4 << 20;
const PERIOD_MS = 10_000;

export class LogRotation implements Disposable {
  readonly #timer: NodeJS.Timeout;

  constructor(dir: string) {
    this.#timer = setInterval(() => rotate(dir), PERIOD_MS);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function rotate(dir: string): void {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (!name.endsWith('.log') || statSync(path).size <= LOG_BYTES_MAX) continue;
    copyFileSync(path, `${path}.1`);
    truncateSync(path, 0);
  }
}

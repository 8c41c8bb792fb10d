/**
 * Watches the directory where monitors leave exit codes. inotify only says when to look; what counts is
 * what a reading of the directory shows, which also happens every few seconds, so a lost event costs
 * time and nothing else. The owner removes a file once its content is recorded.
 */
import { type FSWatcher, mkdirSync, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { EXIT_SWEEP_MS } from './limits.ts';

export interface ExitFile {
  readonly containerId: string;
  readonly exitCode: number;
  readonly finishedAtMs: number;
}

export function readExits(dir: string): readonly ExitFile[] {
  const exits: ExitFile[] = [];
  for (const name of readdirSync(dir)) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue; // A file on its way to its name.
    try {
      const path = join(dir, name);
      const exitCode = Number.parseInt(readFileSync(path, 'utf8'), 10);
      exits.push({
        containerId: name,
        exitCode: Number.isNaN(exitCode) ? 255 : exitCode,
        finishedAtMs: Math.trunc(statSync(path).mtimeMs),
      });
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error; // Removed meanwhile: recorded already.
    }
  }
  return exits;
}

export class ExitWatcher implements Disposable {
  readonly #watcher: FSWatcher;
  readonly #timer: NodeJS.Timeout;
  readonly #look: () => void;
  #scheduled = false;

  /** `look` is called after events, at once for a burst, and every EXIT_SWEEP_MS. */
  constructor(dir: string, look: () => void) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#look = look;
    this.#watcher = watch(dir, () => this.#schedule());
    this.#watcher.on('error', () => undefined); // The timer still looks.
    this.#timer = setInterval(look, EXIT_SWEEP_MS);
    this.#timer.unref();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#look();
    });
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    clearInterval(this.#timer);
  }
}

/**
 * The audit log as a file of JSON lines: `PATH`, and when that is full `PATH.1`, `PATH.2` and so on, the
 * oldest of which is dropped. Events are written behind the requests: what is not written yet when the
 * process is killed is lost. More than QUEUE_BYTES_MAX that waits (a disk that stands still), and what
 * the disk refuses, is dropped, counted and told in the log.
 */
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { AUDIT_QUEUE_BYTES_MAX } from '../limits.ts';
import type { AuditEvent, AuditLog } from './audit.ts';

export interface AuditFileOptions {
  readonly path: string;
  /** The file is full when it has this many bytes. */
  readonly bytesMax: number;
  /** Full ones among them. */
  readonly filesMax: number;
}

export class AuditFile implements AuditLog {
  readonly #options: AuditFileOptions;
  readonly #log: Log;
  #lines: string[] = [];
  #queuedBytes = 0;
  #droppedCount = 0;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(options: AuditFileOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  write(event: AuditEvent): void {
    const line = `${JSON.stringify(event)}\n`;
    if (this.#queuedBytes + line.length > AUDIT_QUEUE_BYTES_MAX) {
      this.#droppedCount++;
      return;
    }
    this.#lines.push(line);
    this.#queuedBytes += line.length;
    this.#writing ??= this.#drain();
  }

  /** Resolves when what was given is written. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    while (this.#lines.length > 0) {
      const lines = this.#lines;
      this.#lines = [];
      this.#queuedBytes = 0;
      const dropped = this.#droppedCount;
      this.#droppedCount = 0;
      try {
        if (dropped > 0) this.#log.error('audit events dropped: the disk is too slow', { dropped });
        await this.#append(Buffer.from(lines.join('')));
      } catch (error) {
        const { path } = this.#options;
        this.#log.error('audit events dropped', { path, count: lines.length, error });
        await this.#giveUp();
      }
    }
    this.#writing = undefined;
  }

  /** The file is opened again for the next events. */
  async #giveUp(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    try {
      await file?.close();
    } catch (error) {
      this.#log.warn('cannot close the audit log', { path: this.#options.path, error });
    }
  }

  async #append(bytes: Buffer): Promise<void> {
    this.#file ??= await this.#open();
    if (this.#fileBytes >= this.#options.bytesMax) {
      await this.#rotate(this.#file);
      this.#file = await this.#open();
    }
    await this.#file.appendFile(bytes);
    this.#fileBytes += bytes.length;
  }

  async #open(): Promise<FileHandle> {
    const { path } = this.#options;
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a', 0o600);
    this.#fileBytes = (await file.stat()).size;
    return file;
  }

  async #rotate(full: FileHandle): Promise<void> {
    const { path, filesMax } = this.#options;
    this.#file = undefined;
    await full.close();
    const nameOf = (index: number) => (index === 0 ? path : `${path}.${index}`);
    for (let index = filesMax - 2; index >= 0; index--) {
      try {
        await rename(nameOf(index), nameOf(index + 1));
      } catch (error) {
        if (!isErrno(error, 'ENOENT')) throw error; // There are not so many yet.
      }
    }
  }
}

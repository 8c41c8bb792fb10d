/**
 * The Log port and its real adapter: one line per event on a file descriptor, in logfmt after a
 * fixed prefix: `2026-11-23T10:00:00.000Z info kubelet pod started pod=default/web-1 ms=83`.
 * Values with blanks or quotes are JSON strings, so a line is always one line.
 */
import { writeSync } from 'node:fs';
import { errorText } from './errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Record<string, unknown>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose lines carry `area` (a folder's name) and `fields`. */
  child(area: string, fields?: LogFields): Log;
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One value as it stands in a line: bare when it has no blank, quote or equals sign. */
export function formatLogValue(value: unknown): string {
  const text =
    value instanceof Error
      ? errorText(value)
      : typeof value === 'object' && value !== null
        ? JSON.stringify(value)
        : String(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** Writes to a file descriptor, synchronously, so that a line survives the crash that follows it. */
export class FdLog implements Log {
  readonly #fd: number;
  readonly #level: number;
  readonly #area: string;
  readonly #fields: LogFields;

  constructor(options: { fd?: number; level?: LogLevel; area?: string; fields?: LogFields } = {}) {
    this.#fd = options.fd ?? 2;
    this.#level = LEVELS.indexOf(options.level ?? 'info');
    this.#area = options.area ?? '';
    this.#fields = options.fields ?? {};
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields);
  }

  child(area: string, fields: LogFields = {}): Log {
    return new FdLog({
      fd: this.#fd,
      level: LEVELS[this.#level] ?? 'info',
      area: this.#area === '' ? area : `${this.#area}/${area}`,
      fields: { ...this.#fields, ...fields },
    });
  }

  #write(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LEVELS.indexOf(level) < this.#level) return;
    let line = `${new Date().toISOString()} ${level} ${this.#area || '-'} ${message}`;
    for (const [key, value] of Object.entries({ ...this.#fields, ...fields })) {
      if (value !== undefined) line += ` ${key}=${formatLogValue(value)}`;
    }
    try {
      writeSync(this.#fd, `${line.replaceAll('\n', '\\n')}\n`);
    } catch {
      // A log that cannot be written (full disk, closed pipe) must not take the node down.
    }
  }
}

/** Drops everything: for tests that assert on behaviour, not on words. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

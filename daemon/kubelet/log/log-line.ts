/**
 * The format of container log files, CRI's:
 *
 *   2026-11-23T05:32:19.567118462+00:00 stdout F the line
 *
 * | field  | meaning                                            |
 * |--------|----------------------------------------------------|
 * | time   | RFC 3339 with nanoseconds                          |
 * | stream | stdout or stderr                                   |
 * | tag    | F: the end of a line; P: a part, more follows      |
 *
 * Works on bytes: what a program writes need not be UTF-8. Pure.
 */

export interface LogLine {
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly partial: boolean;
  /** Without the newline. */
  readonly content: Uint8Array;
}

const BLANK = 0x20;

/** Undefined for what is no log line. `line` has no newline at its end. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const timeEnd = line.indexOf(BLANK);
  const streamEnd = timeEnd === -1 ? -1 : line.indexOf(BLANK, timeEnd + 1);
  if (streamEnd === -1) return undefined;
  const stream = line.toString('latin1', timeEnd + 1, streamEnd);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tagEnd = line.indexOf(BLANK, streamEnd + 1);
  const end = tagEnd === -1 ? line.length : tagEnd;
  const tags = line.toString('latin1', streamEnd + 1, end).split(':');
  return {
    time: line.toString('latin1', 0, timeEnd),
    stream,
    partial: tags[0] === 'P',
    content: line.subarray(Math.min(end + 1, line.length)),
  };
}

/** Time stamps as clients print them: UTC as `Z`. */
export function displayTime(time: string): string {
  return time.replace(/\+00:00$/, 'Z');
}

export interface LogFilter {
  readonly sinceMs?: number | undefined;
  readonly timestamps: boolean;
  readonly stream?: 'stdout' | 'stderr' | undefined;
}

/** What a client gets for a line; undefined when the filter drops it. */
export function renderLogLine(line: LogLine, filter: LogFilter): Buffer | undefined {
  if (filter.stream !== undefined && line.stream !== filter.stream) return undefined;
  if (filter.sinceMs !== undefined && Date.parse(line.time) < filter.sinceMs) return undefined;
  const prefix = filter.timestamps ? Buffer.from(`${displayTime(line.time)} `) : Buffer.alloc(0);
  const end = line.partial ? Buffer.alloc(0) : Buffer.from('\n');
  return Buffer.concat([prefix, line.content, end]);
}

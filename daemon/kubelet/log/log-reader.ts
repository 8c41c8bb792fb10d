/**
 * Reads a container's log file for clients: from the end or the start, filtered, and followed across
 * rotations until the container has ended. A rotation renames the file; the rest of the old one is
 * read before the new one is opened.
 */
import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { type LogFilter, parseLogLine, renderLogLine } from './log-line.ts';

const BLOCK_BYTES = 64 * 1024;
/** Without a change notice the file is looked at this often: notices can be missed. */
const LOOK_MS = 1_000;

export interface LogRequest {
  readonly path: string;
  readonly filter: LogFilter;
  readonly tailLines?: number | undefined;
  readonly limitBytes?: number | undefined;
  readonly follow: boolean;
  /** The container writes no more. */
  readonly ended: () => boolean;
}

/** Rendered bytes, in blocks. Ends at the end of the file, or with the container when following. */
export async function* readLog(
  request: LogRequest,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let left = request.limitBytes ?? Infinity;
  for await (const block of lines(request, clock, signal)) {
    if (block.length >= left) {
      yield block.subarray(0, left);
      return;
    }
    left -= block.length;
    yield block;
  }
}

async function* lines(
  request: LogRequest,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let file = await open(request.path, 'r');
  /** What took the place of `file`, which gets no more lines from then on but may hold unread ones. */
  let next: FileHandle | undefined;
  try {
    let position = await startOf(file, request.tailLines);
    let rest: Buffer = Buffer.alloc(0);
    for (;;) {
      // Asked before reading: what was written before the end is then read for sure.
      const ended = request.ended();
      const read = await readFrom(file, position);
      position += read.length;
      rest = rest.length === 0 ? read : Buffer.concat([rest, read]);
      const cut = rest.lastIndexOf(0x0a) + 1;
      const block = render(rest.subarray(0, cut), request.filter);
      rest = Buffer.from(rest.subarray(cut));
      if (block.length > 0) yield block;
      if (read.length > 0) continue;
      if (!request.follow) return;
      if (next !== undefined) {
        await file.close();
        file = next;
        next = undefined;
        position = 0;
        continue;
      }
      next = await rotated(file, request.path);
      if (next !== undefined) continue;
      if (ended) return;
      await changed(request.path, clock, signal);
    }
  } finally {
    await file.close();
    await next?.close();
  }
}

function render(block: Buffer, filter: LogFilter): Buffer {
  const out: Buffer[] = [];
  for (let start = 0; start < block.length; ) {
    const end = block.indexOf(0x0a, start);
    const line = parseLogLine(block.subarray(start, end));
    const text = line === undefined ? undefined : renderLogLine(line, filter);
    if (text !== undefined) out.push(text);
    start = end + 1;
  }
  return Buffer.concat(out);
}

async function readFrom(file: FileHandle, position: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(BLOCK_BYTES),
    0,
    BLOCK_BYTES,
    position,
  );
  return buffer.subarray(0, bytesRead);
}

/** Where the last `tailLines` lines begin. */
async function startOf(file: FileHandle, tailLines: number | undefined): Promise<number> {
  if (tailLines === undefined) return 0;
  const { size } = await file.stat();
  let newlines = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const block = Buffer.alloc(end - start);
    await file.read(block, 0, block.length, start);
    for (let i = block.length - 1; i >= 0; i--) {
      if (block[i] !== 0x0a) continue;
      newlines++;
      if (newlines > tailLines) return start + i + 1;
    }
    end = start;
  }
  return tailLines === 0 ? size : 0;
}

/** The file that has taken the place of `file`, opened, or undefined. */
async function rotated(file: FileHandle, path: string): Promise<FileHandle | undefined> {
  try {
    const [own, current] = [await file.stat(), await stat(path)];
    if (own.ino === current.ino) return undefined;
    return await open(path, 'r');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // In the middle of a rotation, or removed.
    throw error;
  }
}

async function changed(path: string, clock: Clock, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const wake = () => stop.abort(new Error('log changed'));
  let watcher: Disposable | undefined;
  try {
    const files = watch(path, wake);
    files.on('error', wake);
    watcher = { [Symbol.dispose]: () => files.close() };
    await clock.sleep(LOOK_MS, AbortSignal.any([signal, stop.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (stop.signal.aborted) return;
    // Gone in a rotation, or no watch to be had (inotify(7)): then the clock alone says when to look.
    if (!isErrno(error, 'ENOENT', 'ENOSPC', 'EMFILE', 'ENFILE')) throw error;
    await clock.sleep(LOOK_MS, signal);
  } finally {
    watcher?.[Symbol.dispose]();
  }
}

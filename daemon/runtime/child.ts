/** Runs a short-lived helper program to its end, with bounded output. Used for runc. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ERROR_TEXT_BYTES_MAX } from './limits.ts';

export interface ChildResult {
  /** Exit status; 128 + signal number when a signal ended it (-1 when unknown). */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildRequest {
  readonly path: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly stdoutBytesMax: number;
}

/** Rejects when it cannot be started. `signal` kills it; the reason is thrown then. */
export async function runChild(request: ChildRequest, signal: AbortSignal): Promise<ChildResult> {
  signal.throwIfAborted();
  const child = spawn(request.path, request.args, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...request.env },
    stdio: [request.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    const closed = once(child, 'close');
    const stdout = collect(child.stdout, request.stdoutBytesMax);
    const stderr = collect(child.stderr, ERROR_TEXT_BYTES_MAX);
    child.stdin?.on('error', () => undefined); // It may end without reading; its status tells.
    child.stdin?.end(request.stdin);
    const [code, name] = (await closed) as [number | null, NodeJS.Signals | null]; // 'close' event.
    signal.throwIfAborted();
    return { code: code ?? (name === null ? -1 : 137), stdout: stdout(), stderr: stderr() };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** Keeps the first `bytesMax` bytes, reads the rest away; returns the text so far. */
export function collect(stream: NodeJS.ReadableStream | null, bytesMax: number): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on('data', (chunk: Buffer) => {
    const part = chunk.subarray(0, bytesMax - length);
    if (part.length > 0) chunks.push(part);
    length += part.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

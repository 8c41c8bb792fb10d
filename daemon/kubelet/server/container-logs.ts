/**
 * GET /containerLogs/NAMESPACE/POD/CONTAINER: finds the run of the container that is asked for and
 * streams its log. Refusals carry upstream's texts, which kubectl shows.
 */
import type { ServerResponse } from 'node:http';
import { once } from 'node:events';
import { isErrno } from '#base/errors.ts';
import type { Clock } from '#base/clock.ts';
import type { Container, ContainerRuntime } from '../../runtime/port.ts';
import { findContainer, history } from '../lifecycle/containers.ts';
import { type LogRequest, readLog } from '../log/log-reader.ts';
import type { PodWorker } from '../pod/pod-worker.ts';
import { HttpError } from './http-error.ts';

export interface LogOptions {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly sinceMs: number | undefined;
  readonly tailLines: number | undefined;
  readonly limitBytes: number | undefined;
  readonly stream: 'stdout' | 'stderr' | undefined;
}

/** Throws HttpError 400 for a number that is none. */
export function parseLogOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0) throw new HttpError(400, `invalid ${name}: ${text}`);
    return value;
  };
  const flag = (name: string) => ['true', '1'].includes(query.get(name) ?? '');
  const seconds = number('sinceSeconds');
  const time = query.get('sinceTime');
  const since = time === null || time === '' ? undefined : Date.parse(time);
  const stream = query.get('stream')?.toLowerCase();
  return {
    follow: flag('follow'),
    previous: flag('previous'),
    timestamps: flag('timestamps'),
    sinceMs: seconds === undefined ? since : nowMs - seconds * 1000,
    tailLines: number('tailLines'),
    limitBytes: number('limitBytes'),
    stream: stream === 'stdout' || stream === 'stderr' ? stream : undefined,
  };
}

/** The record whose log is meant; throws HttpError when there is none yet, or none any more. */
export function chooseRecord(
  worker: PodWorker,
  containers: readonly Container[],
  ask: { readonly container: string; readonly previous: boolean },
): Container {
  const name = JSON.stringify(ask.container);
  const pod = JSON.stringify(worker.pod.metadata.name);
  if (findContainer(worker.pod, ask.container) === undefined) {
    throw new HttpError(
      404,
      `container ${ask.container} not found in pod ${worker.pod.metadata.name}`,
    );
  }
  const own = containers.filter((c) => c.podUid === worker.uid);
  const records = history(own, ask.container).filter((c) => c.state !== 'created');
  const current = records[0];
  if (ask.previous) {
    const ended = current?.state === 'exited' && isWaiting(worker, ask.container) ? 0 : 1;
    const previous = records[ended];
    if (previous?.state === 'exited') return previous;
    throw new HttpError(400, `previous terminated container ${name} in pod ${pod} not found`);
  }
  if (current !== undefined) return current;
  const reason = waitingReason(worker, ask.container);
  throw new HttpError(400, `container ${name} in pod ${pod} is waiting to start: ${reason}`);
}

function statusOf(worker: PodWorker, container: string) {
  const { status } = worker;
  return [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ].find((s) => s.name === container);
}

function isWaiting(worker: PodWorker, container: string): boolean {
  return statusOf(worker, container)?.state?.waiting !== undefined;
}

function waitingReason(worker: PodWorker, container: string): string {
  const reason = statusOf(worker, container)?.state?.waiting?.reason ?? 'ContainerCreating';
  if (reason === 'ErrImagePull') return "image can't be pulled";
  if (reason === 'ImagePullBackOff') return 'trying and failing to pull image';
  return reason;
}

export async function sendLog(
  io: { readonly runtime: ContainerRuntime; readonly clock: Clock },
  record: Container,
  { options, response }: { options: LogOptions; response: ServerResponse },
): Promise<void> {
  const closed = new AbortController();
  response.on('close', () => closed.abort(new Error('client has gone')));
  if (response.destroyed) return; // While it was being let in: 'close' comes no more.
  const request: LogRequest = {
    path: record.logPath,
    filter: options,
    tailLines: options.tailLines,
    limitBytes: options.limitBytes,
    follow: options.follow,
    ended: () => io.runtime.listContainers().find((c) => c.id === record.id)?.state !== 'running',
  };
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  try {
    for await (const block of readLog(request, io.clock, closed.signal)) {
      if (!response.write(block)) await once(response, 'drain', { signal: closed.signal });
    }
  } catch (error) {
    if (closed.signal.aborted) return;
    // A container that never wrote anything may have no file.
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  response.end();
}

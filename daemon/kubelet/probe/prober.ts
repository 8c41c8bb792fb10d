/**
 * Makes one probe: exec in the container, HTTP, TCP or gRPC to the pod's address. Texts of failures
 * follow upstream, because people search for them.
 */
import { connect } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { DeadlineExceeded } from '#base/clock.ts';
import { errorText, isErrno } from '#base/errors.ts';
import type { Probe } from '#base/kube/api/core-v1.gen.ts';
import type { ContainerRuntime } from '../../runtime/port.ts';
import { checkHealth, servingName } from './grpc-health.ts';
import { headersOf, type HttpTarget, httpGet, portNumber, urlOf } from './http-request.ts';
import type { ProbeResult } from './probe-state.ts';

export interface ProbeOutcome {
  readonly result: ProbeResult;
  readonly output: string;
}

export interface ProbeTarget extends HttpTarget {
  readonly containerId: string;
}

const REDIRECTS_MAX = 10;

export class Prober {
  readonly #runtime: ContainerRuntime;
  readonly #clock: Clock;

  constructor(io: { readonly runtime: ContainerRuntime; readonly clock: Clock }) {
    this.#runtime = io.runtime;
    this.#clock = io.clock;
  }

  /** Never throws, unless `signal` aborts. */
  async run(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome> {
    const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
    using deadline = this.#clock.deadline(timeoutMs, signal);
    try {
      return await this.#probe(probe, target, deadline.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.signal.aborted && deadline.signal.reason instanceof DeadlineExceeded) {
        return { result: 'failure', output: timeoutText(probe, target, timeoutMs) };
      }
      return { result: 'failure', output: networkText(probe, target, error) };
    }
  }

  #probe(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome> {
    if (probe.exec !== undefined) return this.#exec(probe.exec.command ?? [], target, signal);
    if (probe.httpGet !== undefined) return probeHttp(probe, target, signal);
    if (probe.tcpSocket !== undefined) return probeTcp(probe, target, signal);
    if (probe.grpc !== undefined) return probeGrpc(probe, target, signal);
    return Promise.resolve({ result: 'unknown', output: 'missing probe handler' });
  }

  async #exec(
    argv: readonly string[],
    target: ProbeTarget,
    signal: AbortSignal,
  ): Promise<ProbeOutcome> {
    const done = await this.#runtime.execSync(target.containerId, argv, signal);
    const output = Buffer.concat([done.stdout, done.stderr]).toString('utf8');
    return { result: done.exitCode === 0 ? 'success' : 'failure', output };
  }
}

async function probeHttp(
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  if (probe.httpGet === undefined) return { result: 'unknown', output: '' };
  const headers = headersOf(probe.httpGet, 'kube-probe/1.36');
  const first = urlOf(probe.httpGet, target);
  let url = first;
  for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
    const answer = await httpGet(url, headers, signal);
    const { status, location } = answer;
    if (status >= 300 && status < 400 && location !== undefined) {
      const next = new URL(location, url);
      // A redirect elsewhere says that the server answers; where to is not the probe's business.
      if (next.hostname !== first.hostname) return { result: 'success', output: answer.body };
      url = next;
      continue;
    }
    if (status >= 200 && status < 400) return { result: 'success', output: answer.body };
    return { result: 'failure', output: `HTTP probe failed with statuscode: ${status}` };
  }
  return {
    result: 'failure',
    output: `Get "${first.href}": stopped after ${REDIRECTS_MAX} redirects`,
  };
}

function probeTcp(probe: Probe, target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome> {
  const { port, host } = tcpAddress(probe, target);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('close', () => signal.removeEventListener('abort', onAbort));
    socket.on('connect', () => {
      socket.destroy();
      resolve({ result: 'success', output: '' });
    });
    socket.on('error', reject);
  });
}

function tcpAddress(probe: Probe, target: ProbeTarget): { host: string; port: number } {
  const port = portNumber(probe.tcpSocket?.port ?? 0, target);
  const named = probe.tcpSocket?.host;
  return { host: named === undefined || named === '' ? target.podIP : named, port };
}

async function probeGrpc(
  probe: Probe,
  target: ProbeTarget,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { port = 0, service = '' } = probe.grpc ?? {};
  const answer = await checkHealth({ host: target.podIP, port, service }, signal);
  if (answer.code !== 0) {
    return {
      result: 'failure',
      output: `error: rpc error: code = ${answer.code} desc = ${answer.message}`,
    };
  }
  if (answer.status === 1) return { result: 'success', output: 'service healthy' };
  const name = servingName(answer.status);
  return { result: 'failure', output: `service unhealthy (responded with "${name}")` };
}

function timeoutText(probe: Probe, target: ProbeTarget, timeoutMs: number): string {
  if (probe.exec !== undefined) {
    const command = (probe.exec.command ?? []).join(' ');
    return `command timed out: "${command}" timed out after ${timeoutMs / 1000}s`;
  }
  if (probe.httpGet !== undefined) {
    const url = urlOf(probe.httpGet, target);
    return `Get "${url.href}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`;
  }
  if (probe.tcpSocket !== undefined) {
    const { host, port } = tcpAddress(probe, target);
    return `dial tcp ${host}:${port}: i/o timeout`;
  }
  return `timeout: health rpc did not complete within ${timeoutMs / 1000}s`;
}

function networkText(probe: Probe, target: ProbeTarget, error: unknown): string {
  const reason = isErrno(error, 'ECONNREFUSED') ? 'connect: connection refused' : errorText(error);
  try {
    if (probe.httpGet !== undefined) {
      const url = urlOf(probe.httpGet, target);
      return `Get "${url.href}": dial tcp ${url.host}: ${reason}`;
    }
    if (probe.tcpSocket !== undefined) {
      const { host, port } = tcpAddress(probe, target);
      return `dial tcp ${host}:${port}: ${reason}`;
    }
  } catch {
    return reason; // The address itself is what is wrong; the reason says so.
  }
  return reason;
}

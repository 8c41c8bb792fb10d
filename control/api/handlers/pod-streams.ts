/**
 * pods/log, pods/exec, pods/attach and pods/portforward: the request goes on to the kubelet of the
 * pod's node, over WebSockets as it came (v5, v4 and v1 of channel.k8s.io).
 * Source: kubernetes pkg/registry/core/pod/strategy.go.
 */
import type { IncomingMessage } from 'node:http';
import type { StatusCause } from '#base/kube/api/meta-v1.gen.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import { WebSocketServer } from 'ws';
import { canonicalTime, timeError } from '#control/schema/schema.ts';
import { ApiError, badRequest, internalError, invalid } from '../errors.ts';
import type { ApiResponse, UpgradeRequest } from '../exchange.ts';
import { isTrue } from '../request-info.ts';
import { joinUpgrade, readText, requestBackend, streamOn } from '../stream/backend.ts';
import type { Call } from './call.ts';
import { parseInteger } from './options.ts';
import { replyText } from './reply.ts';

const LOG_OPTIONS = [
  'follow',
  'previous',
  'timestamps',
  'sinceSeconds',
  'sinceTime',
  'tailLines',
  'limitBytes',
];
const ERROR_BYTES_MAX = 2048;
/** Unread by the client beyond this, the log is not read either. */
const UNREAD_BYTES_MAX = 1024 * 1024;
const LOG_PROTOCOLS = ['binary.k8s.io', 'base64.binary.k8s.io'];

async function findPod(call: Call): Promise<Pod> {
  const { registry, resources, signal } = call.services;
  const { namespace, name } = call.info;
  const pods = resources.must('', 'v1', 'pods');
  return (await registry.get(pods, `${namespace}/${name}`, signal)).parse() as Pod; // Its registry.
}

/** The container asked for, or the only one. Throws ApiError 400. */
function containerOf(pod: Pod, wanted: string): string {
  const { initContainers = [], ephemeralContainers = [] } = pod.spec;
  const { containers } = pod.spec;
  const { name } = pod.metadata;
  const all = [...initContainers, ...containers, ...ephemeralContainers].map((c) => c.name);
  if (wanted !== '') {
    if (all.includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const [only] = containers;
  if (containers.length === 1 && only !== undefined) return only.name;
  if (containers.length === 0) {
    throw badRequest(`a container name must be specified for pod ${name}`);
  }
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${all.join(' ')}]`,
  );
}

export async function podLog(call: Call): Promise<ApiResponse> {
  checkLogOptions(call);
  const pod = await findPod(call);
  const container = containerOf(pod, call.query.get('container') ?? '');
  const nodeName = pod.spec?.nodeName ?? '';
  if (nodeName === '') return replyText(200, ''); // Not placed yet: nothing was written.
  const query = new URLSearchParams();
  for (const option of LOG_OPTIONS) {
    const value = call.query.get(option);
    if (value !== null && value !== '') query.set(option, value);
  }
  const { namespace, name } = pod.metadata;
  const path = `/containerLogs/${namespace}/${name}/${container}?${query.toString()}`;
  const backend = call.services.kubelets.of(nodeName);
  const message = await requestBackend(backend, {
    method: 'GET',
    path,
    headers: {},
    onLeave: (callback) => call.request.onLeave(callback),
  });
  const status = message.statusCode ?? 500;
  if (status >= 400) throw await kubeletError(message, status);
  if (call.request.upgrade !== undefined) return logSocket(call.request.upgrade, message);
  return streamOn(message, { status: 200, headers: { 'content-type': 'text/plain' } });
}

/** Throws ApiError 400 for values that cannot be read, 422 for those that make no sense. */
function checkLogOptions(call: Call): void {
  const { name } = call.info;
  const { query } = call;
  const time = query.get('sinceTime');
  if (time !== null && time !== '' && canonicalTime(time) === undefined) {
    throw badRequest(timeError(time, false));
  }
  const causes: StatusCause[] = [];
  const bad = (field: string, value: number, rule: string) => {
    const message = `Invalid value: ${value}: must be greater than ${rule}`;
    causes.push({ reason: 'FieldValueInvalid', field, message });
  };
  const tail = parseInteger(query, 'tailLines');
  const bytes = parseInteger(query, 'limitBytes');
  const seconds = parseInteger(query, 'sinceSeconds');
  if (tail !== undefined && tail < 0) bad('tailLines', tail, 'or equal to 0');
  if (bytes !== undefined && bytes < 1) bad('limitBytes', bytes, '0');
  if (seconds !== undefined && time !== null && time !== '') {
    const message = 'Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified';
    causes.push({ reason: 'FieldValueForbidden', field: '', message });
  } else if (seconds !== undefined && seconds < 1) bad('sinceSeconds', seconds, '0');
  if (query.has('stream')) {
    const message = 'Forbidden: may not be specified'; // Upstream's gate PodLogsQuerySplitStreams is off.
    causes.push({ reason: 'FieldValueForbidden', field: 'stream', message });
  }
  if (causes.length > 0) throw invalid({ group: '', kind: 'PodLogOptions' }, name, causes);
}

async function kubeletError(message: IncomingMessage, status: number): Promise<ApiError> {
  const text = (await readText(message, ERROR_BYTES_MAX)).trim();
  if (status === 400) return badRequest(text);
  if (status >= 500) return internalError(text);
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: text,
    reason: status === 404 ? 'NotFound' : 'Unknown',
    code: status,
  });
}

/** A log over a WebSocket: every chunk one binary message, or base64 text for browsers of old. */
function logSocket(upgrade: UpgradeRequest, message: IncomingMessage): ApiResponse {
  upgrade.taken = true;
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) => LOG_PROTOCOLS.find((p) => offered.has(p)) ?? false,
  });
  let isOpen = false;
  server.handleUpgrade(upgrade.message, upgrade.socket, upgrade.head, (socket) => {
    isOpen = true;
    const asText = socket.protocol === 'base64.binary.k8s.io';
    const onSent = () => {
      if (socket.bufferedAmount <= UNREAD_BYTES_MAX) message.resume();
    };
    message.on('data', (chunk: Buffer) => {
      const data = asText ? chunk.toString('base64') : chunk;
      socket.send(data, { binary: !asText }, onSent);
      if (socket.bufferedAmount > UNREAD_BYTES_MAX) message.pause();
    });
    message.on('end', () => socket.close(1000));
    message.on('error', () => socket.close(1011));
    socket.on('close', () => message.destroy());
    socket.on('error', () => message.destroy());
  });
  if (!isOpen) message.destroy(); // No WebSocket handshake; its client was told.
  return { status: 101, headers: {}, body: new Uint8Array() };
}

async function passToKubelet(call: Call, path: string, pod: Pod): Promise<ApiResponse> {
  const nodeName = pod.spec?.nodeName ?? '';
  if (nodeName === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const { upgrade } = call.request;
  if (upgrade === undefined) throw badRequest('Upgrade request required');
  return await joinUpgrade(upgrade, call.services.kubelets.of(nodeName), path);
}

function streamHandler(endpoint: 'exec' | 'attach') {
  return async (call: Call): Promise<ApiResponse> => {
    call.require('create'); // Upgrades are GETs, but what they do is more.
    const pod = await findPod(call);
    const { query } = call;
    const container = containerOf(pod, query.get('container') ?? '');
    const on = (name: string) => isTrue(query.get(name));
    const tty = on('tty');
    // A terminal has one output; client libraries ask for both all the same.
    const streams = { stdin: on('stdin'), stdout: on('stdout'), stderr: on('stderr') && !tty };
    if (!streams.stdin && !streams.stdout && !streams.stderr) {
      throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
    }
    const passed = new URLSearchParams();
    if (streams.stdin) passed.set('input', '1');
    if (streams.stdout) passed.set('output', '1');
    if (streams.stderr) passed.set('error', '1');
    if (tty) passed.set('tty', '1');
    if (endpoint === 'exec') {
      const command = query.getAll('command');
      if (command.length === 0) throw badRequest('you must specify at least one command for exec');
      for (const argument of command) passed.append('command', argument);
    }
    const { namespace, name } = pod.metadata;
    return passToKubelet(
      call,
      `/${endpoint}/${namespace}/${name}/${container}?${passed.toString()}`,
      pod,
    );
  };
}

export const podExec = streamHandler('exec');
export const podAttach = streamHandler('attach');

export async function podPortForward(call: Call): Promise<ApiResponse> {
  call.require('create');
  const pod = await findPod(call);
  const passed = new URLSearchParams();
  for (const ports of call.query.getAll('ports')) passed.append('ports', ports);
  const { namespace, name } = pod.metadata;
  return passToKubelet(call, `/portForward/${namespace}/${name}?${passed.toString()}`, pod);
}

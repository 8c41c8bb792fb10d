/**
 * pods/proxy, services/proxy and nodes/proxy: any request, passed on to `[scheme:]name[:port]`.
 * Links and redirects of the answer are rewritten, so that a browser stays within the proxy.
 * Source: apimachinery pkg/util/proxy, kubernetes pkg/registry/core/{pod,service}.
 */
import type { IncomingMessage } from 'node:http';
import type { Pod, Service } from '#base/kube/api/core-v1.gen.ts';
import type { EndpointSlice } from '#base/kube/api/discovery-v1.gen.ts';
import { badRequest, serviceUnavailable } from '../errors.ts';
import type { ApiResponse } from '../exchange.ts';
import {
  type Backend,
  forwardable,
  joinUpgrade,
  requestBackend,
  streamOn,
} from '../stream/backend.ts';
import type { Call } from './call.ts';

/** Links of larger pages are not rewritten, so that nobody's page fills this server's memory. */
const HTML_BYTES_MAX = 4 * 1024 * 1024;

interface Target {
  readonly scheme: string;
  readonly name: string;
  readonly port: string;
}

/** `name`, `name:port` or `scheme:name:port`. */
function parseTarget(id: string): Target {
  const parts = id.split(':');
  const [a = '', b = '', c = ''] = parts;
  switch (parts.length) {
    case 1:
      return { scheme: 'http', name: a, port: '' };
    case 2:
      return { scheme: 'http', name: a, port: b };
    case 3:
      return { scheme: a === '' ? 'http' : a, name: b, port: c };
    default:
      throw badRequest(`invalid service request ${JSON.stringify(id)}`);
  }
}

function backendOf(target: Target, host: string, port: number): Backend {
  if (target.scheme === 'http') return { host, port };
  if (target.scheme !== 'https')
    throw badRequest(`invalid scheme ${JSON.stringify(target.scheme)}`);
  // Pods serve certificates of their own making; upstream's proxy does not check them either.
  return { host, port, tls: { rejectUnauthorized: false } };
}

export async function proxyPod(call: Call): Promise<ApiResponse> {
  const target = parseTarget(call.info.name);
  const { registry, resources, signal } = call.services;
  const key = `${call.info.namespace}/${target.name}`;
  // Its registry.
  const pod = (await registry.get(resources.must('', 'v1', 'pods'), key, signal)).parse() as Pod;
  const ip = pod.status?.podIP ?? '';
  if (ip === '') throw badRequest('address not allowed');
  const port = target.port === '' ? firstPort(pod) : Number(target.port);
  if (!Number.isInteger(port)) throw badRequest(`invalid port ${JSON.stringify(target.port)}`);
  return pass(call, backendOf(target, ip, port));
}

function firstPort(pod: Pod): number {
  for (const container of pod.spec?.containers ?? []) {
    for (const { containerPort } of container.ports ?? []) return containerPort;
  }
  return 80;
}

export async function proxyService(call: Call): Promise<ApiResponse> {
  const target = parseTarget(call.info.name);
  const { registry, resources, signal } = call.services;
  const { namespace } = call.info;
  const services = resources.must('', 'v1', 'services');
  const found = await registry.get(services, `${namespace}/${target.name}`, signal);
  const service = found.parse() as Service; // Its registry.
  const { host, port } = endpointOf(call, service, target);
  return pass(call, backendOf(target, host, port));
}

/** A ready endpoint of the service's port. */
function endpointOf(call: Call, service: Service, target: Target): { host: string; port: number } {
  const ports = service.spec?.ports ?? [];
  const { name } = service.metadata;
  const wanted =
    target.port === ''
      ? ports.length === 1
        ? ports[0]
        : undefined
      : ports.find((p) => p.name === target.port || String(p.port) === target.port);
  const none = () =>
    serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  if (wanted === undefined) {
    throw serviceUnavailable(
      `no service port ${JSON.stringify(target.port)} found for service ${JSON.stringify(name)}`,
    );
  }
  const slices = call.services.resources.must('discovery.k8s.io', 'v1', 'endpointslices');
  const ready: { host: string; port: number }[] = [];
  for (const object of slices.cache.scan(`${service.metadata.namespace}/`)) {
    if (object.selectable.labels['kubernetes.io/service-name'] !== name) continue;
    const slice = object.parse() as EndpointSlice; // The cache of slices.
    const port = (slice.ports ?? []).find((p) => (p.name ?? '') === (wanted.name ?? ''))?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const host of addresses) ready.push({ host, port });
    }
  }
  const chosen = ready[Math.floor(Math.random() * ready.length)];
  if (chosen === undefined) throw none();
  return chosen;
}

export async function proxyNode(call: Call): Promise<ApiResponse> {
  const target = parseTarget(call.info.name);
  const kubelet = call.services.kubelets.of(target.name);
  if (target.port === '' || Number(target.port) === kubelet.port) return pass(call, kubelet);
  return pass(call, backendOf(target, kubelet.host, Number(target.port)));
}

/** Where the proxied tree begins in this server's URLs. */
function rootOf(call: Call): string {
  const { path } = call.info;
  const marker = '/proxy';
  const from = path.indexOf(`/${call.info.resource}/`);
  const at = path.indexOf(marker, from + call.info.resource.length + 2);
  return path.slice(0, at + marker.length);
}

async function pass(call: Call, backend: Backend): Promise<ApiResponse> {
  const root = rootOf(call);
  const full = call.request.path;
  const rest = full.slice(root.length);
  const path = rest === '' || rest.startsWith('?') ? `/${rest}` : rest;
  if (call.request.upgrade !== undefined) {
    return await joinUpgrade(call.request.upgrade, backend, path);
  }
  const { method } = call.request;
  // Relative links of the answer are read against a path that ends with a slash.
  if (path !== rest && (method === 'GET' || method === 'HEAD')) {
    const headers = { location: `${root}${path}` };
    return { status: 301, headers, body: new Uint8Array() };
  }
  const passed = forwardable(call.request.headers);
  // The last may carry a token like the first.
  const { authorization: _a, cookie: _c, 'sec-websocket-protocol': _p, ...headers } = passed;
  const hasBody = !['GET', 'HEAD', 'OPTIONS'].includes(method);
  const message = await requestBackend(backend, {
    method,
    path,
    headers: {
      ...headers,
      host: `${backend.host}:${backend.port}`,
      'x-forwarded-uri': `${root}${path}`,
    },
    body: hasBody ? call.request.streamBody() : undefined,
    onLeave: (callback) => call.request.onLeave(callback),
  });
  return answerOf(message, root, backend);
}

async function answerOf(
  message: IncomingMessage,
  root: string,
  backend: Backend,
): Promise<ApiResponse> {
  const status = message.statusCode ?? 502;
  const headers = forwardable(message.headers);
  const { location } = message.headers;
  if (location !== undefined) headers['location'] = rewriteLocation(location, root, backend);
  const isHtml = (message.headers['content-type'] ?? '').startsWith('text/html');
  if (!isHtml || message.headers['content-encoding'] !== undefined) {
    return streamOn(message, { status, headers });
  }
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of message.iterator({ destroyOnReturn: false })) {
    parts.push(part);
    length += part.length;
    if (length <= HTML_BYTES_MAX) continue;
    message.unshift(Buffer.concat(parts)); // Goes on as it is.
    return streamOn(message, { status, headers });
  }
  delete headers['content-length'];
  const body = Buffer.from(rewriteLinks(Buffer.concat(parts).toString(), root));
  return { status, headers, body };
}

function rewriteLocation(location: string, root: string, backend: Backend): string {
  if (location.startsWith('/')) return root + location;
  const own = `//${backend.host}:${backend.port}`;
  const at = location.indexOf(own);
  return at < 0 ? location : root + location.slice(at + own.length);
}

/** Attributes of HTML elements that hold URLs. */
const LINK =
  /(\s(?:href|src|action|background|cite|data|longdesc|poster|usemap)\s*=\s*["'])(\/[^"']*)/gi;

function rewriteLinks(html: string, root: string): string {
  return html.replaceAll(LINK, (_whole, before: string, path: string) => `${before}${root}${path}`);
}

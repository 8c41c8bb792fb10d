/**
 * What dhcpcd learned: it runs a hook for each event, which sends its environment here (image/stage0/
 * dhcp-event.c). A lease is what an event says; the supervisor sets addresses from it. Variables are
 * those of dhcpcd-run-hooks(8).
 */
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';

export const DHCP_SOCKET = '/run/bareboat/dhcp.sock';
const MESSAGE_BYTES_MAX = 64 << 10;

export interface Lease {
  /** `10.0.2.15/24`. */
  readonly address: string;
  readonly routers: readonly string[];
  readonly nameservers: readonly string[];
  readonly timeServers: readonly string[];
  readonly hostName: string | undefined;
  readonly mtu: number | undefined;
}

/** What an event means for a link: a lease, none any more, or nothing. */
export type DhcpEvent =
  | { readonly kind: 'bound'; readonly link: string; readonly lease: Lease }
  | { readonly kind: 'released'; readonly link: string }
  | { readonly kind: 'none' };

const BOUND = new Set(['BOUND', 'RENEW', 'REBIND', 'REBOOT', 'INFORM', 'STATIC', 'TEST']);
/** STOP and STOPPED are not among them: a client that is started anew gives no lease up. */
const RELEASED = new Set(['EXPIRE', 'FAIL', 'IPV4LL', 'NAK', 'NOCARRIER', 'RELEASE', 'DEPARTED']);

/** Reads the environment of the hook, `KEY=VALUE` strings ended by zero bytes. */
export function parseDhcpEvent(message: string): DhcpEvent {
  const variables = new Map<string, string>();
  for (const entry of message.split('\0')) {
    const equals = entry.indexOf('=');
    if (equals > 0) variables.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  const link = variables.get('interface');
  const reason = variables.get('reason') ?? '';
  if (link === undefined) return { kind: 'none' };
  if (RELEASED.has(reason)) return { kind: 'released', link };
  const ip = variables.get('new_ip_address');
  const prefix = variables.get('new_subnet_cidr');
  if (!BOUND.has(reason) || ip === undefined || prefix === undefined) return { kind: 'none' };
  const list = (name: string) =>
    (variables.get(name) ?? '').split(' ').filter((word) => word !== '');
  const mtu = Number(variables.get('new_interface_mtu') ?? '');
  return {
    kind: 'bound',
    link,
    lease: {
      address: `${ip}/${prefix}`,
      routers: list('new_routers'),
      nameservers: list('new_domain_name_servers'),
      timeServers: list('new_ntp_servers'),
      hostName: variables.get('new_host_name'),
      mtu: mtu >= 576 ? mtu : undefined,
    },
  };
}

/** Listens for events; `onEvent` gets each that means something. */
export function listenDhcp(onEvent: (event: DhcpEvent) => void): Server {
  rmSync(DHCP_SOCKET, { force: true });
  const server = createServer((socket) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MESSAGE_BYTES_MAX) socket.destroy();
    });
    socket.on('end', () => {
      const event = parseDhcpEvent(text);
      if (event.kind !== 'none') onEvent(event);
    });
    socket.on('error', () => socket.destroy());
  });
  server.listen(DHCP_SOCKET);
  return server;
}

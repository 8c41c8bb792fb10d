/**
 * The operator's client configuration (`bareboat.yaml`): for each cluster a context that says where its
 * machine API is, whom to trust and who one is; one of them is current. Written by `bareboat init` and
 * `bareboat config`, read by the CLI.
 */
import { stringify } from 'yaml';
import { z } from 'zod';
import { parseIp } from './ip.ts';
import { ConfigError, parseYamlWith } from './machine-config.ts';

/** Of the machine API. */
export const DEFAULT_PORT = 50000;

export interface Endpoint {
  /** A host name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const endpoint = z
  .string()
  .refine((text) => parseEndpoint(text) !== undefined, 'expected HOST, HOST:PORT or [IPv6]:PORT');

const contextSchema = z.strictObject({
  /** Tried in order; HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. */
  endpoints: z.array(endpoint).default([]),
  /** PEM of the machine CA. */
  ca: z.string(),
  /** PEM of the client's certificate and key. */
  certificate: z.string(),
  key: z.string(),
});

const schema = z.strictObject({
  version: z.literal(1),
  currentContext: z.string(),
  /** By name: that of the cluster, unless its owner chose another. */
  contexts: z.record(z.string(), contextSchema),
});

export type ClientContext = z.infer<typeof contextSchema>;
export type ClientConfig = z.infer<typeof schema>;

/** Throws ConfigError with every problem found. */
export function parseClientConfig(yaml: string): ClientConfig {
  const config = parseYamlWith(schema, yaml);
  if (!Object.hasOwn(config.contexts, config.currentContext)) {
    throw new ConfigError([
      { field: 'currentContext', message: unknownContext(config, config.currentContext) },
    ]);
  }
  return config;
}

export function formatClientConfig(config: ClientConfig): string {
  return stringify(config, { lineWidth: 0 });
}

/** The context of that name, or the current one. Throws ConfigError that names those that are there. */
export function contextOf(config: ClientConfig, name: string | undefined): ClientContext {
  const wanted = name ?? config.currentContext;
  const context = Object.hasOwn(config.contexts, wanted) ? config.contexts[wanted] : undefined;
  if (context === undefined)
    throw new ConfigError([{ field: '', message: unknownContext(config, wanted) }]);
  return context;
}

function unknownContext(config: ClientConfig, name: string): string {
  return `no context ${name}: there are ${Object.keys(config.contexts).join(', ') || 'none'}`;
}

/**
 * `HOST`, `HOST:PORT`, an IPv4 address in place of HOST, `[IPv6]:PORT`, `[IPv6]` or a bare IPv6 address.
 * Undefined when it is none of these; zones (`fe80::1%eth0`) have no place in a URL.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (parseIp(text)?.length === 16) return { host: text, port: DEFAULT_PORT };
  const parts =
    /^(?:\[(?<ip6>[0-9A-Fa-f:.]+)\]|(?<name>[A-Za-z0-9.-]+))(?::(?<port>\d{1,5}))?$/.exec(
      text,
    )?.groups;
  const host = parts?.['ip6'] ?? parts?.['name'];
  const port = Number(parts?.['port'] ?? DEFAULT_PORT);
  if (host === undefined || port < 1 || port > 65535) return undefined;
  if (parts?.['ip6'] !== undefined && parseIp(host)?.length !== 16) return undefined;
  return { host, port };
}

/** As it stands in a URL. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

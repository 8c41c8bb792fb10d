/**
 * The values that a machine configuration is made of, each with its rule and its words. A value that is
 * accepted here can be carried out: whatever only the machine itself can tell (a link that is not there, a
 * sysctl that this kernel lacks) is its warning at `config apply`.
 */
import * as z from 'zod';
import { parseCidr, parseIp } from './ip.ts';
import { sysctlPath } from './sysctl-name.ts';

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** A name of one DNS label: of nodes and clusters. */
export const dnsLabel = z.string().regex(LABEL, 'must be a DNS label: a-z, 0-9 and -, at most 63');

function isDnsName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label));
}

export const dnsDomain = z.string().refine(isDnsName, 'must be a domain such as cluster.local');

/** Time servers: names or addresses, written into chrony's configuration as they are. */
export const host = z
  .string()
  .refine((text) => isDnsName(text) || parseIp(text) !== undefined, 'must be a name or an address');

/** What a server certificate may stand for: RFC 6125 names, the first label may be `*`. */
export const certificateName = z
  .string()
  .refine(
    (text) => isDnsName(text.replace(/^\*\./, '')) || parseIp(text) !== undefined,
    'must be a DNS name or an address',
  );

export const ipv4 = z.ipv4();
export const ipAddress = z.union([ipv4, z.ipv6()], 'must be an IPv4 or IPv6 address');

/** An address with its prefix length: `192.0.2.10/24`. */
export const cidr = z.cidrv4();

/** A range of addresses, with room for the cluster DNS, the tenth. */
export const range = cidr.refine((text) => {
  const length = parseCidr(text)?.prefixLength ?? 32;
  return length >= 8 && length <= 28;
}, 'must have a prefix length of 8 to 28');

/** `host` or `host:port`, as it stands in image names. */
export const registryHost = z
  .string()
  .regex(/^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:\d{1,5})?$/, {
    error: 'must be a registry as in image names: host or host:port',
  });

const QUALIFIED = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

/** Labels that the kubelet itself sets; a configuration that says otherwise would quarrel with it. */
const OWN_LABELS: ReadonlySet<string> = new Set([
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'kubernetes.io/arch',
  'kubernetes.io/hostname',
  'kubernetes.io/os',
]);

/** Why `key` is no label for a node, or undefined (labels: apimachinery's validation of qualified names). */
function labelKeyProblem(key: string): string | undefined {
  const [name = '', prefix, ...more] = key.split('/').toReversed();
  if (more.length > 0 || !QUALIFIED.test(name) || (prefix !== undefined && !isDnsName(prefix))) {
    return 'must be a label key: a name of at most 63 characters, with or without a domain and /';
  }
  return OWN_LABELS.has(key) ? 'is set by the node itself' : undefined;
}

export const labels = z.record(z.string(), z.string()).check(({ value, issues }) => {
  const add = (key: string, message: string, input: string) =>
    issues.push({ code: 'custom', path: [key], message, input });
  for (const [key, text] of Object.entries(value)) {
    const problem = labelKeyProblem(key);
    if (problem !== undefined) add(key, problem, text);
    if (text !== '' && !QUALIFIED.test(text)) {
      add(key, 'must be a label value: at most 63 of A-Z, a-z, 0-9, -, _ and .', text);
    }
  }
});

/** `kernel.hostname` is the node's name. */
const OWN_SYSCTLS: ReadonlySet<string> = new Set(['kernel/hostname']);

/** YAML gives numbers where people write numbers. */
const sysctlValue = z
  .union([z.string(), z.int()], 'must be a text or an integer')
  .transform(String);

export const sysctls = z.record(z.string(), sysctlValue).check(({ value, issues }) => {
  const seen = new Map<string, string>();
  for (const [name, input] of Object.entries(value)) {
    const path = sysctlPath(name);
    const same = path === undefined ? undefined : seen.get(path);
    const message =
      path === undefined
        ? 'must name a file below /proc/sys, such as vm.max_map_count'
        : OWN_SYSCTLS.has(path)
          ? 'is set by the machine itself'
          : same === undefined
            ? undefined
            : `is the same as ${same}`;
    if (path !== undefined) seen.set(path, name);
    if (message !== undefined) issues.push({ code: 'custom', path: [name], message, input });
  }
});

/** By registry (`*`: all): base URLs to ask first, in order. */
export const mirrors = z
  .record(z.string(), z.array(z.url({ protocol: /^https?$/, error: 'must be a http(s) URL' })))
  .check(({ value, issues }) => {
    for (const [key, input] of Object.entries(value)) {
      if (key === '*' || registryHost.safeParse(key).success) continue;
      const message = 'must be a registry as in image names, or *';
      issues.push({ code: 'custom', path: [key], message, input });
    }
  });

/**
 * What a pod is called inside itself: host name and domain, /etc/hosts, /etc/resolv.conf. Pure: host
 * files are passed in as text.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';

const HOSTNAME_LENGTH_MAX = 63;
const NAMESERVERS_MAX = 3;
const SEARCHES_MAX = 32;
const SEARCH_CHARACTERS_MAX = 2048;

export interface PodHostname {
  readonly hostname: string;
  /** Empty without a subdomain. */
  readonly domain: string;
}

export function podHostname(pod: Pod, clusterDomain: string): PodHostname {
  const { spec, metadata } = pod;
  if (spec.hostnameOverride !== undefined) return { hostname: spec.hostnameOverride, domain: '' };
  const name = spec.hostname !== undefined && spec.hostname !== '' ? spec.hostname : metadata.name;
  const hostname = name.slice(0, HOSTNAME_LENGTH_MAX).replace(/[-.]+$/, '');
  const domain =
    spec.subdomain === undefined || spec.subdomain === ''
      ? ''
      : `${spec.subdomain}.${metadata.namespace}.svc.${clusterDomain}`;
  return { hostname, domain };
}

/** The UTS host name of the sandbox: the whole domain name if the pod asks for it. */
export function utsHostname(pod: Pod, name: PodHostname): string {
  return pod.spec.setHostnameAsFQDN === true && name.domain !== ''
    ? `${name.hostname}.${name.domain}`
    : name.hostname;
}

/** Managed /etc/hosts; on the host network the host's own, with the aliases behind it. */
export function hostsFile(
  pod: Pod,
  input: { podIPs: readonly string[]; name: PodHostname; hostFile: string },
): string {
  const aliases = aliasLines(pod);
  if (pod.spec.hostNetwork === true) {
    const head = `# Kubernetes-managed hosts file (host network).\n${input.hostFile}`;
    return head + aliases;
  }
  const { hostname, domain } = input.name;
  const names = domain === '' ? hostname : `${hostname}.${domain}\t${hostname}`;
  const head = [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'fe00::\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...input.podIPs.map((ip) => `${ip}\t${names}`),
  ];
  return `${head.join('\n')}\n${aliases}`;
}

function aliasLines(pod: Pod): string {
  const aliases = pod.spec.hostAliases ?? [];
  if (aliases.length === 0) return '';
  const lines = aliases.map(({ ip, hostnames }) => `${ip}\t${(hostnames ?? []).join('\t')}`);
  return `\n# Entries added by HostAliases.\n${lines.join('\n')}\n`;
}

export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === 'nameserver' && rest[0] !== undefined) nameservers.push(rest[0]);
    else if (word === 'search') searches = rest.map((s) => (s === '.' ? s : s.replace(/\.$/, '')));
    else if (word === 'options') options = rest;
  }
  return { nameservers, searches, options };
}

export interface DnsFacts {
  readonly host: ResolvConf;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
}

/** The pod's resolver by dnsPolicy, then dnsConfig. */
export function podResolvConf(pod: Pod, facts: DnsFacts): ResolvConf {
  const { dnsConfig } = pod.spec;
  const base = policyConf(pod, facts);
  const named = (dnsConfig?.options ?? []).map(({ name = '', value }) => ({
    name,
    text: value === undefined || value === '' ? name : `${name}:${value}`,
  }));
  const overridden = new Set(named.map((o) => o.name));
  const kept = base.options.filter((o) => !overridden.has(o.split(':')[0] ?? ''));
  return {
    nameservers: unique([...base.nameservers, ...(dnsConfig?.nameservers ?? [])]).slice(
      0,
      NAMESERVERS_MAX,
    ),
    searches: limitSearches(unique([...base.searches, ...(dnsConfig?.searches ?? [])])),
    options: [...kept, ...named.map((o) => o.text)],
  };
}

function policyConf(pod: Pod, { host, clusterDns, clusterDomain }: DnsFacts): ResolvConf {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { nameservers: [], searches: [], options: [] };
  const cluster =
    policy === 'ClusterFirstWithHostNet' ||
    (policy === 'ClusterFirst' && pod.spec.hostNetwork !== true);
  if (!cluster || clusterDns.length === 0) return host;
  const namespace = pod.metadata.namespace ?? '';
  const suffixes = [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return {
    nameservers: clusterDns,
    searches: unique([...suffixes, ...host.searches]),
    options: ['ndots:5'],
  };
}

const unique = (items: readonly string[]) => [...new Set(items)];

function limitSearches(searches: readonly string[]): string[] {
  const kept: string[] = [];
  let characters = 0;
  for (const search of searches.slice(0, SEARCHES_MAX)) {
    characters += search.length + (kept.length > 0 ? 1 : 0);
    if (characters > SEARCH_CHARACTERS_MAX) break;
    kept.push(search);
  }
  return kept;
}

export function formatResolvConf(conf: ResolvConf): string {
  const lines: string[] = [];
  if (conf.searches.length > 0) lines.push(`search ${conf.searches.join(' ')}`);
  for (const server of conf.nameservers) lines.push(`nameserver ${server}`);
  if (conf.options.length > 0) lines.push(`options ${conf.options.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

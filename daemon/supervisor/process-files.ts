/**
 * What the supervisor writes for the machine's processes: configuration files and certificates, from
 * the machine's configuration, the cluster's secrets and the addresses in force. Written again whenever
 * one of these changes; processes re-read certificates, configurations need a restart.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCidr, addressAt, formatIp, networkOf } from '#base/ip.ts';
import type { ClusterSecrets, MachineConfig } from '#base/machine-config.ts';
import {
  agentFiles,
  type ClusterAuthorities,
  controlFiles,
  LEAF_LIFETIME_MS,
  writePkiFiles,
} from '#base/pki/node-certificates.ts';
import { createCa, fingerprint, issueLeaf, renewAtMs } from '#base/pki/pki.ts';
import { must } from '#base/assert.ts';
import { writeIfChanged } from './program-files.ts';
import { PLACES, UID } from './unit-specs.ts';

const API_PORT = 6443;
export const MACHINE_API_PORT = 50000;
const KUBELET_PORT = 10250;
const MAINTENANCE_STAMP = '.maintenance';
const DAY_MS = 24 * 3600 * 1000;

/** Upstream's: pods without a toleration for it stay off the node. */
const CONTROL_PLANE_TAINT = { key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' };

export interface Facts {
  readonly config: MachineConfig;
  readonly secrets: ClusterSecrets;
  readonly addresses: readonly string[];
  readonly primary: string;
  /** Kept back from pods. */
  readonly reserved: { readonly memoryBytes: number };
  readonly nowMs: number;
}

/** The n-th address of a range: 1 = the API's service, 10 = the cluster DNS. */
export function serviceAddress(cidr: string, index: number): string {
  const range = networkOf(must(parseCidr(cidr), `range ${cidr}`));
  return formatIp(addressAt(range, index));
}

export function authoritiesOf(secrets: ClusterSecrets): ClusterAuthorities {
  return {
    kubernetes: secrets.kubernetesCa,
    aggregator: secrets.aggregatorCa,
    serviceAccount: secrets.serviceAccount,
  };
}

/** Certificates of control and agent, issued again when names changed or two thirds of their life are over. */
export async function writeCertificates(facts: Facts): Promise<void> {
  const { config, secrets, addresses, nowMs } = facts;
  const names = {
    nodeName: config.node.name,
    ips: addresses,
    serviceIp: serviceAddress(config.cluster.serviceCidr, 1),
    clusterDomain: config.cluster.domain,
    extraNames: config.cluster.extraNames,
  };
  const key = createHash('sha256')
    .update(JSON.stringify([names, authoritiesOf(secrets)]))
    .digest('hex');
  const stamp = join(PLACES.pki, '.issued-for');
  const server = join(PLACES.pki, 'control/server.crt');
  if (isFresh({ stamp, key, certificate: server, nowMs })) return;
  const authorities = authoritiesOf(secrets);
  const control = { uid: UID.control, gid: UID.control };
  writePkiFiles(
    join(PLACES.pki, 'control'),
    await controlFiles(authorities, names, nowMs),
    control,
  );
  writePkiFiles(join(PLACES.pki, 'agent'), await agentFiles(authorities, names, nowMs));
  writeFileSync(stamp, key);
}

/** The machine API's certificate: also of a machine whose configuration is not known. */
export async function writeGatewayCertificate(
  facts: Pick<Facts, 'secrets' | 'addresses' | 'nowMs'> & { readonly hostName: string },
): Promise<void> {
  const { secrets, addresses, nowMs, hostName } = facts;
  const key = createHash('sha256')
    .update(JSON.stringify([hostName, addresses, secrets.machineCa]))
    .digest('hex');
  const stamp = join(PLACES.pki, '.gateway-issued-for');
  const path = join(PLACES.pki, 'gateway/server.crt');
  if (isFresh({ stamp, key, certificate: path, nowMs })) return;
  const leaf = await issueLeaf(secrets.machineCa, {
    subject: { commonName: hostName },
    dnsNames: [hostName, 'localhost'],
    ips: ['127.0.0.1', '::1', ...addresses],
    usages: ['server'],
    nowMs,
    lifetimeMs: LEAF_LIFETIME_MS,
  });
  const files = new Map([
    ['server.crt', leaf.certificate],
    ['server.key', leaf.key],
    ['ca.crt', secrets.machineCa.certificate],
  ]);
  writePkiFiles(join(PLACES.pki, 'gateway'), files, { uid: UID.gateway, gid: UID.gateway });
  rmSync(join(PLACES.pki, MAINTENANCE_STAMP), { force: true });
  writeFileSync(stamp, key);
}

/** Issued for the same names, and not past two thirds of its life. */
function isFresh(issued: {
  stamp: string;
  key: string;
  certificate: string;
  nowMs: number;
}): boolean {
  const { stamp, key, certificate, nowMs } = issued;
  return (
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === key &&
    renewAtMs(readFileSync(certificate, 'utf8')) > nowMs
  );
}

/** A certificate that nobody vouches for: in maintenance the operator compares its fingerprint. */
export async function writeMaintenanceCertificate(
  addresses: readonly string[],
  nowMs: number,
): Promise<string> {
  const path = join(PLACES.pki, 'gateway/server.crt');
  const stamp = join(PLACES.pki, MAINTENANCE_STAMP);
  if (existsSync(stamp) && existsSync(path)) return fingerprint(readFileSync(path, 'utf8'));
  const ca = await createCa({
    commonName: 'bareboat maintenance',
    nowMs,
    lifetimeMs: 365 * DAY_MS,
  });
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'bareboat maintenance' },
    dnsNames: ['localhost'],
    ips: ['127.0.0.1', '::1', ...addresses],
    usages: ['server'],
    nowMs,
    lifetimeMs: 365 * DAY_MS,
  });
  const files = new Map([
    ['server.crt', leaf.certificate],
    ['server.key', leaf.key],
  ]);
  writePkiFiles(join(PLACES.pki, 'gateway'), files, { uid: UID.gateway, gid: UID.gateway });
  rmSync(join(PLACES.pki, '.gateway-issued-for'), { force: true });
  writeFileSync(stamp, '');
  return fingerprint(leaf.certificate);
}

/** SHA-256 of the certificate that the machine API shows. */
export function gatewayFingerprint(): Promise<string> {
  return fingerprint(readFileSync(join(PLACES.pki, 'gateway/server.crt'), 'utf8'));
}

export function writeGatewayConfig(maintenance: boolean): boolean {
  return writeConfig('gateway', UID.gateway, {
    listen: { port: MACHINE_API_PORT },
    pkiDir: join(PLACES.pki, 'gateway'),
    maintenance,
    sockets: {
      supervisor: PLACES.supervisorSocket,
      agent: PLACES.agentSocket,
      control: PLACES.controlSocket,
    },
    logLevel: 'info',
  });
}

/** Returns the names of the processes whose configuration changed. */
export function writeProcessConfigs(facts: Facts): string[] {
  const control = writeConfig('control', UID.control, planControlConfig(facts));
  const agent = writeConfig('agent', UID.root, planAgentConfig(facts));
  return [...(control ? ['control'] : []), ...(agent ? ['agent'] : [])];
}

function sharedConfig({ node, cluster }: MachineConfig): object {
  return {
    nodeName: node.name,
    serviceCidr: cluster.serviceCidr,
    podCidr: cluster.podCidr,
    clusterDomain: cluster.domain,
    logLevel: 'info',
  };
}

export function planControlConfig({ config, primary }: Pick<Facts, 'config' | 'primary'>): object {
  const { audit } = config.apiServer;
  const { backup, quotaBytes } = config.store;
  return {
    ...sharedConfig(config),
    dataDir: PLACES.control,
    listen: { port: API_PORT },
    advertiseAddress: primary,
    nodePortRange: [30000, 32767],
    socketPath: PLACES.controlSocket,
    backup,
    ...(quotaBytes !== undefined && { storeSettings: { quotaBytes } }),
    ...(audit && { audit: { path: PLACES.audit, ...audit } }),
    pkiDir: join(PLACES.pki, 'control'),
  };
}

export function planAgentConfig(facts: Pick<Facts, 'config' | 'primary' | 'reserved'>): object {
  const { config, primary, reserved } = facts;
  return {
    ...sharedConfig(config),
    nodeIp: primary,
    apiServer: `https://127.0.0.1:${API_PORT}`,
    dataDir: PLACES.agent,
    runDir: '/run/bareboat/agent',
    pkiDir: join(PLACES.pki, 'agent'),
    clusterDns: serviceAddress(config.cluster.serviceCidr, 10),
    cgroupRoot: '/',
    kubeletPort: KUBELET_PORT,
    reserved,
    socketPath: PLACES.agentSocket,
    labels: config.node.labels,
    taints: config.node.schedulable ? [] : [CONTROL_PLANE_TAINT],
    kubelet: config.kubelet,
    registries: config.registries,
  };
}

function writeConfig(name: string, uid: number, value: object): boolean {
  return writeIfChanged(
    join(PLACES.config, `${name}.json`),
    `${JSON.stringify(value, undefined, 2)}\n`,
    uid,
  );
}

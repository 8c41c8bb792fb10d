/**
 * The certificates of one node's processes: which files lie in which process's folder, for whom they
 * are issued and with what names. The supervisor writes them on the OS, the launcher in `make dev`;
 * processes re-read them on change.
 */
import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueLeaf, type KeyPair, type LeafRequest } from './pki.ts';
import { KUBELET_CLIENT_USER, nodeSettingsUser } from './subjects.ts';

/** The cluster's authorities; on nodes that may run the control plane. */
export interface ClusterAuthorities {
  /** Signs users, kubelets and the API server. */
  readonly kubernetes: KeyPair;
  /** Signs the front proxy's client. */
  readonly aggregator: KeyPair;
  /** Signs service-account tokens; PEM halves. */
  readonly serviceAccount: { readonly privateKey: string; readonly publicKey: string };
}

export interface NodeNames {
  readonly nodeName: string;
  readonly ips: readonly string[];
  /** First address of the service range. */
  readonly serviceIp: string;
  readonly clusterDomain: string;
  readonly extraNames: readonly string[];
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export const LEAF_LIFETIME_MS = 365 * 24 * 3600 * 1000;

/** Files by name for the control process. */
export async function controlFiles(
  authorities: ClusterAuthorities,
  names: NodeNames,
  nowMs: number,
): Promise<Map<string, string>> {
  const { kubernetes, aggregator, serviceAccount } = authorities;
  const files = new Map<string, string>([
    ['ca.crt', kubernetes.certificate],
    // The controllers sign CertificateSigningRequests.
    ['ca.key', kubernetes.key],
    ['front-proxy-ca.crt', aggregator.certificate],
    ['sa.key', serviceAccount.privateKey],
    ['sa.pub', serviceAccount.publicKey],
  ]);
  const base = { nowMs, lifetimeMs: LEAF_LIFETIME_MS };
  const isIp = (name: string) => /^[\d.]+$|:/.test(name);
  await addLeaf(files, 'server', kubernetes, {
    ...base,
    subject: { commonName: 'kube-apiserver' },
    usages: ['server'],
    dnsNames: [
      'localhost',
      names.nodeName,
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      `kubernetes.default.svc.${names.clusterDomain}`,
      ...names.extraNames.filter((name) => !isIp(name)),
    ],
    ips: [
      ...new Set([
        '127.0.0.1',
        '::1',
        names.serviceIp,
        ...names.ips,
        ...names.extraNames.filter(isIp),
      ]),
    ],
  });
  await addLeaf(files, 'kubelet-client', kubernetes, {
    ...base,
    subject: { commonName: KUBELET_CLIENT_USER },
    usages: ['client'],
  });
  await addLeaf(files, 'front-proxy-client', aggregator, {
    ...base,
    subject: { commonName: 'front-proxy-client' },
    usages: ['client'],
  });
  return files;
}

/** Files by name for the agent process. */
export async function agentFiles(
  authorities: ClusterAuthorities,
  names: NodeNames,
  nowMs: number,
): Promise<Map<string, string>> {
  const ca = authorities.kubernetes;
  const files = new Map<string, string>([['ca.crt', ca.certificate]]);
  const base = { nowMs, lifetimeMs: LEAF_LIFETIME_MS };
  const node = { commonName: `system:node:${names.nodeName}`, organizations: ['system:nodes'] };
  await addLeaf(files, 'kubelet', ca, { ...base, subject: node, usages: ['client'] });
  await addLeaf(files, 'kubelet-serving', ca, {
    ...base,
    subject: node,
    usages: ['server'],
    dnsNames: [names.nodeName],
    ips: [...names.ips, '127.0.0.1', '::1'],
  });
  await addLeaf(files, 'proxy', ca, {
    ...base,
    subject: { commonName: 'system:kube-proxy' },
    usages: ['client'],
  });
  // Labels and taints that a kubelet may not change (NodeRestriction), of this Node alone.
  await addLeaf(files, 'node-settings', ca, {
    ...base,
    subject: { commonName: nodeSettingsUser(names.nodeName) },
    usages: ['client'],
  });
  return files;
}

/** The credentials of a cluster administrator, as `bareboat kubeconfig` hands them out. */
export function adminCredentials(
  authorities: ClusterAuthorities,
  options: { nowMs: number; lifetimeMs: number },
): Promise<KeyPair> {
  return issueLeaf(authorities.kubernetes, {
    ...options,
    subject: { commonName: 'bareboat-admin', organizations: ['system:masters'] },
    usages: ['client'],
  });
}

/** Writes `files` into `dir`, each by rename; private keys 0600, the rest 0644; owned by `owner`. */
export function writePkiFiles(
  dir: string,
  files: ReadonlyMap<string, string>,
  owner?: Owner,
): void {
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o750);
  if (owner !== undefined) chownSync(dir, owner.uid, owner.gid);
  for (const [name, text] of files) {
    const staged = join(dir, `.${name}.new`);
    writeFileSync(staged, text, { mode: name.endsWith('.key') ? 0o600 : 0o644 });
    if (owner !== undefined) chownSync(staged, owner.uid, owner.gid);
    renameSync(staged, join(dir, name));
  }
}

async function addLeaf(
  files: Map<string, string>,
  name: string,
  ca: KeyPair,
  request: LeafRequest,
): Promise<void> {
  const leaf = await issueLeaf(ca, request);
  files.set(`${name}.crt`, leaf.certificate);
  files.set(`${name}.key`, leaf.key);
}

/**
 * Throw-away keys, certificates and kubeconfigs for tests and experiments with the control process.
 * `node control/api/testing/cluster-files.ts DIR PORT` writes DIR/config.json, DIR/pki and
 * DIR/admin.kubeconfig, after which `node control/main.ts DIR/config.json` runs.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatKubeconfig } from '#base/pki/kubeconfig.ts';
import { adminCredentials, controlFiles } from '#base/pki/node-certificates.ts';
import { createCa, createSigningKey, issueLeaf, type KeyPair } from '#base/pki/pki.ts';

const LIFETIME_MS = 24 * 3600 * 1000;

export interface ClusterFiles {
  readonly configPath: string;
  readonly pkiDir: string;
  readonly kubeconfig: string;
  readonly ca: KeyPair;
  readonly admin: KeyPair;
}

/** Writes everything below `dir`, for an API server on 127.0.0.1:`port`. */
export async function writeClusterFiles(dir: string, port: number): Promise<ClusterFiles> {
  const nowMs = Date.now();
  const kubernetes = await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs: LIFETIME_MS });
  const aggregator = await createCa({ commonName: 'front-proxy', nowMs, lifetimeMs: LIFETIME_MS });
  const serviceAccount = await createSigningKey();
  const authorities = { kubernetes, aggregator, serviceAccount };
  const names = {
    nodeName: 'test',
    ips: ['127.0.0.1'],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
    extraNames: [],
  };
  const pkiDir = join(dir, 'pki');
  mkdirSync(pkiDir, { recursive: true });
  const files = await controlFiles(authorities, names, nowMs);
  for (const [name, text] of files) writeFileSync(join(pkiDir, name), text, { mode: 0o600 });
  const admin = await adminCredentials(authorities, { nowMs, lifetimeMs: LIFETIME_MS });
  const kubeconfig = formatKubeconfig({
    cluster: 'test',
    server: `https://127.0.0.1:${port}`,
    caCertificate: kubernetes.certificate,
    user: 'admin',
    credentials: admin,
  });
  writeFileSync(join(dir, 'admin.kubeconfig'), kubeconfig);
  const config = {
    nodeName: 'test',
    dataDir: dir,
    listen: { host: '127.0.0.1', port },
    advertiseAddress: '192.0.2.1',
    pkiDir,
  };
  const configPath = join(dir, 'config.json');
  writeFileSync(configPath, JSON.stringify(config));
  return { configPath, pkiDir, kubeconfig, ca: kubernetes, admin };
}

/** A client certificate of the test's CA. */
export function issueUser(ca: KeyPair, name: string, groups: readonly string[]): Promise<KeyPair> {
  return issueLeaf(ca, {
    subject: { commonName: name, organizations: groups },
    usages: ['client'],
    nowMs: Date.now(),
    lifetimeMs: LIFETIME_MS,
  });
}

if (import.meta.main) {
  const [dir = '', port = '6443'] = process.argv.slice(2);
  await writeClusterFiles(dir, Number(port));
}

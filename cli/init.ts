/** `bareboat init`: makes a cluster's secrets, the configuration of its first machine, and the client's. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ClientConfig, formatClientConfig } from '#base/client-config.ts';
import { type ClusterSecrets, formatYaml, parseMachineConfig } from '#base/machine-config.ts';
import { createCa, createSigningKey, issueLeaf } from '#base/pki/pki.ts';
import { makeDirectory, UsageError, writeOutput, writeSecretFile } from './files.ts';

const YEAR_MS = 365 * 24 * 3600 * 1000;

export interface InitRequest {
  readonly cluster: string;
  readonly node: string;
  readonly endpoint: string | undefined;
  readonly output: string;
  readonly force: boolean;
}

/** Paths of the files written. Throws UsageError when one exists already, unless forced. */
export async function init(request: InitRequest, nowMs: number): Promise<string[]> {
  const { cluster, node, endpoint, output } = request;
  const machine = parseMachineConfig(
    `version: 1\nnode: {name: ${JSON.stringify(node)}}\ncluster: {name: ${JSON.stringify(cluster)}}\n`,
  );
  const names = ['secrets.yaml', `${node}.yaml`, 'bareboat.yaml'];
  if (new Set(names).size < names.length) {
    throw new UsageError(
      `--node ${node}: ${node}.yaml is the name of another file that init writes; choose another`,
    );
  }
  const files = names.map((name) => join(output, name));
  const present = files.filter((file) => existsSync(file));
  if (present.length > 0 && !request.force) {
    throw new UsageError(
      `${present.join(', ')} exists already: --force replaces it, and the cluster's keys with it`,
    );
  }
  const secrets = await createSecrets(nowMs);
  const client = await issueLeaf(secrets.machineCa, {
    subject: { commonName: 'admin', organizations: ['bareboat:admin'] },
    usages: ['client'],
    nowMs,
    lifetimeMs: YEAR_MS,
  });
  const config: ClientConfig = {
    version: 1,
    currentContext: cluster,
    contexts: {
      [cluster]: {
        endpoints: endpoint === undefined ? [] : [endpoint],
        ca: secrets.machineCa.certificate,
        certificate: client.certificate,
        key: client.key,
      },
    },
  };
  makeDirectory(output);
  const [secretsFile = '', machineFile = '', clientFile = ''] = files;
  writeSecretFile(secretsFile, formatYaml(secrets));
  writeOutput(machineFile, formatYaml(machine));
  writeSecretFile(clientFile, formatClientConfig(config));
  return files;
}

async function createSecrets(nowMs: number): Promise<ClusterSecrets> {
  const lifetimeMs = 10 * YEAR_MS;
  return {
    version: 1,
    machineCa: await createCa({ commonName: 'bareboat', nowMs, lifetimeMs }),
    kubernetesCa: await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs }),
    aggregatorCa: await createCa({ commonName: 'kubernetes-front-proxy', nowMs, lifetimeMs }),
    serviceAccount: await createSigningKey(),
    encryptionKey: randomBytes(32).toString('base64'),
    joinToken: randomBytes(24).toString('base64url'),
  };
}

/**
 * Reads a kubeconfig file into the options of HttpsTransport: server, CA, client certificate (inline
 * or files) or token of the current context. Exec plugins and insecure-skip-tls-verify are refused:
 * our own processes never use them. Called by main.ts files.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import type { HttpsTransportOptions, PemSource } from './https-transport.ts';

/** What stands beside the name is checked once the current context says which entry counts. */
const Entries = z.array(z.looseObject({ name: z.string() }));

const Cluster = z.looseObject({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
});
const User = z.looseObject({
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
});
const Context = z.looseObject({ cluster: z.string(), user: z.string() });
const Config = z.looseObject({
  clusters: Entries,
  users: Entries,
  contexts: Entries,
  'current-context': z.string(),
});

export class KubeconfigError extends Error {
  override readonly name = 'KubeconfigError';
}

export function loadKubeconfig(path: string): HttpsTransportOptions {
  return parseKubeconfig(readFileSync(path, 'utf8'), dirname(resolve(path)));
}

/** Relative file names count from `directory`. Throws KubeconfigError. */
export function parseKubeconfig(text: string, directory: string): HttpsTransportOptions {
  const result = Config.safeParse(parse(text));
  if (!result.success) throw new KubeconfigError(z.prettifyError(result.error));
  const config = result.data;
  const context = find(config.contexts, config['current-context'], 'context', Context);
  const cluster = find(config.clusters, context.cluster, 'cluster', Cluster);
  const user = find(config.users, context.user, 'user', User);
  const pem = (data: string | undefined, file: string | undefined): PemSource | undefined => {
    if (data !== undefined) return { pem: Buffer.from(data, 'base64').toString('utf8') };
    return file === undefined ? undefined : { file: resolve(directory, file) };
  };
  const ca = pem(cluster['certificate-authority-data'], cluster['certificate-authority']);
  if (ca === undefined) throw new KubeconfigError(`cluster ${context.cluster} names no CA`);
  const { token, tokenFile } = user;
  return {
    server: cluster.server,
    ca,
    cert: pem(user['client-certificate-data'], user['client-certificate']),
    key: pem(user['client-key-data'], user['client-key']),
    token:
      tokenFile !== undefined
        ? () => readFileSync(resolve(directory, tokenFile), 'utf8').trim()
        : token === undefined
          ? undefined
          : () => token,
  };
}

function find<T extends z.ZodType>(
  entries: readonly { name: string; [key: string]: unknown }[],
  name: string,
  kind: string,
  type: T,
): z.infer<T> {
  const entry = entries.find((candidate) => candidate.name === name);
  if (entry === undefined) throw new KubeconfigError(`no ${kind} named ${name}`);
  return type.parse(entry[kind]);
}

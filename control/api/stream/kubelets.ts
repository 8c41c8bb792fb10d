/**
 * Where a node's kubelet is, and the certificates for talking to it; files are read when they
 * change.
 */
import { readFileSync, statSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import type { Node } from '#base/kube/api/core-v1.gen.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import { notFound, serviceUnavailable } from '../errors.ts';
import type { Backend } from './backend.ts';

export interface KubeletFiles {
  readonly certificate: string;
  readonly key: string;
  /** Issuers of kubelets' serving certificates. */
  readonly ca: string;
}

const KUBELET_PORT = 10250;
const ADDRESS_TYPES = ['InternalIP', 'ExternalIP', 'Hostname'];

export class Kubelets {
  readonly #nodes: ResourceCache;
  readonly #files: KubeletFiles | undefined;
  #loaded: { version: string; options: ConnectionOptions } | undefined;

  constructor(parts: { nodes: ResourceCache; files: KubeletFiles | undefined }) {
    this.#nodes = parts.nodes;
    this.#files = parts.files;
  }

  /** The kubelet of a node. Throws ApiError 404 for an unknown node. */
  of(nodeName: string): Backend {
    const found = this.#nodes.get(nodeName);
    if (found === undefined) throw notFound({ group: '', resource: 'nodes' }, nodeName);
    const { status } = found.parse() as Node; // The cache of nodes.
    const addresses = status?.addresses ?? [];
    const byType = ADDRESS_TYPES.map((type) => addresses.find((a) => a.type === type));
    const host = byType.find((a) => a !== undefined)?.address;
    if (host === undefined)
      throw serviceUnavailable(`no preferred addresses found; node ${nodeName}`);
    const port = status?.daemonEndpoints?.kubeletEndpoint?.Port ?? KUBELET_PORT;
    return { host, port, tls: this.#tls() };
  }

  #tls(): ConnectionOptions {
    if (this.#files === undefined) throw serviceUnavailable('no certificate for kubelets');
    const { certificate, key, ca } = this.#files;
    const version = [certificate, key, ca].map((path) => statSync(path).mtimeMs).join(' ');
    if (this.#loaded?.version !== version) {
      const options = {
        cert: readFileSync(certificate),
        key: readFileSync(key),
        ca: readFileSync(ca),
        // A kubelet that still serves the certificate of an earlier address is who its CA says.
        checkServerIdentity: () => undefined,
      };
      this.#loaded = { version, options };
    }
    return this.#loaded.options;
  }
}

/** Discovery documents (legacy form), /version and the index of paths. */
import { discovery, type Discovery } from '#control/schema/schema.ts';
import type { ApiResponse } from '../exchange.ts';
import type { Call } from './call.ts';
import { replyObject } from './reply.ts';
import { notServed } from './router.ts';

export interface VersionInfo {
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly buildDate: string;
}

export class DiscoveryHandler {
  readonly #documents: Discovery = discovery();
  readonly #version: VersionInfo;
  readonly #serverAddress: string;

  constructor(options: { version: VersionInfo; serverAddress: string }) {
    this.#version = options.version;
    this.#serverAddress = options.serverAddress;
  }

  /** undefined: the path is no discovery document. */
  handle(call: Call): ApiResponse | undefined {
    const parts = call.info.path.split('/').filter((p) => p !== '');
    const [root, group = '', version = '', ...more] = parts;
    if (more.length > 0) return undefined;
    if (root === 'version' && parts.length === 1) return replyObject(200, this.#versionDocument());
    if (root === 'api' && parts.length === 1) return this.#reply(call, this.#legacyVersions());
    if (root === 'api' && parts.length === 2) {
      return this.#reply(call, this.#documents.groupVersion('', group));
    }
    if (root !== 'apis') return undefined;
    if (parts.length === 1) return this.#reply(call, this.#documents.groups);
    if (parts.length === 2) return this.#reply(call, this.#documents.group(group));
    return this.#reply(call, this.#documents.groupVersion(group, version));
  }

  #legacyVersions(): object {
    return {
      ...this.#documents.legacyVersions,
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: this.#serverAddress }],
    };
  }

  #reply(call: Call, document: object | undefined): ApiResponse {
    if (document === undefined) return notServed();
    return replyObject(200, document, call.format());
  }

  #versionDocument(): object {
    const { gitVersion, gitCommit, buildDate } = this.#version;
    return {
      major: '1',
      minor: '36',
      emulationMajor: '1',
      emulationMinor: '36',
      minCompatibilityMajor: '1',
      minCompatibilityMinor: '35',
      gitVersion,
      gitCommit,
      gitTreeState: 'clean',
      buildDate,
      goVersion: `node${process.versions.node}`,
      compiler: 'v8',
      platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
    };
  }
}

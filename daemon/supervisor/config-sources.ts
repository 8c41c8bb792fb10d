/**
 * Where a new machine gets its first configuration without an operator: a labelled volume, then the kernel's
 * command line (the configuration itself, or URLs). A machine that belongs to somebody asks none of them. The
 * first source that has configuration and secrets is put in force and saved, as if it had been applied; a
 * configuration without secrets serves for the network of maintenance mode.
 *
 * Level-triggered: `look` is called when the machine starts, when it has got an address, when a disk came,
 * and by itself again while a URL does not answer.
 */
import { errorText } from '#base/errors.ts';
import {
  type ClusterSecrets,
  type MachineConfig,
  parseClusterSecrets,
  parseMachineConfig,
} from '#base/machine-config.ts';
import type { ConfigVolume } from '#daemon/disk/config-volume.ts';
import { checkChange } from './apply-config.ts';
import type { CommandLine } from './command-line.ts';
import type { EventLog } from './events.ts';
import { checkSecrets } from './secrets-check.ts';

const RETRY_MS = 15_000;

export interface ConfigSourcesIo {
  readonly commandLine: CommandLine;
  readonly readVolume: () => ConfigVolume | undefined;
  readonly fetchDocument: (url: string) => Promise<string>;
  /** Nobody's secrets were ever here. */
  readonly isNew: () => boolean;
  readonly hasAddress: () => boolean;
  readonly events: Pick<EventLog, 'add'>;
  /** Saves and follows. */
  readonly apply: (yaml: string, secrets: ClusterSecrets) => Promise<void>;
  /** A configuration without secrets was found. */
  readonly onProvisional: (config: MachineConfig) => void;
}

interface Source {
  readonly name: string;
  /** Undefined: there is nothing there. */
  readonly read: () => Promise<{ config: string; secrets: string | undefined } | undefined>;
}

export class ConfigSources {
  readonly #io: ConfigSourcesIo;
  #looking = false;
  #again = false;
  readonly #told = new Set<string>();

  constructor(io: ConfigSourcesIo) {
    this.#io = io;
    for (const problem of io.commandLine.problems) io.events.add('config', problem, 'warning');
  }

  /** Asks the sources, unless somebody does; then once more. Resolves when none is left to ask. */
  async look(): Promise<void> {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#again && this.#io.isNew()) {
        this.#again = false;
        await this.#lookOnce();
      }
    } finally {
      this.#looking = false;
    }
  }

  async #lookOnce(): Promise<void> {
    for (const source of this.#sources()) {
      try {
        const found = await source.read();
        if (found !== undefined && (await this.#take(source.name, found))) return;
      } catch (error) {
        this.#tell(source.name, errorText(error));
      }
    }
    // Disks and addresses wake us; a server that does not answer yet does not.
    if (this.#hasUrl()) setTimeout(() => this.#lookAgain(), RETRY_MS).unref();
  }

  #lookAgain(): void {
    this.look().catch((error: unknown) => this.#tell('sources', errorText(error)));
  }

  #hasUrl(): boolean {
    const { config, secretsUrl } = this.#io.commandLine;
    return secretsUrl !== undefined || (config !== undefined && 'url' in config);
  }

  /** Best first. */
  #sources(): Source[] {
    const { commandLine, readVolume, fetchDocument, hasAddress } = this.#io;
    const { config, secretsUrl } = commandLine;
    return [
      { name: 'volume', read: async () => readVolume() },
      {
        name: 'kernel command line',
        read: async () => {
          if (config === undefined) return undefined;
          if (!hasAddress()) {
            return 'text' in config ? { config: config.text, secrets: undefined } : undefined;
          }
          const text = 'text' in config ? config.text : await fetchDocument(config.url);
          const secrets = secretsUrl === undefined ? undefined : await fetchDocument(secretsUrl);
          return { config: text, secrets };
        },
      },
    ];
  }

  /** True when it is in force. Throws ConfigError, which names the field. */
  async #take(
    name: string,
    found: { config: string; secrets: string | undefined },
  ): Promise<boolean> {
    const config = parseMachineConfig(found.config);
    checkChange(undefined, config, false);
    if (found.secrets === undefined) {
      this.#tell(name, 'a configuration without secrets: used for the network alone', 'info');
      this.#io.onProvisional(config);
      return false;
    }
    const secrets = parseClusterSecrets(found.secrets);
    checkSecrets(secrets);
    if (!this.#io.isNew()) return true; // An operator was faster.
    await this.#io.apply(found.config, secrets);
    this.#io.events.add('config', `applied, from ${name}`);
    return true;
  }

  /** Each word once: the sources are asked again and again. */
  #tell(name: string, message: string, level: 'info' | 'warning' = 'warning'): void {
    const text = `${name}: ${message}`;
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.#io.events.add('config', text, level);
  }
}

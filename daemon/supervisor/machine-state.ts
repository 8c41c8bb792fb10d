/**
 * What the machine keeps across boots, in STATE: its configuration, the cluster's secrets and whether the
 * control plane was bootstrapped. Each file is replaced by rename after fsync, so that a power cut leaves
 * the old or the new one. Secrets are readable by root alone.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ClusterSecrets,
  ConfigError,
  formatYaml,
  type MachineConfig,
  parseClusterSecrets,
  parseMachineConfig,
} from '#base/machine-config.ts';
import { writeDurably } from './durable-file.ts';

export class MachineState {
  readonly #dir: string;
  #problem: string | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** What is wrong with a file that was there and could not be understood. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** What was saved for the next boot is in force from here on; called once a boot. */
  promoteNext(): void {
    // Secrets first: a power cut between the two must not leave a configuration without them.
    for (const name of ['secrets.yaml', 'config.yaml']) {
      const path = join(this.#dir, name);
      if (existsSync(`${path}.next`)) renameSync(`${path}.next`, path);
    }
  }

  /** Undefined before a configuration was applied, and when the file is damaged (see `problem`). */
  config(): MachineConfig | undefined {
    const text = this.#read('config.yaml');
    return this.#understand('config.yaml', text, parseMachineConfig);
  }

  /** As it was applied, with its comments. */
  configText(): string | undefined {
    return this.#read('config.yaml');
  }

  secrets(): ClusterSecrets | undefined {
    const text = this.#read('secrets.yaml');
    return this.#understand('secrets.yaml', text, parseClusterSecrets);
  }

  /** In force at once; what waited for the next boot is older and is dropped. */
  save(yaml: string, secrets: ClusterSecrets | undefined): void {
    this.#dropNext();
    if (secrets !== undefined) this.#write('secrets.yaml', formatYaml(secrets));
    this.#write('config.yaml', yaml);
    this.#problem = undefined;
  }

  /** In force after `promoteNext`. */
  saveNext(yaml: string, secrets: ClusterSecrets | undefined): void {
    this.#dropNext();
    if (secrets !== undefined) this.#write('secrets.yaml.next', formatYaml(secrets));
    this.#write('config.yaml.next', yaml);
  }

  get bootstrapped(): boolean {
    return existsSync(join(this.#dir, 'bootstrapped'));
  }

  saveBootstrapped(): void {
    this.#write('bootstrapped', '');
  }

  #dropNext(): void {
    for (const name of ['config.yaml.next', 'secrets.yaml.next'])
      rmSync(join(this.#dir, name), { force: true });
  }

  /** A damaged file must not end the supervisor: the machine stays manageable, and says why. */
  #understand<T>(name: string, text: string | undefined, parse: (text: string) => T) {
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#problem = `${name} is damaged: ${error.message}`;
      return undefined;
    }
  }

  #read(name: string): string | undefined {
    const path = join(this.#dir, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  }

  #write(name: string, text: string): void {
    writeDurably(join(this.#dir, name), text);
  }
}

/**
 * What the machine keeps across boots, in STATE: its configuration, the cluster's secrets and whether the
 * control plane was bootstrapped. Each file is replaced by rename after fsync, so that a power cut leaves
 * the old or the new one. Secrets are readable by root alone.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  type ClusterSecrets,
  formatYaml,
  type MachineConfig,
  parseClusterSecrets,
  parseMachineConfig,
} from '#base/machine-config.ts';

export class MachineState {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Undefined before a configuration was applied. Throws ConfigError when the file is damaged. */
  config(): MachineConfig | undefined {
    const text = this.#read('config.yaml');
    return text === undefined ? undefined : parseMachineConfig(text);
  }

  /** As it was applied, with its comments. */
  configText(): string | undefined {
    return this.#read('config.yaml');
  }

  secrets(): ClusterSecrets | undefined {
    const text = this.#read('secrets.yaml');
    return text === undefined ? undefined : parseClusterSecrets(text);
  }

  saveConfig(yaml: string): void {
    this.#write('config.yaml', yaml);
  }

  saveSecrets(secrets: ClusterSecrets): void {
    this.#write('secrets.yaml', formatYaml(secrets));
  }

  get bootstrapped(): boolean {
    return existsSync(join(this.#dir, 'bootstrapped'));
  }

  saveBootstrapped(): void {
    this.#write('bootstrapped', '');
  }

  #read(name: string): string | undefined {
    const path = join(this.#dir, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  }

  #write(name: string, text: string): void {
    const path = join(this.#dir, name);
    const staged = `${path}.new`;
    const fd = openSync(staged, 'w', 0o600);
    writeSync(fd, text);
    fsyncSync(fd);
    closeSync(fd);
    renameSync(staged, path);
    const dir = openSync(dirname(path), 'r');
    fsyncSync(dir);
    closeSync(dir);
  }
}

/**
 * What the machine keeps across boots, in STATE: its configuration, the cluster's secrets, whose it is (the
 * certificate of the machine CA, which is no secret) and whether the control plane was bootstrapped. Each file
 * is replaced by rename after fsync, so that a power cut leaves the old or the new one. Secrets are readable
 * by root alone.
 *
 * A damaged file never opens the machine to strangers:
 *
 *   secrets   configuration   mode
 *   good      good            configured
 *   good      bad or none     locked: the API with client certificates, nothing else is started
 *   bad       any             maintenance; takes only secrets of the machine's own cluster, whose keys
 *                             prove the sender, and nothing when it is not known whose the machine is
 *   none      none            maintenance: a new machine, which belongs to whoever comes first
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import {
  type ClusterSecrets,
  ConfigError,
  formatYaml,
  type MachineConfig,
  parseClusterSecrets,
  parseMachineConfig,
} from '#base/machine-config.ts';
import { writeDurably } from './durable-file.ts';
import { checkSecrets, isOfCluster } from './secrets-check.ts';

export type Mode = 'maintenance' | 'locked' | 'configured';

const IDENTITY = 'machine-ca.crt';

/** A file as it was last understood. */
interface Understood<T> {
  /** Undefined: it cannot be read. */
  readonly text: string | undefined;
  readonly value: T | undefined;
  readonly problem: string | undefined;
}

export class MachineState {
  readonly #dir: string;
  #config: Understood<MachineConfig> | undefined;
  #secrets: Understood<ClusterSecrets> | undefined;
  #writeProblem: string | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  get mode(): Mode {
    if (this.secrets() === undefined) return 'maintenance';
    return this.config() === undefined ? 'locked' : 'configured';
  }

  /** What is wrong with files that are there, or that should be. */
  get problems(): string[] {
    const problems = [
      this.#understandSecrets()?.problem,
      this.#understandConfig()?.problem,
      this.#writeProblem,
    ];
    if (this.#hasOwner && this.#understandSecrets() === undefined) {
      problems.push('secrets.yaml is missing');
    }
    return problems.filter((problem) => problem !== undefined);
  }

  /**
   * What was saved for the next boot is in force from here on; called once a boot. On a disk that takes no
   * writes the machine goes on with what it had: a problem, which the next save tries to mend.
   */
  promoteNext(): void {
    try {
      // Secrets first: a power cut between the two must not leave a configuration without them.
      for (const name of ['secrets.yaml', 'config.yaml']) {
        const path = join(this.#dir, name);
        if (existsSync(`${path}.next`)) renameSync(`${path}.next`, path);
      }
      this.#keepIdentity();
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#writeProblem = `what was saved for this boot is not in force: ${error.code}`;
    }
  }

  /** Undefined before a configuration was applied, and when the file is damaged (see `problems`). */
  config(): MachineConfig | undefined {
    return this.#understandConfig()?.value;
  }

  /** As it was applied, with its comments; also when it is damaged. */
  configText(): string | undefined {
    return this.#read('config.yaml');
  }

  secrets(): ClusterSecrets | undefined {
    return this.#understandSecrets()?.value;
  }

  /**
   * Why a caller that nobody knows may not put these secrets in force, or undefined: in maintenance the
   * secrets themselves must prove whose they are, unless the machine has no owner yet.
   */
  refusalOf(secrets: ClusterSecrets): string | undefined {
    if (!this.#hasOwner) return undefined;
    const owner = this.#readIdentity();
    const damage = this.problems.join('; ');
    if (owner === undefined || !owner.startsWith('-----BEGIN CERTIFICATE-----')) {
      return `${damage}; and whose machine it is cannot be known any more: its disk must be written anew`;
    }
    if (isOfCluster(secrets, owner)) return undefined;
    return `${damage}; only the secrets of its own cluster are taken`;
  }

  /** In force at once; what waited for the next boot is older and is dropped. */
  save(yaml: string, secrets: ClusterSecrets | undefined): void {
    this.#dropNext();
    if (secrets !== undefined) this.#write('secrets.yaml', formatYaml(secrets));
    this.#keepIdentity();
    this.#write('config.yaml', yaml);
    this.#writeProblem = undefined;
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

  /** Nobody's secrets were ever here: it belongs to whoever comes first. */
  get isNew(): boolean {
    return !this.#hasOwner;
  }

  get #hasOwner(): boolean {
    const traces = [IDENTITY, 'secrets.yaml', 'config.yaml', 'bootstrapped'];
    return traces.some((name) => existsSync(join(this.#dir, name)));
  }

  /** After the secrets: a power cut between the two is mended at the next start. */
  #keepIdentity(): void {
    const certificate = this.secrets()?.machineCa.certificate;
    if (certificate !== undefined && this.#readIdentity() !== certificate) {
      this.#write(IDENTITY, certificate);
    }
  }

  #readIdentity(): string | undefined {
    try {
      return this.#read(IDENTITY);
    } catch (error) {
      if (isErrno(error)) return undefined; // A bad sector: as good as not there.
      throw error;
    }
  }

  #dropNext(): void {
    for (const name of ['config.yaml.next', 'secrets.yaml.next'])
      rmSync(join(this.#dir, name), { force: true });
  }

  #understandConfig(): Understood<MachineConfig> | undefined {
    this.#config = this.#understand('config.yaml', this.#config, parseMachineConfig);
    return this.#config;
  }

  #understandSecrets(): Understood<ClusterSecrets> | undefined {
    this.#secrets = this.#understand('secrets.yaml', this.#secrets, (text) => {
      const secrets = parseClusterSecrets(text);
      checkSecrets(secrets);
      return secrets;
    });
    return this.#secrets;
  }

  /** A damaged file must not end the supervisor: the machine stays manageable, and says why. */
  #understand<T>(
    name: string,
    known: Understood<T> | undefined,
    parse: (text: string) => T,
  ): Understood<T> | undefined {
    let text: string | undefined;
    try {
      text = this.#read(name);
      if (text === undefined || text === known?.text) return text === undefined ? undefined : known;
      return { text, value: parse(text), problem: undefined };
    } catch (error) {
      if (isErrno(error)) {
        return {
          text: undefined,
          value: undefined,
          problem: `${name} cannot be read: ${error.code}`,
        };
      }
      if (!(error instanceof ConfigError)) throw error;
      return { text, value: undefined, problem: `${name} is damaged: ${error.message}` };
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

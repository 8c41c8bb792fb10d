/**
 * What the network's supervisor knows and could not find out again, kept in /run for the next supervisor of
 * this boot: leases (without them the addresses would be taken away until DHCP speaks again) and the MTU that
 * a link had before the configuration set one.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isErrno } from '#base/errors.ts';
import type { DhcpEvent, Lease } from './dhcp.ts';

interface Kept {
  readonly leases: readonly (readonly [string, Lease])[];
  readonly mtus: readonly (readonly [string, number])[];
}

export class NetworkMemory {
  readonly #path: string;
  readonly #leases: Map<string, Lease>;
  readonly #mtus: Map<string, number>;

  constructor(path: string) {
    this.#path = path;
    const { leases, mtus } = readKept(path);
    this.#leases = new Map(leases);
    this.#mtus = new Map(mtus);
  }

  /** By link. */
  get leases(): ReadonlyMap<string, Lease> {
    return this.#leases;
  }

  get mtus(): ReadonlyMap<string, number> {
    return this.#mtus;
  }

  onDhcp(event: DhcpEvent): void {
    if (event.kind === 'bound') this.#leases.set(event.link, event.lease);
    else if (event.kind === 'released') this.#leases.delete(event.link);
    this.#save();
  }

  /** Of the first time that one is set. */
  rememberMtu(link: string, mtu: number): void {
    if (this.#mtus.has(link)) return;
    this.#mtus.set(link, mtu);
    this.#save();
  }

  /** A link that is gone takes its lease along: the next of its name may be another one. */
  keepOnly(links: readonly string[]): void {
    const present = new Set(links);
    const gone = [...this.#leases.keys(), ...this.#mtus.keys()].filter(
      (name) => !present.has(name),
    );
    if (gone.length === 0) return;
    for (const name of gone) {
      this.#leases.delete(name);
      this.#mtus.delete(name);
    }
    this.#save();
  }

  #save(): void {
    const kept: Kept = { leases: [...this.#leases], mtus: [...this.#mtus] };
    mkdirSync(dirname(this.#path), { recursive: true });
    writeFileSync(`${this.#path}.new`, JSON.stringify(kept));
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function readKept(path: string): Kept {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Kept; // By #save.
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { leases: [], mtus: [] }; // The first of this boot.
    throw error;
  }
}

/** Name servers of the node from /etc/resolv.conf (resolv.conf(5)). `parseNameservers` is pure. */
import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import { isErrno } from '#base/errors.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import { RESOLV_CONF_SECONDS } from './limits.ts';

/** In order; lines that are no addresses are left out, zones of link-local ones are cut off. */
export function parseNameservers(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, value = ''] = line.trim().split(/\s+/);
    const bytes = keyword === 'nameserver' ? parseIp(value.split('%')[0] ?? '') : undefined;
    if (bytes !== undefined) found.push(formatIp(bytes));
  }
  return found;
}

/** Reads the file again when what was read is a few seconds old: DHCP may have changed it. */
export class ResolvConf {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #own: ReadonlySet<string>;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #nameservers: readonly string[] = [];

  /** Servers in `own` are this one: asking them would go round in circles. */
  constructor(path: string, clock: Clock, own: Iterable<string>) {
    this.#path = path;
    this.#clock = clock;
    this.#own = new Set(own);
  }

  nameservers(): readonly string[] {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#readAtMs < RESOLV_CONF_SECONDS * 1000) return this.#nameservers;
    this.#readAtMs = nowMs;
    try {
      const all = parseNameservers(readFileSync(this.#path, 'utf8'));
      this.#nameservers = all.filter((ip) => !this.#own.has(ip));
    } catch (error) {
      if (!isErrno(error)) throw error;
      this.#nameservers = []; // No file, no servers: names outside the cluster are SERVFAIL.
    }
    return this.#nameservers;
  }
}

/**
 * What a development node is called and where it listens, derived from the checkout's path, so that
 * two checkouts (and upstream-cluster) run side by side without asking. Pure but for the hash.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';

export interface DevIdentity {
  /** `dev-3f2a`: node name, host name, and part of every name below. */
  readonly nodeName: string;
  /** Host side of the veth; IFNAMSIZ is 15 characters. */
  readonly hostLink: string;
  readonly hostIp: string;
  readonly nodeIp: string;
  /** Relative to each cgroup hierarchy's root. */
  readonly cgroup: string;
  /** State, logs, kubeconfig. */
  readonly dir: string;
}

/** `10.214.x.y/30` per checkout: 16,384 subnets, chosen by hash. */
export function devIdentity(checkout: string): DevIdentity {
  const hash = createHash('sha256').update(checkout).digest();
  const id = hash.toString('hex', 0, 3);
  const subnet = hash.readUInt16BE(3) & 0x3fff;
  const address = (host: number) => `10.214.${subnet >> 6}.${((subnet & 0x3f) << 2) + host}`;
  return {
    nodeName: `dev-${id}`,
    hostLink: `bb-${id}`,
    hostIp: address(1),
    nodeIp: address(2),
    cgroup: `bareboat-dev-${id}`,
    dir: join(checkout, 'out/dev'),
  };
}

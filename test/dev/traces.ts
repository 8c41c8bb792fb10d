/**
 * What a development node could leave behind on its host: mounts, links, cgroups, processes and
 * nftables tables. Tests compare the lists before and after. What belongs to the nodes of other checkouts,
 * which may come and go meanwhile, is left out.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { DevIdentity } from './identity.ts';

export function hostTraces(identity: DevIdentity): Record<string, string[]> {
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .toSorted();
  return {
    mounts: lines(readFileSync('/proc/self/mounts', 'utf8')),
    links: readdirSync('/sys/class/net')
      .filter((name) => !name.startsWith('bb-') || name === identity.hostLink)
      .toSorted(),
    cgroups: globSync(`/sys/fs/cgroup/{*,*/*}/${identity.cgroup}`).toSorted(),
    processes: nodeProcesses(identity)
      .map(({ command }) => command)
      .toSorted(),
    rules: nftTables(),
  };
}

/** The processes of a node, as the host sees them: all that run in its cgroup. */
export function nodeProcesses(identity: DevIdentity): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      if (!readFileSync(`/proc/${name}/cgroup`, 'utf8').includes(`/${identity.cgroup}`)) return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return command === '' ? [] : [{ pid: Number(name), command }]; // A zombie has no command line.
    } catch (error) {
      if (isErrno(error, 'ENOENT', 'ESRCH')) return []; // It has ended.
      throw error;
    }
  });
}

/** Empty where the host has no nft: then nothing of ours could list them either. */
function nftTables(): string[] {
  try {
    return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n').toSorted();
  } catch {
    return [];
  }
}

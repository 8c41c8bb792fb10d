/**
 * What a development node could leave behind on its host: mounts, links, cgroups, processes and
 * nftables tables. Tests compare the lists before and after.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';

export function hostTraces(): Record<string, string[]> {
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .toSorted();
  return {
    mounts: lines(readFileSync('/proc/self/mounts', 'utf8')),
    links: readdirSync('/sys/class/net').toSorted(),
    cgroups: globSync('/sys/fs/cgroup/{*,*/*}/bareboat*').toSorted(),
    processes: lines(execFileSync('ps', ['-e', '-o', 'args'], { encoding: 'utf8' })).filter(
      (line) => /bareboat|conmon|runc /.test(line),
    ),
    rules: nftTables(),
  };
}

/** Empty where the host has no nft: then nothing of ours could list them either. */
function nftTables(): string[] {
  try {
    return execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).split('\n').toSorted();
  } catch {
    return [];
  }
}

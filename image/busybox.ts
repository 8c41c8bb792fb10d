/** The files of a busybox image, out of Debian's busybox-static: /bin/busybox and a link per applet. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { ArchiveEntry } from './archive.ts';

const PLACES = ['/bin/busybox', '/usr/bin/busybox'];

export const PASSWD =
  'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n';
export const GROUP = 'root:x:0:\nnobody:x:65534:\n';

/** Throws when busybox-static is not installed. */
export function busyboxEntries(): ArchiveEntry[] {
  const from = PLACES.find((path) => existsSync(path));
  if (from === undefined) throw new Error('busybox is missing: install busybox-static');
  const applets = execFileSync(from, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  return [
    { path: 'bin', kind: 'directory' },
    { path: 'etc', kind: 'directory' },
    { path: 'home', kind: 'directory' },
    { path: 'root', kind: 'directory', mode: 0o700 },
    { path: 'tmp', kind: 'directory', mode: 0o1777 },
    { path: 'usr', kind: 'directory' },
    { path: 'usr/bin', kind: 'directory' },
    { path: 'var', kind: 'directory' },
    {
      path: 'etc/passwd',
      kind: 'file',
      content: PASSWD,
    },
    { path: 'etc/group', kind: 'file', content: GROUP },
    { path: 'bin/busybox', kind: 'copy', from, mode: 0o755 },
    ...applets
      .filter((name) => name !== 'busybox')
      .map((name): ArchiveEntry => ({ path: `bin/${name}`, kind: 'link', target: 'bin/busybox' })),
  ];
}

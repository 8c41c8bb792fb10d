/** Configuration files of the programs that the machine runs beside its own processes: chrony, dhcpcd. */
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PLACES, UID } from './unit-specs.ts';

/** The image's, to which the machine adds what its configuration says. */
const DHCPCD_BASE = '/etc/dhcpcd.conf';

/** chrony.conf(5): the servers given, stepping only at start, no command port. True when it changed. */
export function writeChronyConfig(timeServers: readonly string[]): boolean {
  const servers = timeServers.map((server) => `server ${server} iburst\n`).join('');
  const text = `${servers}driftfile /var/lib/chrony/drift\nmakestep 1 3\nrtcsync\ncmdport 0\nbindcmdaddress /\n`;
  return writeIfChanged(join(PLACES.config, 'chrony.conf'), text, UID.root);
}

/** dhcpcd.conf(5): no lease is asked for on `withoutDhcp`. True when it changed. */
export function writeDhcpcdConfig(withoutDhcp: readonly string[]): boolean {
  const denied = withoutDhcp.map((name) => `denyinterfaces ${name}\n`).join('');
  const text = `${readFileSync(DHCPCD_BASE, 'utf8')}${denied}`;
  return writeIfChanged(join(PLACES.config, 'dhcpcd.conf'), text, UID.root);
}

/** Replaces a file by rename when its text differs; tells whether it did. */
export function writeIfChanged(path: string, text: string, uid: number): boolean {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return false;
  const staged = `${path}.new`;
  writeFileSync(staged, text, { mode: 0o640 });
  chownSync(staged, uid, uid);
  renameSync(staged, path);
  return true;
}

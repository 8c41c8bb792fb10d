/**
 * Process 1 of a development node, first half: runs in fresh namespaces with the host's filesystem,
 * lays out the node's own (the image's root tree, read-only, and what the supervisor would mount), moves
 * into it and becomes the node's init by execve. Argument: the JSON of EnterConfig. The host tests of the
 * supervisor enter the same way, with stage0 as init.
 */
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { MNT_DETACH, MS, mount, pivotRoot, setHostname, umount } from '#base/linux/syscall.ts';
import type { Hierarchy } from './cgroups.ts';

export interface EnterConfig {
  /** The image's root filesystem as a directory. */
  readonly root: string;
  /** Host directory: /var in the node. */
  readonly varDir: string;
  /** Host directory: the development configuration; absent where a supervisor writes it. */
  readonly configDir?: string;
  /** Host file: the kernel's command line in the node. */
  readonly commandLine?: string;
  /** Program and arguments of process 1. */
  readonly init: readonly [string, ...string[]];
  readonly hostname: string;
  readonly hierarchies: readonly Hierarchy[];
}

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'net/tun', 'fuse', 'kmsg'];

function enter(config: EnterConfig): void {
  const root = '/mnt';
  const at = (path: string) => join(root, path);
  mount({ source: 'none', target: '/', type: '', flags: MS.REC | MS.PRIVATE });
  // Files are read from outside after the move: the cgroup files of the namespace's own view.
  mount({ source: config.root, target: root, type: '', flags: MS.BIND });
  mount({ source: 'none', target: root, type: '', flags: MS.REMOUNT | MS.BIND | MS.RDONLY });
  mount({ source: 'proc', target: at('proc'), type: 'proc', flags: 0 });
  mount({ source: 'sysfs', target: at('sys'), type: 'sysfs', flags: 0 });
  mount({ source: 'tmpfs', target: at('run'), type: 'tmpfs', flags: 0, data: 'mode=755' });
  mount({ source: 'tmpfs', target: at('tmp'), type: 'tmpfs', flags: 0, data: 'mode=1777' });
  mount({ source: config.varDir, target: at('var'), type: '', flags: MS.BIND });
  mountDevices(at('dev'));
  mountCgroups(at('sys/fs/cgroup'), config.hierarchies);
  mkdirSync(at('run/bareboat/config'), { recursive: true });
  if (config.configDir !== undefined) {
    const target = at('run/bareboat/config');
    mount({ source: config.configDir, target, type: '', flags: MS.BIND });
  } else {
    shieldHost(at('proc/sys'));
  }
  if (config.commandLine !== undefined) {
    mount({ source: config.commandLine, target: at('proc/cmdline'), type: '', flags: MS.BIND });
  }
  writeFileSync(at('run/bareboat/resolv.conf'), readFileSync('/etc/resolv.conf'));
  process.chdir(root);
  pivotRoot('.', '.');
  umount('.', MNT_DETACH);
  process.chdir('/');
  setHostname(config.hostname);
  process.execve?.(config.init[0], [...config.init], {
    PATH: '/usr/bin:/usr/sbin',
    SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
  });
}

/** Parameters that are not of a namespace are the host's: a supervisor may set those of the network. */
function shieldHost(sys: string): void {
  mount({ source: sys, target: sys, type: '', flags: MS.BIND });
  const net = join(sys, 'net');
  mount({ source: net, target: net, type: '', flags: MS.BIND });
  mount({ source: 'none', target: sys, type: '', flags: MS.REMOUNT | MS.BIND | MS.RDONLY });
}

function mountDevices(dev: string): void {
  mount({ source: 'tmpfs', target: dev, type: 'tmpfs', flags: MS.NOSUID, data: 'mode=755' });
  for (const name of DEVICES) {
    const from = join('/dev', name);
    if (!existsSync(from)) continue;
    const to = join(dev, name);
    mkdirSync(join(to, '..'), { recursive: true });
    writeFileSync(to, '');
    mount({ source: from, target: to, type: '', flags: MS.BIND });
  }
  for (const name of ['pts', 'shm', 'mqueue']) mkdirSync(join(dev, name));
  const options = 'newinstance,ptmxmode=0666,mode=620';
  mount({ source: 'devpts', target: join(dev, 'pts'), type: 'devpts', flags: 0, data: options });
  mount({ source: 'tmpfs', target: join(dev, 'shm'), type: 'tmpfs', flags: 0, data: 'mode=1777' });
  mount({ source: 'mqueue', target: join(dev, 'mqueue'), type: 'mqueue', flags: 0 });
  symlinkSync('pts/ptmx', join(dev, 'ptmx'));
  symlinkSync('/proc/self/fd', join(dev, 'fd'));
  for (const [fd, name] of ['stdin', 'stdout', 'stderr'].entries()) {
    symlinkSync(`/proc/self/fd/${fd}`, join(dev, name));
  }
}

function mountCgroups(target: string, hierarchies: readonly Hierarchy[]): void {
  const unified = hierarchies.every((h) => h.version === 2);
  if (unified) {
    mount({ source: 'cgroup2', target, type: 'cgroup2', flags: 0 });
    return;
  }
  mount({ source: 'tmpfs', target, type: 'tmpfs', flags: 0, data: 'mode=755' });
  for (const { name, options, version } of hierarchies) {
    const dir = join(target, name);
    mkdirSync(dir);
    const type = version === 2 ? 'cgroup2' : 'cgroup';
    mount({ source: type, target: dir, type, flags: 0, ...(options !== '' && { data: options }) });
  }
}

enter(JSON.parse(process.argv[2] ?? '{}'));

/**
 * The system calls that Node lacks: every koffi declaration of the repository stands in this file.
 * Invariant: a failing call throws a LinuxError with errno's name (so `isErrno` narrows it), a
 * succeeding one returns plain data. All calls are synchronous; those that can block (`poll`,
 * `syncfs`, `recv` without MSG_DONTWAIT) belong on a worker. libc is loaded at the first call.
 *
 * Callers: daemon/runtime, net/*, daemon/supervisor. Constants: include/uapi/linux/*.h.
 */
import { constants } from 'node:os';
import koffi from 'koffi';

const DECLARATIONS = {
  mount: 'int mount(const char *, const char *, const char *, unsigned long, const char *)',
  umount2: 'int umount2(const char *, int)',
  setns: 'int setns(int, int)',
  unshare: 'int unshare(int)',
  pivot_root: 'int pivot_root(const char *, const char *)',
  sethostname: 'int sethostname(const char *, size_t)',
  openat: 'int openat(int, const char *, int, unsigned int)',
  syscall: 'long syscall(long, int, const char *, const void *, size_t)',
  mkdirat: 'int mkdirat(int, const char *, unsigned int)',
  mknod: 'int mknod(const char *, unsigned int, uint64_t)',
  lgetxattr: 'long lgetxattr(const char *, const char *, void *, size_t)',
  lsetxattr: 'int lsetxattr(const char *, const char *, const void *, size_t, int)',
  llistxattr: 'long llistxattr(const char *, void *, size_t)',
  syncfs: 'int syncfs(int)',
  ioctl: 'int ioctl(int, unsigned long, void *)',
  finit_module: 'long syscall(long, int, const char *, int)',
  waitid: 'int waitid(int, unsigned int, void *, int, void *)',
  prctl: 'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)',
  _exit: 'int _exit(int)',
  clock_settime: 'int clock_settime(int, const void *)',
  adjtimex: 'int adjtimex(void *)',
  eventfd: 'int eventfd(unsigned int, int)',
  poll: 'int poll(void *, unsigned long, int)',
  socket: 'int socket(int, int, int)',
  bind: 'int bind(int, const void *, unsigned int)',
  connect: 'int connect(int, const void *, unsigned int)',
  listen: 'int listen(int, int)',
  accept4: 'int accept4(int, void *, void *, int)',
  shutdown: 'int shutdown(int, int)',
  setsockopt: 'int setsockopt(int, int, int, const void *, unsigned int)',
  getsockopt: 'int getsockopt(int, int, int, void *, void *)',
  getsockname: 'int getsockname(int, void *, void *)',
  send: 'long send(int, const void *, size_t, int)',
  recv: 'long recv(int, void *, size_t, int)',
} as const;

type Name = keyof typeof DECLARATIONS;
type Argument = string | number | bigint | Uint8Array | null;
type Function = (...args: readonly Argument[]) => number;

/** An errno error of a system call: `code` is the name (`ENOENT`), as in node:fs. */
export class LinuxError extends Error {
  override readonly name = 'LinuxError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number, what: string) {
    const code = errnoName(errno);
    super(`${code}: ${syscall}${what === '' ? '' : ` ${what}`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `E${errno}`;
}

const functions = new Map<Name, Function>();

function libc(name: Name): Function {
  let found = functions.get(name);
  if (found === undefined) {
    found = koffi.load(null).func(DECLARATIONS[name]) as Function; // koffi types calls as any.
    functions.set(name, found);
  }
  return found;
}

/** Calls and returns the result; -1 throws. EINTR is tried again where the call allows it. */
function call(name: Name, what: string, ...args: readonly Argument[]): number {
  const run = libc(name);
  for (;;) {
    const result = Number(run(...args));
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno === constants.errno.EINTR && name !== 'connect' && name !== 'poll') continue;
    throw new LinuxError(name, errno, what);
  }
}

// --- mounts and namespaces ---------------------------------------------------------------------

export const MS = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  REMOUNT: 0x20,
  NOATIME: 0x400,
  BIND: 0x1000,
  MOVE: 0x2000,
  REC: 0x4000,
  UNBINDABLE: 0x20000,
  PRIVATE: 0x40000,
  SLAVE: 0x80000,
  SHARED: 0x100000,
  RELATIME: 0x200000,
  STRICTATIME: 0x1000000,
} as const;

export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

export const CLONE = {
  NEWTIME: 0x80,
  FS: 0x200,
  NEWNS: 0x20000,
  NEWCGROUP: 0x2000000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  /** Absent for bind mounts, remounts and propagation changes. */
  readonly type?: string;
  /** Bits of MS. */
  readonly flags?: number;
  readonly data?: string;
}

export function mount(request: MountRequest): void {
  const { source, target, type = null, flags = 0, data = null } = request;
  call('mount', `${type ?? 'bind'} ${target}`, source, target, type, flags, data);
}

export function umount(target: string, flags = 0): void {
  call('umount2', target, target, flags);
}

/** Moves the calling thread into the namespace behind `fd`. */
export function setns(fd: number, type: number): void {
  call('setns', `fd ${fd}`, fd, type);
}

/** Only for the calling thread; see reference/runtime.md section 1 before CLONE.NEWPID or NEWNS. */
export function unshare(flags: number): void {
  call('unshare', `0x${flags.toString(16)}`, flags);
}

export function pivotRoot(newRoot: string, putOld: string): void {
  call('pivot_root', newRoot, newRoot, putOld);
}

/** Of the calling thread's UTS namespace. */
export function setHostname(name: string): void {
  call('sethostname', name, name, Buffer.byteLength(name));
}

// --- files -------------------------------------------------------------------------------------

export const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;

export function openat(
  dirFd: number,
  path: string,
  options: { flags: number; mode?: number },
): number {
  return call('openat', path, dirFd, path, options.flags, options.mode ?? 0);
}

const SYS_OPENAT2 = 437; // The same on every architecture.
const RESOLVE_IN_ROOT = 0x10n;

/** Opens `path` as if `dirFd` were the root directory: links and `..` never lead out of it. */
export function openInRoot(dirFd: number, path: string, flags: number): number {
  const how = new Uint8Array(
    BigUint64Array.of(BigInt(flags | O_CLOEXEC), 0n, RESOLVE_IN_ROOT).buffer,
  );
  return call('syscall', `openat2 ${path}`, SYS_OPENAT2, dirFd, path, how, how.length);
}

export function mkdirat(dirFd: number, path: string, mode: number): void {
  call('mkdirat', path, dirFd, path, mode);
}

/** `mode` includes the type bits (S_IFCHR, S_IFBLK, S_IFIFO, ...). */
export function mknod(path: string, mode: number, device: { major: number; minor: number }): void {
  call('mknod', path, path, mode, makeDevice(device.major, device.minor));
}

/** dev_t as glibc's makedev() lays it out. */
export function makeDevice(major: number, minor: number): bigint {
  const [hi, lo] = [BigInt(major), BigInt(minor)];
  return (
    ((hi & 0xfffff000n) << 32n) | ((hi & 0xfffn) << 8n) | ((lo & 0xffffff00n) << 12n) | (lo & 0xffn)
  );
}

export function deviceNumbers(device: bigint): { major: number; minor: number } {
  const major = ((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn);
  const minor = ((device >> 12n) & 0xffffff00n) | (device & 0xffn);
  return { major: Number(major), minor: Number(minor) };
}

/** The value of an extended attribute, of the link itself; undefined when it has none. */
export function getXattr(path: string, name: string): Uint8Array | undefined {
  const buffer = new Uint8Array(65536); // XATTR_SIZE_MAX
  try {
    return buffer.slice(0, call('lgetxattr', path, path, name, buffer, buffer.length));
  } catch (error) {
    if (error instanceof LinuxError && error.code === 'ENODATA') return undefined;
    throw error;
  }
}

export function setXattr(path: string, name: string, value: Uint8Array): void {
  call('lsetxattr', `${name} of ${path}`, path, name, value, value.length, 0);
}

export function listXattrs(path: string): readonly string[] {
  const buffer = Buffer.alloc(65536); // XATTR_LIST_MAX
  const length = call('llistxattr', path, path, buffer, buffer.length);
  return buffer.toString('utf8', 0, length).split('\0').slice(0, -1);
}

/** Makes the kernel read the partition table of the disk behind `fd` again. EBUSY: one is in use. */
export function rereadPartitions(fd: number): void {
  const BLKRRPART = 0x125f;
  call('ioctl', `fd ${fd} BLKRRPART`, fd, BLKRRPART, null);
}

/** An ioctl that takes and gives an int: returns what the kernel left in it. */
export function ioctlInt(fd: number, request: number, value = 0): number {
  const argument = Buffer.alloc(4);
  argument.writeInt32LE(value);
  call('ioctl', `fd ${fd} 0x${request.toString(16)}`, fd, request, argument);
  return argument.readInt32LE();
}

const FINIT_MODULE = process.arch === 'arm64' ? 273 : 313;
const MODULE_INIT_COMPRESSED_FILE = 4;

/** Loads the module behind `fd`. EEXIST: it is loaded already. */
export function loadModule(fd: number, options: { compressed: boolean }): void {
  const flags = options.compressed ? MODULE_INIT_COMPRESSED_FILE : 0;
  call('finit_module', `fd ${fd}`, FINIT_MODULE, fd, '', flags);
}

/** The same on a thread of the pool; errno is lost on the way, so it tells only whether it worked. */
export function loadModuleInBackground(
  fd: number,
  options: { compressed: boolean },
): Promise<boolean> {
  const flags = options.compressed ? MODULE_INIT_COMPRESSED_FILE : 0;
  const run = libc('finit_module') as unknown as { async: (...args: unknown[]) => void }; // By koffi.
  return new Promise((resolve, reject) => {
    run.async(FINIT_MODULE, fd, '', flags, (error: Error | null, result: number | bigint) => {
      if (error === null) resolve(Number(result) === 0);
      else reject(error);
    });
  });
}

/** Flushes the whole file system of `fd`; blocks. */
export function syncfs(fd: number): void {
  call('syncfs', `fd ${fd}`, fd);
}

/**
 * Ends this process at once: no handlers, and no waiting for threads. process.exit() joins libuv's
 * threads, and one that reads a device waits there for ever.
 */
export function exitAtOnce(code: number): never {
  libc('_exit')(code);
  throw new Error('_exit returned');
}

// --- time --------------------------------------------------------------------------------------

/** Sets CLOCK_REALTIME. EPERM without CAP_SYS_TIME. */
export function setClock(nowMs: number): void {
  const seconds = Math.floor(nowMs / 1000);
  const time = BigInt64Array.of(
    BigInt(seconds),
    BigInt(Math.round(nowMs - seconds * 1000)) * 1_000_000n,
  );
  call('clock_settime', 'CLOCK_REALTIME', 0, new Uint8Array(time.buffer));
}

/** Whether somebody keeps the clock: the kernel's own flag, which chronyd clears (adjtimex(2)). */
export function isClockSynchronized(): boolean {
  const STA_UNSYNC = 0x40;
  const timex = Buffer.alloc(208); // modes 0 reads; `status` lies at byte 40 on 64-bit machines.
  call('adjtimex', '', timex);
  return (timex.readInt32LE(40) & STA_UNSYNC) === 0;
}

// --- processes ---------------------------------------------------------------------------------

export const PR_SET_PDEATHSIG = 1;
export const PR_SET_CHILD_SUBREAPER = 36;

/** A child that has ended, with its exit code, or the signal that killed it. */
export interface Exited {
  readonly pid: number;
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
}

/**
 * The first ended child that nobody has waited for, left as it is; undefined when there is none.
 * libuv waits for the children that Node spawned: a reaper of orphans must leave those to it.
 */
export function peekExited(): Exited | undefined {
  return wait(P_ALL, 0, WEXITED | WNOHANG | WNOWAIT);
}

/** Waits for the ended child `pid`, so that the kernel forgets it. */
export function reap(pid: number): Exited | undefined {
  return wait(P_PID, pid, WEXITED | WNOHANG);
}

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const CLD_EXITED = 1;

function wait(idType: number, id: number, options: number): Exited | undefined {
  const info = Buffer.alloc(128); // siginfo_t: si_code at 8, si_pid at 16, si_status at 24.
  try {
    call('waitid', String(id), idType, id, info, options, null);
  } catch (error) {
    if (error instanceof LinuxError && error.code === 'ECHILD') return undefined;
    throw error;
  }
  const pid = info.readInt32LE(16);
  if (pid === 0) return undefined;
  const exited = info.readInt32LE(8) === CLD_EXITED;
  const status = info.readInt32LE(24);
  return { pid, exitCode: exited ? status : undefined, signal: exited ? undefined : status };
}

export function prctl(option: number, ...args: readonly number[]): number {
  const [a = 0, b = 0, c = 0, d = 0] = args;
  return call('prctl', `${option}`, option, a, b, c, d);
}

// --- sockets and polling -----------------------------------------------------------------------

export const AF = { UNIX: 1, INET: 2, INET6: 10, NETLINK: 16, PACKET: 17 } as const;
export const SOCK = {
  STREAM: 1,
  DGRAM: 2,
  RAW: 3,
  SEQPACKET: 5,
  NONBLOCK: 0x800,
  CLOEXEC: 0x80000,
} as const;
export const MSG = { PEEK: 0x2, TRUNC: 0x20, DONTWAIT: 0x40, NOSIGNAL: 0x4000 } as const;
export const SHUT = { RD: 0, WR: 1, RDWR: 2 } as const;
export const POLL = { IN: 0x1, OUT: 0x4, ERR: 0x8, HUP: 0x10, NVAL: 0x20, RDHUP: 0x2000 } as const;
export const EFD = { NONBLOCK: 0x800, CLOEXEC: 0x80000 } as const;

/** A new socket; close it with fs.closeSync. SOCK_CLOEXEC is always set. */
export function socket(domain: number, type: number, protocol = 0): number {
  return call('socket', '', domain, type | SOCK.CLOEXEC, protocol);
}

export function bind(fd: number, address: Uint8Array): void {
  call('bind', `fd ${fd}`, fd, address, address.length);
}

export function connect(fd: number, address: Uint8Array): void {
  call('connect', `fd ${fd}`, fd, address, address.length);
}

export function listen(fd: number, backlog: number): void {
  call('listen', `fd ${fd}`, fd, backlog);
}

/** The next connection's socket, close-on-exec. Blocks until there is one. */
export function accept(fd: number): number {
  return call('accept4', `fd ${fd}`, fd, null, null, SOCK.CLOEXEC);
}

export function shutdown(fd: number, how: number): void {
  call('shutdown', `fd ${fd}`, fd, how);
}

export function setsockopt(
  fd: number,
  option: { level: number; name: number },
  value: number | Uint8Array,
): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  const what = `fd ${fd} ${option.level}/${option.name}`;
  call('setsockopt', what, fd, option.level, option.name, bytes, bytes.length);
}

export function getsockopt(
  fd: number,
  option: { level: number; name: number },
  lengthMax: number,
): Uint8Array {
  const value = new Uint8Array(lengthMax);
  const length = new Uint8Array(Uint32Array.of(lengthMax).buffer);
  call('getsockopt', `fd ${fd}`, fd, option.level, option.name, value, length);
  return value.slice(0, new Uint32Array(length.buffer)[0]);
}

export function getsockname(fd: number): Uint8Array {
  const value = new Uint8Array(128);
  const length = new Uint8Array(Uint32Array.of(value.length).buffer);
  call('getsockname', `fd ${fd}`, fd, value, length);
  return value.slice(0, new Uint32Array(length.buffer)[0]);
}

/** Bytes taken by the kernel. Never raises SIGPIPE. */
export function send(fd: number, data: Uint8Array, flags = 0): number {
  return call('send', `fd ${fd}`, fd, data, data.length, flags | MSG.NOSIGNAL);
}

/**
 * The same on a thread of libuv's pool, for sends that the kernel answers slowly (netlink does its
 * work inside). The socket keeps its network namespace whatever thread sends.
 */
export function sendAsync(fd: number, data: Uint8Array, flags = 0): Promise<number> {
  const run = libc('send') as Function & { async: (...args: readonly unknown[]) => void }; // koffi's.
  return new Promise((resolve, reject) => {
    run.async(fd, data, data.length, flags | MSG.NOSIGNAL, (error: unknown, result: unknown) => {
      if (error !== null) reject(error);
      else if (Number(result) >= 0) resolve(Number(result));
      else reject(new LinuxError('send', koffi.errno(), `fd ${fd}`));
    });
  });
}

/** Bytes (or, with MSG.TRUNC, the length of the datagram) put into `buffer`; 0 at the end. */
export function recv(fd: number, buffer: Uint8Array, flags = 0): number {
  return call('recv', `fd ${fd}`, fd, buffer, buffer.length, flags);
}

/** A counter descriptor: write 8 bytes (a little-endian uint64) to wake who polls it. */
export function eventfd(initial: number, flags: number): number {
  return call('eventfd', '', initial, flags);
}

/** sockaddr_un of a path. Throws ENAMETOOLONG beyond 107 bytes, as connect would mislead. */
export function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path, 'utf8');
  if (name.length > 107) throw new LinuxError('connect', constants.errno.ENAMETOOLONG, path);
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF.UNIX, 0);
  name.copy(address, 2);
  return address;
}

export interface PollEntry {
  readonly fd: number;
  readonly events: number;
}

/** Waits for events; result[i] holds the `revents` of entries[i]. Blocks up to `timeoutMs` (-1: no end). */
export function poll(entries: readonly PollEntry[], timeoutMs: number): readonly number[] {
  const buffer = Buffer.alloc(Math.max(entries.length, 1) * 8); // struct pollfd: int, short, short
  entries.forEach((entry, i) => {
    buffer.writeInt32LE(entry.fd, i * 8);
    buffer.writeInt16LE(entry.events, i * 8 + 4);
  });
  const run = libc('poll');
  if (Number(run(buffer, entries.length, timeoutMs)) < 0) {
    const errno = koffi.errno();
    if (errno === constants.errno.EINTR) return entries.map(() => 0);
    throw new LinuxError('poll', errno, '');
  }
  return entries.map((_, i) => buffer.readInt16LE(i * 8 + 6));
}

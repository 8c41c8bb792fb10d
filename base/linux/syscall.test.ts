import { closeSync, mkdtempSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isErrno } from '#base/errors.ts';
import {
  AF,
  deviceNumbers,
  eventfd,
  getXattr,
  isClockSynchronized,
  LinuxError,
  listXattrs,
  makeDevice,
  mount,
  poll,
  POLL,
  setClock,
  setXattr,
  SOCK,
  socket,
  connect,
  umount,
  unixAddress,
} from './syscall.ts';

await t.test('a failing call throws errno by name', (t) => {
  try {
    mount({ source: 'none', target: '/nowhere/at/all', type: 'tmpfs' });
    t.fail('mounted');
  } catch (error) {
    t.ok(isErrno(error, 'ENOENT', 'EPERM'));
    t.equal(error instanceof LinuxError && error.syscall, 'mount');
  }
  t.throws(() => umount('/nowhere/at/all'), LinuxError);
  t.end();
});

await t.test('device numbers', (t) => {
  for (const [major, minor, dev] of [
    [1, 3, 0x103n],
    [0, 0, 0n],
    [8, 17, 0x811n],
    [259, 300, 0n],
    [0x12345, 0x6789ab, 0n],
  ] as const) {
    const got = makeDevice(major, minor);
    t.same(deviceNumbers(got), { major, minor });
    if (major < 256 && minor < 256) t.equal(got, dev);
  }
  t.end();
});

await t.test('extended attributes', { skip: process.getuid?.() !== 0 && 'needs root' }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-xattr-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  t.equal(getXattr(dir, 'trusted.overlay.opaque'), undefined);
  setXattr(dir, 'trusted.overlay.opaque', Buffer.from('y'));
  t.equal(Buffer.from(getXattr(dir, 'trusted.overlay.opaque') ?? []).toString(), 'y');
  t.ok(listXattrs(dir).includes('trusted.overlay.opaque'));
  t.end();
});

await t.test('poll sees an eventfd, and times out without', (t) => {
  const fd = eventfd(0, 0);
  t.same(poll([{ fd, events: POLL.IN }], 0), [0]);
  writeSync(fd, Buffer.from(BigUint64Array.of(1n).buffer));
  t.same(poll([{ fd, events: POLL.IN }], -1), [POLL.IN]);
  closeSync(fd);
  t.end();
});

await t.test('connect of a seqpacket socket', (t) => {
  const fd = socket(AF.UNIX, SOCK.SEQPACKET);
  t.throws(() => connect(fd, unixAddress('/nowhere/socket')), { code: 'ENOENT' });
  closeSync(fd);
  t.throws(() => unixAddress('/'.padEnd(200, 'x')), { code: 'ENAMETOOLONG' });
  t.end();
});

await t.test('the clock can be asked, and refuses nonsense', (t) => {
  t.type(isClockSynchronized(), 'boolean');
  if (process.getuid?.() === 0) t.throws(() => setClock(-5000), { code: /EINVAL|EPERM/ });
  t.end();
});

/** Volumes on disk: payloads, the atomic writer, subPath. Mounts need root and are skipped without. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Pod, Volume } from '#base/kube/api/core-v1.gen.ts';
import { writeAtomically } from './atomic-writer.ts';
import { LinuxMounter, type Mounter } from './mounter.ts';
import { type Payload, volumePayload } from './payload.ts';
import { bindSubPath, checkSubPath, readInVolume } from './sub-path.ts';

const signal = new AbortController().signal;

function scratch(t: { teardown(run: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-volume-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const b64 = (text: string) => Buffer.from(text).toString('base64');

await t.test('volumePayload()', async (t) => {
  const pod = {
    metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { a: 'b' } },
    spec: { containers: [] },
  } as unknown as Pod; // Enough of one.
  const sources = {
    objects: {
      configMap: async (name: string) =>
        name === 'cm'
          ? ({ data: { k: 'v', other: 'o' }, binaryData: { bin: b64('\u0001') } } as never)
          : undefined,
      secret: async (name: string) =>
        name === 's' ? ({ data: { k: b64('hidden') } } as never) : undefined,
    },
    facts: () => ({ nodeName: 'n', hostIPs: [], podIPs: [], allocatable: {} }),
    token: async () => 'a.token',
  };
  const of = async (source: object) => {
    const payload = await volumePayload(pod, { name: 'v', ...source } as Volume, {
      sources,
      signal,
    });
    return Object.fromEntries(
      [...payload].map(([path, f]) => [
        path,
        `${Buffer.from(f.data).toString()} ${f.mode.toString(8)}`,
      ]),
    );
  };
  for (const [name, source, want] of [
    ['all keys', { configMap: { name: 'cm' } }, { k: 'v 644', other: 'o 644', bin: '\u0001 644' }],
    [
      'items',
      { configMap: { name: 'cm', items: [{ key: 'k', path: 'a/b', mode: 0o400 }] } },
      { 'a/b': 'v 400' },
    ],
    ['default mode', { secret: { secretName: 's', defaultMode: 0o400 } }, { k: 'hidden 400' }],
    ['optional object', { configMap: { name: 'none', optional: true } }, {}],
    [
      'optional key',
      { secret: { secretName: 's', optional: true, items: [{ key: 'x', path: 'x' }] } },
      {},
    ],
    [
      'labels',
      { downwardAPI: { items: [{ path: 'l', fieldRef: { fieldPath: 'metadata.labels' } }] } },
      { l: 'a="b" 644' },
    ],
    [
      'projected',
      {
        projected: {
          defaultMode: 0o440,
          sources: [
            { configMap: { name: 'cm', items: [{ key: 'k', path: 'k' }] } },
            { serviceAccountToken: { path: 'token' } },
          ],
        },
      },
      { k: 'v 440', token: 'a.token 440' },
    ],
  ] as const) {
    t.same(await of(source), want, name);
  }
  for (const [source, text] of [
    [{ configMap: { name: 'none' } }, 'configmap "none" not found'],
    [{ secret: { secretName: 'none' } }, 'secret "none" not found'],
    [
      { configMap: { name: 'cm', items: [{ key: 'x', path: 'x' }] } },
      'references non-existent config key: x',
    ],
    [
      { secret: { secretName: 's', items: [{ key: 'k', path: '../x' }] } },
      'invalid path "../x" in volume',
    ],
    [
      { secret: { secretName: 's', items: [{ key: 'k', path: '/x' }] } },
      'invalid path "/x" in volume',
    ],
  ] as const) {
    await t.rejects(of(source), { message: text });
  }
});

const payload = (files: Record<string, string>): Payload =>
  new Map(Object.entries(files).map(([k, v]) => [k, { data: Buffer.from(v), mode: 0o640 }]));

await t.test('writeAtomically()', async (t) => {
  const dir = scratch(t);
  const ownership = { fsGroup: undefined };
  const write = (files: Record<string, string>) => writeAtomically(dir, payload(files), ownership);
  t.equal(await write({ a: '1', 'd/e': '2' }), true);
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), '1');
  t.equal(readFileSync(join(dir, 'd/e'), 'utf8'), '2');
  t.equal(readlinkSync(join(dir, 'a')), '..data/a');
  t.equal(statSync(join(dir, 'a')).mode & 0o777, 0o640);
  const first = readlinkSync(join(dir, '..data'));
  t.equal(await write({ a: '1', 'd/e': '2' }), false, 'nothing changed');
  t.equal(readlinkSync(join(dir, '..data')), first);
  t.equal(await write({ a: '3', f: '4' }), true);
  t.equal(readFileSync(join(dir, 'a'), 'utf8'), '3');
  t.notOk(existsSync(join(dir, 'd')), 'a name that went away');
  t.notOk(existsSync(join(dir, first)), 'the old version is gone');
  t.equal(readdirSync(dir).length, 4);
  t.equal(await write({}), true, 'an optional source that has gone');
  t.equal(readdirSync(dir).filter((n) => !n.startsWith('..')).length, 0);
  const before = readdirSync(dir);
  await t.rejects(write({ a: 'a file', 'a/b': 'and a directory' }));
  t.same(readdirSync(dir), before, 'what could not be written whole is gone');
  mkdirSync(join(dir, '..2026_01_01_00_00_00.abcdef'));
  t.equal(await write({}), false);
  t.same(readdirSync(dir), before, 'and so is what a dead process left');
  if (process.getuid?.() === 0) {
    await writeAtomically(dir, payload({ g: 'x' }), { fsGroup: 1234 });
    const stats = statSync(join(dir, 'g'));
    t.equal(stats.gid, 1234);
    t.equal(stats.mode & 0o777, 0o640);
  }
});

await t.test('checkSubPath()', async (t) => {
  for (const good of ['a', 'a/b', 'a..b', '...', ''])
    t.doesNotThrow(() => checkSubPath(good), good);
  for (const bad of ['/a', '..', 'a/..', '../a', 'a/../b']) t.throws(() => checkSubPath(bad), bad);
});

await t.test('bindSubPath() stays inside the volume', async (t) => {
  const dir = scratch(t);
  const volumePath = join(dir, 'volume');
  mkdirSync(join(volumePath, 'in'), { recursive: true });
  writeFileSync(join(volumePath, 'file'), 'x');
  writeFileSync(join(dir, 'outside'), 'x');
  symlinkSync('in', join(volumePath, 'good-link'));
  symlinkSync('/etc', join(volumePath, 'etc'));
  symlinkSync('../outside', join(volumePath, 'up'));
  const bound: string[] = [];
  const mounter: Mounter = {
    tmpfs: () => undefined,
    bind: (source) => bound.push(readlinkSync(source)),
    unmount: () => undefined,
    isMountPoint: () => false,
    mountsBelow: () => [],
  };
  const bind = (subPath: string) =>
    bindSubPath(mounter, { volumePath, subPath, target: join(dir, 'targets', subPath) });
  await bind('in');
  await bind('file');
  await bind('good-link');
  await bind('new/deep');
  t.same(
    bound.map((path) => path.slice(volumePath.length)),
    ['/in', '/file', '/in', '/new/deep'],
  );
  t.ok(lstatSync(join(dir, 'targets/file')).isFile());
  t.ok(lstatSync(join(volumePath, 'new/deep')).isDirectory());
  chmodSync(volumePath, 0o2777);
  await bind('wide/deep');
  for (const made of ['wide', 'wide/deep']) {
    t.equal(statSync(join(volumePath, made)).mode & 0o7777, 0o2777, `${made}, whatever the umask`);
  }
  for (const bad of ['etc', 'etc/passwd', 'up', 'etc/new']) {
    await t.rejects(bind(bad), { name: 'ConfigError' }, bad);
  }
  t.notOk(existsSync('/etc/new'));
});

await t.test('readInVolume() reads files of the volume only', async (t) => {
  const dir = scratch(t);
  const volumePath = join(dir, 'volume');
  mkdirSync(join(volumePath, 'in'), { recursive: true });
  writeFileSync(join(volumePath, 'in/file'), 'text');
  writeFileSync(join(dir, 'outside'), 'x');
  symlinkSync('in/file', join(volumePath, 'link'));
  symlinkSync('../outside', join(volumePath, 'up'));
  execFileSync('mkfifo', [join(volumePath, 'pipe')]);
  t.equal(readInVolume(volumePath, 'in/file', 4), 'text');
  t.equal(readInVolume(volumePath, 'link', 4), 'text');
  t.throws(() => readInVolume(volumePath, 'none', 4), { code: 'ENOENT' });
  for (const [bad, message] of [
    ['up', /outside of its volume/],
    ['../outside', /must not contain/],
    ['in', /is no file/],
    ['pipe', /is no file/],
    ['in/file', /has 4 bytes, 3 at most/],
  ] as const) {
    t.throws(() => readInVolume(volumePath, bad, 3), { name: 'ConfigError', message }, bad);
  }
});

await t.test('LinuxMounter', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const dir = scratch(t);
  const mounter = new LinuxMounter();
  const target = join(dir, 'with blank');
  mkdirSync(target);
  try {
    mounter.tmpfs(target, { sizeBytes: 1 << 20 });
  } catch {
    t.comment('mounts are not allowed here');
    return;
  }
  t.ok(mounter.isMountPoint(target));
  t.same(mounter.mountsBelow(dir), [target]);
  mounter.unmount(target);
  t.notOk(mounter.isMountPoint(target));
  mounter.unmount(target); // Again: no error.
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { directoryInRoot, readInRoot } from './rootfs.ts';

await t.test('directoryInRoot() never leads out of the root', (t) => {
  const outside = t.testdir({ root: { srv: { data: {} } }, secret: { inner: {} } });
  const root = join(outside, 'root');
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'file'), 'text');
  symlinkSync('/etc', join(root, 'absolute'));
  symlinkSync('../../secret', join(root, 'climbing'));
  symlinkSync('/srv', join(root, 'linked'));
  symlinkSync('loop', join(root, 'loop'));
  const cases = [
    ['/srv/data', '/srv/data'],
    ['/srv/./data/', '/srv/data'],
    ['/absolute', '/etc'],
    ['/linked/data', '/srv/data'],
    ['/climbing', undefined],
    ['/../secret', undefined],
    ['/missing', undefined],
    ['/file', undefined],
    ['/loop', undefined],
  ] as const;
  for (const [path, wanted] of cases) {
    const expected = wanted === undefined ? undefined : root + wanted;
    t.equal(directoryInRoot(root, path), expected, path);
  }
  t.equal(readInRoot(root, '/file', 10), 'text');
  t.equal(readInRoot(root, '/file', 3), '', 'too long');
  t.equal(readInRoot(root, '/climbing/inner', 10), '');
  t.end();
});

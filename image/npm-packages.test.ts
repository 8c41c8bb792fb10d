import t from 'tap';
import { npmPackages } from './npm-packages.ts';

const lock = {
  packages: {
    'node_modules/ws': { version: '8.0.0', license: 'MIT', integrity: 'sha512-AAAA' },
    'node_modules/@peculiar/x509': { version: '2.0.0' },
    'node_modules/@peculiar/x509/node_modules/tslib': { version: '1.0.0' },
    'node_modules/tslib': { version: '2.0.0' },
    'node_modules/broken': {},
  },
};

t.test('npmPackages() names each package once, nested ones by themselves', async (t) => {
  const paths = [
    'node_modules/ws/lib/sender.js',
    'node_modules/ws/index.js',
    'control/main.ts',
    'node_modules/tslib/tslib.es6.mjs',
    'node_modules/@peculiar/x509/node_modules/tslib/tslib.js',
    'node_modules/@peculiar/x509',
  ];
  t.same(npmPackages(lock, paths), [
    { name: '@peculiar/x509', version: '2.0.0', license: undefined, integrity: undefined },
    { name: 'tslib', version: '1.0.0', license: undefined, integrity: undefined },
    { name: 'tslib', version: '2.0.0', license: undefined, integrity: undefined },
    { name: 'ws', version: '8.0.0', license: 'MIT', integrity: 'sha512-AAAA' },
  ]);
});

t.test('npmPackages() refuses what the lock does not know', async (t) => {
  t.throws(() => npmPackages(lock, ['node_modules/left/x.js']), /lacks node_modules\/left/);
  t.throws(
    () => npmPackages(lock, ['node_modules/broken/x.js']),
    /no version of node_modules\/broken/,
  );
});

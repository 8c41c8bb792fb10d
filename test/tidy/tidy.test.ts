import t from 'tap';
import { missingEntries } from './package-lock.ts';
import { findBreaches } from './tidy.ts';

const cases = [
  {
    name: 'allows base in net',
    file: 'net/a.ts',
    text: "import { x } from '#base/x.ts';\n",
    breach: undefined,
  },
  {
    name: 'forbids net in base',
    file: 'base/a.ts',
    text: "import { x } from '#net/x.ts';\n",
    breach: /must not import net/,
  },
  {
    name: 'forbids control in daemon',
    file: 'daemon/k/a.ts',
    text: "import { x } from '#control/api/x.ts';\n",
    breach: /daemon must not import/,
  },
  {
    name: 'sees relative ways out',
    file: 'control/a.ts',
    text: "import { x } from '../daemon/x.ts';\n",
    breach: /control must not import/,
  },
  {
    name: 'bans the clock in pure code',
    file: 'control/raft/a.ts',
    text: 'const t = Date.now();\n',
    breach: /Date/,
  },
  {
    name: 'allows words in comments of pure code',
    file: 'control/raft/a.ts',
    text: '// no Date.now here\n',
    breach: undefined,
  },
  {
    name: 'bounds the length of a file',
    file: 'base/a.ts',
    text: 'x\n'.repeat(701),
    breach: /701 lines/,
  },
  {
    name: 'names no registry',
    file: 'README.md',
    text: `https://registry.npm${'js'}.org\n`,
    breach: /names a package registry/,
  },
];
for (const c of cases) {
  t.test(`findBreaches() ${c.name}`, async (t) => {
    const found = findBreaches(new Map([[c.file, c.text]]));
    if (c.breach === undefined) t.same(found, []);
    else t.match(found, [{ file: c.file, text: c.breach }]);
  });
}

t.test('missingEntries() enters platform builds that a registry lacked', async (t) => {
  const packages = {
    '': {},
    'node_modules/x': {
      version: '1.0.0',
      optionalDependencies: { '@x/linux-x64-musl': '1.0.0', '@x/linux-x64': '1.0.0', loose: '^2' },
    },
    'node_modules/@x/linux-x64': { version: '1.0.0' },
  };
  t.same(missingEntries(packages), {
    'node_modules/@x/linux-x64-musl': {
      version: '1.0.0',
      optional: true,
      os: ['linux'],
      cpu: ['x64'],
      libc: ['musl'],
    },
  });
});

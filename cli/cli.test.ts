import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseClientConfig } from '#base/client-config.ts';
import { parseClusterSecrets, parseMachineConfig } from '#base/machine-config.ts';
import { formatBytes, formatRows, formatSeconds } from './output.ts';

const dir = mkdtempSync(join(tmpdir(), 'cli-'));
const run = (...args: string[]) => {
  const main = join(import.meta.dirname, 'main.ts');
  const env = { ...process.env, BAREBOAT_CONFIG: '', HOME: dir };
  return spawnSync(process.execPath, ['--no-warnings', main, ...args], {
    cwd: dir,
    env,
    encoding: 'utf8',
  });
};

t.test('init writes what a machine and its owner need, once', async (t) => {
  const good = run('init', '--cluster', 'home', '--node', 'n1', '--endpoint', '192.0.2.1:50000');
  t.equal(good.status, 0, good.stderr);
  t.equal(parseMachineConfig(readFileSync(join(dir, 'n1.yaml'), 'utf8')).cluster.name, 'home');
  t.ok(parseClusterSecrets(readFileSync(join(dir, 'secrets.yaml'), 'utf8')));
  t.same(parseClientConfig(readFileSync(join(dir, 'bareboat.yaml'), 'utf8')).endpoints, [
    '192.0.2.1:50000',
  ]);
  for (const name of ['secrets.yaml', 'bareboat.yaml'])
    t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  const again = run('init', '--cluster', 'home', '--node', 'n1');
  t.equal(again.status, 2);
  t.match(again.stderr, /secrets.yaml.* exists already: --force/);
});

const failures = [
  {
    name: 'a configuration with an unknown key',
    args: ['config', 'validate', 'bad.yaml'],
    status: 2,
    text: /node.nam: unknown key; did you mean name\?/,
  },
  {
    name: 'a client configuration that is not there',
    args: ['--config', 'none.yaml', 'status'],
    status: 2,
    text: /none.yaml does not exist/,
  },
  {
    name: 'a machine that cannot be reached',
    args: ['--endpoint', '127.0.0.1:9', 'status'],
    status: 3,
    text: /cannot reach 127.0.0.1:9: .*ECONNREFUSED/,
  },
  {
    name: 'maintenance without a fingerprint',
    args: ['config', 'apply', 'n1.yaml', '--insecure'],
    status: 2,
    text: /--fingerprint/,
  },
  {
    name: 'a malformed fingerprint',
    args: [
      '--endpoint',
      '127.0.0.1:9',
      'config',
      'apply',
      'n1.yaml',
      '--insecure',
      '--fingerprint',
      'AB:CD',
    ],
    status: 2,
    text: /AB:CD: expected SHA-256/,
  },
  { name: 'an unknown command', args: ['frobnicate'], status: 2, text: /unknown command/ },
] as const;
for (const c of failures) {
  t.test(`bareboat explains ${c.name} in a line`, async (t) => {
    writeFileSync(join(dir, 'bad.yaml'), 'version: 1\nnode: {nam: n1}\ncluster: {name: c}\n');
    t.ok(existsSync(join(dir, 'n1.yaml')));
    const { status, stderr } = run(...c.args);
    t.equal(status, c.status, stderr);
    t.match(stderr, c.text);
  });
}

t.test('formatBytes() and formatSeconds() are short', async (t) => {
  t.same([0, 1023, 1536, 150 << 20, 3 * 2 ** 30].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '150 MiB',
    '3.0 GiB',
  ]);
  t.same([0, 42, 125, 7500, 273_600].map(formatSeconds), ['0s', '42s', '2m5s', '2h5m', '3d4h']);
});

t.test('formatRows() aligns columns, and shows values to programs', async (t) => {
  const columns = [
    { title: 'NAME', value: (row: { name: string }) => row.name },
    { title: 'LENGTH', value: (row: { name: string }) => String(row.name.length) },
  ];
  const rows = [{ name: 'agent' }, { name: 'x' }];
  t.equal(
    formatRows('table', rows, { columns, value: rows }),
    'NAME    LENGTH\nagent   5\nx       1',
  );
  t.equal(formatRows('yaml', rows, { columns, value: rows }), '- name: agent\n- name: x');
});

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { formatEndpoint, parseClientConfig, parseEndpoint } from '#base/client-config.ts';
import { parseClusterSecrets, parseMachineConfig } from '#base/machine-config.ts';
import { runCli } from './test-run.ts';
import { formatBytes, formatRows, formatSeconds } from './output.ts';

const dir = mkdtempSync(join(tmpdir(), 'cli-'));
process.chdir(dir);
process.env['BAREBOAT_CONFIG'] = '';
process.env['HOME'] = dir;
const run = (...args: string[]) => runCli(args, AbortSignal.timeout(20_000));

t.test('init writes what a machine and its owner need, once', async (t) => {
  const good = await run(
    'init',
    '--cluster',
    'home',
    '--node',
    'n1',
    '--endpoint',
    '192.0.2.1:50000',
  );
  t.equal(good.code, 0, good.notes);
  t.equal(parseMachineConfig(readFileSync(join(dir, 'n1.yaml'), 'utf8')).cluster.name, 'home');
  t.ok(parseClusterSecrets(readFileSync(join(dir, 'secrets.yaml'), 'utf8')));
  const { contexts, currentContext } = parseClientConfig(
    readFileSync(join(dir, 'bareboat.yaml'), 'utf8'),
  );
  t.equal(currentContext, 'home');
  t.match(contexts, { home: { endpoints: ['192.0.2.1:50000'] } });
  for (const name of ['secrets.yaml', 'bareboat.yaml'])
    t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  const again = await run('init', '--cluster', 'home', '--node', 'n1');
  t.equal(again.code, 2);
  t.match(again.notes, /secrets.yaml.* exists already: --force/);
  for (const name of ['secrets.yaml', 'bareboat.yaml']) chmodSync(join(dir, name), 0o644);
  t.match(await run('init', '--cluster', 'home', '--node', 'n1', '--force'), { code: 0 });
  for (const name of ['secrets.yaml', 'bareboat.yaml'])
    t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, `${name}, replaced`);
});

const failures = [
  {
    name: 'a configuration with an unknown key',
    args: ['config', 'validate', 'bad.yaml'],
    code: 2,
    text: /node.nam: unknown key; did you mean name\?/,
  },
  {
    name: 'a client configuration that is not there',
    args: ['--config', 'none.yaml', 'status'],
    code: 2,
    text: /none.yaml does not exist/,
  },
  {
    name: 'a machine that cannot be reached',
    args: ['--endpoint', '127.0.0.1:9', 'status'],
    code: 3,
    text: /cannot reach 127.0.0.1:9: .*ECONNREFUSED/,
  },
  {
    name: 'maintenance without a fingerprint',
    args: ['config', 'apply', 'n1.yaml', '--insecure'],
    code: 2,
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
    code: 2,
    text: /AB:CD: expected SHA-256/,
  },
  { name: 'an unknown command', args: ['frobnicate'], code: 2, text: /unknown command/ },
  { name: 'a command without its argument', args: ['logs'], code: 2, text: /argument 'service'/ },
  { name: 'a group without a command', args: ['image'], code: 2, text: /Usage: bareboat image/ },
  {
    name: 'an output format that it does not know',
    args: ['status', '-o', 'xml'],
    code: 2,
    text: /'xml' is invalid.*table, json, yaml/,
  },
  ...['x', '-1', '0', '1.5', '4294967296', ''].map((tail) => ({
    name: `--tail '${tail}'`,
    args: ['logs', 'agent', `--tail=${tail}`],
    code: 2,
    text: new RegExp(`--tail <lines>' argument '${tail}' is invalid.*from 1 to 4294967295`),
  })),
  ...['host:0', 'host:65536', 'host:x', '[::1', '[192.0.2.1]:1', 'fe80::1%eth0', ''].map((at) => ({
    name: `--endpoint '${at}'`,
    args: [`--endpoint=${at}`, 'status'],
    code: 2,
    text: /--endpoint <host:port>' argument '.*' is invalid.*\[IPv6\]:PORT/,
  })),
  {
    name: 'a machine configuration that is not there',
    args: ['config', 'apply', 'none.yaml'],
    code: 2,
    text: /cannot read none.yaml: it does not exist/,
  },
  {
    name: 'a machine configuration that is a directory',
    args: ['config', 'validate', '.'],
    code: 2,
    text: /cannot read \.: it is a directory/,
  },
  {
    name: 'a place for its files that is none',
    args: ['init', '--cluster', 'c', '--node', 'n2', '--output', 'n1.yaml/x'],
    code: 2,
    text: /cannot write n1.yaml\/x: a part of its path is no directory/,
  },
  {
    name: 'an address of the API server that is none',
    args: ['kubeconfig', '--server', '192.0.2.1:6443'],
    code: 2,
    text: /--server <url>' argument '192.0.2.1:6443' is invalid. Expected https:/,
  },
  {
    name: 'secrets that are not there',
    args: ['config', 'apply', 'n1.yaml', '--secrets', 'none.yaml'],
    code: 2,
    text: /cannot read none.yaml: it does not exist/,
  },
  {
    name: 'secrets that are none',
    args: ['config', 'apply', 'n1.yaml', '--secrets', 'n1.yaml'],
    code: 2,
    text: /n1.yaml: machineCa: .*node: unknown key/,
  },
  {
    name: 'an image archive that is not there',
    args: ['image', 'import', 'n1.yaml', 'none.tar'],
    code: 2,
    text: /cannot read none.tar: it does not exist/,
  },
  {
    name: 'a client configuration with an unknown key',
    args: ['--config', 'n1.yaml', 'status'],
    code: 2,
    text: /n1.yaml: .*node: unknown key/,
  },
  ...['bareboat', 'secrets'].map((node) => ({
    name: `a node whose file would replace another: ${node}`,
    args: ['init', '--cluster', 'c', '--node', node, '--output', 'elsewhere'],
    code: 2,
    text: new RegExp(`--node ${node}: ${node}.yaml is the name of another file`),
  })),
];
for (const c of failures) {
  t.test(`bareboat explains ${c.name} in a line`, async (t) => {
    writeFileSync(join(dir, 'bad.yaml'), 'version: 1\nnode: {nam: n1}\ncluster: {name: c}\n');
    t.ok(existsSync(join(dir, 'n1.yaml')));
    const { code, notes } = await run(...c.args);
    t.equal(code, c.code, notes);
    t.match(notes, c.text);
  });
}

const endpoints = [
  ['node', { host: 'node', port: 50000 }, 'node:50000'],
  ['192.0.2.1:1', { host: '192.0.2.1', port: 1 }, '192.0.2.1:1'],
  ['::1', { host: '::1', port: 50000 }, '[::1]:50000'],
  ['[::1]', { host: '::1', port: 50000 }, '[::1]:50000'],
  ['[2001:db8::7]:65535', { host: '2001:db8::7', port: 65535 }, '[2001:db8::7]:65535'],
] as const;
for (const [text, endpoint, formatted] of endpoints) {
  t.test(`parseEndpoint() understands ${text}`, async (t) => {
    t.same(parseEndpoint(text), endpoint);
    t.equal(formatEndpoint(endpoint), formatted);
  });
}

t.test('main.ts ends with the exit code, and one line on standard error', async (t) => {
  const main = join(import.meta.dirname, 'main.ts');
  const args = ['--no-warnings', main, '--config', 'none.yaml', 'status'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.same([status, stdout], [2, '']);
  t.equal(stderr, 'bareboat: client configuration none.yaml does not exist\n');
});

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

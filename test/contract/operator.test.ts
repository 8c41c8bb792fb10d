/**
 * Every command of `bareboat` against a gateway process: what it asks the machine for, what it prints in each
 * format, who may. Behind the gateway stand tables that write down what they were asked.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parse, parseAllDocuments } from 'yaml';
import { contextOf, formatClientConfig, parseClientConfig } from '#base/client-config.ts';
import { parseClusterSecrets } from '#base/machine-config.ts';
import { writePkiFiles } from '#base/pki/node-certificates.ts';
import { createCa, fingerprint, issueLeaf, type KeyPair } from '#base/pki/pki.ts';
import { Images, type LogRequest, Machine } from '#base/protocol/bareboat.gen.ts';
import { ProtocolError } from '#base/protocol/frames.ts';
import { type Method, ServiceTable } from '#base/protocol/protocol.ts';
import { serveMachineSocket } from '#base/protocol/serve-socket.ts';
import { runCli } from '#cli/test-run.ts';

const checkout = dirname(dirname(import.meta.dirname));
const nowMs = Date.now();
const lifetimeMs = 3_600_000;
// Not t.testdir(): paths of sockets end at 107 bytes.
const dir = mkdtempSync(join(tmpdir(), 'operator-'));
const path = (name: string) => join(dir, name);
process.env['BAREBOAT_CONFIG'] = path('bareboat.yaml');

const run = (...args: string[]) => runCli(args, AbortSignal.timeout(20_000));

/** Runs a command that must succeed; returns what it printed. */
async function good(...args: string[]): Promise<string> {
  const { code, out, notes } = await run(...args);
  if (code !== 0) throw new Error(`${args.join(' ')}: code ${code}: ${notes}`);
  return out;
}

const asked: { method: string; request: unknown }[] = [];
const events = [
  { atMs: 1_800_000_000_000, source: 'machine', message: 'cluster bootstrapped', level: 'info' },
  { atMs: 1_800_000_001_000, source: 'agent', message: 'ended: code 1', level: 'warning' },
];
const status = {
  nodeName: 'n1',
  stage: 'starting',
  blockedBy: ['the cluster was not bootstrapped'],
  uptimeSeconds: 125,
  addresses: ['192.0.2.1', '2001:db8::1'],
  memoryTotalBytes: 2 ** 30,
  memoryAvailableBytes: 2 ** 29,
  disks: [{ name: 'STATE', mountPoint: '/state', sizeBytes: 2 ** 28, freeBytes: 2 ** 27 }],
  controlPlane: false,
};
const service = {
  name: 'agent',
  state: 'running',
  pid: 77,
  restarts: 2,
  runningSeconds: 3,
  memoryBytes: 1536,
};
const image = {
  id: 'sha256:0123456789abcdef0123',
  tags: ['a:1', 'a:2'],
  digests: [],
  sizeBytes: 150 << 20,
};
let imported = 0;

function tables(): { supervisor: ServiceTable; agent: ServiceTable } {
  const supervisor = new ServiceTable();
  const answer = <Req, Res>(method: Method<Req, Res>, response: Partial<Res>) =>
    supervisor.unary(method, async (request) => {
      asked.push({ method: method.name, request });
      return response;
    });
  answer(Machine.GetVersion, { version: '9.8.7', kubernetes: 'v1.36', kernel: '6.12' });
  answer(Machine.GetStatus, status);
  answer(Machine.GetConfig, { yaml: 'version: 1\nnode:\n  name: n1\n' });
  answer(Machine.ApplyConfig, { effect: 'live', warnings: ['careful'], diff: '-a\n+b\n' });
  answer(Machine.Bootstrap, {});
  answer(Machine.GetKubeconfig, { yaml: 'kind: Config\n' });
  answer(Machine.ListServices, { services: [{ ...service, lastExit: '', waitingFor: [] }] });
  answer(Machine.Reboot, {});
  answer(Machine.Shutdown, {});
  const readLog = (method: typeof Machine.ReadLog) =>
    supervisor.stream(method, async function* (requests: AsyncIterable<LogRequest>) {
      for await (const request of requests) {
        asked.push({ method: method.name, request });
        if (request.service === 'none') throw new ProtocolError('NOT_FOUND', 'no service none');
        yield { data: Buffer.from('first\n') };
        yield { data: Buffer.from('second\n') };
        return;
      }
    });
  readLog(Machine.ReadLog);
  readLog(Machine.ReadKernelLog);
  supervisor.stream(Machine.WatchEvents, async function* (requests) {
    for await (const request of requests) {
      asked.push({ method: 'WatchEvents', request });
      yield* events;
      return;
    }
  });
  const agent = new ServiceTable()
    .unary(Images.List, async () => ({ images: [image] }))
    .stream(Images.Import, async function* (requests) {
      for await (const { data } of requests) imported += data.length;
      yield { names: ['a:1', 'a:2'] };
    });
  return { supervisor, agent };
}

/** The last request of a method, since the last look. */
function takeAsked(method: string): unknown {
  const found = asked.findLast((call) => call.method === method);
  asked.length = 0;
  return found?.request;
}

interface Started {
  readonly process: ChildProcess;
  readonly endpoint: string;
}

/** Starts the gateway's own main file; resolves when it says on which port it listens. */
async function startGateway(name: string, maintenance: boolean, host: string): Promise<Started> {
  const config = {
    listen: { host, port: 0 },
    pkiDir: path(`pki-${name}`),
    maintenance,
    sockets: { supervisor: path('s.sock'), agent: path('a.sock'), control: path('c.sock') },
  };
  writeFileSync(path(`${name}.json`), JSON.stringify(config));
  const main = join(checkout, 'daemon/gateway/main.ts');
  const child = spawn(process.execPath, ['--no-warnings', main, path(`${name}.json`)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, 'exit');
  });
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    const port = /"port":(\d+)/.exec(line)?.[1] ?? / port=(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stderr.resume();
    return {
      process: child,
      endpoint: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    };
  }
  throw new Error(`gateway ${name} did not start: ${said.join(' ')}`);
}

async function writeServerPki(name: string, ca: KeyPair, withCa: boolean): Promise<string> {
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'n1' },
    usages: ['server'],
    nowMs,
    lifetimeMs,
  });
  const files = new Map([
    ['server.crt', leaf.certificate],
    ['server.key', leaf.key],
  ]);
  if (withCa) files.set('ca.crt', ca.certificate);
  writePkiFiles(path(`pki-${name}`), files);
  return fingerprint(leaf.certificate);
}

let gateway: Started;
let waiting: Started;
let shown = '';

t.before(async () => {
  await good('init', '--cluster', 'home', '--node', 'n1', '--output', dir);
  const { supervisor, agent } = tables();
  const servers = [
    await serveMachineSocket(path('s.sock'), supervisor),
    await serveMachineSocket(path('a.sock'), agent),
  ];
  t.teardown(() => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    rmSync(dir, { recursive: true });
  });
  const { machineCa } = parseClusterSecrets(readFileSync(path('secrets.yaml'), 'utf8'));
  await writeServerPki('home', machineCa, true);
  gateway = await startGateway('home', false, '127.0.0.1');
  const other = await createCa({ commonName: 'maintenance', nowMs, lifetimeMs });
  shown = await writeServerPki('waiting', other, false);
  waiting = await startGateway('waiting', true, '::1');
  await good('config', 'endpoint', gateway.endpoint);
});

t.test('version shows this program and the machine', async (t) => {
  t.match(await good('version'), /^client: +\d+\.\d+\.\d+\nversion: +9\.8\.7\n/);
  t.match(parse(await good('version', '-o', 'yaml')), { machine: { kernel: '6.12' } });
  t.match(JSON.parse(await good('version', '-o', 'json')), { machine: { version: '9.8.7' } });
  const alone = JSON.parse(
    await good('--endpoint', '127.0.0.1:9', 'version', '--client', '-o', 'json'),
  );
  t.same(Object.keys(alone), ['client']);
});

t.test('status', async (t) => {
  const table = await good('status');
  t.match(table, /node name: +n1\n/);
  t.match(table, /addresses: +192\.0\.2\.1, 2001:db8::1\n/);
  t.match(table, /uptime: +2m5s\n/);
  t.match(table, /memory: +512 MiB available of 1\.0 GiB\n/);
  t.match(table, /volume STATE: +128 MiB free of 256 MiB\n/);
  t.match(table, /blocked by: the cluster was not bootstrapped\n$/);
  t.match(JSON.parse(await good('status', '-o', 'json')), status);
  t.match(parse(await good('status', '-o', 'yaml')), status);
});

t.test('services', async (t) => {
  const [title = '', line = ''] = (await good('services')).split('\n');
  t.match(title, /^NAME +STATE +PID +RESTARTS +RUNNING +MEMORY +LAST EXIT$/);
  t.match(line, /^agent +running +77 +2 +3s +1\.5 KiB +-$/);
  t.match(JSON.parse(await good('services', '-o', 'json')), [service]);
  t.match(parse(await good('services', '-o', 'yaml')), [service]);
});

t.test('logs and dmesg', async (t) => {
  t.equal(await good('logs', 'agent', '--tail', '7', '-f'), 'first\nsecond\n');
  t.match(takeAsked('ReadLog'), { service: 'agent', follow: true, tail: 7 });
  await good('logs', 'agent');
  t.match(takeAsked('ReadLog'), { follow: false, tail: 0 }, 'all that is kept');
  t.equal(await good('dmesg', '--tail', '3'), 'first\nsecond\n');
  t.match(takeAsked('ReadKernelLog'), { follow: false, tail: 3 });
  t.match(await run('logs', 'none'), { code: 1, notes: /no service none/ });
});

t.test('events', async (t) => {
  const [line] = (await good('events')).split('\n');
  t.equal(line, '2027-01-15T08:00:00.000Z info machine: cluster bootstrapped');
  t.match(takeAsked('WatchEvents'), { tail: 100, follow: false });
  const lines = (await good('events', '-o', 'json', '--tail', '5')).trim().split('\n');
  t.same(
    lines.map((text) => JSON.parse(text)),
    events,
    'a line for each',
  );
  t.match(takeAsked('WatchEvents'), { tail: 5 });
  const documents = parseAllDocuments(await good('events', '-o', 'yaml'));
  t.same(
    documents.map((document) => document.toJS()),
    events,
    'a document for each',
  );
});

t.test('config apply and get', async (t) => {
  const machine = path('n1.yaml');
  const { code, out, notes } = await run('config', 'apply', machine, '--mode', 'dry-run');
  t.same({ code, out }, { code: 0, out: '-a\n+b\n' });
  t.equal(notes, 'warning: careful\napplied (live)\n');
  t.same(takeAsked('ApplyConfig'), {
    yaml: readFileSync(machine, 'utf8'),
    mode: 'dry-run',
    secrets: '',
  });
  await good('config', 'apply', machine, '--secrets', path('secrets.yaml'));
  t.match(takeAsked('ApplyConfig'), {
    mode: 'live',
    secrets: readFileSync(path('secrets.yaml'), 'utf8'),
  });
  t.match(JSON.parse(await good('config', 'apply', machine, '-o', 'json')), {
    effect: 'live',
    warnings: ['careful'],
  });
  t.equal(await good('config', 'get'), 'version: 1\nnode:\n  name: n1\n');
  t.same(JSON.parse(await good('config', 'get', '-o', 'json')), {
    version: 1,
    node: { name: 'n1' },
  });
});

t.test('bootstrap, reboot and shutdown', async (t) => {
  for (const [command, method] of [
    ['bootstrap', 'Bootstrap'],
    ['reboot', 'Reboot'],
    ['shutdown', 'Shutdown'],
  ] as const) {
    await good(command);
    t.same(takeAsked(method), {}, command);
  }
});

t.test(
  'kubeconfig writes for its owner alone, also over a file that others could read',
  async (t) => {
    t.equal(await good('kubeconfig'), 'kind: Config\n');
    const file = path('kubeconfig');
    writeFileSync(file, 'old', { mode: 0o644 });
    await good('kubeconfig', '--server', 'https://192.0.2.1:6443', '--output', file);
    t.match(takeAsked('GetKubeconfig'), { server: 'https://192.0.2.1:6443' });
    t.equal(readFileSync(file, 'utf8'), 'kind: Config\n');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.match(await run('kubeconfig', '--output', path('none/kubeconfig')), {
      code: 2,
      notes: /cannot write .*none\/kubeconfig: its directory does not exist/,
    });
  },
);

t.test('image import and list', async (t) => {
  const archive = path('a.tar');
  writeFileSync(archive, Buffer.alloc(3 << 20));
  const { notes } = await run('image', 'import', archive, archive);
  t.match(notes, /a\.tar: 1\.\d MiB of 3\.0 MiB\n/);
  t.match(notes, /imported a:1 a:2\n$/);
  t.equal(imported, 6 << 20);
  t.match(await good('image', 'list'), /\na:1, a:2 +sha256:0123456789ab +150 MiB\n$/);
  t.match(JSON.parse(await good('image', 'list', '-o', 'json')), [image]);
  t.match(parse(await good('image', 'list', '-o', 'yaml')), [image]);
});

t.test('a machine in maintenance is asked over IPv6, with its fingerprint', async (t) => {
  const insecure = ['--insecure', '--fingerprint', shown];
  const at = ['--endpoint', waiting.endpoint];
  t.match(await good(...at, 'version', ...insecure), /version: +9\.8\.7/);
  t.match(await good(...at, 'status', ...insecure), /stage: +starting/);
  t.match(await good(...at, 'events', ...insecure), /bootstrapped/);
  const secrets = ['--secrets', path('secrets.yaml')];
  await good(...at, 'config', 'apply', path('n1.yaml'), ...secrets, ...insecure);
  t.match(await run(...at, 'status'), { code: 3, notes: /another machine CA.*--insecure/ });
  const wrong = shown.replace(/^../, shown.startsWith('00') ? '11' : '00');
  const refused = await run(...at, 'status', '--insecure', '--fingerprint', wrong);
  t.match(refused, {
    code: 3,
    notes: new RegExp(`${waiting.endpoint.replace(/[[\]]/g, '\\$&')} is`),
  });
  t.match(await run(...at, 'status', '--fingerprint', shown), {
    code: 2,
    notes: /--fingerprint goes with --insecure/,
  });
});

t.test('users get credentials of a role, and can do what it allows', async (t) => {
  for (const role of ['reader', 'operator', 'admin']) {
    const file = path(`${role}.yaml`);
    const made = ['--secrets', path('secrets.yaml'), '--user', `a-${role}`, '--role', role];
    await good('config', 'new', file, ...made);
    t.equal(statSync(file).mode & 0o777, 0o600);
  }
  const as = (role: string, ...args: string[]) => run('--config', path(`${role}.yaml`), ...args);
  t.match(await as('reader', 'status'), { code: 0 });
  t.match(await as('reader', 'reboot'), {
    code: 3,
    notes: 'Machine.Reboot needs role operator, a-reader is reader\n',
  });
  t.match(await as('operator', 'reboot'), { code: 0 });
  t.match(await as('operator', 'kubeconfig'), {
    code: 3,
    notes: /needs role admin, a-operator is operator/,
  });
  t.match(await as('admin', 'kubeconfig'), { code: 0 });
});

t.test("a stranger's certificate is refused", async (t) => {
  mkdirSync(path('other'));
  await good('init', '--cluster', 'other', '--node', 'n1', '--output', path('other'));
  const strangers = ['--config', path('other/bareboat.yaml'), '--endpoint', gateway.endpoint];
  t.match(await run(...strangers, 'status'), { code: 3, notes: /another machine CA/ });
  // One that trusts the machine, but is known to nobody there.
  const [own, other] = ['bareboat.yaml', 'other/bareboat.yaml'].map((name) =>
    contextOf(parseClientConfig(readFileSync(path(name), 'utf8')), undefined),
  );
  if (own === undefined || other === undefined) throw new Error('two were read');
  const contexts = { other: { ...other, ca: own.ca } };
  const mixed = formatClientConfig({ version: 1, currentContext: 'other', contexts });
  writeFileSync(path('mixed.yaml'), mixed);
  const result = await run(
    '--config',
    path('mixed.yaml'),
    '--endpoint',
    gateway.endpoint,
    'status',
  );
  t.match(result, {
    code: 3,
    notes: /refuses: the client certificate is not of this machine's CA/,
  });
});

t.test('contexts: several clusters in one file', async (t) => {
  const own = ['--config', path('own/config.yaml')];
  await good(...own, 'config', 'merge', path('bareboat.yaml'));
  await good(...own, 'config', 'merge', path('other/bareboat.yaml'));
  t.equal(statSync(path('own/config.yaml')).mode & 0o777, 0o600);
  t.same(JSON.parse(await good(...own, 'config', 'contexts', '-o', 'json')), [
    { name: 'home', endpoints: [gateway.endpoint], current: true },
    { name: 'other', endpoints: [], current: false },
  ]);
  t.match(await good(...own, 'config', 'contexts'), /^CURRENT +NAME +ENDPOINTS\n\* +home +127/);
  t.match(await good(...own, 'status', '-o', 'json'), /"n1"/);
  await good(...own, 'config', 'use-context', 'other');
  t.match(await run(...own, 'status'), { code: 2, notes: /no endpoint/ });
  t.match(await good(...own, '--context', 'home', 'status', '-o', 'json'), /"n1"/);
  await good(...own, 'config', 'endpoint', '192.0.2.7', '[2001:db8::7]:50001');
  const [, other] = JSON.parse(await good(...own, 'config', 'contexts', '-o', 'json'));
  t.same(other, { name: 'other', endpoints: ['192.0.2.7', '[2001:db8::7]:50001'], current: true });
  t.match(await run(...own, 'config', 'merge', path('bareboat.yaml')), {
    code: 2,
    notes: /context home exists already: --force/,
  });
  t.match(await run(...own, '--context', 'work', 'status'), {
    code: 2,
    notes: /no context work: there are home, other/,
  });
  t.match(await run(...own, 'config', 'use-context', 'work'), {
    code: 2,
    notes: /no context work/,
  });
});

t.test('the next endpoint is tried when one does not answer', async (t) => {
  await good('config', 'endpoint', '127.0.0.1:9', gateway.endpoint);
  t.match(await good('status'), /n1/);
  await good('config', 'endpoint', '127.0.0.1:9', '[::1]:9');
  t.match(await run('status'), {
    code: 3,
    notes: /cannot reach 127\.0\.0\.1:9: .*; cannot reach \[::1\]:9: /,
  });
});

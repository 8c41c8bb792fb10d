/**
 * Logs, exec, attach and cp on a development node: through kubectl, and byte by byte over each of the
 * WebSocket protocols that clients speak.
 */
import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { BUSYBOX, cannotRun, eventually, pod, scriptPod, TestNode } from './node.ts';

const reason = cannotRun();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

let node: TestNode;

const WAIT = 'while :; do sleep 0.1; done';
const LONG = 40_000;

const pods: readonly object[] = [
  scriptPod('base', WAIT),
  scriptPod('talks', `echo old; echo older >&2; sleep 4; echo new; printf 'no newline'; ${WAIT}`),
  scriptPod('counts', 'for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done'),
  scriptPod('long', `head -c ${LONG} /dev/zero | tr '\\0' x; echo; printf '\\377\\001\\n'`),
  scriptPod('silent', 'true'),
  {
    ...pod('two', {}),
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      containers: ['a', 'b'].map((name) => ({
        name,
        image: BUSYBOX,
        command: ['sh', '-c', `echo from ${name}; ${WAIT}`],
      })),
    },
  },
  pod('listens', {
    command: [
      'sh',
      '-c',
      'while read line; do echo got $line; echo err $line >&2; done; echo end; exit 4',
    ],
    stdin: true,
    stdinOnce: true,
  }),
  pod('terminal', { command: ['sh'], stdin: true, tty: true }),
  pod('no-image', { image: 'localhost/none:1', imagePullPolicy: 'Never' }),
];

t.before(async () => {
  node = await TestNode.start();
  await node.create(...pods);
  await node.waitFor('base', '{.status.phase}', 'Running');
});
t.teardown(() => node[Symbol.asyncDispose]());

const lines = (text: string) => text.trimEnd().split('\n');

t.test('logs', async (t) => {
  const logs = (...args: string[]) => node.kubectl('logs', ...args);
  t.equal(await logs('counts', '-f'), 'line 1\nline 2\nline 3\nline 4\nline 5\n', 'to its end');
  t.equal(await logs('counts', '--tail=2'), 'line 4\nline 5\n');
  t.equal(await logs('counts', '--tail=0'), '');
  t.equal(await logs('counts', '--limit-bytes=10'), 'line 1\nlin');
  const stamped = lines(await logs('counts', '--timestamps'));
  for (const line of stamped) t.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d$/);
  const since = stamped[3]?.slice(0, 19) ?? ''; // Clients send whole seconds.
  const later = stamped.filter((line) => line.slice(0, 19) >= since);
  t.equal(
    await logs('counts', `--since-time=${since}Z`),
    later.map((line) => `${line.slice(31)}\n`).join(''),
  );
  await eventually('the second half is there', async () => (await logs('talks')).includes('new'));
  t.equal(await logs('talks', '--since=3s'), 'new\nno newline');
  t.same(lines(await logs('talks')).toSorted(), ['new', 'no newline', 'old', 'older']);
  const [long = '', bytes] = lines(await logs('long'));
  t.equal(long, 'x'.repeat(LONG), 'a long line is whole');
  t.equal(bytes, Buffer.from([0xff, 1]).toString());
  t.equal(await logs('silent'), '');
  t.same(lines(await logs('two', '--all-containers', '--prefix')).toSorted(), [
    '[pod/two/a] from a',
    '[pod/two/b] from b',
  ]);
  for (const [args, text] of [
    [['base', '--previous'], 'previous terminated container "main" in pod "base" not found'],
    [['base', '-c', 'none'], 'container none is not valid for pod base'],
    [['no-image'], 'container "main" in pod "no-image" is waiting to start: ErrImageNeverPull'],
  ] as const) {
    t.match(await node.run(['logs', ...args]), { code: 1, stderr: text });
  }
});

t.test('exec through kubectl', async (t) => {
  const exec = (command: readonly string[], ...options: string[]) =>
    node.run(['exec', ...options, 'base', '--', ...command]);
  t.match(await exec(['sh', '-c', 'echo out; echo err >&2; exit 3']), {
    code: 3,
    stdout: 'out\n',
    stderr: 'err\ncommand terminated with exit code 3\n',
  });
  const data = randomBytes(3 << 20).toString('base64');
  const sum = await node.run(['exec', '-i', 'base', '--', 'md5sum'], { input: data });
  t.match(sum.stdout, createHash('md5').update(data).digest('hex'));
  const echoed = await node.run(['exec', '-i', 'base', '--', 'cat'], { input: data });
  t.ok(echoed.stdout === data, 'what goes in comes out');
  t.match(await exec(['none']), { code: /^[1-9]/, stderr: /"none": executable file not found/ });
  t.match(await node.run(['exec', 'two', '--', 'true']), {
    code: 0,
    stderr: /Defaulted container "a" out of: a, b/,
  });
  t.match(await node.run(['exec', 'two', '-c', 'none', '--', 'true']), {
    code: 1,
    stderr: /container none is not valid for pod two/,
  });
  const many = await Promise.all(
    Array.from({ length: 8 }, (_, i) => node.exec('base', `echo ${i}`)),
  );
  t.same(many, ['0\n', '1\n', '2\n', '3\n', '4\n', '5\n', '6\n', '7\n']);
});

t.test('a client that goes away takes its process along', async (t) => {
  const child = node.spawn('exec', 'base', '--', 'sleep', '4321');
  const running = async () => (await node.exec('base', 'ps')).includes('sleep 4321');
  await eventually('it runs', running);
  child.kill('SIGKILL');
  await eventually('it is gone', async () => !(await running()));
  t.pass('gone');
});

interface Session {
  /** What came on each channel so far. */
  readonly channels: Map<number, string>;
  send(channel: number, data: string | Uint8Array): void;
  /** Waits for a text on a channel. */
  until(channel: number, text: string | RegExp): Promise<void>;
  /** Resolves when the server has closed. */
  readonly closed: Promise<number>;
}

/** Opens a stream of a pod as a client of its own. */
async function open(
  path: string,
  protocol: string,
  query: readonly (readonly [string, string])[],
): Promise<Session> {
  const { clusters, users } = parse(readFileSync(node.kubeconfig, 'utf8'));
  const pem = (base64: string) => Buffer.from(base64, 'base64').toString();
  const url = new URL(`/api/v1/namespaces/default/pods/${path}`, clusters[0].cluster.server);
  url.search = new URLSearchParams(query.map(([k, v]) => [k, v])).toString();
  url.protocol = 'wss:';
  const socket = new WebSocket(url, protocol, {
    ca: pem(clusters[0].cluster['certificate-authority-data']),
    cert: pem(users[0].user['client-certificate-data']),
    key: pem(users[0].user['client-key-data']),
  });
  const channels = new Map<number, string>();
  const base64 = protocol.includes('base64');
  socket.on('message', (message: Buffer) => {
    const channel = base64 ? Number(String.fromCharCode(message[0] ?? 0)) : (message[0] ?? 0);
    const body = message.subarray(1);
    const data = base64 ? Buffer.from(body.toString(), 'base64') : body;
    channels.set(channel, (channels.get(channel) ?? '') + data.toString());
  });
  const closed = new Promise<number>((resolve) => socket.once('close', resolve));
  await new Promise<void>((resolve, reject) => {
    socket.once('open', () => resolve());
    socket.once('error', reject);
  });
  if (socket.protocol !== protocol) throw new Error(`server chose ${socket.protocol}`);
  return {
    channels,
    closed,
    send(channel, data) {
      const body = Buffer.from(data);
      if (base64) socket.send(String(channel) + body.toString('base64'));
      else socket.send(Buffer.concat([Buffer.from([channel]), body]));
    },
    async until(channel, text) {
      const what = `${String(text)} on channel ${channel} of ${protocol}`;
      await eventually(what, () => {
        const got = channels.get(channel) ?? '';
        if (typeof text === 'string' ? got.includes(text) : text.test(got)) return true;
        throw new Error(JSON.stringify([...channels]));
      });
    },
  };
}

const command = (script: string) => ['sh', '-c', script].map((word) => ['command', word] as const);
const ALL = [
  ['stdin', 'true'],
  ['stdout', 'true'],
  ['stderr', 'true'],
] as const;
const TTY = [
  ['stdin', 'true'],
  ['stdout', 'true'],
  ['tty', 'true'],
] as const;

const PROTOCOLS = [
  { name: 'v5.channel.k8s.io', status: true, closes: true },
  { name: 'v4.channel.k8s.io', status: true, closes: false },
  { name: 'v4.base64.channel.k8s.io', status: true, closes: false },
  { name: 'channel.k8s.io', status: false, closes: false },
  { name: 'base64.channel.k8s.io', status: false, closes: false },
] as const;

for (const protocol of PROTOCOLS) {
  t.test(`exec over ${protocol.name}`, async (t) => {
    const script = 'read x; echo "out $x"; echo "err $x" >&2; exit 3';
    const session = await open('base/exec', protocol.name, [...ALL, ...command(script)]);
    session.send(0, 'hello\n');
    t.equal(await session.closed, 1000);
    t.equal(session.channels.get(1), 'out hello\n');
    t.equal(session.channels.get(2), 'err hello\n');
    const status = session.channels.get(3) ?? '';
    if (protocol.status) {
      t.match(JSON.parse(status), {
        status: 'Failure',
        reason: 'NonZeroExitCode',
        details: { causes: [{ reason: 'ExitCode', message: '3' }] },
      });
    } else t.match(status, /exit code 3/);

    const fine = await open('base/exec', protocol.name, [...ALL, ...command('true')]);
    await fine.closed;
    const end = fine.channels.get(3);
    if (protocol.status) t.match(JSON.parse(end ?? ''), { status: 'Success' });
    else t.equal(end, undefined, 'nothing to say');

    if (!protocol.closes) return;
    const input = await open('base/exec', protocol.name, [...ALL, ...command('wc -c')]);
    input.send(0, 'x'.repeat(1000));
    input.send(255, Buffer.from([0]));
    await input.closed;
    t.equal(input.channels.get(1), '1000\n', 'the end of the input');
  });

  t.test(`exec under a terminal over ${protocol.name}`, async (t) => {
    const session = await open('base/exec', protocol.name, [...TTY, ['command', 'sh']]);
    session.send(4, '{"Width":100,"Height":40}');
    session.send(0, 'stty size; tty\n');
    await session.until(1, /40 100\r\n\/dev\/pts\/\d+\r\n/);
    session.send(4, '{"Width":33,"Height":7}');
    session.send(0, 'stty size\n');
    await session.until(1, '7 33\r\n');
    session.send(0, 'echo $((6*7)) >&2; exit 5\n');
    t.equal(await session.closed, 1000);
    t.match(session.channels.get(1), /\r\n42\r\n/, 'a terminal has one output');
    t.match(session.channels.get(3), protocol.status ? /"message":"5"/ : /exit code 5/);
  });

  t.test(`attach to a terminal over ${protocol.name}`, async (t) => {
    const session = await open('terminal/attach', protocol.name, TTY);
    session.send(4, '{"Width":50,"Height":20}');
    const mark = randomBytes(4).toString('hex');
    session.send(0, `stty size; echo ${mark}\n`);
    await session.until(1, new RegExp(`20 50\r\n${mark}\r\n`));
    t.pass('resized and answered');
  });
}

t.test('what a client asks wrongly is refused', async (t) => {
  await t.rejects(open('base/exec', 'v9.channel.k8s.io', [...ALL, ...command('true')]));
  await t.rejects(open('base/exec', 'v5.channel.k8s.io', command('true')), /400/);
  await t.rejects(open('none/exec', 'v5.channel.k8s.io', [...ALL, ...command('true')]), /404/);
});

t.test('attach through kubectl: input, both outputs, the end', async (t) => {
  const ended = await node.run(['attach', '-i', 'listens'], { input: 'one\ntwo\n' });
  t.equal(ended.code, 0, `attach itself went well: ${ended.stderr}`);
  t.match(ended.stdout, 'got one\ngot two\nend\n');
  t.match(ended.stderr, 'err one\nerr two\n');
  await node.waitFor('listens', '{.status.phase}', 'Failed');
});

t.test('kubectl run: attached, removed, with the exit code', async (t) => {
  const run = (name: string, script: string, input: string) => {
    const options = ['-i', '--rm', '--quiet', '--restart=Never', `--image=${BUSYBOX}`];
    return node.run(['run', name, ...options, '--', 'sh', '-c', script], { input });
  };
  t.match(await run('once', 'cat; echo done', 'text\n'), { code: 0, stdout: /text\ndone\n/ });
  const failed = await run('fails', 'cat >/dev/null; sleep 0.5; exit 3', '');
  t.match(failed, { code: 3, stderr: /pod default\/fails terminated \(Error\)/ });
  t.equal(await node.kubectl('get', 'pods', '-o', 'name', '-l', 'run'), '');
});

t.test('kubectl exec -it under a terminal of ours', async (t) => {
  const words = `'${node.kubectlPath}' exec -it base -- sh -c 'tty; sleep 1; stty size; exit 6'`;
  const script = `stty rows 30 cols 90; ${words}`;
  const ended = spawnSync('script', ['-qefc', script, '/dev/null'], {
    env: node.environment,
    encoding: 'utf8',
  });
  t.equal(ended.status, 6, ended.stdout);
  t.match(ended.stdout, /\/dev\/pts\/\d+\r\n.*30 90\r\n/);
});

t.test('kubectl cp', async (t) => {
  const from = join(node.scratch, 'from');
  mkdirSync(join(from, 'deep/er'), { recursive: true });
  const bytes = randomBytes(1 << 20);
  writeFileSync(join(from, 'deep/er/bytes'), bytes);
  writeFileSync(join(from, 'with blank'), 'text');
  writeFileSync(join(from, 'run'), '#!/bin/sh\necho ran\n');
  chmodSync(join(from, 'run'), 0o755);
  await node.kubectl('cp', from, 'default/base:/tmp/to');
  t.equal(await node.exec('base', '/tmp/to/run; cat "/tmp/to/with blank"'), 'ran\ntext');
  await node.kubectl('cp', 'base:/tmp/to', join(node.scratch, 'back'));
  t.ok(readFileSync(join(node.scratch, 'back/deep/er/bytes')).equals(bytes));
});

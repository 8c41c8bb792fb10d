/** Streams of containers against the real kernel, runc and conmon: exec, attach, terminals, logs. */
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ContainerSpec } from '#daemon/runtime/port.ts';
import {
  bytes,
  cannotRun,
  collect,
  find,
  logOf,
  runContainer,
  sandboxSpec,
  TestHost,
  text,
  until,
} from './runtime-host.ts';
import { busyboxLayer, dockerArchive } from './runtime-images.ts';

const skip = cannotRun() ?? false;
if (skip) t.comment(`skipped: ${skip}`);

await t.test('streams', { skip, timeout: 120_000 }, async (t) => {
  await using host = new TestHost();
  await using runtime = await host.open();
  const { containers, images } = runtime;
  const { signal } = host;
  const archive = await dockerArchive({ layers: [await busyboxLayer()], tag: 'busybox:latest' });
  await images.importArchive(bytes(archive), signal);
  const sandbox = await containers.runSandbox(sandboxSpec(join(host.root, 'logs')), signal);

  const run = (given: Partial<ContainerSpec>) => runContainer(containers, sandbox, given);

  await t.test('exec: output, exit code, stdin, failure', async (t) => {
    const id = await run({ name: 'exec', command: ['sleep', '1000'] });
    const result = await containers.execSync(
      id,
      ['sh', '-c', 'echo a; echo b >&2; exit 3'],
      signal,
    );
    t.equal(result.exitCode, 3);
    t.equal(Buffer.from(result.stdout).toString(), 'a\n');
    t.equal(Buffer.from(result.stderr).toString(), 'b\n');
    await t.rejects(containers.execSync(id, ['nothing-like-that'], signal), {
      code: 'START_FAILED',
      message: /executable file not found/,
    });
    await using session = await containers.exec(
      id,
      { argv: ['cat'], stdin: true, stdout: true, stderr: true, tty: false },
      signal,
    );
    const output = text(session.stdout);
    await session.writeStdin(Buffer.from('through\n'));
    session.closeStdin();
    t.equal(await output, 'through\n');
    t.equal(await session.exited, 0);
    await containers.removeContainer(id, signal);
  });

  await t.test('exec under a terminal: size, resize, end of input', async (t) => {
    const id = await run({ name: 'tty-exec', command: ['sleep', '1000'] });
    await using session = await containers.exec(
      id,
      { argv: ['sh'], stdin: true, stdout: true, stderr: false, tty: true },
      signal,
    );
    const output = collect(session.stdout);
    session.resize(97, 31);
    await until('the prompt', () => output.text().includes('# '));
    await session.writeStdin(Buffer.from('stty size; exit 5\n'));
    t.equal(await session.exited, 5);
    await output.done;
    t.match(output.text(), /31 97\r\n/);
    t.notMatch(output.text(), /\r\r\n/, 'one terminal, not two');
    await containers.removeContainer(id, signal);
  });

  await t.test('exec left early ends its process', async (t) => {
    const id = await run({ name: 'left', command: ['sleep', '1000'] });
    const session = await containers.exec(
      id,
      { argv: ['sleep', '1234'], stdin: false, stdout: true, stderr: true, tty: false },
      signal,
    );
    const sleeping = async (): Promise<boolean> => {
      const { stdout } = await containers.execSync(id, ['ps'], signal);
      return Buffer.from(stdout).includes('sleep 1234');
    };
    while (!(await sleeping()));
    await session[Symbol.asyncDispose]();
    t.notOk(await sleeping());
    const gone = AbortSignal.timeout(300);
    await t.rejects(containers.execSync(id, ['sleep', '4321'], gone), gone.reason);
    await containers.removeContainer(id, signal);
  });

  await t.test('attach: both streams, input, exit', async (t) => {
    const id = await run({
      name: 'attached',
      command: ['sh', '-c', 'read a; echo "got $a"; echo bad >&2; read b; echo "and $b"; exit 4'],
      stdin: true,
      stdinOnce: true,
    });
    const all = { stdin: true, stdout: true, stderr: true, tty: false };
    await using session = await containers.attach(id, all, signal);
    await using second = await containers.attach(id, { ...all, stdin: false }, signal);
    const [stdout, stderr] = [collect(session.stdout), collect(session.stderr)];
    const seen = collect(second.stdout);
    await session.writeStdin(Buffer.from('one\n'));
    await until('it answered', () => stderr.text() === 'bad\n' && stdout.text() === 'got one\n');
    await session.writeStdin(Buffer.from('two\n'));
    t.equal(await session.exited, 4);
    await Promise.all([stdout.done, stderr.done, seen.done]);
    t.equal(stdout.text(), 'got one\nand two\n');
    t.equal(seen.text(), stdout.text());
    await t.rejects(containers.attach(id, all, signal), { code: 'NOT_FOUND' });
  });

  await t.test('attach: closing the input, much output to a slow reader', async (t) => {
    const id = await run({
      name: 'flood',
      command: ['sh', '-c', 'cat >/dev/null; dd if=/dev/zero bs=65536 count=64 2>/dev/null'],
      stdin: true,
      stdinOnce: true,
    });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: true, tty: false },
      signal,
    );
    session.closeStdin();
    let length = 0;
    for await (const chunk of session.stdout) {
      if (length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      length += chunk.length;
    }
    t.equal(length, 64 * 65_536);
    t.equal(await session.exited, 0);
  });

  await t.test('a container with a terminal: attach and resize', async (t) => {
    const id = await run({ name: 'tty', command: ['sh'], stdin: true, tty: true });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: false, tty: true },
      signal,
    );
    const output = collect(session.stdout);
    session.resize(81, 23);
    await session.writeStdin(Buffer.from('sleep 0.2; stty size; exit 6\n'));
    t.equal(await session.exited, 6);
    await output.done;
    t.match(output.text(), /23 81\r\n/);
  });

  await t.test('a renamed log goes on in a new file', async (t) => {
    const id = await run({ name: 'rotated', command: ['sh'], stdin: true });
    await using session = await containers.attach(
      id,
      { stdin: true, stdout: true, stderr: false, tty: false },
      signal,
    );
    const { logPath } = find(containers, id);
    await session.writeStdin(Buffer.from('echo one\n'));
    await until('the first line', () => logOf(containers, id).includes('one'));
    renameSync(logPath, `${logPath}.old`);
    containers.reopenLog(id);
    await until('the new file', () => existsSync(logPath));
    await session.writeStdin(Buffer.from('echo two\n'));
    await until('the second line', () => logOf(containers, id).includes('two'));
    t.notMatch(readFileSync(`${logPath}.old`, 'utf8'), 'two');
    await containers.removeContainer(id, signal);
  });
});

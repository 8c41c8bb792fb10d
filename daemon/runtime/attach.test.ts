/** Attach sessions whose monitor, played by the test, ends at awkward moments. */
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { accept, AF, bind, listen, send, SOCK, socket, unixAddress } from '#base/linux/syscall.ts';
import { Attacher } from './attach.ts';

const { signal } = new AbortController();
const STDOUT = 2;

/** A session under a terminal and the monitor's end of it. */
async function attached(t: Test) {
  const bundle = mkdtempSync(join(tmpdir(), 'attach-')); // Of a short name: sun_path is short.
  t.teardown(() => rmSync(bundle, { recursive: true }));
  const listener = socket(AF.UNIX, SOCK.SEQPACKET);
  bind(listener, unixAddress(join(bundle, 'attach')));
  listen(listener, 1);
  const attacher = new Attacher();
  const target = { containerId: 'c', bundle, tty: true, exited: Promise.resolve(0) };
  const request = { stdin: true, stdout: true, stderr: false, tty: true };
  const session = await attacher.attach(target, request, signal);
  const fd = accept(listener);
  closeSync(listener);
  t.teardown(() => attacher[Symbol.dispose]());
  const say = (text: string) => send(fd, Buffer.concat([Buffer.of(STDOUT), Buffer.from(text)]));
  return { session, say, end: () => closeSync(fd) };
}

async function allOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(output)).toString();
}

const LINES = Array.from({ length: 100 }, (_, i) => `line ${i}\n`);

t.test('output before the end arrives though input comes after it', async (t) => {
  const { session, say, end } = await attached(t);
  for (const line of LINES) say(line);
  end();
  await session.writeStdin(Buffer.of(4));
  session.closeStdin();
  t.equal(await allOf(session.stdout), LINES.join(''));
});

t.test('output arrives though the monitor ended with input unread', async (t) => {
  const { session, say, end } = await attached(t);
  await session.writeStdin(Buffer.from('nobody reads this\n'));
  for (const line of LINES) say(line);
  end();
  t.equal(await allOf(session.stdout), LINES.join(''));
  await session.writeStdin(Buffer.from('nor this'));
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { isRunning, processId } from './process.ts';

const SYS_EXIT = process.arch === 'arm64' ? 93 : 60;

/** Ends its first thread (exit(2) ends one thread), as SIGKILL does before the others: a second one holds the files still. */
const SECOND_THREAD = `
const { Worker } = require('node:worker_threads');
new Worker("require('node:worker_threads').parentPort.on('message', () => {})", { eval: true }).once('online', () => {
  require('koffi').load('libc.so.6').func('long syscall(long, ...)')(${SYS_EXIT}, 'int', 0);
});
`;

t.test('isRunning() holds until the last thread of a process has ended', async (t) => {
  const child = spawn(process.execPath, ['-e', SECOND_THREAD], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  const pid = child.pid ?? 0;
  t.teardown(() => child.kill('SIGKILL'));
  const state = () => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
  while (state() !== 'Z') await sleep(10);
  const id = processId(pid);
  t.ok(id !== undefined && isRunning(id), 'its first thread alone has ended');
  child.kill('SIGKILL');
  await exited;
  t.equal(processId(pid), undefined);
  t.notOk(id !== undefined && isRunning(id));
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { isRunning, processId } from './process.ts';

/** Ends its first thread, as SIGKILL does before the others: the second one holds the files still. */
const SECOND_THREAD = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(60)).start()
ctypes.CDLL(None).pthread_exit(0)
`;

t.test('isRunning() holds until the last thread of a process has ended', async (t) => {
  const child = spawn('python3', ['-c', SECOND_THREAD], { stdio: 'ignore' });
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

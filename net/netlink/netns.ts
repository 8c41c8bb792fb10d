/**
 * Runs synchronous code in another network namespace. setns moves only the calling thread, so
 * nothing asynchronous may start inside: `net.connect` and `listen(port, host)` would run after the
 * return (reference/runtime.md section 1). Sockets opened inside stay in that namespace.
 *
 * Invariant: the thread is back when `inNetns` returns or throws; if the kernel refuses the way
 * back, the process ends, as every later call would act on the wrong namespace.
 */
import { closeSync, openSync } from 'node:fs';
import { assert } from '#base/assert.ts';
import { CLONE, setns } from '#base/linux/syscall.ts';

/** Of the calling thread: `/proc/self` would be the main thread's. */
const OWN_NETNS = '/proc/thread-self/ns/net';

export function inNetns<T>(path: string, run: () => T): T {
  const target = openSync(path, 'r');
  try {
    return inNetnsFd(target, run);
  } finally {
    closeSync(target);
  }
}

export function inNetnsFd<T>(fd: number, run: () => T): T {
  const own = openSync(OWN_NETNS, 'r');
  try {
    setns(fd, CLONE.NEWNET);
    try {
      const result = run();
      assert(!(result instanceof Promise), 'inNetns runs synchronous code only');
      return result;
    } finally {
      returnTo(own);
    }
  } finally {
    closeSync(own);
  }
}

function returnTo(fd: number): void {
  try {
    setns(fd, CLONE.NEWNET);
  } catch (error) {
    process.stderr.write(`cannot return to the own network namespace: ${String(error)}\n`);
    process.abort();
  }
}

/** Network sysctls of the calling thread's namespace. Called by net/pod and the proxy. */
import { readFileSync, writeFileSync } from 'node:fs';

/**
 * Sets `/proc/sys/net/KEY`; writes only what differs, so that a read-only /proc/sys whose values
 * are right is no error. Throws the errno error of the write (ENOENT: the kernel lacks it).
 */
export function setSysctl(key: string, value: string): void {
  const path = `/proc/sys/net/${key}`;
  if (readFileSync(path, 'utf8').trim() === value) return;
  writeFileSync(path, value);
}

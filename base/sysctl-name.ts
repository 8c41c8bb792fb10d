/**
 * Names of kernel parameters, as sysctl(8) and sysctl.d(5) read them: the first separator decides. After a
 * dot, dots separate and a slash stands for a dot within a name; after a slash it is the path itself.
 * `net.ipv4.conf.eth0/100.forwarding` and `net/ipv4/conf/eth0.100/forwarding` are the same. Pure.
 */

/** The path below /proc/sys, or undefined when `name` is none or would lead out of it. */
export function sysctlPath(name: string): string | undefined {
  const first = /[./]/.exec(name)?.[0];
  const path =
    first === '/' ? name : name.replaceAll(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
  const parts = path.split('/');
  const isPart = (part: string) => /^[\w.:@*-]+$/.test(part) && part !== '.' && part !== '..';
  return parts.length >= 2 && parts.every(isPart) ? path : undefined;
}

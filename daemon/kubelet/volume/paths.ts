/**
 * Where things of a pod lie on disk. One directory per pod, named by its UID, holds everything that
 * goes when the pod goes; logs lie apart, because they are read by others.
 *
 * | path below pods/UID                   | what                                          |
 * |---------------------------------------|-----------------------------------------------|
 * | volumes/NAME                          | a volume                                      |
 * | subpaths/VOLUME/CONTAINER/INDEX       | bind mount of one subPath                     |
 * | containers/NAME/ATTEMPT               | termination message                           |
 * | hosts, hostname, resolv.conf          | files mounted into every container            |
 */
import { join } from 'node:path';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';

export class PodPaths {
  readonly directory: string;
  readonly logDirectory: string;

  constructor(roots: { readonly dataDir: string; readonly logDir: string }, pod: PodName) {
    this.directory = podDirectory(roots.dataDir, pod.uid);
    this.logDirectory = join(roots.logDir, `${pod.namespace}_${pod.name}_${pod.uid}`);
  }

  volume(name: string): string {
    return join(this.directory, 'volumes', name);
  }

  subPath(volume: string, container: string, index: number): string {
    return join(this.directory, 'subpaths', volume, container, String(index));
  }

  terminationMessage(container: string, attempt: number): string {
    return join(this.directory, 'containers', container, String(attempt));
  }

  file(name: 'hosts' | 'hostname' | 'resolv.conf'): string {
    return join(this.directory, name);
  }
}

/** The UID in the name of a pod's log directory; undefined for what is none. */
export function uidOfLogDirectory(name: string): string | undefined {
  return /^[^_]+_[^_]+_([^_]+)$/.exec(name)?.[1];
}

export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export function podName(pod: Pod): PodName {
  const { namespace = 'default', name, uid } = pod.metadata;
  return { namespace, name, uid };
}

export function podsDirectory(dataDir: string): string {
  return join(dataDir, 'pods');
}

export function podDirectory(dataDir: string, uid: string): string {
  return join(podsDirectory(dataDir), uid);
}

/** Relative to the pod's log directory. */
export function containerLogPath(container: string, attempt: number): string {
  return `${container}/${attempt}.log`;
}

/**
 * Reads the termination message of each container of a pod once, when it has ended, and keeps it:
 * the file goes with the pod's directory, the message is shown until the pod is deleted.
 */
import { errorText } from '#base/errors.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { Log } from '#base/log.ts';
import type { TaskScope } from '#base/task-scope.ts';
import type { Container } from '../../runtime/port.ts';
import { CONTAINER_ID_PREFIX } from '../lifecycle/container-status.ts';
import { findContainer } from '../lifecycle/containers.ts';
import type { PodPaths } from '../volume/paths.ts';
import { readLastWords } from './last-words.ts';

export interface LastWordsIo {
  readonly tasks: TaskScope;
  readonly log: Log;
  readonly paths: PodPaths;
  readonly pod: () => Pod;
  /** Called when a message that was being read is there. */
  readonly changed: () => void;
}

export class LastWordsReader {
  readonly #io: LastWordsIo;
  /** By container id; null while it is being read. */
  readonly #words = new Map<string, string | null>();

  constructor(io: LastWordsIo) {
    this.#io = io;
  }

  get(containerId: string): string {
    return this.#words.get(containerId) ?? '';
  }

  /** Reads what is new; true while something is being read, which the status must not miss. */
  listen(containers: readonly Container[]): boolean {
    let reading = false;
    for (const record of containers) {
      if (record.state !== 'exited') continue;
      const known = this.#words.get(record.id);
      if (known === null) reading = true;
      if (known !== undefined) continue;
      reading = true;
      this.#words.set(record.id, null);
      this.#io.tasks.spawn(`last words of ${record.name}`, () => this.#read(record));
    }
    const ids = new Set(containers.map((c) => c.id));
    for (const id of this.#words.keys()) if (!ids.has(id)) this.#words.delete(id);
    return reading;
  }

  async #read(record: Container): Promise<void> {
    const spec = findContainer(this.#io.pod(), record.name)?.spec;
    const path = this.#io.paths.terminationMessage(record.name, record.attempt);
    let text = '';
    try {
      text = await readLastWords(record, spec, path);
    } catch (error) {
      // The container has ended all the same; only what it said is lost.
      this.#io.log.warn('termination message unreadable', { path, error: errorText(error) });
    }
    this.#words.set(record.id, text === '' ? this.#knownMessage(record.id) : text);
    this.#io.changed();
  }

  /** After a restart of the agent the file may be gone; the API still has the message. */
  #knownMessage(containerId: string): string {
    const { containerStatuses = [], initContainerStatuses = [] } = this.#io.pod().status ?? {};
    for (const { state, lastState } of [...containerStatuses, ...initContainerStatuses]) {
      for (const end of [state?.terminated, lastState?.terminated]) {
        if (end?.containerID === CONTAINER_ID_PREFIX + containerId) return end.message ?? '';
      }
    }
    return '';
  }
}

/**
 * One informer per resource and selector, shared by everything in a process. `run` starts those that
 * exist and every one asked for later.
 */
import { must } from '../assert.ts';
import { TaskScope } from '../task-scope.ts';
import type { KubeObject, Resource } from './client.ts';
import { Informer, type InformerIo, type InformerOptions } from './informer.ts';
import { apiVersionOf } from './kube-client.ts';

export class InformerFactory {
  readonly #io: InformerIo;
  readonly #informers = new Map<string, Informer<never>>();
  readonly #started = new Set<string>();
  #tasks: TaskScope | undefined;

  constructor(io: InformerIo) {
    this.#io = io;
  }

  /** The unselected informer of whole objects, if somebody has asked for it. */
  existing<T extends KubeObject>(resource: Resource<T>): Informer<T> | undefined {
    return this.#informers.get(keyOfInformer(resource, {})) as Informer<T> | undefined; // By key.
  }

  informer<T extends KubeObject>(
    resource: Resource<T>,
    options: InformerOptions = {},
  ): Informer<T> {
    const key = keyOfInformer(resource, options);
    let informer = this.#informers.get(key) as Informer<T> | undefined; // T by construction of key.
    if (informer === undefined) {
      informer = new Informer(this.#io, resource, options);
      this.#informers.set(key, informer as unknown as Informer<never>); // Kept without its type.
      if (this.#tasks !== undefined) this.#start(key);
    }
    return informer;
  }

  get hasSynced(): boolean {
    return [...this.#informers.values()].every((informer) => informer.hasSynced);
  }

  /** Resolves when all informers asked for so far have synced. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#informers.values()].map((one) => one.waitForSync(signal)));
  }

  /** Runs all informers until aborted; rejects with the abort reason or an informer's failure. */
  async run(signal: AbortSignal): Promise<void> {
    await using tasks = new TaskScope(signal);
    this.#tasks = tasks;
    this.#started.clear();
    try {
      for (const key of this.#informers.keys()) this.#start(key);
      // Holds the scope open while no informer runs.
      tasks.spawn('informers', (stop) => this.#idle(stop));
      await tasks.join();
    } finally {
      this.#tasks = undefined;
    }
    signal.throwIfAborted();
  }

  #start(key: string): void {
    if (this.#started.has(key)) return;
    this.#started.add(key);
    const informer = must(this.#informers.get(key), `no informer ${key}`);
    const name = `informer ${informer.resource.resource}`;
    must(this.#tasks, 'informers are not running').spawn(name, (signal) => informer.run(signal));
  }

  #idle(stop: AbortSignal): Promise<void> {
    return new Promise((_resolve, reject) => {
      const onAbort = () => reject(stop.reason);
      if (stop.aborted) onAbort();
      else stop.addEventListener('abort', onAbort, { once: true });
    });
  }
}

function keyOfInformer<T extends KubeObject>(
  resource: Resource<T>,
  options: InformerOptions,
): string {
  const { namespace = '', labelSelector = '', fieldSelector = '', metadataOnly = false } = options;
  const selection = [namespace, labelSelector, fieldSelector, metadataOnly];
  return JSON.stringify([apiVersionOf(resource), resource.resource, ...selection]);
}

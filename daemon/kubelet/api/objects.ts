/**
 * Config maps and secrets that pods on this node refer to, each kept current by a watch of that one
 * object: a node may not list what it does not use. An object is watched from its first use until no
 * pod has used it for a while.
 *
 * Bound: the distinct objects that the pods of this node refer to.
 */
import type { Clock } from '#base/clock.ts';
import { configmaps, secrets } from '#base/kube/api/resources.gen.ts';
import type { ConfigMap, Pod, Secret } from '#base/kube/api/core-v1.gen.ts';
import type { KubeClient, KubeObject, Resource } from '#base/kube/client.ts';
import { Informer } from '#base/kube/informer.ts';
import type { Log } from '#base/log.ts';
import type { TaskScope } from '#base/task-scope.ts';
import type { ReferencedObjects } from '../container/env.ts';
import { containersOf } from '../lifecycle/containers.ts';

/** Kept this long after the last pod that used it: tests and jobs come in rows. */
const UNUSED_MS_MAX = 60_000;

export interface ObjectsIo {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Owns the watches. */
  readonly tasks: TaskScope;
}

interface Watched {
  readonly informer: Informer<ConfigMap> | Informer<Secret>;
  readonly stop: AbortController;
  users: number;
  unusedSinceMs: number;
}

export interface ObjectRef {
  readonly kind: 'configmap' | 'secret';
  readonly namespace: string;
  readonly name: string;
}

const refKey = (ref: ObjectRef) => `${ref.kind}/${ref.namespace}/${ref.name}`;

export class WatchedObjects {
  readonly #io: ObjectsIo;
  readonly #watched = new Map<string, Watched>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(io: ObjectsIo) {
    this.#io = io;
  }

  /** Calls back with the key of every object that changed. */
  onChange(listener: (key: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Ends watches of what nobody uses any more, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#io.clock.sleep(UNUSED_MS_MAX / 2, signal);
      this.#dropUnused();
    }
  }

  /** The objects of a pod: watched until the result is disposed. */
  use(pod: Pod): PodObjects {
    const refs = podReferences(pod);
    for (const ref of refs) this.#watch(ref).users++;
    return new PodObjects(this, pod.metadata.namespace ?? 'default', refs);
  }

  async get<T extends ConfigMap | Secret>(
    ref: ObjectRef,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const { informer } = this.#watch(ref);
    await informer.waitForSync(signal);
    return informer.store.get(ref.namespace, ref.name) as T | undefined; // T by the kind of ref.
  }

  release(refs: readonly ObjectRef[]): void {
    for (const ref of refs) {
      const watched = this.#watched.get(refKey(ref));
      if (watched === undefined) continue;
      watched.users--;
      watched.unusedSinceMs = this.#io.clock.monotonicMs();
    }
  }

  #watch(ref: ObjectRef): Watched {
    const key = refKey(ref);
    const known = this.#watched.get(key);
    if (known !== undefined) return known;
    const stop = new AbortController();
    const informer =
      ref.kind === 'configmap' ? this.#informer(configmaps, ref) : this.#informer(secrets, ref);
    const watched: Watched = {
      informer,
      stop,
      users: 0,
      unusedSinceMs: this.#io.clock.monotonicMs(),
    };
    this.#watched.set(key, watched);
    this.#io.tasks.spawn(`watch ${key}`, (signal) =>
      runUntil(informer, AbortSignal.any([signal, stop.signal]), stop.signal),
    );
    return watched;
  }

  #informer<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef): Informer<T> {
    const informer = new Informer(this.#io, resource, {
      namespace: ref.namespace,
      fieldSelector: `metadata.name=${ref.name}`,
    });
    const changed = () => {
      for (const listener of this.#listeners) listener(refKey(ref));
    };
    informer.addHandler({ onAdd: changed, onUpdate: changed, onDelete: changed });
    return informer;
  }

  #dropUnused(): void {
    const nowMs = this.#io.clock.monotonicMs();
    for (const [key, watched] of this.#watched) {
      if (watched.users > 0 || nowMs - watched.unusedSinceMs < UNUSED_MS_MAX) continue;
      this.#watched.delete(key);
      watched.stop.abort(new Error('no pod uses the object'));
    }
  }
}

/** An informer that is stopped because nobody uses its object has not failed. */
async function runUntil(
  informer: { run(signal: AbortSignal): Promise<unknown> },
  signal: AbortSignal,
  unused: AbortSignal,
): Promise<void> {
  try {
    await informer.run(signal);
  } catch (error) {
    if (!unused.aborted) throw error;
  }
}

/** What one pod may read; dispose when the pod is gone. */
export class PodObjects implements ReferencedObjects, Disposable {
  readonly keys: ReadonlySet<string>;
  readonly #all: WatchedObjects;
  readonly #namespace: string;
  readonly #refs: readonly ObjectRef[];

  constructor(all: WatchedObjects, namespace: string, refs: readonly ObjectRef[]) {
    this.#all = all;
    this.#namespace = namespace;
    this.#refs = refs;
    this.keys = new Set(refs.map(refKey));
  }

  configMap(name: string, signal: AbortSignal): Promise<ConfigMap | undefined> {
    return this.#all.get({ kind: 'configmap', namespace: this.#namespace, name }, signal);
  }

  secret(name: string, signal: AbortSignal): Promise<Secret | undefined> {
    return this.#all.get({ kind: 'secret', namespace: this.#namespace, name }, signal);
  }

  [Symbol.dispose](): void {
    this.#all.release(this.#refs);
  }
}

/** Every config map and secret that the pod names, once. */
export function podReferences(pod: Pod): ObjectRef[] {
  const namespace = pod.metadata.namespace ?? 'default';
  const found = new Map<string, ObjectRef>();
  const add = (kind: ObjectRef['kind'], name: string | undefined) => {
    if (name === undefined || name === '') return;
    const ref = { kind, namespace, name };
    found.set(refKey(ref), ref);
  };
  for (const { name } of pod.spec.imagePullSecrets ?? []) add('secret', name);
  for (const { spec } of containersOf(pod)) {
    for (const { configMapRef, secretRef } of spec.envFrom ?? []) {
      add('configmap', configMapRef?.name);
      add('secret', secretRef?.name);
    }
    for (const { valueFrom } of spec.env ?? []) {
      add('configmap', valueFrom?.configMapKeyRef?.name);
      add('secret', valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) {
    add('configmap', volume.configMap?.name);
    add('secret', volume.secret?.secretName);
    for (const { configMap, secret } of volume.projected?.sources ?? []) {
      add('configmap', configMap?.name);
      add('secret', secret?.name);
    }
  }
  return [...found.values()];
}

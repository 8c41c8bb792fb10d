/**
 * That the node goes down, said once and for good: how it is told to a kubelet, and how the kubelet tells
 * that its pods have ended. Whoever begins it need not know whether a kubelet is there yet.
 */
import type { Pod } from '#base/kube/api/core-v1.gen.ts';

export class NodeShutdown {
  readonly #attached = Promise.withResolvers<void>();
  readonly #begun = Promise.withResolvers<number>();
  readonly #ended = Promise.withResolvers<readonly Pod[]>();
  #graceMs: number | undefined;

  /** What all pods together may take; undefined: the node stays. */
  get graceMs(): number | undefined {
    return this.#graceMs;
  }

  /** A second call changes nothing. */
  begin(graceMs: number): void {
    this.#graceMs ??= graceMs;
    this.#begun.resolve(this.#graceMs);
  }

  /** Resolves when a kubelet waits for it, which knows the pods. */
  get attached(): Promise<void> {
    return this.#attached.promise;
  }

  /** The kubelet waits for it: resolves to the grace in ms. Rejects with the abort reason. */
  begun(signal: AbortSignal): Promise<number> {
    this.#attached.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
      this.#begun.promise.then(resolve, reject);
    });
  }

  /** By the kubelet, with the pods that still run. */
  finish(running: readonly Pod[]): void {
    this.#ended.resolve(running);
  }

  /** Resolves when a kubelet has ended its pods, to those that still run. */
  get ended(): Promise<readonly Pod[]> {
    return this.#ended.promise;
  }
}

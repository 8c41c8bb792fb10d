/**
 * What net/proxy and net/dns read the cluster from: the part of base/kube's Informer that they use,
 * so that tests and other sources can stand in for it.
 */

export interface InformerView<T> {
  /** True once the store held a whole state of the server. */
  readonly hasSynced: boolean;
  readonly store: { list(): readonly T[] };
  /** A handler added late is told of what is there already. */
  addHandler(handler: {
    readonly onAdd?: (object: T) => void;
    readonly onUpdate?: (object: T, old: T) => void;
    readonly onDelete?: (object: T) => void;
  }): Disposable;
}

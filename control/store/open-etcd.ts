/** The store over an external etcd. Its code and gRPC are loaded only by a process that uses them. */
import type { EtcdOptions } from './etcd/etcd-store.ts';
import type { EtcdIo } from './etcd/cluster.ts';
import type { Store } from './port.ts';

export type { EtcdIo, EtcdOptions };

/** See etcd/etcd-store.ts. */
export async function openEtcdStore(
  options: EtcdOptions,
  io: EtcdIo,
  signal: AbortSignal,
): Promise<Store> {
  const { connectEtcdStore } = await import('./etcd/etcd-store.ts');
  return connectEtcdStore(options, io, signal);
}

/**
 * The serviceaccount controller and the root CA publisher: every active namespace has a ServiceAccount
 * `default` and a ConfigMap `kube-root-ca.crt`, made again when deleted or changed.
 */
import type { ConfigMap, Namespace, ServiceAccount } from '#base/kube/api/core-v1.gen.ts';
import { configmaps, namespaces, serviceaccounts } from '#base/kube/api/resources.gen.ts';
import { isKubeError } from '#base/kube/client.ts';
import { isDeleting, jsonEqual } from '#base/kube/metadata.ts';
import { type Controller, runQueueController } from './shared/controller.ts';
import { isNamespaceTerminating } from './shared/pod-control.ts';

const DEFAULT_ACCOUNT = 'default';
const ROOT_CA = 'kube-root-ca.crt';
/** How often the CA file is compared: nobody tells of its renewal. */
const CA_RECHECK_MS = 300_000;

function isActive(ns: Namespace | undefined): ns is Namespace {
  return ns !== undefined && !isDeleting(ns) && ns.status?.phase !== 'Terminating';
}

export const serviceAccountController: Controller = {
  name: 'serviceaccount-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(namespaces);
    const accounts = context.informers.informer(serviceaccounts);
    await runQueueController(
      context,
      {
        name: 'serviceaccount-controller',
        workers: 1,
        informers: [all, accounts],
        subscribe: (queue) => {
          const add = (ns: Namespace) => queue.add(ns.metadata.name);
          const removed = (account: ServiceAccount) => {
            if (account.metadata.name === DEFAULT_ACCOUNT)
              queue.add(account.metadata.namespace ?? '');
          };
          return [
            all.addHandler({ onAdd: add, onUpdate: add }),
            accounts.addHandler({ onDelete: removed }),
          ];
        },
        sync: async (name, stop) => {
          if (!isActive(all.store.getByKey(name))) return;
          if (accounts.store.get(name, DEFAULT_ACCOUNT) !== undefined) return;
          const metadata = { name: DEFAULT_ACCOUNT, namespace: name };
          try {
            const draft = { apiVersion: 'v1' as const, kind: 'ServiceAccount' as const, metadata };
            await context.client.create(serviceaccounts, draft, stop);
          } catch (error) {
            if (isKubeError(error, 'AlreadyExists') || isNamespaceTerminating(error)) return;
            throw error;
          }
        },
      },
      signal,
    );
  },
};

export const rootCaPublisher: Controller = {
  name: 'root-ca-certificate-publisher-controller',
  run: async (context, signal) => {
    const all = context.informers.informer(namespaces);
    const maps = context.informers.informer(configmaps, {
      fieldSelector: `metadata.name=${ROOT_CA}`,
    });
    await runQueueController(
      context,
      {
        name: 'root-ca-certificate-publisher-controller',
        workers: 1,
        informers: [all, maps],
        subscribe: (queue) => {
          const add = (ns: Namespace) => queue.add(ns.metadata.name);
          const changed = (map: ConfigMap) => queue.add(map.metadata.namespace ?? '');
          return [
            all.addHandler({ onAdd: add, onUpdate: add }),
            maps.addHandler({ onUpdate: changed, onDelete: changed }),
          ];
        },
        sync: async (name, stop) => {
          if (!isActive(all.store.getByKey(name))) return undefined;
          const data = { 'ca.crt': context.config.readRootCa() };
          const annotations = {
            'kubernetes.io/description':
              'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.',
          };
          const old = maps.store.get(name, ROOT_CA);
          if (old !== undefined) {
            if (jsonEqual(old.data, data)) return CA_RECHECK_MS;
            await context.client.update(configmaps, { ...old, data }, stop);
            return CA_RECHECK_MS;
          }
          try {
            await context.client.create(
              configmaps,
              {
                apiVersion: 'v1',
                kind: 'ConfigMap',
                metadata: { name: ROOT_CA, namespace: name, annotations },
                data,
              },
              stop,
            );
          } catch (error) {
            if (isNamespaceTerminating(error)) return undefined;
            if (!isKubeError(error, 'AlreadyExists')) throw error; // The watch tells of it.
          }
          return CA_RECHECK_MS;
        },
      },
      signal,
    );
  },
};

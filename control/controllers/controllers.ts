/**
 * All controllers of the control plane, in the order in which they start. The list that worker.ts and
 * main.ts run.
 */
import { deploymentController } from './deployment/deployment.ts';
import { garbageCollector } from './gc/gc.ts';
import { namespaceController } from './namespace/namespace.ts';
import { replicaSetController, replicationController } from './replicaset/replicaset.ts';
import { rootCaPublisher, serviceAccountController } from './service-account.ts';
import type { Controller } from './shared/controller.ts';

export const allControllers: readonly Controller[] = [
  serviceAccountController,
  rootCaPublisher,
  namespaceController,
  replicaSetController,
  replicationController,
  deploymentController,
  garbageCollector,
];

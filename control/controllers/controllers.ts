/**
 * All controllers of the control plane, in the order in which they start. The list that worker.ts and
 * main.ts run.
 */
import {
  certificateApprover,
  certificateCleaner,
  certificateSigner,
} from './certificates/certificates.ts';
import { clusterRoleAggregationController } from './cluster-role-aggregation.ts';
import { cronJobController } from './cronjob/cronjob.ts';
import { daemonSetController } from './daemonset/daemonset.ts';
import { deploymentController } from './deployment/deployment.ts';
import { disruptionController } from './disruption.ts';
import { endpointsController, endpointSliceController } from './endpoints/endpoints.ts';
import { endpointSliceMirroringController } from './endpoints/mirror.ts';
import { garbageCollector } from './gc/gc.ts';
import { jobController } from './job/job.ts';
import { ttlAfterFinishedController } from './job/ttl.ts';
import { namespaceController } from './namespace/namespace.ts';
import { taintEvictionController } from './node/eviction.ts';
import { nodeIpamController, nodeLifecycleController } from './node/lifecycle.ts';
import { podGarbageCollector } from './node/pod-gc.ts';
import { replicaSetController, replicationController } from './replicaset/replicaset.ts';
import { resourceQuotaController } from './resource-quota.ts';
import { rootCaPublisher, serviceAccountController } from './service-account.ts';
import { statefulSetController } from './statefulset/statefulset.ts';
import { serviceAccountTokenController } from './service-account-token.ts';
import type { Controller } from './shared/controller.ts';

export const allControllers: readonly Controller[] = [
  serviceAccountController,
  rootCaPublisher,
  serviceAccountTokenController,
  namespaceController,
  replicaSetController,
  replicationController,
  deploymentController,
  daemonSetController,
  statefulSetController,
  jobController,
  cronJobController,
  ttlAfterFinishedController,
  endpointSliceController,
  endpointsController,
  endpointSliceMirroringController,
  nodeLifecycleController,
  nodeIpamController,
  taintEvictionController,
  podGarbageCollector,
  disruptionController,
  resourceQuotaController,
  clusterRoleAggregationController,
  certificateApprover,
  certificateSigner,
  certificateCleaner,
  // Last: it shares the informers that the others have asked for.
  garbageCollector,
];

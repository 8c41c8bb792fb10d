/**
 * All kinds that have rules of their own, for the registry of the API server. A kind that is not here
 * is stored with the checks that its schema implies.
 */
import type { ResourceRules } from '../resource.ts';
import { configMapRules } from './config-map.ts';
import { deploymentRules } from './deployment.ts';
import { endpointSliceRules } from './endpoint-slice.ts';
import { endpointsRules } from './endpoints.ts';
import { jobRules } from './job.ts';
import { leaseRules } from './lease.ts';
import { namespaceRules } from './namespace.ts';
import { nodeRules } from './node.ts';
import { podRules } from './pod.ts';
import { clusterRoleBindingRules, clusterRoleRules, roleBindingRules, roleRules } from './rbac.ts';
import { replicaSetRules } from './replica-set.ts';
import { secretRules } from './secret.ts';
import { serviceAccountRules } from './service-account.ts';
import { serviceRules } from './service.ts';
import {
  mutatingBindingRules,
  mutatingPolicyRules,
  mutatingWebhookRules,
  validatingBindingRules,
  validatingPolicyRules,
  validatingWebhookRules,
} from './admission-kinds.ts';
import { autoscalerRules } from './autoscaler.ts';
import { cronJobRules } from './cron-job.ts';
import { daemonSetRules } from './daemon-set.ts';
import {
  deviceClassRules,
  resourceClaimRules,
  resourceClaimTemplateRules,
  resourceSliceRules,
} from './device-kinds.ts';
import { eventRules, newEventRules } from './event.ts';
import { flowSchemaRules, priorityLevelRules } from './flow-control.ts';
import { ingressRules } from './ingress.ts';
import {
  ingressClassRules,
  ipAddressRules,
  networkPolicyRules,
  serviceCidrRules,
} from './networking-kinds.ts';
import { persistentVolumeRules } from './persistent-volume.ts';
import { persistentVolumeClaimRules } from './persistent-volume-claim.ts';
import {
  controllerRevisionRules,
  podDisruptionBudgetRules,
  priorityClassRules,
  runtimeClassRules,
} from './policy-kinds.ts';
import { limitRangeRules, resourceQuotaRules } from './quota-kinds.ts';
import { podTemplateRules, replicationControllerRules } from './replication-controller.ts';
import { signingRequestRules } from './signing-request.ts';
import { statefulSetRules } from './stateful-set.ts';
import {
  csiDriverRules,
  csiNodeRules,
  csiStorageCapacityRules,
  storageClassRules,
  volumeAttachmentRules,
  volumeAttributesClassRules,
} from './storage-kinds.ts';
import { withoutNulls } from './without-nulls.ts';

const declared: readonly ResourceRules[] = [
  configMapRules,
  endpointsRules,
  namespaceRules,
  nodeRules,
  podRules,
  secretRules,
  serviceAccountRules,
  serviceRules,
  deploymentRules,
  replicaSetRules,
  jobRules,
  leaseRules,
  endpointSliceRules,
  clusterRoleBindingRules,
  clusterRoleRules,
  roleBindingRules,
  roleRules,
  mutatingBindingRules,
  mutatingPolicyRules,
  mutatingWebhookRules,
  validatingBindingRules,
  validatingPolicyRules,
  validatingWebhookRules,
  autoscalerRules,
  cronJobRules,
  daemonSetRules,
  deviceClassRules,
  resourceClaimRules,
  resourceClaimTemplateRules,
  resourceSliceRules,
  eventRules,
  newEventRules,
  flowSchemaRules,
  priorityLevelRules,
  ingressClassRules,
  ingressRules,
  ipAddressRules,
  networkPolicyRules,
  serviceCidrRules,
  persistentVolumeRules,
  persistentVolumeClaimRules,
  controllerRevisionRules,
  podDisruptionBudgetRules,
  priorityClassRules,
  runtimeClassRules,
  limitRangeRules,
  resourceQuotaRules,
  podTemplateRules,
  replicationControllerRules,
  signingRequestRules,
  statefulSetRules,
  csiDriverRules,
  csiNodeRules,
  csiStorageCapacityRules,
  storageClassRules,
  volumeAttachmentRules,
  volumeAttributesClassRules,
];

export const resourceRules: readonly ResourceRules[] = declared.map(withoutNulls);

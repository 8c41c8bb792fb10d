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
];

export const resourceRules: readonly ResourceRules[] = declared.map(withoutNulls);

/**
 * What the machine's own parts may do, by the names in the certificates that base/pki issues: the hand
 * on a Node's labels and taints, which a kubelet may not change, one role for each node; and the API
 * server as a client of kubelets.
 */
import { KUBELET_CLIENT_USER, nodeSettingsUser } from '#base/pki/subjects.ts';
import type { Wanted } from './bootstrap.ts';

const GROUP = 'rbac.authorization.k8s.io';
const apiVersion = `${GROUP}/v1`;

function binding(user: string, clusterRole: string): Wanted {
  return {
    apiVersion,
    kind: 'ClusterRoleBinding',
    metadata: { name: user },
    roleRef: { apiGroup: GROUP, kind: 'ClusterRole', name: clusterRole },
    subjects: [{ apiGroup: GROUP, kind: 'User', name: user }],
  };
}

export function machineAccess(nodeName: string): Wanted[] {
  const name = nodeSettingsUser(nodeName);
  const verbs = ['get', 'list', 'watch', 'patch'];
  const rules = [{ apiGroups: [''], resources: ['nodes'], resourceNames: [nodeName], verbs }];
  return [
    { apiVersion, kind: 'ClusterRole', metadata: { name }, rules },
    binding(name, name),
    binding(KUBELET_CLIENT_USER, 'system:kubelet-api-admin'),
  ];
}

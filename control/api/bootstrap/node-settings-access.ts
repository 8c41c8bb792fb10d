/**
 * What the machine's own hand may do to its Node: labels and taints that a kubelet may not change. One
 * role for each node, for the user in the certificate that base/pki issues.
 */
import { nodeSettingsUser } from '#base/pki/subjects.ts';
import type { Wanted } from './bootstrap.ts';

const GROUP = 'rbac.authorization.k8s.io';

export function nodeSettingsAccess(nodeName: string): Wanted[] {
  const name = nodeSettingsUser(nodeName);
  const apiVersion = `${GROUP}/v1`;
  const metadata = { name };
  const verbs = ['get', 'list', 'watch', 'patch'];
  const rules = [{ apiGroups: [''], resources: ['nodes'], resourceNames: [nodeName], verbs }];
  const roleRef = { apiGroup: GROUP, kind: 'ClusterRole', name };
  const subjects = [{ apiGroup: GROUP, kind: 'User', name }];
  return [
    { apiVersion, kind: 'ClusterRole', metadata, rules },
    { apiVersion, kind: 'ClusterRoleBinding', metadata, roleRef, subjects },
  ];
}

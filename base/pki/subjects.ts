/** Names in certificates that the API server gives rights to; apart, since they need no cryptography. */

/** Whom the API server lets change labels and taints of one Node (control/api/bootstrap). */
export function nodeSettingsUser(nodeName: string): string {
  return `bareboat:node-settings:${nodeName}`;
}

/** As whom the API server asks kubelets for logs, exec and the like. */
export const KUBELET_CLIENT_USER = 'kube-apiserver-kubelet-client';

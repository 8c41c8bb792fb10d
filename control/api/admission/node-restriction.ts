/**
 * NodeRestriction: a kubelet writes its own Node and the pods bound to it, nothing of other nodes,
 * and gives itself no label that scheduling policy relies on. Source: kubernetes
 * plugin/pkg/admission/noderestriction.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Node, Pod } from '#base/kube/api/core-v1.gen.ts';
import { podReferences } from '../auth/node-authorizer.ts';
import { nodeNameOf } from '../auth/users.ts';
import { type ApiError, forbidden } from '../errors.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../registry/admission.ts';

const MIRROR = 'kubernetes.io/config.mirror';
const RESTRICTED_DOMAIN = 'node-restriction.kubernetes.io';

export class NodeRestriction implements AdmissionPlugin {
  readonly name = 'NodeRestriction';

  validate(request: AdmissionRequest): void {
    const node = nodeNameOf(request.context.user);
    if (node === undefined) return;
    const { group, resource } = request.resource.facts;
    switch (group === '' ? resource : `${group}/${resource}`) {
      case 'pods':
        this.#checkPod(request, node);
        return;
      case 'nodes':
        this.#checkNode(request, node);
        return;
      case 'coordination.k8s.io/leases':
      case 'storage.k8s.io/csinodes':
        if (request.operation === 'CREATE' && request.name !== node) {
          const because = 'can only access node lease with the same name as the requesting node';
          throw refuse(request, because);
        }
        return;
      default:
    }
  }

  #checkPod(request: AdmissionRequest, node: string): void {
    const only = (what: string) => refuse(request, `node "${node}" can only ${what}`);
    const pod = (request.object ?? request.old) as Pod; // By the resource.
    const old = request.old as Pod | undefined; // Likewise.
    switch (request.operation) {
      case 'CREATE':
        if (pod.metadata.annotations?.[MIRROR] === undefined) {
          const lack = `pod does not have "${MIRROR}" annotation`;
          throw refuse(request, `${lack}, node "${node}" can only create mirror pods`);
        }
        if (pod.spec?.nodeName !== node) {
          throw only('create pods with spec.nodeName set to itself');
        }
        for (const reference of podReferences(pod)) {
          const [referred = ''] = reference.split('/');
          throw refuse(request, `node "${node}" can not create pods that reference ${referred}`);
        }
        return;
      case 'UPDATE':
        if (request.subresource !== 'status') {
          throw refuse(request, `unexpected pod subresource "${request.subresource}"`);
        }
        if (old?.spec?.nodeName !== node) {
          throw only('update pod status for pods with spec.nodeName set to itself');
        }
        if (!isDeepStrictEqual(pod.metadata.labels ?? {}, old.metadata.labels ?? {})) {
          throw refuse(request, `node "${node}" cannot update labels through pod status`);
        }
        return;
      case 'DELETE':
        if (old?.spec?.nodeName !== node) {
          throw only('delete pods with spec.nodeName set to itself');
        }
        return;
      default:
    }
  }

  #checkNode(request: AdmissionRequest, node: string): void {
    if (request.name !== node) {
      throw refuse(request, `node "${node}" is not allowed to modify node "${request.name}"`);
    }
    if (request.operation === 'DELETE' || request.object === undefined) return;
    const { metadata, spec } = request.object as Node; // By the resource.
    const old = request.old as Node | undefined; // Likewise.
    const labels = metadata.labels ?? {};
    const before = old?.metadata.labels ?? {};
    // Those taken away too.
    const changed = [...new Set([...Object.keys(labels), ...Object.keys(before)])].filter(
      (key) => isRestricted(key) && labels[key] !== before[key],
    );
    if (changed.length > 0) {
      throw refuse(request, `is not allowed to modify labels: ${changed.sort().join(', ')}`);
    }
    if (old !== undefined && !isDeepStrictEqual(spec?.taints ?? [], old.spec?.taints ?? [])) {
      throw refuse(request, `node "${node}" is not allowed to modify taints`);
    }
  }
}

function isRestricted(label: string): boolean {
  const [domain = ''] = label.split('/');
  return domain === RESTRICTED_DOMAIN || domain.endsWith(`.${RESTRICTED_DOMAIN}`);
}

function refuse(request: AdmissionRequest, because: string): ApiError {
  return forbidden(request.resource.groupResource, request.name, because);
}

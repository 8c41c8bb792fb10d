/**
 * The question "may this user do that?" and how it is answered: system:masters may everything, the
 * health endpoints are open, kubelets are judged by the node authorizer, all others by RBAC.
 */
import type { RequestInfo } from '../request-info.ts';
import type { UserInfo } from '../resource.ts';
import type { NodeAuthorizer } from './node-authorizer.ts';
import type { RbacAuthorizer } from './rbac.ts';
import { GROUP_MASTERS } from './users.ts';

/** What is asked for; a resource request, or a path. */
export type Attributes =
  | {
      readonly kind: 'resource';
      readonly verb: string;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
      readonly fieldSelector?: string | undefined;
    }
  | { readonly kind: 'path'; readonly verb: string; readonly path: string };

export interface Decision {
  readonly allowed: boolean;
  /** Why, for audit and for SubjectAccessReview. */
  readonly reason: string;
}

const OPEN_PATHS = ['/healthz', '/livez', '/readyz'];

export class Authorizer {
  readonly #rbac: RbacAuthorizer;
  readonly #nodes: NodeAuthorizer;

  constructor(parts: { rbac: RbacAuthorizer; nodes: NodeAuthorizer }) {
    this.#rbac = parts.rbac;
    this.#nodes = parts.nodes;
  }

  decide(user: UserInfo, attributes: Attributes): Decision {
    if (user.groups.includes(GROUP_MASTERS)) return { allowed: true, reason: '' };
    if (attributes.kind === 'path' && OPEN_PATHS.some((p) => isAtOrBelow(attributes.path, p))) {
      return { allowed: true, reason: '' };
    }
    const node = this.#nodes.decide(user, attributes);
    if (node?.allowed === true) return node;
    const rbac = this.#rbac.decide(user, attributes);
    if (rbac.allowed || node === undefined) return rbac;
    return { allowed: false, reason: node.reason };
  }
}

function isAtOrBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}

export function attributesOf(info: RequestInfo, fieldSelector?: string | null): Attributes {
  if (!info.isResource) return { kind: 'path', verb: info.verb, path: info.path };
  const { verb, group, version, resource, subresource, namespace, name } = info;
  return {
    kind: 'resource',
    verb,
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
    ...(fieldSelector ? { fieldSelector } : {}),
  };
}

/** The sentence of a 403: `User "u" cannot get resource "pods" in API group "" ...`. */
export function denialText(user: UserInfo, attributes: Attributes, reason: string): string {
  const who = `User ${JSON.stringify(user.name)} cannot ${attributes.verb}`;
  const because = reason === '' ? '' : `: ${reason}`;
  if (attributes.kind === 'path') return `${who} path ${JSON.stringify(attributes.path)}${because}`;
  const { group, resource, subresource, namespace } = attributes;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return `${who} resource ${JSON.stringify(what)} in API group "${group}" ${where}${because}`;
}

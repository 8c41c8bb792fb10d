/**
 * Which requests are written to the audit log: all changes, all reads of people and of workloads, all
 * that was refused; not the traffic that a cluster makes by itself, which would push out the rest. Pure.
 */
import type { RequestInfo } from '../request-info.ts';
import type { UserInfo } from '../resource.ts';

export type AuditLevel = 'None' | 'Metadata';

interface Rule {
  /** Why these say nothing to whoever reads the log. */
  readonly because: string;
  matches(user: UserInfo, info: RequestInfo): boolean;
}

const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
const OPEN_PATHS = /^\/(?:healthz|livez|readyz|version|metrics|openapi|api|apis)(?:\/|$)/;
const isSystem = ({ name, groups }: UserInfo): boolean =>
  (name.startsWith('system:') && !name.startsWith('system:serviceaccount:')) ||
  groups.includes('system:serviceaccounts:kube-system');

/** What is left out. */
const OMITTED: readonly Rule[] = [
  {
    because: 'probes, discovery and schemas, which every client reads',
    matches: (_user, info) => !info.isResource && info.verb === 'get' && OPEN_PATHS.test(info.path),
  },
  {
    because: 'events are a log themselves',
    matches: (_user, info) => info.isResource && info.resource === 'events',
  },
  {
    because: 'kubelets and controllers read all the time',
    matches: (user, info) => isSystem(user) && info.isResource && READS.has(info.verb),
  },
  {
    because: 'heartbeats',
    matches: (user, info) => isSystem(user) && info.resource === 'leases',
  },
  {
    because: 'states that kubelets and controllers report',
    matches: (user, info) => isSystem(user) && info.subresource === 'status',
  },
];

/** Refusals are written whoever asked. */
export function auditLevel(user: UserInfo, info: RequestInfo, code: number): AuditLevel {
  if (code === 401 || code === 403) return 'Metadata';
  return OMITTED.some((rule) => rule.matches(user, info)) ? 'None' : 'Metadata';
}

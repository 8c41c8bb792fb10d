/** Query and path parameters of the API's operations: their names by operation, and their types. */
import type { Descriptions } from './openapi-schema.ts';

const TYPES: Readonly<Record<string, string>> = {
  allowWatchBookmarks: 'boolean',
  force: 'boolean',
  gracePeriodSeconds: 'integer',
  ignoreStoreReadErrorWithClusterBreakingPotential: 'boolean',
  limit: 'integer',
  orphanDependents: 'boolean',
  sendInitialEvents: 'boolean',
  timeoutSeconds: 'integer',
  watch: 'boolean',
  // Options of connecting subresources.
  follow: 'boolean',
  insecureSkipTLSVerifyBackend: 'boolean',
  limitBytes: 'integer',
  ports: 'integer',
  previous: 'boolean',
  sinceSeconds: 'integer',
  stderr: 'boolean',
  stdin: 'boolean',
  stdout: 'boolean',
  tailLines: 'integer',
  timestamps: 'boolean',
  tty: 'boolean',
};

/** Space-separated names. */
export const LIST =
  'allowWatchBookmarks continue fieldSelector labelSelector limit resourceVersion resourceVersionMatch sendInitialEvents shardSelector timeoutSeconds watch';
export const DELETE =
  'dryRun gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy';
export const DELETE_MANY = `continue ${DELETE} fieldSelector labelSelector limit resourceVersion resourceVersionMatch sendInitialEvents shardSelector timeoutSeconds`;
export const WRITE = 'dryRun fieldManager fieldValidation';

/** Query parameters of the subresources that connect. */
export const CONNECT: Readonly<Record<string, string>> = {
  attach: 'container stderr stdin stdout tty',
  exec: 'command container stderr stdin stdout tty',
  portforward: 'ports',
  proxy: 'path',
};

export const LOG =
  'container follow insecureSkipTLSVerifyBackend limitBytes previous sinceSeconds stream tailLines timestamps';

/** An OpenAPI parameter object. */
export function parameter(
  descriptions: Descriptions,
  name: string,
  where: 'query' | 'path' = 'query',
): Readonly<Record<string, unknown>> {
  const description = descriptions.parameters[name];
  return {
    name,
    in: where,
    ...(description === undefined ? {} : { description }),
    ...(where === 'path' ? { required: true } : {}),
    schema: { type: TYPES[name] ?? 'string', uniqueItems: true },
  };
}

/**
 * What a request is about, from method, path and query alone: the first stage of the pipeline,
 * which authorization, metrics and routing share. Pure. Rules: apiserver
 * endpoints/request/requestinfo.go.
 */

export interface RequestInfo {
  readonly isResource: boolean;
  /** Without query. */
  readonly path: string;
  /**
   * get, list, watch, create, update, patch, delete, deletecollection; else the lower-case method.
   */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  /** '' for cluster-scoped requests and lists over all namespaces. */
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** Everything after the subresource, for proxies. */
  readonly rest: string;
}

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(['status', 'finalize']);

/** True for the values of a boolean query parameter that mean yes. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

export function parseRequestInfo(
  method: string,
  path: string,
  query: URLSearchParams,
): RequestInfo {
  const nonResource: RequestInfo = {
    isResource: false,
    path,
    verb: method.toLowerCase(),
    group: '',
    version: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    rest: '',
  };
  const parts = splitPath(path);
  const isLegacy = parts[0] === 'api';
  if (parts.length < (isLegacy ? 3 : 4) || (!isLegacy && parts[0] !== 'apis')) return nonResource;
  const group = isLegacy ? '' : (parts[1] ?? '');
  const version = parts[isLegacy ? 1 : 2] ?? '';
  let rest = parts.slice(isLegacy ? 2 : 3);
  let verb = VERBS[method] ?? '';
  if (rest[0] === 'watch' && rest.length > 1) {
    verb = 'watch';
    rest = rest.slice(1);
  }
  let namespace = '';
  if (rest[0] === 'namespaces' && rest.length > 1) {
    namespace = rest[1] ?? '';
    if (rest.length > 2 && !NAMESPACE_SUBRESOURCES.has(rest[2] ?? '')) rest = rest.slice(2);
  }
  const [resource = '', pathName = '', subresource = ''] = rest;
  let name = pathName;
  if (name === '' && verb === 'get') {
    verb = isTrue(query.get('watch')) ? 'watch' : 'list';
    name = exactName(query.get('fieldSelector'));
  } else if (name === '' && verb === 'watch') {
    name = exactName(query.get('fieldSelector'));
  } else if (name !== '' && verb === 'get' && subresource === '' && isTrue(query.get('watch'))) {
    verb = 'watch';
  } else if (name === '' && verb === 'delete') {
    verb = 'deletecollection';
  }
  const isNamespaceItself = resource === 'namespaces';
  return {
    isResource: true,
    path,
    verb,
    group,
    version,
    namespace: isNamespaceItself && name !== '' ? name : namespace,
    resource,
    subresource,
    name,
    rest: rest.slice(3).join('/') + (path.endsWith('/') && rest.length > 3 ? '/' : ''),
  };
}

/** The name that a field selector demands, which authorization then sees. */
function exactName(fieldSelector: string | null): string {
  if (fieldSelector === null) return '';
  for (const term of fieldSelector.split(',')) {
    const match = /^metadata\.name==?([^=].*)$/.exec(term.trim());
    const name = match?.[1] ?? '';
    if (name !== '' && !/[/%]/.test(name) && name !== '.' && name !== '..') return name;
  }
  return '';
}

function splitPath(path: string): string[] {
  const trimmed = path.replace(/^\/+|\/+$/g, '');
  return trimmed === '' ? [] : trimmed.split('/').map(decodeSegment);
}

function decodeSegment(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // Not percent-encoding after all: taken literally, which then finds nothing.
  }
}

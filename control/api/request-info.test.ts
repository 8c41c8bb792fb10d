import t from 'tap';
import { parseRequestInfo } from './request-info.ts';

const cases = [
  { method: 'GET', path: '/', want: { isResource: false, verb: 'get' } },
  { method: 'GET', path: '/apis/apps/v1', want: { isResource: false } },
  { method: 'GET', path: '/api/v1', want: { isResource: false } },
  {
    method: 'GET',
    path: '/api/v1/pods',
    want: { verb: 'list', resource: 'pods', namespace: '', name: '' },
  },
  { method: 'GET', path: '/api/v1/pods?watch=true', want: { verb: 'watch' } },
  { method: 'GET', path: '/api/v1/pods?watch=false', want: { verb: 'list' } },
  { method: 'GET', path: '/api/v1/watch/pods', want: { verb: 'watch', resource: 'pods' } },
  {
    method: 'GET',
    path: '/api/v1/watch/namespaces/a/pods/b',
    want: { verb: 'watch', namespace: 'a', name: 'b' },
  },
  {
    method: 'GET',
    path: '/api/v1/namespaces/a/pods/b/log',
    want: { verb: 'get', namespace: 'a', name: 'b', subresource: 'log' },
  },
  {
    method: 'PUT',
    path: '/api/v1/namespaces/a/finalize',
    want: { verb: 'update', resource: 'namespaces', name: 'a', subresource: 'finalize' },
  },
  {
    method: 'GET',
    path: '/api/v1/namespaces/a',
    want: { verb: 'get', resource: 'namespaces', name: 'a', namespace: 'a' },
  },
  {
    method: 'DELETE',
    path: '/apis/apps/v1/namespaces/a/deployments',
    want: { verb: 'deletecollection', group: 'apps', resource: 'deployments' },
  },
  {
    method: 'GET',
    path: '/api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dx',
    want: { verb: 'list', name: 'x' },
  },
  {
    method: 'GET',
    path: '/api/v1/namespaces/a/secrets?fieldSelector=metadata.name!%3Dx',
    want: { verb: 'list', name: '' },
  },
  {
    method: 'POST',
    path: '/api/v1/namespaces/a/services/http:web:80/proxy/x/y/',
    want: { verb: 'create', name: 'http:web:80', subresource: 'proxy', rest: 'x/y/' },
  },
] as const;

for (const { method, path, want } of cases) {
  t.test(`parseRequestInfo() ${method} ${path}`, (t) => {
    const url = new URL(path, 'https://host');
    t.match(parseRequestInfo(method, url.pathname, url.searchParams), want);
    t.end();
  });
}

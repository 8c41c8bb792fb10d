import t from 'tap';
import type { PolicyRule } from '#base/kube/api/rbac-v1.gen.ts';
import { ResourceCache } from '../cache/resource-cache.ts';
import { RbacAuthorizer, ruleAllows, uncoveredRules } from './rbac.ts';

const UID = '00000000-0000-0000-0000-000000000000';
const pods = (verb: string, more: object = {}) => ({
  kind: 'resource' as const,
  verb,
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'ns',
  name: '',
  ...more,
});
const rule = (verbs: string[], resources: string[], more: object = {}): PolicyRule => ({
  verbs,
  apiGroups: [''],
  resources,
  ...more,
});

const cases = [
  { rule: rule(['get'], ['pods']), asked: pods('get'), want: true },
  { rule: rule(['get'], ['pods']), asked: pods('list'), want: false },
  { rule: rule(['*'], ['*']), asked: pods('delete', { subresource: 'log' }), want: true },
  { rule: rule(['get'], ['pods']), asked: pods('get', { subresource: 'log' }), want: false },
  { rule: rule(['get'], ['pods/log']), asked: pods('get', { subresource: 'log' }), want: true },
  { rule: rule(['get'], ['*/log']), asked: pods('get', { subresource: 'log' }), want: true },
  { rule: rule(['get'], ['pods']), asked: pods('get', { group: 'apps' }), want: false },
  { rule: rule(['get'], ['pods'], { resourceNames: ['a'] }), asked: pods('get'), want: false },
  {
    rule: rule(['get'], ['pods'], { resourceNames: ['a'] }),
    asked: pods('get', { name: 'a' }),
    want: true,
  },
  {
    rule: { verbs: ['get'], nonResourceURLs: ['/logs/*'] },
    asked: { kind: 'path' as const, verb: 'get', path: '/logs/x' },
    want: true,
  },
  {
    rule: { verbs: ['get'], nonResourceURLs: ['/logs'] },
    asked: { kind: 'path' as const, verb: 'get', path: '/logs/x' },
    want: false,
  },
];
for (const [i, c] of cases.entries()) {
  t.test(`ruleAllows() row ${i}`, (t) => {
    t.equal(ruleAllows(c.rule, c.asked), c.want);
    t.end();
  });
}

t.test('uncoveredRules() names single verbs that are not held', (t) => {
  const held = [rule(['get', 'list'], ['pods'])];
  t.same(uncoveredRules(held, [rule(['get'], ['pods'])]), []);
  t.same(uncoveredRules(held, [rule(['get', 'delete'], ['pods'])]), [rule(['delete'], ['pods'])]);
  t.same(uncoveredRules([rule(['*'], ['*'])], [rule(['x'], ['y/z'])]), []);
  const named = [rule(['get'], ['pods'], { resourceNames: ['a'] })];
  t.equal(uncoveredRules(named, [rule(['get'], ['pods'])]).length, 1, 'all is more than one name');
  t.end();
});

t.test('RbacAuthorizer follows its caches', (t) => {
  const make = () => new ResourceCache(() => ({}));
  const caches = {
    roles: make(),
    roleBindings: make(),
    clusterRoles: make(),
    clusterRoleBindings: make(),
  };
  const rbac = new RbacAuthorizer(caches);
  const object = (kind: string, name: string, body: object, namespace?: string) =>
    Buffer.from(
      JSON.stringify({
        kind,
        apiVersion: 'rbac.authorization.k8s.io/v1',
        metadata: { name, namespace, uid: UID },
        ...body,
      }),
    );
  const user = { name: 'bob', uid: '', groups: ['devs'], extra: {} };
  const robot = { name: 'system:serviceaccount:ns:robot', uid: '', groups: [], extra: {} };
  const may = (who: typeof user, more: object = {}) => rbac.decide(who, pods('get', more)).allowed;
  t.notOk(may(user));
  const reader = { rules: [rule(['get'], ['pods'])] };
  caches.clusterRoles.apply(
    { key: 'reader', value: object('ClusterRole', 'reader', reader) },
    1,
    0,
  );
  const binding = {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reader' },
    subjects: [
      { kind: 'Group', name: 'devs' },
      { kind: 'ServiceAccount', name: 'robot', namespace: 'ns' },
    ],
  };
  const value = object('RoleBinding', 'b', binding, 'ns');
  caches.roleBindings.apply({ key: 'ns/b', value }, 2, 0);
  t.ok(may(user));
  t.ok(may(robot as typeof user));
  t.notOk(may(user, { namespace: 'other' }), 'a role binding holds in its namespace only');
  const writer = object('ClusterRole', 'reader', { rules: [rule(['create'], ['pods'])] });
  caches.clusterRoles.apply({ key: 'reader', value: writer }, 3, 0);
  t.notOk(may(user), 'the role changed');
  caches.clusterRoles.apply(
    { key: 'reader', value: object('ClusterRole', 'reader', reader) },
    4,
    0,
  );
  caches.roleBindings.apply({ key: 'ns/b', value: undefined }, 5, 0);
  t.notOk(may(user), 'the binding went');
  t.end();
});

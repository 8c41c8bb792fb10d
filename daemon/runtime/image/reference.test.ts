import t from 'tap';
import { formatReference, parseReference, repositoryName } from './reference.ts';

const GOOD = [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['user/app', 'docker.io/user/app:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
  ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10'],
  ['registry.k8s.io/e2e-test-images/agnhost:2.53', 'registry.k8s.io/e2e-test-images/agnhost:2.53'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
  ['127.0.0.1:5000/a/b__c/d-e', '127.0.0.1:5000/a/b__c/d-e:latest'],
  ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ['UPPER/app', 'UPPER/app:latest'],
  [`busybox@sha256:${'a'.repeat(64)}`, `docker.io/library/busybox@sha256:${'a'.repeat(64)}`],
  [`a/b:t@sha256:${'0'.repeat(64)}`, `docker.io/a/b:t@sha256:${'0'.repeat(64)}`],
] as const;

const BAD = [
  '',
  ':tag',
  'Busybox',
  'a/B',
  'busybox:',
  'busybox:.tag',
  `busybox:${'t'.repeat(129)}`,
  'busybox@sha256:abc',
  `busybox@md5:${'a'.repeat(64)}`,
  'a//b',
  '/a',
  'a/',
  'a b',
  '-a/b.c',
  'a_',
  'https://registry.k8s.io/pause',
  'f'.repeat(64),
  `x.io/${'y'.repeat(260)}`,
];

for (const [text, normal] of GOOD) {
  t.equal(formatReference(parseReference(text)), normal, `parseReference() normalises ${text}`);
}
for (const text of BAD) {
  t.throws(() => parseReference(text), { code: 'INVALID_IMAGE_NAME' }, `refuses '${text}'`);
}
t.equal(repositoryName(parseReference('busybox:1')), 'docker.io/library/busybox');

import t from 'tap';
import {
  basicAuthorization,
  parseChallenge,
  tokenUrl,
  mayHaveCredentials,
} from './registry-auth.ts';
import { endpoints } from './registry-puller.ts';

const BEARER = { scheme: 'bearer', realm: 'https://a/t', service: 's', scope: 'r:x:pull' } as const;

const CHALLENGES = [
  ['Bearer realm="https://a/t",service="s",scope="r:x:pull"', BEARER],
  ['bearer service=s, realm="https://a/t" , scope="r:x:pull"', BEARER],
  ['Basic realm="x, y", Bearer realm="https://a/t",service="s",scope="r:x:pull"', BEARER],
  ['Basic realm="x \\"quoted\\""', { scheme: 'basic' }],
  ['Basic', { scheme: 'basic' }],
  ['Bearer service="no realm"', undefined],
  ['Negotiate', undefined],
  ['', undefined],
  [null, undefined],
] as const;

for (const [header, challenge] of CHALLENGES) {
  t.same(parseChallenge(header), challenge, String(header));
}
t.equal(tokenUrl(BEARER, 'x').href, 'https://a/t?service=s&scope=r%3Ax%3Apull');
t.equal(
  tokenUrl(
    { scheme: 'bearer', realm: 'https://a/t?b=c', service: undefined, scope: undefined },
    'x/y',
  ).href,
  'https://a/t?b=c&scope=repository%3Ax%2Fy%3Apull',
);
t.throws(() => tokenUrl({ ...BEARER, realm: 'nowhere' }, 'x'), TypeError);
t.equal(basicAuthorization({ username: 'u', password: 'p:w' }), 'Basic dTpwOnc=');

const CONFIG = {
  mirrors: { 'docker.io': ['https://mirror.local/'], '*': ['http://cache:80'] },
  insecure: ['plain.local', 'odd.local:5000'],
};
const ENDPOINTS = [
  ['docker.io', ['https://mirror.local', 'http://cache:80', 'https://registry-1.docker.io']],
  ['localhost:5000', ['http://cache:80', 'http://localhost:5000']],
  ['127.0.0.1', ['http://cache:80', 'http://127.0.0.1']],
  ['127.example', ['http://cache:80', 'https://127.example']],
  ['[::1]:9', ['http://cache:80', 'http://[::1]:9']],
  ['plain.local:8080', ['http://cache:80', 'http://plain.local:8080']],
  ['odd.local:5000', ['http://cache:80', 'http://odd.local:5000']],
  ['odd.local:5001', ['http://cache:80', 'https://odd.local:5001']],
] as const;
for (const [registry, urls] of ENDPOINTS) {
  const found = endpoints(registry, CONFIG).map(({ baseUrl }) => baseUrl);
  t.same(found, urls, registry);
}
const same = {
  mirrors: { 'r.example': ['https://r.example:443/', 'http://r.example'] },
  insecure: [],
};
t.same(
  endpoints('r.example', same).map(({ isRegistry }) => isRegistry),
  [true, false, true],
);

t.test('mayHaveCredentials()', async (t) => {
  for (const [tokenServer, baseUrl, may] of [
    ['https://auth.example/token', 'https://r.example', true],
    ['http://auth.example/token', 'https://r.example', false],
    ['http://r.example/token', 'https://r.example', false],
    ['http://plain.example:5000/token', 'http://plain.example:5000', true],
    ['http://auth.example/token', 'http://plain.example:5000', false],
    ['http://127.0.0.1:5001/token', 'https://r.example', true],
    ['http://[::1]:5001/token', 'https://r.example', true],
  ] as const) {
    t.equal(mayHaveCredentials(new URL(tokenServer), baseUrl), may, `${tokenServer} of ${baseUrl}`);
  }
});

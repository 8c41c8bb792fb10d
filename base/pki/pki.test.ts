import { X509Certificate, createPrivateKey } from 'node:crypto';
import t from 'tap';
import { agentFiles, controlFiles } from './node-certificates.ts';
import { createCa, createSigningKey, fingerprint, issueLeaf, renewAtMs } from './pki.ts';

const DAY_MS = 24 * 3600 * 1000;
const nowMs = Date.parse('2026-11-23T10:00:00Z');

t.test('issueLeaf() makes a certificate that its CA verifies', async (t) => {
  const ca = await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs: 3650 * DAY_MS });
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'system:node:n1', organizations: ['system:nodes', 'more'] },
    dnsNames: ['n1'],
    ips: ['10.0.0.1', '::1'],
    usages: ['client', 'server'],
    nowMs,
    lifetimeMs: 365 * DAY_MS,
  });
  const parsed = new X509Certificate(leaf.certificate);
  const issuer = new X509Certificate(ca.certificate);
  t.ok(parsed.verify(issuer.publicKey));
  t.ok(parsed.checkIssued(issuer));
  t.ok(issuer.ca);
  t.notOk(parsed.ca);
  t.equal(parsed.subject, 'O=system:nodes\nO=more\nCN=system:node:n1');
  t.match(parsed.subjectAltName, /DNS:n1, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1/);
  t.ok(parsed.checkPrivateKey(createPrivateKey(leaf.key)));
  t.equal(new Date(parsed.validFrom).getTime(), nowMs - 3600 * 1000, 'back-dated an hour');
  t.equal(await fingerprint(leaf.certificate), parsed.fingerprint256);
  t.equal(Math.round((renewAtMs(leaf.certificate) - nowMs) / DAY_MS), 243);
});

t.test('issueLeaf() never outlives its CA', async (t) => {
  const ca = await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs: DAY_MS });
  const leaf = await issueLeaf(ca, {
    subject: { commonName: 'x' },
    usages: ['client'],
    nowMs,
    lifetimeMs: 365 * DAY_MS,
  });
  t.equal(new Date(new X509Certificate(leaf.certificate).validTo).getTime(), nowMs + DAY_MS);
});

t.test('files of the processes hold what their wiring names', async (t) => {
  const authorities = {
    kubernetes: await createCa({ commonName: 'kubernetes', nowMs, lifetimeMs: DAY_MS }),
    aggregator: await createCa({ commonName: 'aggregator', nowMs, lifetimeMs: DAY_MS }),
    serviceAccount: await createSigningKey(),
  };
  const names = {
    nodeName: 'n1',
    ips: ['10.0.0.1'],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
    extraNames: ['api.example.org', '192.0.2.7'],
  };
  const control = await controlFiles(authorities, names, nowMs);
  t.same([...control.keys()].toSorted(), [
    'ca.crt',
    'ca.key',
    'front-proxy-ca.crt',
    'front-proxy-client.crt',
    'front-proxy-client.key',
    'kubelet-client.crt',
    'kubelet-client.key',
    'sa.key',
    'sa.pub',
    'server.crt',
    'server.key',
  ]);
  const { subject } = new X509Certificate(control.get('kubelet-client.crt') ?? '');
  t.equal(subject, 'CN=kube-apiserver-kubelet-client', 'no administrator');
  const server = new X509Certificate(control.get('server.crt') ?? '');
  for (const ip of ['127.0.0.1', '::1', '10.96.0.1', '10.0.0.1', '192.0.2.7'])
    t.ok(server.checkIP(ip), ip);
  for (const name of ['n1', 'kubernetes.default.svc.cluster.local', 'api.example.org']) {
    t.ok(server.checkHost(name), name);
  }
  const agent = await agentFiles(authorities, names, nowMs);
  t.same([...agent.keys()].toSorted(), [
    'ca.crt',
    'kubelet-serving.crt',
    'kubelet-serving.key',
    'kubelet.crt',
    'kubelet.key',
    'node-settings.crt',
    'node-settings.key',
    'proxy.crt',
    'proxy.key',
  ]);
  for (const name of ['kubelet', 'node-settings', 'proxy']) {
    const { subject } = new X509Certificate(agent.get(`${name}.crt`) ?? '');
    t.notMatch(subject, /system:masters/, `${name} has no more than it needs`);
  }
});

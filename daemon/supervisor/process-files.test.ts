/** What the machine's configuration says reaches the agent, whose own schema takes it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseMachineConfig } from '#base/machine-config.ts';
import { readAgentConfig } from '../agent/config.ts';
import { planAgentConfig, planControlConfig } from './process-files.ts';

const dir = mkdtempSync(join(tmpdir(), 'bareboat-files-'));
t.teardown(() => rmSync(dir, { recursive: true }));

function agentConfigOf(yaml: string) {
  const config = parseMachineConfig(`version: 1\ncluster: {name: c}\n${yaml}`);
  const path = join(dir, 'agent.json');
  const facts = { config, primary: '192.0.2.1', reserved: { memoryBytes: 1 << 28 } };
  writeFileSync(path, JSON.stringify(planAgentConfig(facts)));
  return readAgentConfig(path);
}

t.test('planAgentConfig() with defaults', async (t) => {
  t.match(agentConfigOf('node: {name: n}\n'), {
    nodeName: 'n',
    nodeIp: '192.0.2.1',
    clusterDns: '10.96.0.10',
    reserved: { memoryBytes: 1 << 28 },
    labels: {},
    taints: [],
    registries: { mirrors: {}, insecure: [] },
  });
});

t.test('planAgentConfig() passes labels, taint and registries on', async (t) => {
  const config = agentConfigOf(`
node: {name: n, labels: {disk: ssd}, schedulable: false}
registries: {mirrors: {docker.io: ["http://cache:5000"]}, insecure: [plain.local]}
`);
  t.match(config, {
    labels: { disk: 'ssd' },
    taints: [{ key: 'node-role.kubernetes.io/control-plane', effect: 'NoSchedule' }],
    registries: { mirrors: { 'docker.io': ['http://cache:5000'] }, insecure: ['plain.local'] },
  });
});

t.test('planAgentConfig() passes the settings of the kubelet on', async (t) => {
  const settings = `kubelet: {evictionHard: {nodefs.available: "0%"}, imageMaximumGCAge: 24h}`;
  t.match(agentConfigOf(`node: {name: n}\n${settings}\n`), {
    kubelet: {
      evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '15%' },
      imageGCHighThresholdPercent: 85,
      imageMaximumGCAge: '24h',
    },
  });
});

t.test('planControlConfig() has an audit log where the configuration asks for one', async (t) => {
  const planned = (yaml: string) => {
    const config = parseMachineConfig(`version: 1\nnode: {name: n}\ncluster: {name: c}\n${yaml}`);
    return planControlConfig({ config, primary: '192.0.2.1' }) as { audit?: object };
  };
  t.equal(planned('').audit, undefined);
  const path = '/var/lib/bareboat/control/audit/audit.log';
  const audit = { path, bytesMax: 10_000_000, filesMax: 5 };
  t.same(planned('apiServer: {audit: {}}').audit, audit);
  t.same(planned('apiServer: {audit: {filesMax: 9}}').audit, { ...audit, filesMax: 9 });
});

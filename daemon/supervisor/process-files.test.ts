/** What the machine's configuration says reaches the agent, whose own schema takes it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseMachineConfig } from '#base/machine-config.ts';
import { readAgentConfig } from '../agent/config.ts';
import { planAgentConfig } from './process-files.ts';

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

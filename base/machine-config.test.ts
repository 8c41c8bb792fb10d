import t from 'tap';
import { ConfigError, formatYaml, parseMachineConfig } from './machine-config.ts';

const minimal = 'version: 1\nnode: {name: n1}\ncluster: {name: c1}\n';

t.test('parseMachineConfig() fills in defaults, and reads what formatYaml() writes', async (t) => {
  const config = parseMachineConfig(minimal);
  t.match(config, {
    node: { name: 'n1', role: 'auto', schedulable: true },
    network: { links: [], nameservers: [] },
    cluster: { podCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16', domain: 'cluster.local' },
  });
  t.same(parseMachineConfig(formatYaml(config)), config);
});

const bad = [
  {
    name: 'an unknown key, with a suggestion',
    yaml: `${minimal}netwrok: {}\n`,
    field: 'netwrok',
    message: /unknown key; did you mean network\?/,
  },
  {
    name: 'an unknown nested key',
    yaml: 'version: 1\nnode: {name: n1, rol: auto}\ncluster: {name: c}\n',
    field: 'node.rol',
    message: /did you mean role\?/,
  },
  {
    name: 'an unknown key in a list',
    yaml: `${minimal}network: {links: [{name: eth0, adresses: []}]}\n`,
    field: 'network.links[0].adresses',
    message: /did you mean addresses\?/,
  },
  {
    name: 'a bad value, shown',
    yaml: 'version: 1\nnode: {name: N_1}\ncluster: {name: c}\n',
    field: 'node.name',
    message: /"N_1": must be a DNS label/,
  },
  {
    name: 'a bad address',
    yaml: `${minimal}network: {nameservers: [1.2.3]}\n`,
    field: 'network.nameservers[0]',
    message: /"1.2.3"/,
  },
  {
    name: 'a missing key',
    yaml: 'version: 1\nnode: {name: n1}\n',
    field: 'cluster',
    message: /expected object/,
  },
  { name: 'a duplicate key', yaml: `${minimal}version: 1\n`, field: '', message: /unique/ },
  { name: 'no YAML', yaml: 'a: [', field: '', message: /./ },
  {
    name: 'a link named twice',
    yaml: `${minimal}network: {links: [{dhcp: true}]}\n`,
    field: 'network.links[0]',
    message: /needs either name or mac/,
  },
] as const;
for (const c of bad) {
  t.test(`parseMachineConfig() refuses ${c.name}`, async (t) => {
    try {
      parseMachineConfig(c.yaml);
      t.fail('accepted');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      t.match(error.problems, [{ field: c.field, message: c.message }]);
    }
  });
}

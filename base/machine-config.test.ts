import t from 'tap';
import { ConfigError, formatYaml, parseMachineConfig } from './machine-config.ts';
import { durationMs } from './kubelet-settings.ts';
import { sysctlPath } from './sysctl-name.ts';

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
  {
    name: 'an unknown eviction signal',
    yaml: `${minimal}kubelet: {evictionHard: {nodefs.avail: 5%}}\n`,
    field: 'kubelet.evictionHard.nodefs.avail',
    message: /unknown key/,
  },
  {
    name: 'a threshold that is none',
    yaml: `${minimal}kubelet: {evictionHard: {memory.available: 101%}}\n`,
    field: 'kubelet.evictionHard.memory.available',
    message: /"101%": must be an amount such as 100Mi, or a share such as 10%/,
  },
  {
    name: 'thresholds in the wrong order',
    yaml: `${minimal}kubelet: {imageGCLowThresholdPercent: 90}\n`,
    field: 'kubelet.imageGCLowThresholdPercent',
    message: /must not be above imageGCHighThresholdPercent/,
  },
  {
    name: 'a duration without a unit',
    yaml: `${minimal}kubelet: {imageMinimumGCAge: "120"}\n`,
    field: 'kubelet.imageMinimumGCAge',
    message: /"120": must be a duration such as 2m or 1h30m/,
  },
  {
    name: 'an audit log too small to hold anything',
    yaml: `${minimal}apiServer: {audit: {bytesMax: 10}}\n`,
    field: 'apiServer.audit.bytesMax',
    message: /10: /,
  },
  { name: 'no YAML', yaml: 'a: [', field: '', message: /./ },
  {
    name: 'a link named twice',
    yaml: `${minimal}network: {links: [{dhcp: true}]}\n`,
    field: 'network.links[0]',
    message: /needs either name or mac/,
  },
  {
    name: 'links of one name',
    yaml: `${minimal}network: {links: [{name: eth0}, {name: eth0, mtu: 9000}]}\n`,
    field: 'network.links[1]',
    message: /eth0 is configured twice/,
  },
  {
    name: 'a time server that would be two lines',
    yaml: `${minimal}network: {timeServers: ["a\\nallow all"]}\n`,
    field: 'network.timeServers[0]',
    message: /must be a name or an address/,
  },
  {
    name: 'a label key with two slashes',
    yaml: 'version: 1\nnode: {name: n1, labels: {a/b/c: d}}\ncluster: {name: c1}\n',
    field: 'node.labels.a/b/c',
    message: /"d": must be a label key/,
  },
  {
    name: 'a label value with blanks',
    yaml: 'version: 1\nnode: {name: n1, labels: {disk: very fast}}\ncluster: {name: c1}\n',
    field: 'node.labels.disk',
    message: /"very fast": must be a label value/,
  },
  {
    name: "one of the kubelet's own labels",
    yaml: 'version: 1\nnode: {name: n1, labels: {kubernetes.io/hostname: x}}\ncluster: {name: c1}\n',
    field: 'node.labels.kubernetes.io/hostname',
    message: /set by the node itself/,
  },
  {
    name: 'a sysctl outside of /proc/sys',
    yaml: `${minimal}sysctls: {kernel/../../self/oom_score_adj: "1"}\n`,
    field: 'sysctls.kernel/../../self/oom_score_adj',
    message: /"1": must name a file below \/proc\/sys/,
  },
  {
    name: 'a sysctl given twice',
    yaml: `${minimal}sysctls: {vm.swappiness: 1, vm/swappiness: 2}\n`,
    field: 'sysctls.vm/swappiness',
    message: /is the same as vm.swappiness/,
  },
  {
    name: 'the host name as a sysctl',
    yaml: `${minimal}sysctls: {kernel.hostname: a}\n`,
    field: 'sysctls.kernel.hostname',
    message: /set by the machine itself/,
  },
  {
    name: 'overlapping ranges',
    yaml: 'version: 1\nnode: {name: n}\ncluster: {name: c, podCidr: 10.0.0.0/8}\n',
    field: 'cluster.serviceCidr',
    message: /overlaps with cluster.podCidr/,
  },
  {
    name: 'a range without room for the DNS address',
    yaml: 'version: 1\nnode: {name: n}\ncluster: {name: c, serviceCidr: 10.96.0.0/29}\n',
    field: 'cluster.serviceCidr',
    message: /"10.96.0.0\/29": must have a prefix length of 8 to 28/,
  },
  {
    name: 'an extra name that no certificate can have',
    yaml: 'version: 1\nnode: {name: n}\ncluster: {name: c, extraNames: ["a b"]}\n',
    field: 'cluster.extraNames[0]',
    message: /"a b": must be a DNS name or an address/,
  },
  {
    name: 'a domain with capitals',
    yaml: 'version: 1\nnode: {name: n}\ncluster: {name: c, domain: Cluster.Local}\n',
    field: 'cluster.domain',
    message: /"Cluster.Local": must be a domain/,
  },
  {
    name: 'a mirror that is no URL',
    yaml: `${minimal}registries: {mirrors: {docker.io: [mirror.local]}}\n`,
    field: 'registries.mirrors.docker.io[0]',
    message: /"mirror.local": must be a http\(s\) URL/,
  },
  {
    name: 'a mirror of a URL',
    yaml: `${minimal}registries: {mirrors: {"https://docker.io": []}}\n`,
    field: 'registries.mirrors.https://docker.io',
    message: /must be a registry as in image names, or \*/,
  },
  {
    name: 'an insecure registry with a path',
    yaml: `${minimal}registries: {insecure: [plain.local/x]}\n`,
    field: 'registries.insecure[0]',
    message: /must be a registry as in image names/,
  },
] as const;

t.test('parseMachineConfig() takes what the fields are for', async (t) => {
  const yaml = `version: 1
node: {name: n1, labels: {disk: ssd, example.com/rack: r-1, node-role.kubernetes.io/edge: ""}}
network:
  links: [{name: eth0, mtu: 9000}, {mac: "52:54:00:12:34:56", dhcp: false, addresses: [192.0.2.1/24]}]
  nameservers: [192.0.2.53, "2001:db8::53"]
  timeServers: [time.example.com, 192.0.2.4]
cluster: {name: c1, extraNames: ["*.example.com", api.example.com, 192.0.2.9, "2001:db8::1"]}
sysctls: {vm.max_map_count: 300000, net/ipv4/conf/eth0.1/forwarding: "1"}
registries: {mirrors: {docker.io: ["http://cache:5000"], "*": []}, insecure: ["plain.local:5000"]}
`;
  const config = parseMachineConfig(yaml);
  t.match(config, {
    node: { labels: { 'node-role.kubernetes.io/edge': '' }, shutdownGraceSeconds: 30 },
    sysctls: { 'vm.max_map_count': '300000', 'net/ipv4/conf/eth0.1/forwarding': '1' },
    registries: { mirrors: { 'docker.io': ['http://cache:5000'] }, insecure: ['plain.local:5000'] },
  });
  t.same(parseMachineConfig(formatYaml(config)), config);
});

t.test('sysctlPath() reads names as sysctl(8) does', async (t) => {
  const rows = [
    ['vm.max_map_count', 'vm/max_map_count'],
    ['net.ipv4.conf.eth0/100.forwarding', 'net/ipv4/conf/eth0.100/forwarding'],
    ['net/ipv4/conf/eth0.100/forwarding', 'net/ipv4/conf/eth0.100/forwarding'],
    ['vm', undefined],
    ['', undefined],
    ['/proc/sys/vm/swappiness', undefined],
    ['vm..swappiness', undefined],
    ['vm/../kernel/panic', undefined],
    ['vm/./swappiness', undefined],
    ['vm/swappiness\n', undefined],
  ] as const;
  for (const [name, path] of rows) t.equal(sysctlPath(name), path, JSON.stringify(name));
});

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

t.test('durationMs()', async (t) => {
  for (const [text, ms] of [
    ['0', 0],
    ['2m', 120_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['200ms', 200],
    ['2m0s', 120_000],
    ['', Number.NaN],
    ['5', Number.NaN],
    ['-5s', Number.NaN],
    ['1d', Number.NaN],
  ] as const) {
    t.same(durationMs(text), ms, text);
  }
});

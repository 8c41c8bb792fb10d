/** ConfigSources: which source wins, what is refused, and when it asks again. */
import t from 'tap';
import { type ClusterSecrets, formatYaml, type MachineConfig } from '#base/machine-config.ts';
import { createCa, createSigningKey } from '#base/pki/pki.ts';
import type { ConfigVolume } from '#daemon/disk/config-volume.ts';
import { parseCommandLine } from './command-line.ts';
import { ConfigSources } from './config-sources.ts';

const CONFIG = 'version: 1\nnode: {name: n}\ncluster: {name: c}\n';
const ca = (commonName: string) =>
  createCa({ commonName, nowMs: Date.now(), lifetimeMs: 3_600_000 });
const secrets: ClusterSecrets = {
  version: 1,
  machineCa: await ca('bareboat'),
  kubernetesCa: await ca('kubernetes'),
  aggregatorCa: await ca('front-proxy'),
  serviceAccount: await createSigningKey(),
  encryptionKey: Buffer.alloc(32).toString('base64'),
  joinToken: 'x',
};
const SECRETS = formatYaml(secrets);
const INLINE = `bareboat.config=${Buffer.from(CONFIG).toString('base64')}`;

function scene(options: { commandLine?: string; hasAddress?: boolean; isNew?: boolean }) {
  const applied: string[] = [];
  const provisional: MachineConfig[] = [];
  const events: string[] = [];
  const world = {
    volume: undefined as ConfigVolume | undefined,
    documents: new Map<string, string>(),
    hasAddress: options.hasAddress ?? true,
    isNew: options.isNew ?? true,
  };
  const sources = new ConfigSources({
    commandLine: parseCommandLine(options.commandLine ?? ''),
    readVolume: () => world.volume,
    fetchDocument: async (url) => {
      const text = world.documents.get(url);
      if (text === undefined) throw new Error(`${url}: status 404`);
      return text;
    },
    isNew: () => world.isNew,
    hasAddress: () => world.hasAddress,
    events: {
      add: (source: string, message: string, level?: string) =>
        events.push(`${level ?? 'info'} ${source}: ${message}`),
    },
    apply: async (yaml) => {
      applied.push(yaml);
      world.isNew = false;
    },
    onProvisional: (config) => provisional.push(config),
  });
  return { sources, world, applied, provisional, events };
}

t.test('a volume with both documents is applied, once', async (t) => {
  const { sources, world, applied, events } = scene({ commandLine: INLINE });
  world.volume = { device: 'vdb1', config: CONFIG, secrets: SECRETS };
  await sources.look();
  await sources.look();
  t.same(applied, [CONFIG]);
  t.same(events, ['info config: applied, from volume']);
});

t.test('a disk that comes later is seen', async (t) => {
  const { sources, world, applied } = scene({});
  await sources.look();
  t.same(applied, []);
  world.volume = { device: 'sda1', config: CONFIG, secrets: SECRETS };
  await sources.look();
  t.same(applied, [CONFIG]);
});

t.test('the command line gives the network at once, the rest with an address', async (t) => {
  const commandLine = `${INLINE} bareboat.secrets=http://a/s`;
  const { sources, world, applied, provisional } = scene({ commandLine, hasAddress: false });
  world.documents.set('http://a/s', SECRETS);
  await sources.look();
  t.same(applied, []);
  t.match(provisional, [{ node: { name: 'n' } }]);
  world.hasAddress = true;
  await sources.look();
  t.same(applied, [CONFIG]);
});

t.test('both documents may come from URLs', async (t) => {
  const commandLine = 'bareboat.config=https://a/c bareboat.secrets=https://a/s';
  const { sources, world, applied, events } = scene({ commandLine });
  world.documents.set('https://a/c', CONFIG);
  await sources.look();
  await sources.look();
  t.same(events, ['warning config: kernel command line: https://a/s: status 404'], 'once');
  world.documents.set('https://a/s', SECRETS);
  await sources.look();
  t.same(applied, [CONFIG]);
});

t.test('a machine that belongs to somebody asks nobody', async (t) => {
  const { sources, world, applied } = scene({ commandLine: INLINE, isNew: false });
  world.volume = { device: 'vdb1', config: CONFIG, secrets: SECRETS };
  await sources.look();
  t.same(applied, []);
});

const bad: { name: string; volume: Omit<ConfigVolume, 'device'>; event: RegExp }[] = [
  {
    name: 'an unknown key',
    volume: { config: 'version: 1\nnode: {nam: n}\ncluster: {name: c}\n', secrets: SECRETS },
    event: /^warning config: volume: .*node\.nam: unknown key/,
  },
  {
    name: 'what this version cannot do',
    volume: { config: CONFIG.replace('{name: n}', '{name: n, role: worker}'), secrets: SECRETS },
    event: /^warning config: volume: node\.role: worker/,
  },
  {
    name: 'secrets whose keys do not fit',
    volume: {
      config: CONFIG,
      secrets: formatYaml({
        ...secrets,
        machineCa: { ...secrets.machineCa, key: secrets.kubernetesCa.key },
      }),
    },
    event: /^warning config: volume: machineCa: key: does not fit/,
  },
];
for (const { name, volume, event } of bad) {
  t.test(`${name} is told, and the next source asked`, async (t) => {
    const commandLine = `${INLINE} bareboat.secrets=http://a/s`;
    const { sources, world, applied, events } = scene({ commandLine });
    world.documents.set('http://a/s', SECRETS);
    world.volume = { device: 'vdb1', ...volume };
    await sources.look();
    t.match(events[0], event);
    t.same(applied, [CONFIG]);
  });
}

t.test('words of the command line that cannot be understood are told', async (t) => {
  const { events } = scene({ commandLine: 'bareboat.config=file:/etc/x' });
  t.match(events, [/^warning config: bareboat\.config: is neither/]);
});

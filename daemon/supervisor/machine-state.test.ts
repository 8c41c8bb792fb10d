/** MachineState: what waits for the next boot, damaged files, and who may mend them. */
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type ClusterSecrets, ConfigError, formatYaml } from '#base/machine-config.ts';
import { createCa, createSigningKey } from '#base/pki/pki.ts';
import { MachineState } from './machine-state.ts';
import { checkSecrets } from './secrets-check.ts';

const CONFIG = 'version: 1\nnode: {name: n}\ncluster: {name: c}\n';

async function makeSecrets(): Promise<ClusterSecrets> {
  const ca = (commonName: string) =>
    createCa({ commonName, nowMs: Date.now(), lifetimeMs: 3_600_000 });
  return {
    version: 1,
    machineCa: await ca('bareboat'),
    kubernetesCa: await ca('kubernetes'),
    aggregatorCa: await ca('front-proxy'),
    serviceAccount: await createSigningKey(),
    encryptionKey: Buffer.alloc(32).toString('base64'),
    joinToken: 'x',
  };
}

const own = await makeSecrets();
const other = await makeSecrets();

function scratch(t: Test): { dir: string; state: MachineState } {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-state-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return { dir, state: new MachineState(dir) };
}

t.test('saveNext changes nothing before promoteNext', async (t) => {
  const { state } = scratch(t);
  state.save('a: 1\n', undefined);
  state.saveNext('a: 2\n', undefined);
  t.equal(state.configText(), 'a: 1\n');
  state.promoteNext();
  t.equal(state.configText(), 'a: 2\n');
  state.promoteNext();
  t.equal(state.configText(), 'a: 2\n', 'once');
});

t.test('save drops what waited for the next boot', async (t) => {
  const { state } = scratch(t);
  state.saveNext('a: 2\n', undefined);
  state.save('a: 3\n', undefined);
  state.promoteNext();
  t.equal(state.configText(), 'a: 3\n');
});

for (const text of ['node: {nmae: a}\n', 'node: [\n', '', '\0\0\0']) {
  t.test(`a damaged configuration locks the machine: ${JSON.stringify(text)}`, async (t) => {
    const { dir, state } = scratch(t);
    state.save(CONFIG, own);
    t.equal(state.mode, 'configured');
    t.same(state.problems, []);
    writeFileSync(join(dir, 'config.yaml'), text);
    t.equal(state.mode, 'locked');
    t.equal(state.config(), undefined);
    t.match(state.problems, [/^config\.yaml is damaged: /]);
    t.equal(readFileSync(join(dir, 'config.yaml'), 'utf8'), text, 'kept');
    state.save(CONFIG, undefined);
    t.equal(state.mode, 'configured', 'and another one mends it');
  });
}

t.test('a configuration that is gone locks the machine too', async (t) => {
  const { dir, state } = scratch(t);
  state.save(CONFIG, own);
  rmSync(join(dir, 'config.yaml'));
  t.equal(state.mode, 'locked');
});

t.test('a new machine belongs to whoever comes first', async (t) => {
  const { state } = scratch(t);
  t.equal(state.mode, 'maintenance');
  t.same(state.problems, []);
  t.equal(state.refusalOf(own), undefined);
  t.equal(state.refusalOf(other), undefined);
});

const damages = [
  { name: 'unreadable YAML', damage: (text: string) => text.slice(0, 40) },
  {
    name: 'a key of another certificate',
    damage: () => formatYaml({ ...own, machineCa: { ...own.machineCa, key: other.machineCa.key } }),
  },
  { name: 'an empty file', damage: () => '' },
  { name: 'no file', damage: () => undefined },
];
for (const { name, damage } of damages) {
  t.test(`damaged secrets are mended by those of the cluster alone: ${name}`, async (t) => {
    const { dir, state } = scratch(t);
    state.save(CONFIG, own);
    const path = join(dir, 'secrets.yaml');
    const text = damage(readFileSync(path, 'utf8'));
    if (text === undefined) rmSync(path);
    else writeFileSync(path, text);
    t.equal(state.mode, 'maintenance');
    t.match(state.problems, [/^secrets\.yaml is (damaged|missing)/]);
    t.match(state.refusalOf(other), /only the secrets of its own cluster are taken/);
    t.equal(state.refusalOf(own), undefined);
    state.save(CONFIG, own);
    t.equal(state.mode, 'configured');
    t.same(state.problems, []);
  });
}

t.test('nobody mends a machine of which it is not known whose it is', async (t) => {
  const { dir, state } = scratch(t);
  state.save(CONFIG, own);
  writeFileSync(join(dir, 'secrets.yaml'), '');
  for (const text of ['', 'x', '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n']) {
    writeFileSync(join(dir, 'machine-ca.crt'), text);
    t.ok(state.refusalOf(own));
    t.ok(state.refusalOf(other));
  }
  rmSync(join(dir, 'machine-ca.crt'));
  t.match(state.refusalOf(own), /cannot be known any more: its disk must be written anew/);
});

t.test('whose a machine is is written down at its next start', async (t) => {
  const { dir, state } = scratch(t);
  state.save(CONFIG, own);
  rmSync(join(dir, 'machine-ca.crt')); // As a machine of an earlier version has none.
  state.promoteNext();
  t.equal(readFileSync(join(dir, 'machine-ca.crt'), 'utf8'), own.machineCa.certificate);
});

t.test('a disk that takes no writes leaves the machine with what it had', async (t) => {
  const { dir, state } = scratch(t);
  state.save(CONFIG, own);
  mkdirSync(join(dir, 'secrets.yaml.next')); // No file can be replaced by it.
  state.promoteNext();
  t.equal(state.mode, 'configured');
  t.match(state.problems, [/^what was saved for this boot is not in force: E/]);
  rmdirSync(join(dir, 'secrets.yaml.next'));
  state.save(CONFIG, undefined);
  t.same(state.problems, []);
});

t.test('secrets for the next boot bring their owner along', async (t) => {
  const { dir, state } = scratch(t);
  state.saveNext(CONFIG, own);
  t.equal(state.mode, 'maintenance');
  state.promoteNext();
  t.equal(state.mode, 'configured');
  t.equal(readFileSync(join(dir, 'machine-ca.crt'), 'utf8'), own.machineCa.certificate);
});

const bad: { name: string; secrets: ClusterSecrets; field: string; message: RegExp }[] = [
  {
    name: 'a certificate that is none',
    secrets: { ...own, kubernetesCa: { ...own.kubernetesCa, certificate: 'x' } },
    field: 'kubernetesCa',
    message: /certificate: is no PEM certificate/,
  },
  {
    name: 'a key that is none',
    secrets: { ...own, aggregatorCa: { ...own.aggregatorCa, key: 'x' } },
    field: 'aggregatorCa',
    message: /key: is no PEM key/,
  },
  {
    name: 'a key of another certificate',
    secrets: { ...own, machineCa: { ...own.machineCa, key: other.machineCa.key } },
    field: 'machineCa',
    message: /key: does not fit/,
  },
  {
    name: 'halves of two keys',
    secrets: {
      ...own,
      serviceAccount: { ...own.serviceAccount, publicKey: other.serviceAccount.publicKey },
    },
    field: 'serviceAccount',
    message: /do not fit/,
  },
  {
    name: 'a short encryption key',
    secrets: { ...own, encryptionKey: 'AAAA' },
    field: 'encryptionKey',
    message: /32 bytes/,
  },
];
for (const { name, secrets, field, message } of bad) {
  t.test(`checkSecrets() refuses ${name}`, async (t) => {
    try {
      checkSecrets(secrets);
      t.fail('accepted');
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      t.match(error.problems, [{ field, message }]);
      t.notMatch(error.message, /PRIVATE/);
    }
  });
}

/** What a machine must refuse, each with an error that names what is wrong; it goes on as before. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { contextOf, formatClientConfig, parseClientConfig } from '#base/client-config.ts';
import { Machine as MachineApi } from '#base/protocol/bareboat.gen.ts';
import { connectInsecure } from '#cli/connect.ts';
import { writeArchive } from '#image/archive.ts';
import { type MachineRun, NODE_NAME } from './machine-run.ts';
import { SAMPLE_MANIFESTS } from './sample.ts';

/** In maintenance mode. `fingerprint` is that of the console. */
export async function checkMaintenanceRefusals(
  t: Test,
  run: MachineRun,
  fingerprint: string,
): Promise<void> {
  const { operator, endpoint } = run;
  const dir = join(run.files.dir, 'refused');
  mkdirSync(dir, { recursive: true });
  const at = ['--endpoint', endpoint];
  await operator.bareboat(...at, 'init', '--cluster', 'c', '--node', 'n', '--output', dir);
  const good = join(dir, 'n.yaml');
  const bad = join(dir, 'bad.yaml');
  const text = readFileSync(good, 'utf8').replace('network:', 'netwrk:');
  writeFileSync(bad, text);
  const apply = (file: string, shown: string) => {
    const secrets = ['--secrets', join(dir, 'secrets.yaml')];
    const options = [...secrets, '--insecure', '--fingerprint', shown];
    return operator.bareboat(...at, 'config', 'apply', file, ...options);
  };

  await t.test('another fingerprint than that of the console', async (t) => {
    const wrong = fingerprint.replace(/^../, fingerprint.startsWith('00') ? '11' : '00');
    await t.rejects(apply(good, wrong), {
      message: new RegExp(`code 3: bareboat: fingerprint of ${endpoint} is ${fingerprint}`),
    });
  });

  await t.test('an unknown key of the configuration', async (t) => {
    const message = /netwrk: unknown key; did you mean network\?/;
    await t.rejects(apply(bad, fingerprint), { message }, 'by the command');
    await using client = await connectInsecure(endpoint, fingerprint);
    const request = { yaml: text, secrets: '', mode: 'live' };
    const call = client.call(MachineApi.ApplyConfig, request, AbortSignal.timeout(60_000));
    const details = { field: 'netwrk' };
    await t.rejects(call, { code: 'INVALID_ARGUMENT', message, details }, 'by the machine');
  });
}

/** On a machine that is configured and runs. */
export async function checkRefusals(t: Test, run: MachineRun): Promise<void> {
  const { operator } = run;

  await t.test("another cluster's client certificate", async (t) => {
    const stranger = join(run.files.dir, 'refused/bareboat.yaml');
    const at = ['--endpoint', run.endpoint];
    await t.rejects(operator.bareboat('--config', stranger, ...at, 'status'), {
      message: /code 3: bareboat: \S+ shows a certificate of another machine CA/,
    });
    const own = parseClientConfig(readFileSync(run.files.clientConfig, 'utf8'));
    const { ca, certificate, key } = contextOf(own, undefined);
    const other = parseClientConfig(readFileSync(stranger, 'utf8'));
    const mixed = { ...contextOf(other, undefined), ca };
    const trusting = join(run.files.dir, 'trusting.yaml');
    writeFileSync(
      trusting,
      formatClientConfig({ ...other, contexts: { [other.currentContext]: mixed } }),
    );
    await t.rejects(operator.bareboat('--config', trusting, ...at, 'status'), {
      message: new RegExp(`code 3: bareboat: ${run.endpoint} refuses: .*certificate`),
    });
    const files = [join(run.files.dir, 'wrong.crt'), join(run.files.dir, 'wrong.key')] as const;
    writeFileSync(files[0], certificate);
    writeFileSync(files[1], key, { mode: 0o600 });
    const options = [`--client-certificate=${files[0]}`, `--client-key=${files[1]}`];
    await t.rejects(operator.kubectl(...options, 'get', 'pods'), { message: /Unauthorized/ });
  });

  await t.test('an image archive with a wrong digest', async (t) => {
    const archive = join(run.files.dir, 'damaged.tar');
    const names = ['localhost/damaged:1'];
    const content = 'x'.repeat(100_000);
    await writeArchive(
      { names, entries: [{ path: 'x', kind: 'file', content }], config: {} },
      archive,
    );
    const bytes = readFileSync(archive);
    const at = bytes.indexOf(content) + content.length / 2;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    writeFileSync(archive, bytes);
    await t.rejects(operator.bareboat('image', 'import', archive), {
      message: /code 1: bareboat: .*sha256:[0-9a-f]{64}.*sha256:[0-9a-f]{64}/,
    });
  });

  await t.test('an invalid manifest', async (t) => {
    const [deployment] = SAMPLE_MANIFESTS;
    const text = JSON.stringify(deployment).replace('"sample"', '"refused"');
    await t.rejects(operator.apply(JSON.parse(text.replace(':8080}]', ':80800}]'))), {
      message:
        /spec\.template\.spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 80800: must be between 1 and 65535, inclusive/,
    });
    await t.rejects(operator.apply(JSON.parse(text.replace('"replicas"', '"replcas"'))), {
      message: /unknown field "spec\.replcas"/,
    });
    t.equal(await operator.kubectl('get', 'deployment/refused', '--ignore-not-found'), '');
  });

  await t.test('the machine goes on', async (t) => {
    t.match(await operator.kubectl('get', 'nodes'), new RegExp(`^${NODE_NAME} +Ready `, 'm'));
  });
}

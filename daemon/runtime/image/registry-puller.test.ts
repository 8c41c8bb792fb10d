/** The puller against a registry of ours that can be told to misbehave. No root needed. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { RegistryAuth } from '../port.ts';
import { parseReference } from './reference.ts';
import { RegistryPuller } from './registry-puller.ts';

function digestOf(data: string | Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

const LAYERS = ['first layer '.repeat(20_000), 'second layer '.repeat(30_000)];
const CONFIG = JSON.stringify({
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: LAYERS.map(digestOf) },
});
const descriptor = (data: string) => ({
  mediaType: 'x',
  digest: digestOf(data),
  size: data.length,
});
const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  config: descriptor(CONFIG),
  layers: LAYERS.map(descriptor),
});
const INDEX = JSON.stringify({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [
    { ...descriptor('other'), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
    { ...descriptor(MANIFEST), platform: { os: 'linux', architecture: 'amd64' } },
  ],
});

interface Registry {
  readonly name: string;
  readonly requests: string[];
  /** Authorization headers that came. */
  readonly secrets: string[];
  /** Called before a blob is sent; true = it answered itself. */
  onBlob: (request: IncomingMessage, response: ServerResponse, data: string) => boolean;
  auth: 'none' | 'basic' | 'token';
}

/** Serves `repo/app:v1`. */
async function startRegistry(t: Test): Promise<Registry> {
  const registry: Registry = {
    name: '',
    requests: [],
    secrets: [],
    onBlob: () => false,
    auth: 'none',
  };
  const documents = new Map([MANIFEST, INDEX].map((text) => [digestOf(text), text]));
  documents.set('v1', INDEX);
  const blobs = new Map([CONFIG, ...LAYERS].map((text) => [digestOf(text), text]));
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    registry.requests.push(`${url.pathname} ${request.headers.range ?? ''}`.trim());
    const basic = `Basic ${Buffer.from('user:secret').toString('base64')}`;
    const credentials = request.headers.authorization;
    if (credentials !== undefined) registry.secrets.push(credentials);
    if (url.pathname === '/token') {
      const ok =
        credentials === basic && url.searchParams.get('scope') === 'repository:repo/app:pull';
      response.writeHead(ok ? 200 : 401).end(JSON.stringify({ token: 'tok' }));
      return;
    }
    const wanted = registry.auth === 'basic' ? basic : 'Bearer tok';
    if (registry.auth !== 'none' && credentials !== wanted) {
      const bearer = `Bearer realm="http://${registry.name}/token",service="me"`;
      const challenge = registry.auth === 'basic' ? 'Basic realm="x"' : bearer;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return;
    }
    const [, kind, key = ''] =
      /^\/v2\/repo\/app\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? [];
    const data = (kind === 'blobs' ? blobs : documents).get(key);
    if (data === undefined) response.writeHead(404).end();
    else if (kind === 'manifests' || !registry.onBlob(request, response, data)) response.end(data);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(registry, { name: `127.0.0.1:${(server.address() as AddressInfo).port}` }); // TCP.
}

function scratch(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-pull-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function pull(
  registry: Registry,
  dir: string,
  options: { reference?: string; auth?: RegistryAuth; present?: boolean; mirrors?: string[] } = {},
) {
  mkdirSync(dir, { recursive: true });
  const puller = new RegistryPuller({
    mirrors: { '*': options.mirrors ?? [] },
    insecure: [],
    platform: { os: 'linux', architecture: 'amd64' },
    clock: new RealClock(),
    log: silentLog,
  });
  const reference = parseReference(`${registry.name}/repo/app${options.reference ?? ':v1'}`);
  return puller.pull(
    {
      reference,
      auth: options.auth,
      ingestDir: dir,
      readKnown: () => undefined,
      hasLayers: (ids) => ids.map(() => options.present === true),
    },
    new AbortController().signal,
  );
}

await t.test('pull() follows the index and checks every digest', async (t) => {
  const registry = await startRegistry(t);
  const dir = scratch(t);
  const image = await pull(registry, dir);
  t.same(image.digests, [digestOf(INDEX), digestOf(MANIFEST)]);
  t.equal(image.configDigest, digestOf(CONFIG));
  t.same(
    image.layers.map((layer) => readFileSync(layer.blobPath, 'utf8')),
    LAYERS,
  );
  const by = await pull(registry, dir, { reference: `@${digestOf(MANIFEST)}`, present: true });
  t.same(by.digests, [digestOf(MANIFEST)]);
  t.same(
    by.layers.map((layer) => layer.blobPath),
    ['', ''],
  );
});

await t.test('pull() answers challenges', async (t) => {
  const registry = await startRegistry(t);
  const auth = { username: 'user', password: 'secret' };
  for (const kind of ['basic', 'token'] as const) {
    registry.auth = kind;
    t.equal((await pull(registry, scratch(t), { auth })).configDigest, digestOf(CONFIG), kind);
    await t.rejects(pull(registry, scratch(t)), { code: 'IMAGE_AUTH' }, `${kind} without`);
    const wrong = { auth: { ...auth, password: 'wrong' } };
    await t.rejects(pull(registry, scratch(t), wrong), { code: 'IMAGE_AUTH' }, `${kind} wrong`);
  }
});

await t.test('pull() says what is missing or wrong', async (t) => {
  const registry = await startRegistry(t);
  await t.rejects(pull(registry, scratch(t), { reference: ':v2' }), { code: 'IMAGE_NOT_FOUND' });
  registry.onBlob = (_request, response, data) => {
    response.end(data.replace('layer', 'LAYER'));
    return true;
  };
  await t.rejects(pull(registry, scratch(t)), { code: 'IMAGE_DIGEST_MISMATCH' }, 'another content');
  registry.onBlob = (_request, response, data) => {
    response.end(`${data}more`);
    return true;
  };
  await t.rejects(pull(registry, scratch(t)), { code: 'IMAGE_DIGEST_MISMATCH' }, 'too long');
  const nobody = { ...registry, name: '127.0.0.1:1' };
  await t.rejects(pull(nobody, scratch(t)), { code: 'IMAGE_UNAVAILABLE' }, 'nobody listens');
});

await t.test('pull() goes on where a connection broke, by Range', async (t) => {
  const registry = await startRegistry(t);
  let broken = 0;
  registry.onBlob = (request, response, data) => {
    if (data === CONFIG) return false;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0) {
      response.writeHead(206, { 'content-length': data.length - from }).end(data.slice(from));
      return true;
    }
    broken++;
    response.writeHead(200, { 'content-length': data.length });
    response.write(data.slice(0, 100_000));
    setTimeout(() => response.destroy(), 100); // The client drops what it has not read by then.
    return true;
  };
  const image = await pull(registry, scratch(t));
  t.equal(broken, 2);
  t.same(
    image.layers.map((layer) => readFileSync(layer.blobPath, 'utf8')),
    LAYERS,
  );
});

await t.test('pull() uses what a dead process had, also where ranges are unknown', async (t) => {
  const registry = await startRegistry(t);
  const dir = scratch(t);
  const [first = '', second = ''] = LAYERS;
  const part = (data: string) => join(dir, `${digestOf(data).slice(7)}.part`);
  writeFileSync(part(first), first); // Whole, but not renamed yet.
  writeFileSync(part(second), `${second.slice(0, 1000)}`);
  const image = await pull(registry, dir);
  t.notOk(registry.requests.some((line) => line.includes(digestOf(first))));
  t.ok(registry.requests.some((line) => line.endsWith(`${digestOf(second)} bytes=1000-`)));
  t.equal(readFileSync(image.layers[1]?.blobPath ?? '', 'utf8'), second);
  const other = scratch(t);
  writeFileSync(join(other, `${digestOf(second).slice(7)}.part`), 'rubbish');
  const again = await pull(registry, other);
  t.equal(readFileSync(again.layers[1]?.blobPath ?? '', 'utf8'), second, 'answered in full');
});

await t.test('pull() tries mirrors first, then the registry', async (t) => {
  const [registry, mirror] = [await startRegistry(t), await startRegistry(t)];
  const mirrors = ['http://127.0.0.1:1', `http://${mirror.name}/`];
  await pull(registry, scratch(t), { mirrors });
  t.equal(registry.requests.length, 0);
  await pull(registry, scratch(t), { mirrors: ['http://127.0.0.1:1'] });
  t.ok(registry.requests.length > 0);
});

await t.test('pull() shows credentials to the registry alone', async (t) => {
  const auth = { username: 'user', password: 'secret' };
  const [registry, mirror] = [await startRegistry(t), await startRegistry(t)];
  const mirrors = [`http://${mirror.name}`];
  for (const kind of ['basic', 'token'] as const) {
    registry.auth = kind;
    mirror.auth = kind;
    const image = await pull(registry, scratch(t), { auth, mirrors });
    t.equal(image.configDigest, digestOf(CONFIG), kind);
    t.same(mirror.secrets, [], 'not to a mirror that asks for them');
    t.ok(mirror.requests.length > 0, 'which was asked first');
    t.ok(registry.secrets.length > 0);
  }
});

await t.test('pull() is not kept from the registry by a mirror that talks nonsense', async (t) => {
  const registry = await startRegistry(t);
  const mirror = createServer((request, response) => {
    if (request.url?.startsWith('/token') === true) response.end('no JSON');
    else response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
  });
  await new Promise<void>((resolve) => mirror.listen(0, '127.0.0.1', resolve));
  t.teardown(() => mirror.close());
  const url = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`; // TCP.
  let realm = 'nowhere';
  for (const next of [`${url}/token`, '']) {
    const image = await pull(registry, scratch(t), { mirrors: [url] });
    t.equal(image.configDigest, digestOf(CONFIG), realm);
    realm = next;
  }
});

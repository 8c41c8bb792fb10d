/** A pull from Debian's docker-registry, run, and the image store's recovery from damage. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MNT_DETACH, mount, umount } from '#base/linux/syscall.ts';
import { freePort, noRegistry, push, startRegistry } from './registry.ts';
import { bytes, cannotRun, containerSpec, sandboxSpec, TestHost, until } from './runtime-host.ts';
import {
  busyboxLayer,
  dockerArchive,
  makeTar,
  ociArchive,
  ociParts,
  sha256,
} from './runtime-images.ts';

const skip = cannotRun() ?? false;
const skipPull = skip || (noRegistry() ?? false);
if (skipPull) t.comment(`skipped: ${skipPull}`);

await t.test('pull from a registry, and run', { skip: skipPull, timeout: 60_000 }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  await using runtime = await host.open();
  const { containers, images } = runtime;
  using registry = await startRegistry({
    dir: join(host.root, 'registry'),
    host: '127.0.0.1',
    port: await freePort(),
    authenticated: false,
  });
  const upper = await makeTar([{ name: 'etc/upper', content: 'upper' }]);
  const parts = ociParts({ layers: [await busyboxLayer(), upper], tag: '' });
  await push(registry, 'demo/app', parts);
  const reference = `${registry.name}/demo/app:v1`;
  const image = await images.pull(reference, undefined, signal);
  t.same(image.tags, [reference]);
  const digest = `${registry.name}/demo/app@sha256:${sha256(parts.manifest)}`;
  t.same(image.digests, [digest]);
  t.equal(images.find(digest)?.id, image.id);
  const { addedAtMs, ...same } = image;
  const again = await images.pull(digest, undefined, signal);
  t.match(again, same, 'by digest, nothing to fetch');
  t.ok(again.addedAtMs >= addedAtMs);
  t.same(readdirSync(join(host.config.dataDir, 'images/ingest')), []);
  await t.rejects(images.pull(`${registry.name}/demo/app:v2`, undefined, signal), {
    code: 'IMAGE_NOT_FOUND',
  });

  // The same layer in other stacks, all at once: whoever is first takes the downloaded file away.
  const common = await makeTar([{ name: 'common', content: randomBytes(300_000) }]);
  const names: string[] = [];
  for (const name of ['a', 'b', 'c', 'd']) {
    const own = await makeTar([{ name, content: name }]);
    await push(registry, `stack/${name}`, ociParts({ layers: [own, common], tag: '' }));
    names.push(`${registry.name}/stack/${name}:v1`);
  }
  const stacks = await Promise.all(names.map((name) => images.pull(name, undefined, signal)));
  t.same(
    stacks.map((stack) => stack.tags[0]),
    names,
  );

  const sandbox = await containers.runSandbox(sandboxSpec(join(host.root, 'logs')), signal);
  const spec = containerSpec(sandbox.id, { imageId: image.id, command: ['cat', '/etc/upper'] });
  const { id } = await containers.createContainer(spec, signal);
  await images.remove(reference, signal); // Its layers stay for the container.
  t.equal(images.find(reference), undefined);
  await containers.startContainer(id, signal);
  const state = () => containers.listContainers().find((c) => c.id === id);
  await until('it has exited', () => state()?.state === 'exited');
  t.equal(state()?.exitCode, 0);
  t.match(readFileSync(state()?.logPath ?? '', 'utf8'), /stdout P upper$/m);
});

await t.test('the store recovers from damage', { skip, timeout: 60_000 }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  const layer = await busyboxLayer();
  const images = join(host.config.dataDir, 'images');
  {
    await using runtime = await host.open();
    const oci = await ociArchive({ layers: [layer], tag: 'docker.io/library/one:1' });
    t.same(await runtime.images.importArchive(bytes(oci), signal), ['docker.io/library/one:1']);
    const extra = await makeTar([{ name: 'extra', content: 'x' }]);
    const docker = await dockerArchive({ layers: [layer, extra], tag: 'two' });
    await runtime.images.importArchive(bytes(docker), signal);
    t.equal(readdirSync(join(images, 'layers')).length, 3, 'the common layer is there once');
    t.ok(runtime.images.usage().bytes > 1_000_000);

    const wrong = { code: 'IMAGE_DIGEST_MISMATCH' };
    const text = await makeTar([{ name: 'file', content: 'some unlikely text' }]);
    const changed = await dockerArchive({ layers: [text], tag: 'changed' });
    changed.write('SOME', changed.indexOf('some unlikely text'));
    await t.rejects(runtime.images.importArchive(bytes(changed), signal), wrong);
    await t.rejects(runtime.images.importArchive(bytes(oci.subarray(0, 5000)), signal), {
      code: 'IMAGE_INVALID',
    });
    await t.rejects(runtime.images.importArchive(bytes(Buffer.from('no tar')), signal), {
      code: 'IMAGE_INVALID',
    });
    t.equal(runtime.images.list().length, 2);
    t.same(readdirSync(join(images, 'ingest')), []);
  }
  const two = JSON.parse(readFileSync(join(images, 'index.json'), 'utf8')).images[1];
  rmSync(join(images, 'layers', two.layers[1].slice(7, 31), 'layer.json'));
  mkdirSync(join(images, 'ingest/import-dead'));
  {
    await using runtime = await host.open();
    t.same(
      runtime.images.list().map((image) => image.tags),
      [['docker.io/library/one:1']],
      'an image without its layer is none',
    );
    t.equal(readdirSync(join(images, 'layers')).length, 2);
    t.same(readdirSync(join(images, 'ingest')), []);
  }
  writeFileSync(join(images, 'index.json'), '{"images":');
  await using runtime = await host.open();
  t.same(runtime.images.list(), []);
});

await t.test('a full disk is said so, and the store goes on', { skip }, async (t) => {
  await using host = new TestHost();
  const { signal } = host;
  const { dataDir } = host.config;
  mkdirSync(dataDir);
  mount({ source: 'tmpfs', target: dataDir, type: 'tmpfs', data: 'size=6m' });
  using _mounted = { [Symbol.dispose]: () => umount(dataDir, MNT_DETACH) };
  await using runtime = await host.open();
  const { images } = runtime;
  const small = await dockerArchive({ layers: [await busyboxLayer()], tag: 'small' });
  const noise = (bytesCount: number) =>
    makeTar([{ name: 'noise', content: randomBytes(bytesCount) }]);
  for (const [what, count] of [
    ['while it is spooled', 8_000_000],
    ['while it is unpacked', 3_500_000],
  ] as const) {
    const large = await dockerArchive({ layers: [await noise(count)], tag: 'large' });
    await t.rejects(images.importArchive(bytes(large), signal), { code: 'NO_SPACE' }, what);
  }
  t.same(readdirSync(join(dataDir, 'images/layers')), ['empty']);
  await images.importArchive(bytes(small), signal);
  t.equal(images.list().length, 1);
});

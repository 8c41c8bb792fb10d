/**
 * Images of a development node: imported by the operator's command through a gateway, pulled from Debian's
 * docker-registry with and without credentials, refused when they are not what they claim to be.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { type Result, runCli } from '#cli/test-run.ts';
import { startTestGateway } from '../contract/test-gateway.ts';
import { cannotRun, eventually, pod, TestNode } from './node.ts';
import { noRegistry, push, type Registry, startRegistry, USER } from './registry.ts';
import {
  busyboxLayer,
  dockerArchive,
  makeTar,
  ociArchive,
  ociParts,
  sha256,
} from './runtime-images.ts';

const reason = cannotRun() ?? noRegistry();
if (reason !== undefined) {
  t.plan(0, reason);
  process.exit(0);
}
t.setTimeout(280_000);

let node: TestNode;
let open: Registry;
let closed: Registry;
const path = (name: string) => join(node.scratch, name);
const bareboat = (...args: string[]): Promise<Result> =>
  runCli(['--config', path('bareboat.yaml'), ...args], AbortSignal.timeout(60_000));

/** A gateway of this process before the agent of the node. */
async function startGateway(): Promise<void> {
  const agent = `/proc/${node.pidOf('agent')}/root/run/bareboat/agent/agent.sock`;
  const gateway = await startTestGateway(node.scratch, { agent });
  t.teardown(() => gateway[Symbol.asyncDispose]());
}

t.before(async () => {
  node = await TestNode.start();
  await startGateway();
  const netnsOf = node.pidOf('agent') ?? 0;
  const host = node.identity.nodeIp;
  const start = (port: number, authenticated: boolean) =>
    startRegistry({ dir: path(`registry-${port}`), netnsOf, host, port, authenticated });
  open = await start(5000, false);
  closed = await start(5001, true);
});
t.teardown(async () => {
  open[Symbol.dispose]();
  closed[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

/** Layers over busybox whose file /said says `text`. */
const saying = async (text: string) => [
  await busyboxLayer(),
  await makeTar([{ name: 'said', content: text }]),
];
const said = (name: string, image: string, more: object = {}) =>
  pod(name, { image, command: ['cat', '/said'], ...more });
const WAITING = '{.status.containerStatuses[0].state.waiting.reason}';
const waiting = async (name: string) =>
  (await node.get('pod', name)).status.containerStatuses[0].state.waiting;

t.test('archives come in through the gateway: docker and OCI', async (t) => {
  for (const [kind, make] of [
    ['docker', dockerArchive],
    ['oci', ociArchive],
  ] as const) {
    const tag = `docker.io/library/from-${kind}:1`;
    writeFileSync(path('a.tar'), await make({ layers: await saying(kind), tag }));
    t.match(await bareboat('image', 'import', path('a.tar')), {
      code: 0,
      notes: `imported ${tag}`,
    });
    await node.create(said(`from-${kind}`, `from-${kind}:1`, { imagePullPolicy: 'Never' }));
    t.equal(await node.outputOf(`from-${kind}`), kind);
  }
  const { out } = await bareboat('image', 'list', '-o', 'yaml');
  const tags = parse(out).flatMap((image: { tags: string[] }) => image.tags);
  t.ok(tags.includes('docker.io/library/from-docker:1'));
  t.ok(tags.includes('docker.io/library/from-oci:1'));
});

t.test('an image is removed by its name', async (t) => {
  writeFileSync(path('r.tar'), await dockerArchive({ layers: await saying('bye'), tag: 'gone:1' }));
  await bareboat('image', 'import', path('r.tar'));
  t.match(await bareboat('image', 'remove', 'gone:1'), { code: 0, notes: /^removed gone:1, / });
  t.notMatch((await bareboat('image', 'list')).out, /gone/);
  t.match(await bareboat('image', 'remove', 'gone:1'), { code: 1, notes: /no image gone:1/ });
});

t.test('archives that are not what they claim are refused, and change nothing', async (t) => {
  const before = (await bareboat('image', 'list', '-o', 'json')).out;
  const changed = await dockerArchive({ layers: await saying('some unlikely text'), tag: 'bad' });
  changed.write('SOME', changed.indexOf('some unlikely text'));
  for (const [what, bytes, message] of [
    ['another layer than the config names', changed, /layer.*sha256:|digest/],
    ['cut off', changed.subarray(0, changed.length / 2), /archive|tar/],
    ['no archive', Buffer.from('no archive at all'), /archive|tar/],
    ['empty', Buffer.alloc(0), /archive|tar|empty/],
  ] as const) {
    writeFileSync(path('bad.tar'), bytes);
    t.match(await bareboat('image', 'import', path('bad.tar')), { code: 1, notes: message }, what);
  }
  t.equal((await bareboat('image', 'list', '-o', 'json')).out, before);
});

t.test('a pod pulls from a registry', async (t) => {
  const parts = ociParts({ layers: await saying('pulled'), tag: '' });
  await push(open, 'demo/app', parts);
  const digest = `sha256:${sha256(parts.manifest)}`;
  await node.create(
    said('by-tag', '127.0.0.1:5000/demo/app:v1'),
    said('by-digest', `127.0.0.1:5000/demo/app@${digest}`),
    said('no-tag', '127.0.0.1:5000/demo/app:v2'),
  );
  t.equal(await node.outputOf('by-tag'), 'pulled');
  t.equal(await node.outputOf('by-digest'), 'pulled');
  const status = (await node.get('pod', 'by-tag')).status.containerStatuses[0];
  t.equal(status.imageID, `127.0.0.1:5000/demo/app@${digest}`);
  const events = await node.events('by-tag');
  t.ok(events.includes('Pulling: Pulling image "127.0.0.1:5000/demo/app:v1"'));
  t.ok(
    events.some((e) =>
      /^Pulled: Successfully pulled image ".*" in .*Image size: \d+ bytes/.test(e),
    ),
  );
  await eventually('the missing tag is said', async () => {
    const { reason, message } = await waiting('no-tag');
    assert.match(reason, /^(ErrImagePull|ImagePullBackOff)$/);
    assert.match(message, /127\.0\.0\.1:5000\/demo\/app:v2.*(not found|404)/);
  });
});

t.test('Always asks the registry again, IfNotPresent does not', async (t) => {
  const image = '127.0.0.1:5000/demo/moves:v1';
  await push(open, 'demo/moves', ociParts({ layers: await saying('first'), tag: '' }));
  await node.create(said('first', image));
  t.equal(await node.outputOf('first'), 'first');
  await push(open, 'demo/moves', ociParts({ layers: await saying('second'), tag: '' }));
  await node.create(said('present', image, { imagePullPolicy: 'IfNotPresent' }));
  t.equal(await node.outputOf('present'), 'first');
  await node.create(said('always', image, { imagePullPolicy: 'Always' }));
  t.equal(await node.outputOf('always'), 'second');
});

t.test('a registry that wants credentials gets those of imagePullSecrets', async (t) => {
  await push(closed, 'demo/private', ociParts({ layers: await saying('private'), tag: '' }));
  const image = '127.0.0.1:5001/demo/private:v1';
  const stranger = said('stranger', image) as { spec: object };
  const imagePullSecrets = [{ name: 'none' }];
  await node.create({ ...stranger, spec: { ...stranger.spec, imagePullSecrets } });
  await eventually('it is refused', async () => {
    assert.match((await waiting('stranger')).message, /127\.0\.0\.1:5001.*(credentials|401)/);
  });
  const told = await node.events('stranger');
  const missing =
    'Unable to retrieve some image pull secrets (none); attempting to pull the image may not succeed.';
  t.ok(told.includes(`FailedToRetrieveImagePullSecret: ${missing}`), told.join('\n'));
  await eventually('the wait is told', async () => {
    assert.ok((await node.events('stranger')).includes('Failed: Error: ImagePullBackOff'));
  });
  const server = '--docker-server=127.0.0.1:5001';
  const user = [`--docker-username=${USER.name}`, `--docker-password=${USER.password}`];
  await node.kubectl('create', 'secret', 'docker-registry', 'pull', server, ...user);
  const friend = said('friend', image) as { spec: object };
  await node.create({ ...friend, spec: { ...friend.spec, imagePullSecrets: [{ name: 'pull' }] } });
  t.equal(await node.outputOf('friend'), 'private');
});

t.test('a registry whose layer has another digest is not believed', async (t) => {
  const layers = await saying('genuine');
  const parts = ociParts({ layers, tag: '' });
  await push(open, 'demo/tampered', parts);
  const [, , upper] = parts.blobs;
  const hash = sha256(upper ?? Buffer.alloc(0));
  const blobs = path('registry-5000/docker/registry/v2/blobs/sha256');
  const data = join(blobs, hash.slice(0, 2), hash, 'data');
  writeFileSync(data, Buffer.alloc(readFileSync(data).length, 'x'));
  await node.create(said('tampered', '127.0.0.1:5000/demo/tampered:v1'));
  await eventually('it says so', async () => {
    assert.match((await waiting('tampered')).message, new RegExp(`sha256:${hash}`));
  });
  t.equal((await bareboat('image', 'list')).code, 0, 'the node stays manageable');
  await node.waitFor('tampered', WAITING, 'ImagePullBackOff');
});

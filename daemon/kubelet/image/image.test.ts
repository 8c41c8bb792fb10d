/** Which credentials go with an image, and how pulls wait for each other. */
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import type { Secret } from '#base/kube/api/core-v1.gen.ts';
import { type ImageService, type RegistryAuth, RuntimeError } from '../../runtime/port.ts';
import { PULLS_MAX } from '../limits.ts';
import { ImagePuller } from './image-puller.ts';
import { credentialsFor } from './keyring.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const modern = (auths: object): Secret =>
  ({ data: { '.dockerconfigjson': base64(JSON.stringify({ auths })) } }) as never; // Enough.
const user = (username: string) => ({ username, password: 'p' });

const rows = [
  ['registry.example/app:1', { 'registry.example': user('a') }, ['a']],
  ['registry.example:5000/app', { 'registry.example:5000': user('a') }, ['a']],
  ['registry.example:5000/app', { 'registry.example': user('a') }, []],
  ['registry.example/app', { 'https://registry.example/v2/': user('a') }, ['a']],
  ['busybox', { 'https://index.docker.io/v1/': user('hub') }, ['hub']],
  ['docker.io/team/app', { 'docker.io': user('hub') }, ['hub']],
  ['a.example.com/app', { '*.example.com': user('star') }, ['star']],
  ['a.b.example.com/app', { '*.example.com': user('star') }, []],
  [
    'r.example/team/app',
    { 'r.example/team': user('team'), 'r.example': user('all') },
    ['team', 'all'],
  ],
  ['r.example/teams/app', { 'r.example/team': user('team') }, []],
  ['r.example/app@sha256:00', { 'r.example/app': user('one') }, ['one']],
  ['r.example/app', { 'r.example': { auth: base64('b:c:d') } }, ['b']],
  ['r.example/app', { 'r.example': { auth: base64('nocolon') } }, []],
  ['r.example/app', { 'r.example': 7, other: user('x') }, []],
] as const;
for (const [image, auths, wanted] of rows) {
  t.test(`credentialsFor() ${image} from ${JSON.stringify(auths)}`, async (t) => {
    const found = credentialsFor(image, [modern(auths)]);
    t.same(
      found.map(({ username }) => username),
      wanted,
    );
  });
}

t.test('credentialsFor() reads both kinds of secret, and passes over others', async (t) => {
  const legacy = { data: { '.dockercfg': base64(JSON.stringify({ 'r.example': user('old') })) } };
  const broken = { data: { '.dockerconfigjson': base64('{') } };
  const none = { data: { user: base64('x') } };
  const secrets = [broken, none, legacy] as unknown as Secret[]; // Enough.
  t.same(credentialsFor('r.example/app', secrets), [user('old')]);
  const colon = modern({ 'r.example': { auth: base64('b:c:d') } });
  t.same(credentialsFor('r.example/app', [colon]), [{ username: 'b', password: 'c:d' }]);
});

/** A store whose pulls end when the test says so. */
function store(accepts: (auth: RegistryAuth | undefined) => boolean) {
  const running: { image: string; end: () => void }[] = [];
  const tried: (string | undefined)[] = [];
  const images: Partial<ImageService> = {
    find: () => undefined,
    pull: async (image, auth) => {
      tried.push(auth?.username);
      if (!accepts(auth)) throw new RuntimeError('IMAGE_AUTH', 'refused');
      await new Promise<void>((resolve) => running.push({ image, end: resolve }));
      return { id: image, tags: [], digests: [], sizeBytes: 5 } as never; // Enough.
    },
  };
  const puller = new ImagePuller({ images: images as ImageService, clock: new RealClock() }); // idem
  return { running, tried, puller };
}
const tick = () => new Promise((resolve) => setImmediate(resolve));
const { signal } = new AbortController();
const request = (image: string, secrets: readonly Secret[] = []) => ({
  container: 'c',
  image,
  policy: 'Always',
  secrets,
  notice: () => {},
});

t.test('ensure() pulls a few at a time; who gives up in line leaves it', async (t) => {
  const { running, puller } = store(() => true);
  const names = Array.from({ length: PULLS_MAX + 2 }, (_, i) => `image-${i}`);
  const stop = new AbortController();
  const pulls = names.map((name, i) =>
    puller.ensure(request(name), i === PULLS_MAX ? stop.signal : signal),
  );
  await tick();
  t.equal(running.length, PULLS_MAX);
  stop.abort(new Error('not wanted'));
  await t.rejects(Promise.all(pulls.splice(PULLS_MAX, 1)), { message: 'not wanted' });
  running[0]?.end();
  await tick();
  t.equal(running.at(-1)?.image, `image-${PULLS_MAX + 1}`, 'the next in line');
  for (const { end } of running) end();
  t.ok((await Promise.all(pulls)).every((outcome) => outcome.ok));
});

t.test('ensure() tries each credential that fits', async (t) => {
  const { running, tried, puller } = store((auth) => auth?.username === 'good');
  const secrets = [modern({ 'r.example': user('bad') }), modern({ 'r.example': user('good') })];
  const pull = puller.ensure(request('r.example/app', secrets), signal);
  await tick();
  running[0]?.end();
  t.same(await pull, { ok: true, imageId: 'r.example/app' });
  t.same(tried, ['bad', 'good']);
  t.match(await puller.ensure(request('r.example/app', secrets.slice(0, 1)), signal), {
    ok: false,
    reason: 'ErrImagePull',
    message: 'failed to pull image "r.example/app": refused',
  });
});

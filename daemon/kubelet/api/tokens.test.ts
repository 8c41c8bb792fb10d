import t from 'tap';
import { type Clock, RealClock } from '#base/clock.ts';
import type { Pod } from '#base/kube/api/core-v1.gen.ts';
import type { KubeClient } from '#base/kube/client.ts';
import { PodTokens } from './tokens.ts';

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
const pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u' },
  spec: { serviceAccountName: 'robot', containers: [] },
} as unknown as Pod; // Enough.

/** An API that counts what it is asked for, on a clock of the test's own. */
class World {
  nowMs = Date.parse('2026-11-27T00:00:00Z');
  fails = false;
  /** What the server gives at most, in seconds. */
  lifeMax = Infinity;
  readonly asked: { at: unknown; spec: { audiences: string[]; expirationSeconds: number } }[] = [];
  readonly tokens: PodTokens;

  constructor() {
    const real = new RealClock();
    const clock: Clock = {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      sleep: (ms, stop) => real.sleep(ms, stop),
      deadline: (ms, parent) => real.deadline(ms, parent),
    };
    const known: Partial<KubeClient> = {
      createSubresource: (async (_resource: unknown, at: unknown, body: { spec: never }) => {
        if (this.fails) throw new Error('no answer');
        const { expirationSeconds } = body.spec;
        this.asked.push({ at, spec: body.spec });
        const life = Math.min(expirationSeconds, this.lifeMax) * 1000;
        const expirationTimestamp = new Date(this.nowMs + life).toISOString();
        return { status: { token: `token ${this.asked.length}`, expirationTimestamp } };
      }) as never, // Only tokens are asked for here.
    };
    this.tokens = new PodTokens({ client: known as KubeClient, clock }); // The rest is not called.
  }

  get(request: object = {}): Promise<string> {
    return this.tokens.get(pod, { path: 'token', ...request }, signal);
  }
}

t.test('get() asks for a token that is bound to the pod', async (t) => {
  const world = new World();
  await world.get({ audience: 'vault', expirationSeconds: 1200 });
  await world.get();
  t.match(world.asked, [
    {
      at: { namespace: 'ns', name: 'robot', subresource: 'token' },
      spec: {
        audiences: ['vault'],
        expirationSeconds: 1200,
        boundObjectRef: { kind: 'Pod', name: 'p', uid: 'u' },
      },
    },
    { spec: { audiences: [], expirationSeconds: 3600 } },
  ]);
});

for (const { name, request, lifeMax, renewAfterMs } of [
  { name: '80 % of its life', request: {}, lifeMax: Infinity, renewAfterMs: 0.8 * HOUR_MS },
  {
    name: '80 % of what the server gave',
    request: {},
    lifeMax: 1800,
    renewAfterMs: 0.4 * HOUR_MS,
  },
  {
    name: 'a day at most',
    request: { expirationSeconds: 7 * 24 * 3600 },
    lifeMax: Infinity,
    renewAfterMs: 24 * HOUR_MS,
  },
]) {
  t.test(`get() replaces a token after ${name}`, async (t) => {
    const world = new World();
    world.lifeMax = lifeMax;
    t.equal(await world.get(request), 'token 1');
    world.nowMs += renewAfterMs - 1;
    t.equal(await world.get(request), 'token 1');
    world.nowMs += 1;
    t.equal(await world.get(request), 'token 2');
  });
}

t.test('get() keeps a token that cannot be replaced while it is valid', async (t) => {
  const world = new World();
  await world.get();
  world.fails = true;
  world.nowMs += HOUR_MS - 1;
  t.equal(await world.get(), 'token 1');
  world.nowMs += 1;
  await t.rejects(world.get(), { message: 'no answer' });
  world.fails = false;
  t.equal(await world.get(), 'token 2');
});

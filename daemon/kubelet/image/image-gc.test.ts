/** What is removed when, on images that free what they alone hold. */
import t from 'tap';
import { type Clock, RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import type { Container, Image } from '../../runtime/port.ts';
import { ImageGc, type ImageGcPolicy } from './image-gc.ts';

const MINUTE = 60_000;
const { signal } = new AbortController();

/** A disk of 1000 bytes. */
function scene(policy: Partial<ImageGcPolicy> = {}) {
  let nowMs = 0;
  const images = new Map<string, Image & { frees: number }>();
  const used = new Set<string>();
  const events: string[] = [];
  const world = {
    other: 0,
    leftovers: 0,
    used,
    events,
    ids: () => [...images.keys()],
    add(id: string, frees: number, more: Partial<Image> = {}) {
      const image = { id, tags: [id], pinned: false, addedAtMs: nowMs, frees, ...more };
      images.set(id, image as Image & { frees: number }); // Enough.
    },
    pass: (ms: number) => {
      nowMs += ms;
    },
    gc: undefined as unknown as ImageGc, // Set below.
  };
  const bytes = () =>
    world.other + world.leftovers + [...images.values()].reduce((n, { frees }) => n + frees, 0);
  const clock: Clock = Object.assign(new RealClock(), {
    monotonicMs: () => nowMs,
    nowMs: () => nowMs,
  });
  world.gc = new ImageGc(
    {
      images: {
        list: () => [...images.values()],
        remove: async (id) => {
          const frees = images.get(id)?.frees ?? 0;
          images.delete(id);
          return frees;
        },
        collect: async () => {
          world.leftovers = 0;
        },
      },
      runtime: {
        listContainers: () => [...used].map((imageId) => ({ imageId }) as Container), // Enough.
      },
      disk: () => ({ capacityBytes: 1000, availableBytes: 1000 - bytes() }),
      clock,
      log: silentLog,
      notice: ({ reason, message }) => events.push(`${reason}: ${message}`),
    },
    {
      highThresholdPercent: 85,
      lowThresholdPercent: 80,
      minAgeMs: 2 * MINUTE,
      maxAgeMs: 0,
      ...policy,
    },
  );
  return world;
}

t.test('collect() does nothing below the high threshold', async (t) => {
  const world = scene();
  world.add('a', 840);
  await world.gc.collect(signal);
  world.pass(10 * MINUTE);
  await world.gc.collect(signal);
  t.same(world.ids(), ['a']);
});

t.test('collect() removes the longest unused first, down to the low threshold', async (t) => {
  const world = scene();
  for (const id of ['used', 'first', 'second', 'third']) world.add(id, 200);
  world.used.add('used').add('second').add('first');
  await world.gc.collect(signal);
  world.pass(3 * MINUTE);
  world.other = 50;
  world.used.delete('first');
  await world.gc.collect(signal);
  t.same(world.ids(), ['used', 'first', 'second'], 'what was never used went before');
  t.same(world.events, []);
  world.used.delete('second');
  world.other = 400;
  await world.gc.collect(signal);
  t.same(world.ids(), ['used', 'second'], 'used longer ago');
});

t.test(
  'collect() keeps what is used, pinned or young, and says when that is too much',
  async (t) => {
    const world = scene();
    world.add('used', 300);
    world.add('pinned', 300, { pinned: true });
    world.used.add('used');
    await world.gc.collect(signal);
    world.pass(10 * MINUTE);
    world.add('old', 100);
    await world.gc.collect(signal);
    world.pass(3 * MINUTE);
    world.add('young', 200);
    await world.gc.collect(signal);
    t.same(world.ids(), ['used', 'pinned', 'young']);
    world.other = 190;
    await world.gc.collect(signal);
    t.same(world.events, [
      "FreeDiskSpaceFailed: Insufficient free disk space on the node's image filesystem (99% of 1000 B used). " +
        'Failed to free sufficient space by deleting unused images (freed 0 bytes). ' +
        'Investigate disk usage, as it could be used by active images, logs, volumes, or other data.',
    ]);
  },
);

t.test('collect() goes on when layers are shared, and begins with leftovers', async (t) => {
  const world = scene();
  world.add('shares all', 0);
  world.add('alone', 300);
  world.other = 600;
  await world.gc.collect(signal);
  world.pass(5 * MINUTE);
  world.leftovers = 80;
  await world.gc.collect(signal);
  t.same(world.ids(), [], 'the first freed nothing');
  world.add('kept', 100);
  world.other = 700;
  await world.gc.collect(signal);
  world.pass(5 * MINUTE);
  world.leftovers = 150;
  await world.gc.collect(signal);
  t.same([world.ids(), world.leftovers], [['kept'], 0], 'leftovers were enough');
});

t.test('collect() removes what was not used for too long, disk or not', async (t) => {
  const world = scene({ maxAgeMs: 60 * MINUTE });
  world.add('used', 1);
  world.add('unused', 1);
  world.used.add('used');
  await world.gc.collect(signal);
  world.pass(59 * MINUTE);
  await world.gc.collect(signal);
  t.same(world.ids(), ['used', 'unused'], 'not before this process knows it');
  world.pass(2 * MINUTE);
  await world.gc.collect(signal);
  t.same(world.ids(), ['used']);
  world.used.clear();
  world.pass(61 * MINUTE);
  await world.gc.collect(signal);
  t.same(world.ids(), []);
});

t.test('removeUnused() takes all that may go', async (t) => {
  const world = scene();
  world.add('used', 1);
  world.add('a', 1);
  world.used.add('used');
  await world.gc.collect(signal);
  world.pass(3 * MINUTE);
  world.add('young', 1);
  await world.gc.removeUnused(signal);
  t.same(world.ids(), ['used', 'young']);
});

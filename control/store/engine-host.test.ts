/** When an engine is pumped again: what one round leaves is not left until the next tick. */
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Engine } from './engine/engine.ts';
import { EngineHost } from './engine-host.ts';

t.test('a round that tells others of commits may leave more to do', async (t) => {
  const rounds: string[] = [];
  let hasNews = true;
  const engine = {
    tickMs: 60_000,
    get hasNews() {
      return hasNews;
    },
    pump: (news: 'now' | 'later' = 'now') => {
      rounds.push(news);
      if (news === 'now') hasNews = false;
      return news === 'now';
    },
    abort: () => {},
  };
  const ends = { failed: (error: unknown) => t.fail(String(error)), ended: () => {} };
  const host = new EngineHost(engine as unknown as Engine, ends); // As far as a host knows it.
  host.pump();
  const deadline = Date.now() + 5000;
  while (rounds.length < 3 && Date.now() < deadline) await pause(1);
  t.same(rounds, ['later', 'now', 'later']);
  host.end('abort');
});

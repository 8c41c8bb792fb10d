/**
 * Goal: SIGKILL at any moment loses no acknowledged write. A child writes and prints what was
 * acknowledged, is killed after a random number of lines, and its directory is opened here.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { RealClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { must } from '#base/assert.ts';
import { openStore } from '#control/store/store.ts';
import { spawnTied } from './tied-child.ts';

const WRITER = join(import.meta.dirname, 'store-crash-writer.ts');
const { signal } = new AbortController();

/** Lets a child write until it printed `lines`, kills it, and returns all that it printed. */
async function writeAndKill(dataDir: string, first: number, lines: number): Promise<number[]> {
  const child = spawnTied(process.execPath, [WRITER, dataDir, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const printed: number[] = [];
  for await (const line of createInterface({ input: must(child.stdout, 'a pipe') })) {
    printed.push(Number(line));
    if (printed.length === lines) child.kill('SIGKILL');
  }
  await exited;
  return printed;
}

t.test('SIGKILL loses no acknowledged write', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'store-crash-'));
  t.teardown(() => rmSync(dataDir, { recursive: true }));
  const acknowledged = new Set<number>();
  let first = 0;
  for (const lines of [1, 50, 3000, 40_000]) {
    for (const number of await writeAndKill(dataDir, first, lines)) acknowledged.add(number);
    const store = await openStore({ dataDir, clock: new RealClock(), log: silentLog });
    const { kvs } = await store.range({ key: 'k', rangeEnd: 'l', keysOnly: true }, signal);
    await store.close();
    const kept = new Set(kvs.map(({ key }) => Number(key.slice(1))));
    const lost = [...acknowledged].filter((number) => !kept.has(number));
    t.same(lost, [], `${acknowledged.size} acknowledged, ${kept.size} kept after ${lines} lines`);
    first = Math.max(...kept) + 1;
  }
  t.ok(acknowledged.size > 40_000, 'enough was written to count');
});

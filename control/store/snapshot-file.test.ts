/** Snapshots as files. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { StoreError } from './port.ts';
import { saveSnapshot } from './snapshot-file.ts';

const { signal } = new AbortController();

t.test('a snapshot that no member can give leaves nothing behind', async (t) => {
  const path = join(t.testdir(), 'a.snapshot');
  const error = new StoreError('UNAVAILABLE', 'no member leads the store');
  const store = { snapshot: () => Promise.reject(error) };
  await t.rejects(saveSnapshot(store, path, signal), { code: 'UNAVAILABLE' });
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 5; i++) await t.rejects(saveSnapshot(store, path, signal), error);
  t.equal(readdirSync('/proc/self/fd').length, before, 'no file is left open');
  t.notOk(existsSync(`${path}.part`));
});
